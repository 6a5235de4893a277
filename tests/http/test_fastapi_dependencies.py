"""FastAPI dependencies with errors: unknown names, bad requests, failing endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import PlainTextResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Mount
from trade import policy
from webserver import exchange

from entitlements import AsyncEnforcer, Decision, Enforcer, UnknownFeature
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware
from entitlements.http.eager import checked
from entitlements.http.fastapi import consume, install, require

ACCOUNTS = {"free": "free", "pro": "pro"}


class Site:
    """A FastAPI application behind an `AccountMiddleware`, and the usage of its one account."""

    def __init__(self, kind=AsyncEnforcer, id="pro", **options):
        self.enforcer = kind(policy(), accounts=ACCOUNTS)
        self.app = FastAPI()
        install(self.app, **options)
        self.app.add_middleware(checked(AccountMiddleware, enforcer=self.enforcer, identify=lambda _: id))

    def get(self, path):
        async def asked():
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.get(path)

        return asyncio.run(asked())

    def start(self):
        """Run the lifespan of the application and return its messages."""
        events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        with contextlib.suppress(Exception):
            return asyncio.run(exchange(self.app, *events, type="lifespan", send=self.said))
        return self.heard

    heard = ()

    async def said(self, message):
        self.heard = (*self.heard, message)

    def used(self, limit="leads"):
        usage = self.enforcer.usage("pro")
        return (asyncio.run(usage) if asyncio.iscoroutine(usage) else usage)[limit].used


Charge = Annotated[Decision, Depends(consume("leads", 2))]

# -- at the start ----------------------------------------------------------------------------


def test_an_application_whose_dependencies_ask_for_what_there_is_starts():
    site = Site()
    site.app.get("/sso", dependencies=[Depends(require("sso", "reports:full", "api"))])(lambda: 1)

    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == [each["type"] for each in site.start()]


def wrong_ones():
    """Return an application with an unknown name in every place that takes a dependency."""
    app = FastAPI(dependencies=[Depends(require("ssso"))])
    router = APIRouter(prefix="/v1", dependencies=[Depends(consume("lead"))])
    inner = APIRouter(prefix="/inner")

    def within(_: Annotated[None, Depends(require("reports:best"))]) -> None:
        """Dependency with a dependency of its own."""

    @app.get("/a")
    async def a() -> None: ...

    @router.post("/b", dependencies=[Depends(within)])
    async def b() -> None: ...

    @inner.websocket("/ws")
    async def ws(websocket: WebSocket, _: Annotated[Decision, Depends(consume({"apis": 1}))]) -> None: ...

    sub = FastAPI()

    @sub.get("/c", dependencies=[Depends(consume("per-ip"))])
    async def c() -> None: ...

    router.include_router(inner)
    app.include_router(router, prefix="/p")
    app.mount("/sub", sub)
    return app


WRONG = [
    "route GET,HEAD /a: policy t1 knows no feature or limit 'ssso'; did you mean 'sso'?",
    "route POST /p/v1/b: policy t1 knows no limit 'lead'; did you mean 'leads'?",
    "route POST /p/v1/b: 'reports' has no level 'best'",
    "route /p/v1/inner/ws: policy t1 knows no limit 'apis'; did you mean 'api'?",
    "route GET,HEAD /sub/c: a limit per ip needs scope=",
]


@pytest.mark.parametrize("middleware", [AccountMiddleware, EntitlementsMiddleware])
@pytest.mark.parametrize("outside", [False, True])
def test_an_application_whose_dependencies_ask_for_what_there_is_not_does_not_start(middleware, outside):
    site = Site()
    site.app = inner = wrong_ones()
    install(inner)
    options = {"enforcer": site.enforcer, "identify": lambda _: "pro"}
    if outside:
        site.app = middleware(inner, **options)
    else:
        inner.add_middleware(checked(middleware, **options))

    (said,) = site.start()

    assert "lifespan.startup.failed" == said["type"]
    assert [] == [words for words in WRONG if words not in said["message"]]
    assert 1 == said["message"].splitlines()[-1].count("'ssso'")  # though every route has that dependency


def test_below_a_mount_where_nobody_starts_it_what_there_is_not_is_named_at_the_request():
    site = Site()
    site.app.get("/a", dependencies=[Depends(require("ssso"))])(lambda: 1)
    site.app = Starlette(routes=[Mount("/below", site.app)])

    assert 500 == site.get("/below/a").status_code
    with pytest.raises(UnknownFeature, match="did you mean 'sso'"):
        asyncio.run(exchange(site.app, path="/below/a"))


@pytest.mark.parametrize("limit", [["up"], {"up"}, ("up", 1), None, {}, ""])
def test_what_is_no_limit_to_consume_is_named_with_what_to_write(limit):
    with pytest.raises(ValueError, match=re.escape(f"consume({limit!r}) must have the name of a limit, or a mapping")):
        consume(limit)


# -- what a request costs ------------------------------------------------------------------------


def by_size(request: Request) -> int:
    return int(request.query_params["n"])


@pytest.mark.parametrize("kind", [AsyncEnforcer, Enforcer])
@pytest.mark.parametrize("query", ["", "?n=x", "?n=-1", "?n=9007199254740992", "?n=" + "9" * 5000])
def test_400_for_a_cost_that_a_request_lacks_or_that_cannot_be(kind, query):
    site = Site(kind)
    site.app.get("/a", dependencies=[Depends(consume("leads", by_size))])(lambda: 1)

    response = site.get(f"/a{query}")

    assert (400, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert (True, 0) == (response.json()["type"].endswith("bad-request"), site.used())


@pytest.mark.parametrize("computed", [lambda _: "3", lambda _: True, lambda _: 1.0, lambda _: None, lambda _: None.n])
def test_a_cost_that_a_program_gets_wrong_is_an_error_of_it(computed):
    site = Site()
    site.app.get("/a", dependencies=[Depends(consume({"api": 1, "leads": computed}))])(lambda: 1)

    assert (500, 0) == (site.get("/a").status_code, site.used("api"))
    with pytest.raises((TypeError, AttributeError), match=r"cost of 'leads': .* returned|no attribute 'n'"):
        asyncio.run(exchange(site.app, path="/a"))


async def one(_):
    return 1


@pytest.mark.parametrize(
    ("charge", "named"),
    [
        (consume("leads", lambda request: one(request.url)), r"consume\(leads\): cost of 'leads'"),
        (consume("per-ip", scope=lambda request: one(request.url)), r"consume\(per-ip\): scope="),
    ],
)
def test_a_callable_that_returns_an_awaitable_is_named_with_its_route_and_the_cure(charge, named):
    site = Site()
    site.app.get("/a", dependencies=[Depends(charge)])(lambda: 1)

    with pytest.raises(TypeError, match=rf"^GET /a: {named}: <function .*<lambda> .* returned an awaitable .*; write"):
        asyncio.run(exchange(site.app, path="/a"))


def test_what_computes_a_cost_may_answer_itself():
    def teapot(_: Request) -> int:
        raise HTTPException(418)

    site = Site()
    site.app.get("/a", dependencies=[Depends(consume("leads", teapot))])(lambda: 1)

    assert 418 == site.get("/a").status_code


def test_a_cost_of_0_takes_nothing_and_asks_whether_the_limit_is_included():
    for id, status in (("pro", 200), ("free", 403)):
        site = Site(id=id)
        site.app.get("/a", dependencies=[Depends(consume("api", lambda _: 0))])(lambda: 1)
        site.app.get("/b", dependencies=[Depends(consume({"api": lambda _: 0, "leads": 1}))])(lambda: 1)
        assert (status, 200) == (site.get("/a").status_code, site.get("/b").status_code)
        assert (0, id == "pro") == (site.used("api"), site.used() == 1)


def test_a_limit_per_something_is_kept_on_the_scope_that_the_request_says():
    site = Site()
    address = consume("per-ip", scope=lambda request: request.query_params.get("ip"))
    site.app.get("/a", dependencies=[Depends(address)])(lambda: 1)

    assert [200, 200, 429, 200] == [site.get(f"/a?ip={each}").status_code for each in ("1", "1", "1", "2")]
    assert [400, 400] == [site.get(path).status_code for path in ("/a", "/a?ip=%0a")]


# -- what comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "used"),
    [
        (HTTPException(404), 404, 2),
        (StarletteHTTPException(404), 404, 2),
        (HTTPException(422), 422, 2),
        (StarletteHTTPException(503), 503, 0),
        (RuntimeError("boom"), 500, 0),
    ],
)
def test_units_come_back_for_what_is_no_answer_to_the_client(error, status, used):
    site = Site()

    @site.app.get("/a")
    async def a(_: Charge) -> None:
        raise error

    assert (status, used) == (site.get("/a").status_code, site.used())


def test_units_come_back_where_the_rest_of_the_request_is_invalid_and_the_endpoint_does_not_run():
    site = Site()

    @site.app.get("/a")
    async def a(n: int, _: Charge) -> int:
        return n

    assert (422, 0) == (site.get("/a?n=x").status_code, site.used())


@pytest.mark.parametrize(("accepts", "used"), [(True, 2), (False, 0)])
@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_websocket_stays_paid_for_once_it_is_accepted(accepts, used, hangs_up):
    site = Site()

    @site.app.websocket("/ws")
    async def ws(websocket: WebSocket, _: Charge) -> None:
        if accepts:
            await websocket.accept()
            if hangs_up:
                await websocket.receive_text()
        raise RuntimeError("in the middle of it")

    events = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
    with contextlib.suppress(Exception):
        asyncio.run(exchange(site.app, *(events if accepts else events[:1]), type="websocket", path="/ws"))

    assert used == site.used()


# -- what a response says ------------------------------------------------------------------------


def telling(style, id="pro"):
    site = Site(headers=style, id=id)

    @site.app.get("/value")
    async def value(_: Charge) -> int:
        return 1

    @site.app.get("/response")
    async def response(_: Charge) -> PlainTextResponse:
        return PlainTextResponse("own")

    @site.app.get("/missing")
    async def missing(_: Charge) -> None:
        raise HTTPException(404)

    @site.app.get("/twice")
    async def twice(_: Charge, __: Annotated[Decision, Depends(consume("api"))]) -> int:
        return 1

    return site


@pytest.mark.parametrize(
    ("style", "header"),
    [("draft-11", "ratelimit"), ("draft-06", "ratelimit-remaining"), ("x-ratelimit", "x-ratelimit-remaining")],
)
def test_responses_say_what_is_left_in_the_style_installed_whatever_the_endpoint_answers_with(style, header):
    site = telling(style)
    responses = [site.get(path) for path in ("/value", "/response", "/missing")]

    assert [200, 200, 404] == [each.status_code for each in responses]
    assert [1, 1, 1] == [len(each.headers.get_list(header)) for each in responses]
    assert ["8", "6", "4"] == [each.headers[header].removeprefix('"leads";r=').partition(";")[0] for each in responses]


def test_two_charges_are_told_as_a_list_or_as_the_first_of_them():
    lines = {
        style: telling(style).get("/twice").headers.get_list(header)
        for style, header in (("draft-11", "ratelimit"), ("draft-06", "ratelimit-remaining"))
    }

    assert (2, ["8"]) == (len(lines["draft-11"]), lines["draft-06"])


def test_responses_say_nothing_of_limits_by_option():
    site = telling("none")

    for path in ("/value", "/response", "/missing"):
        assert not [name for name in site.get(path).headers if "ratelimit" in name]


@pytest.mark.parametrize(
    ("dependencies", "told"),
    [
        ([consume("leads", 2), require("sso")], None),
        ([consume({"leads": 2, "api": 1}), require("sso")], None),
        ([consume("api", 2), require("sso")], '"api";r=8'),
        ([consume("api", 2), consume("leads", 2), require("sso")], '"api";r=8'),
    ],
)
def test_a_refusal_says_nothing_of_units_that_came_back_before_it(dependencies, told):
    site = Site()
    site.app.get("/a", dependencies=[Depends(each) for each in dependencies])(lambda: 1)

    response = site.get("/a")
    said = [each.partition(";t=")[0] for each in response.headers.get_list("ratelimit")]

    assert (403, 0) == (response.status_code, site.used())
    assert told == (said[0] if said else None)


# -- unknown accounts ------------------------------------------------------------------


@pytest.mark.parametrize(
    "dependency",
    [require("leads", "sso"), consume({"leads": 1, "api": 1}), consume({"leads": lambda _: 0, "per-ip": 1}, scope=str)],
)
def test_an_unknown_account_reads_like_one_of_the_lowest_tier(dependency):
    bodies = []
    for id in ("free", "stranger"):
        site = Site(id=id)
        site.app.get("/a", dependencies=[Depends(dependency)])(lambda: 1)
        response = site.get("/a")
        bodies.append((response.status_code, response.content))

    assert 403 == bodies[0][0]
    assert bodies[0] == bodies[1]


def test_an_application_that_lacks_the_middleware_says_so_in_its_log(caplog):
    app = FastAPI()
    install(app)
    app.get("/sso", dependencies=[Depends(require("sso"))])(lambda: None)

    (start, *_) = asyncio.run(exchange(app, path="/sso"))

    assert 401 == start["status"]
    assert "put EntitlementsMiddleware around the application" in caplog.text
