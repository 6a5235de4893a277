"""The example API does what its plans say, its OpenAPI holds, and its plan page can be read by everybody."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import httpx
import pytest
from webserver import serving

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "leads_api"
CHROMIUM = shutil.which("chromium")
LEAD = {"name": "Ada", "email": "ada@example.com"}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The API on the memory store, with a database of its own."""
    os.environ["LEADS_DATABASE"] = str(tmp_path_factory.mktemp("leads") / "leads.db")
    spec = importlib.util.spec_from_file_location("leads_api_app", EXAMPLE / "app.py")
    module = importlib.util.module_from_spec(spec)
    try:
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        with serving(module.app) as url:
            yield url
    finally:
        del os.environ["LEADS_DATABASE"], sys.modules[spec.name]
        sys.path.remove(str(EXAMPLE))


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url) as client:
        yield lambda method, path, account, **body: client.request(
            method, path, headers={"x-api-key": f"demo-{account}"}, **body
        )


def test_leads_are_metered_and_headers_say_how_many_are_left(client):
    before = client("GET", "/v1/usage", "bluefinch").json()["leads"]["used"]
    created = client("POST", "/v1/leads", "bluefinch", json=LEAD)

    assert (201, "Ada") == (created.status_code, created.json()["name"])
    assert f'"leads";r={4999 - before}' in created.headers["ratelimit"]
    assert created.json() in client("GET", "/v1/leads", "bluefinch").json()


def test_a_lead_that_is_none_is_charged_and_no_500(client):
    assert 422 == client("POST", "/v1/leads", "bluefinch", json={"name": "", "email": "x"}).status_code


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
    assert 404 == client("POST", "/v1/invitations/o:nothing/acceptance", "bluefinch").status_code


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
        assert 401 == httpx.get(f"{url}/signin", params={"key": "no"}, follow_redirects=True).status_code


def test_refusals_stand_in_the_openapi_with_schema_and_headers(url):
    operation = httpx.get(f"{url}/openapi.json").json()["paths"]["/v1/leads"]["post"]["responses"]

    assert {"201", "401", "403", "422", "429", "503"} == set(operation)
    assert {"retry-after", "ratelimit", "ratelimit-policy"} <= set(operation["429"]["headers"])
    schema = operation["403"]["content"]["application/problem+json"]["schema"]
    assert {"type", "title", "status", "detail"} == set(schema["required"])


def test_schemathesis_finds_no_server_error(url, tmp_path):
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{url}/openapi.json", "--checks", "not_a_server_error",
            "--header", "x-api-key: demo-harborwick", "--max-examples", "15", "--generation-deterministic", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, encoding="utf-8", check=False, timeout=55,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-1000:]
    assert "No issues found" in done.stdout


# -- the plan page -------------------------------------------------------------------------


def luminance(color):
    """Return the relative luminance of `#rrggbb` or `#rgb` (WCAG 2.2)."""
    digits = color.lstrip("#")
    digits = "".join(each * 2 for each in digits) if len(digits) == 3 else digits
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_has_contrast_in_light_and_in_dark():
    """4.5 to 1 for text, 3 to 1 for the bars against their track (WCAG 2.2, AA)."""
    style = (EXAMPLE / "plan.html").read_text(encoding="utf-8")
    palettes = [
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]

    assert 2 == len(palettes)
    for palette in palettes:
        for ground, text in itertools.product(("ground", "card"), ("ink", "soft", "accent", "fine", "nearly", "full")):
            assert contrast(palette[ground], palette[text]) >= 4.5, (ground, text)
        for bar in ("fine", "nearly", "full"):
            assert contrast(palette["track"], palette[bar]) >= 3, bar


def test_the_page_says_to_everybody_what_the_bars_show(client):
    client("POST", "/v1/reports", "cedar-quay")
    page = client("GET", "/plan", "cedar-quay").text

    meters = re.findall(
        r'role="meter" aria-labelledby="(meter-[\w-]+)" aria-valuemin="0" aria-valuemax="100" aria-valuenow="(\d+)"',
        page,
    )
    assert meters
    for label, percent in meters:
        assert f'id="{label}"' in page
        assert 0 <= int(percent) <= 100
    assert 'href="#meters"' in page  # a keyboard gets past the header
    assert 'lang="en"' in page
    assert "<script" not in page


def test_what_stands_in_the_directory_cannot_write_the_page():
    sys.path.insert(0, str(EXAMPLE))
    try:
        from jinja2 import Environment, FileSystemLoader
        from plan import plan_of

        from entitlements import Account, Enforcer, Policy

        policy = Policy.load(EXAMPLE.parents[1] / "policies" / "customer-tiers")
        account = Account("x", "freemium", attributes={"name": "<script>alert(1)</script>"})
        ent = Enforcer(policy)
        pages = Environment(loader=FileSystemLoader(EXAMPLE), autoescape=True)
        page = pages.get_template("plan.html").render(plan_of(account, ent.entitlements(account), ent.usage(account)))
    finally:
        sys.path.remove(str(EXAMPLE))

    assert "<script" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="Debian's Chromium is not installed")
@pytest.mark.parametrize(
    ("name", "size", "ground", "options"),
    [
        ("light", "1100,1400", "f6f7f9", []),
        ("dark", "1100,1400", "0f141a", ["--blink-settings=preferredColorScheme=0"]),
        ("phone", "390,2400", "f6f7f9", []),
    ],
)
def test_the_page_is_drawn_by_a_browser(client, tmp_path, name, size, ground, options):
    (tmp_path / "plan.html").write_text(client("GET", "/plan", "bluefinch").text, encoding="utf-8")
    picture = tmp_path / f"{name}.png"
    subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars",
            f"--window-size={size}", f"--screenshot={picture}", *options, f"file://{tmp_path / 'plan.html'}",
        ],
        capture_output=True, check=True, timeout=50,
    )  # fmt: skip

    data = picture.read_bytes()
    assert size == ",".join(str(int.from_bytes(data[at : at + 4], "big")) for at in (16, 20))
    assert ground == first_pixel(data)
    assert len(data) > 20_000  # something is drawn on it


def first_pixel(png):
    """Return the colour in the upper left corner: no filter changes the first pixel of the first row."""
    at, packed = 8, b""
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        packed += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(packed)[1:4].hex()
