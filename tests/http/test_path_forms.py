"""Other spellings of a path: what a router may take for a rule's path falls under the rule, or is refused."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from trade import policy
from webserver import exchange, hello, serving

from entitlements import AsyncEnforcer
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware, RoutesMiddleware
from entitlements.http.eager import checked
from entitlements.http.identify import api_key
from entitlements.http.routes import Route, RouteTable
from entitlements.rules.path_forms import normal_forms

GATED = Route("/v1/reports", requires={"sso"})
ITEM = Route("/v1/items/{item}", requires={"sso"})
PAGE = Route("/v1/pages/{n:int}", requires={"sso"})
BELOW = Route("/files/reports/{rest:path}", requires={"sso"})
OPEN = Route("/open/{rest:path}", exempt=True)
RULES = [GATED, ITEM, PAGE, BELOW, OPEN]


def guarded(inner, routes=RULES, middleware=EntitlementsMiddleware, **options):
    enforcer = AsyncEnforcer(policy(), accounts={"free": "free", "max": "max"})
    return middleware(inner, enforcer=enforcer, identify=api_key({"f": "free", "m": "max"}), routes=routes, **options)


def status(app, path, key=b"f", **scope):
    return asyncio.run(exchange(app, path=path, headers=[(b"x-api-key", key)], **scope))[0]["status"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1//reports", "//v1/reports", "/v1/reports/", "/v1/reports//", "/v1/./reports", "/./v1/reports",
        "/v1/x/../reports", "/v1/reports/.", "/v1/reports/x/..", "/V1/Reports", "/v1/REPORTS/", "//V1/./reports/",
        "/v1\\reports", "/v1/\u212a/../reports", "/v1/items//1", "/v1/items/1/", "/v1/pages/+1", "/v1/pages/-1",
        "/v1/pages/ 1", "/v1/pages/1.0", "/v1/pages/1_0", "/v1/pages/\u0661", "/v1/pages/1/",
        "/files//reports/q3", "/files/./reports/q3", "/files/x/../reports/q3",
        "/open/../v1/reports", "/open//../v1/other", "/open/./../x", "/v1//items/..",
    ],
)  # fmt: skip
def test_another_spelling_of_a_path_does_not_pass_its_rule(path):
    assert 400 == status(guarded(hello), path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/reports", 403), ("/v1/items/AbC", 403), ("/v1/items/+1", 403), ("/v1/pages/1", 403),
        ("/files/reports/Q3/", 403), ("/files/reports//q3", 403), ("/files/reports/", 403), ("/open/", 200),
        ("/open/a/../b", 200), ("/", 200), ("/Other/", 200), ("/.well-known/x", 200), ("/a//b", 200), ("/v1/items", 200),
        ("/v1/pages/search", 200), ("/v1/pages/1.5", 200), ("/files/reports", 200),
    ],
)  # fmt: skip
def test_a_path_with_one_rule_in_every_spelling_falls_under_it(path, expected):
    assert expected == status(guarded(hello), path)


@pytest.mark.parametrize("middleware", [EntitlementsMiddleware, RoutesMiddleware])
def test_the_spelling_is_refused_before_anything_is_asked_and_can_be_let_through(middleware):
    def build(**options):
        enforcer = AsyncEnforcer(policy(), accounts={"free": "free"})
        if middleware is EntitlementsMiddleware:
            options["identify"] = lambda _: "free"
        app = middleware(hello, enforcer=enforcer, routes=RULES, **options)
        return AccountMiddleware(app, enforcer=enforcer, identify=lambda _: "free")

    sent = asyncio.run(exchange(build(), path="/v1//reports"))

    assert (400, b"bad-request") == (sent[0]["status"], sent[1]["body"].split(b'"')[3].rpartition(b"#")[2])
    assert 200 == status(build(normalise=False), "/v1//reports")
    with pytest.raises(TypeError, match="normalise 'no' must be True or False"):
        build(normalise="no")


@pytest.mark.parametrize(
    ("raw", "expected"), [(b"/v1/items/a%2Fb", 400), (b"/v1%2freports", 400), (b"/v1/items/a%20b", 403)]
)
def test_an_encoded_slash_is_no_way_around_a_rule(raw, expected):
    assert expected == status(guarded(hello), unquote(raw.decode()), raw_path=raw)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/reports", 403), ("/api/v1/reports", 403), ("/x/api/v1/reports", 400), ("/apiv1/reports", 400),
        ("//api/v1/reports", 400), ("/open/api/v1/other", 400), ("/v1/items/api", 403), ("/v1/api-keys", 200),
    ],
)  # fmt: skip
def test_a_root_path_within_a_path_is_no_way_around_a_rule(path, expected):
    """Litestar cuts it out wherever it stands, and some servers do not put it at the beginning of a path."""
    assert expected == status(guarded(hello), path, root_path="/api")


def test_the_same_rule_may_be_written_for_both_spellings():
    rules = [GATED, Route("/v1/reports/", requires={"sso"}), Route("/v2/", exempt=True), Route("/v2", requires={"sso"})]

    assert [403, 403, 200, 403] == [
        status(guarded(hello, rules), path) for path in ("/v1/reports", "/v1/reports/", "/v2/", "/v2")
    ]


def test_a_rule_with_a_slash_at_its_end_is_one_for_the_path_without_it_too():
    rules = [Route("/v2/", requires={"sso"}), Route("/{rest:path}", exempt=True)]

    assert [403, 400, 200] == [status(guarded(hello, rules), path) for path in ("/v2/", "/v2", "/v3")]
    assert 400 == status(guarded(hello, [Route("/", requires={"sso"})]), "/api", root_path="/api")


def test_a_rule_with_capital_letters_is_one_for_small_ones_too():
    rules = [Route("/V1/Reports", requires={"sso"})]

    assert [403, 400] == [status(guarded(hello, rules), path) for path in ("/V1/Reports", "/v1/reports")]


def test_an_empty_segment_is_a_parameter_where_the_router_takes_it_for_one():
    falcon = type("App", (), {"__module__": "falcon.asgi.app", "__call__": lambda _, *args: hello(*args)})()

    assert [200, 400, 200] == [
        status(guarded(app), path) for app, path in ((hello, "/v1/items/"), (falcon, "/v1/items/"), (falcon, "/v1/"))
    ]


def test_files_of_starlette_are_not_served_in_another_spelling(tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "q3").write_text("paid")
    site = Starlette(routes=[Mount("/files", StaticFiles(directory=tmp_path))])
    paths = [
        "/files/reports/q3", "/files//reports/q3", "/files/./reports/q3", "/files/%2e/reports/q3",
        "/files/x/../reports/q3", "/files/x/%2e%2e/reports/q3", "/files%2F%2Freports/q3",
    ]  # fmt: skip
    with serving(guarded(site)) as url:
        found = [fetch(url, path, "f") for path in paths]
        assert 200 == fetch(url, paths[0], "m")

    assert [403, *[400] * 6] == found


def test_an_int_of_fastapi_is_not_reached_past_a_rule_for_numbers():
    api = FastAPI()
    api.get("/v1/pages/{n}")(typed)
    api.add_middleware(checked(guarded))
    with serving(api) as url:
        assert [403, 400, 400, 400, 400] == [
            fetch(url, f"/v1/pages/{n}", "f") for n in ("1", "+1", "-1", "%201", "1.0")
        ]


def typed(n: int) -> int:
    return n


def fetch(url, path, key):
    """Request a path exactly as it is written."""
    client = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    client.putrequest("GET", path)
    client.putheader("x-api-key", key)
    client.endheaders()
    answer = client.getresponse().status
    client.close()
    return answer


@given(st.text("/.aA\\+1", max_size=12))
def test_a_table_never_lets_a_spelling_pass_whose_normal_form_is_gated(path):
    rules = [
        Route("/a", requires={"sso"}),
        Route("/a/{n:int}", requires={"chat"}),
        Route("/b/{rest:path}", exempt=True),
    ]
    table = RouteTable(rules)
    found = table.find_one(path, "GET")

    for form in normal_forms(path):
        assert found is None or found is table.find(form, "GET")
