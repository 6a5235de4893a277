"""The example API does what its plans say, and its OpenAPI holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from leads import asking, example

LEAD = {"name": "Ada", "email": "ada@example.com"}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with example(tmp_path_factory.mktemp("leads")) as (_, url):
        yield url


@pytest.fixture
def client(url):
    with asking(url) as client:
        yield client


def test_leads_are_metered_and_headers_say_how_many_are_left(client):
    before = client("GET", "/v1/usage", "bluefinch").json()["leads"]["used"]
    created = client("POST", "/v1/leads", "bluefinch", json=LEAD)

    assert (201, "Ada") == (created.status_code, created.json()["name"])
    assert f'"leads";r={4999 - before}' in created.headers["ratelimit"]
    assert created.json() in client("GET", "/v1/leads", "bluefinch").json()


@pytest.mark.parametrize(
    ("body", "status"), [({"json": {"name": "", "email": "x"}}, 422), ({"content": b"x" * 1_000_001}, 413)]
)
def test_a_lead_that_is_none_takes_none(client, body, status):
    def used():
        return client("GET", "/v1/usage", "bluefinch").json()["leads"]["used"]

    before = used()
    assert status == client("POST", "/v1/leads", "bluefinch", **body).status_code
    assert before == used()


def test_an_import_takes_all_or_nothing(client):
    many = [LEAD] * 400

    assert 201 == client("POST", "/v1/imports", "cedar-quay", json=many).status_code
    assert 403 == client("POST", "/v1/imports", "sparrowgate", json=many).status_code


def test_a_freemium_account_has_no_api_but_sees_its_plan(client):
    refused = client("GET", "/v1/leads", "sparrowgate")

    assert (403, "small-business") == (refused.status_code, refused.json()["remedy"]["tier"])
    assert 200 == client("GET", "/plan", "sparrowgate").status_code


def test_a_seat_is_held_while_an_invitation_is_open(client):
    first = client("POST", "/v1/invitations", "bluefinch").json()
    held = [client("POST", "/v1/invitations", "bluefinch").status_code for _ in range(10)]

    assert ([201] * 9, 403) == (held[:9], held[9])
    assert 204 == client("DELETE", f"/v1/invitations/{first['id']}", "bluefinch").status_code
    second = client("POST", "/v1/invitations", "bluefinch").json()
    assert [204, 204] == [
        client("POST", f"/v1/invitations/{second['id']}/acceptance", "bluefinch").status_code for _ in range(2)
    ]
    assert 409 == client("DELETE", f"/v1/invitations/{second['id']}", "bluefinch").status_code
    withdrawn = client("POST", f"/v1/invitations/{first['id']}/acceptance", "bluefinch")
    assert (404, "application/problem+json") == (withdrawn.status_code, withdrawn.headers["content-type"])
    assert 404 == client("DELETE", f"/v1/invitations/{first['id']}", "bluefinch").status_code


def test_an_invitation_that_was_never_made_is_not_found_whatever_is_done_with_it(client):
    others = client("POST", "/v1/invitations", "tamarack-ridge").json()["id"]

    for id in ("o:nothing", "o" * 32, "nothing", others):
        assert 404 == client("POST", f"/v1/invitations/{id}/acceptance", "cedar-quay").status_code, id
        assert 404 == client("DELETE", f"/v1/invitations/{id}", "cedar-quay").status_code, id


def test_files_take_their_bytes_and_give_them_back(client):
    def used():
        return client("GET", "/v1/usage", "tamarack-ridge").json()["storage"]["used"]

    before = used()
    steps = [
        client("PUT", "/v1/files/a", "tamarack-ridge", content=b"x" * 1000), client("PUT", "/v1/files/a", "tamarack-ridge", content=b"x" * 400),
    ]  # fmt: skip
    assert ([201, 201], 400) == ([each.status_code for each in steps], used() - before)
    assert (204, 404) == tuple(client("DELETE", "/v1/files/a", "tamarack-ridge").status_code for _ in range(2))
    assert before == used()
    assert 413 == client("PUT", "/v1/files/b", "tamarack-ridge", content=b"x" * 1_000_001).status_code


def test_a_report_needs_a_level_and_sso_a_switch(client):
    reports = [
        client("GET", "/v1/reports/funnel", account) for account in ("bluefinch", "tamarack-ridge", "harborwick")
    ]

    assert [403, 200, 200] == [each.status_code for each in reports]
    assert ["by_domain" in each.json() for each in reports[1:]] == [False, True]
    sso = {"json": {"issuer": "https://id.example.com"}}
    assert [403, 200] == [
        client("PUT", "/v1/settings/sso", account, **sso).status_code for account in ("tamarack-ridge", "harborwick")
    ]


def test_a_dependency_charges_one_endpoint(client):
    saved = [client("POST", "/v1/reports", "cedar-quay") for _ in range(6)]

    assert ([201] * 5, 403) == ([each.status_code for each in saved[:5]], saved[5].status_code)
    assert saved[5].json()["type"].endswith("limit-reached")


def test_nobody_and_a_suspended_account_are_told_apart(client):
    assert (401, 403) == (
        client("GET", "/v1/leads", "nobody").status_code,
        client("GET", "/v1/leads", "oakenshire").status_code,
    )
    assert 200 == client("GET", "/healthz", "nobody").status_code


def test_a_browser_signs_in_with_a_key(url):
    with httpx.Client(base_url=url, follow_redirects=True) as browser:
        page = browser.get("/signin", params={"key": "demo-bluefinch"})
        assert (200, "/plan") == (page.status_code, page.url.path)
        assert "Bluefinch Insurance" in page.text


@pytest.mark.parametrize("keys", [["wrong"], [""], ["demo-cedar-quay", "demo-cedar-quay"]])
def test_a_key_in_the_header_that_is_none_is_nobodys_whatever_the_cookie_says(url, keys):
    cookie = ("cookie", "key=demo-bluefinch")

    assert 200 == httpx.get(f"{url}/plan", headers=[cookie]).status_code
    assert 401 == httpx.get(f"{url}/plan", headers=[cookie, *(("x-api-key", key) for key in keys)]).status_code


def test_a_key_that_is_none_shows_the_page_to_sign_in_again(url):
    asked, wrong = httpx.get(f"{url}/signin"), httpx.get(f"{url}/signin", params={"key": "no"})

    assert [(200, False), (401, True)] == [(each.status_code, "has this key" in each.text) for each in (asked, wrong)]
    assert all('<input id="key" name="key"' in each.text for each in (asked, wrong))
    assert ["text/html; charset=utf-8"] * 2 == [each.headers["content-type"] for each in (asked, wrong)]
    assert not wrong.cookies


def test_bytes_have_a_unit_on_the_plan_page(client):
    assert 201 == client("PUT", "/v1/files/small", "bluefinch", content=b"12345").status_code

    page = client("GET", "/plan", "bluefinch").text

    assert re.search(r"5 B <small>of [0-9]+ GB</small>", page)


def test_refusals_stand_in_the_openapi_with_schema_and_headers(url):
    operation = httpx.get(f"{url}/openapi.json").json()["paths"]["/v1/leads"]["post"]["responses"]

    assert {"201", "400", "401", "403", "413", "422", "429", "503"} == set(operation)
    assert {"retry-after", "ratelimit", "ratelimit-policy"} <= set(operation["429"]["headers"])
    schema = operation["403"]["content"]["application/problem+json"]["schema"]
    assert {"type", "title", "status", "detail"} == set(schema["required"])
    assert {"ratelimit", "ratelimit-policy"} <= set(operation["201"]["headers"])


def test_the_documentation_has_a_place_for_the_key(url):
    document = httpx.get(f"{url}/openapi.json").json()

    assert {"type": "apiKey", "in": "header", "name": "x-api-key"} == document["components"]["securitySchemes"][
        "API key"
    ]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert path == "/healthz" or {"API key": []} in operation["security"], path


@pytest.mark.parametrize(
    "key",
    [
        "demo-harborwick",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("demo-sparrowgate", "unknown")),
        None,
    ],
)
def test_the_api_answers_as_its_openapi_says(url, tmp_path, key):
    checks = (
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
        "response_headers_conformance",
    )  # fmt: skip
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{url}/openapi.json", "--checks", ",".join(checks),
            *(["--header", f"x-api-key: {key}"] if key else []), "--max-examples", "3", "--phases", "examples,coverage,fuzzing",
            "--generation-deterministic", "--no-color", "--warnings", "off",
        ],
        cwd=tmp_path, capture_output=True, encoding="utf-8", check=False, timeout=300,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-1000:]
    assert "No issues found" in done.stdout
