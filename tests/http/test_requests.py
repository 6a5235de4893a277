"""Requests through the middleware: what the application sees, hostile requests, and the lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trade import policy
from webserver import KEYS, ROUTE, Site, exchange, hello, respond, serving

from entitlements import Account, AsyncEnforcer, NotLoaded, StoreError
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.current import current_account
from entitlements.http.identify import api_key
from entitlements.http.routes import Route


def test_the_handle_is_in_the_state_and_in_the_context():
    async def who(scope, receive, send):
        if scope["type"] != "http":
            return await hello(scope, receive, send)
        handle = scope["state"]["account"]
        assert handle is current_account()
        await handle.consume("leads", 2)
        return await respond(send, body=json.dumps([handle.id, handle.can("sso")]).encode())

    with Site(who) as site:
        assert ["pro", False] == site.client.get("/").json()
        assert (1, 3) == site.used()
    with pytest.raises(NotLoaded, match="within a request"):
        current_account()


def test_identify_may_return_an_account_and_may_be_async():
    async def identify(scope):
        await asyncio.sleep(0)
        return Account("mine", "max")

    with Site(hello, identify=identify, default=Route(requires=["sso"])) as site:
        assert 200 == site.client.get("/").status_code


@pytest.mark.parametrize("failing", ["raises", "hangs"])
def test_an_identify_that_fails_lets_nobody_through(failing):
    async def identify(scope):
        if failing == "raises":
            raise LookupError(scope["path"])
        await asyncio.sleep(60)

    with Site(hello, identify=identify) as site:
        response = site.client.get("/")

    assert (503, "1") == (response.status_code, response.headers["retry-after"])


@pytest.mark.parametrize("found", [42, False, b"pro", ["pro"]])
def test_what_identify_must_not_return_is_an_error_of_the_application(found):
    """A 503 would say that another attempt may help."""

    async def identify(_):
        return found

    for each in (identify, lambda _: found):
        middleware = EntitlementsMiddleware(hello, enforcer=AsyncEnforcer(policy()), identify=each)
        cure = f"identify returned {found!r}, of type {type(found).__name__}; return the account's id as a str"
        with pytest.raises(TypeError, match=re.escape(cure)):
            asyncio.run(exchange(middleware, path="/"))
    with Site(hello, identify=identify) as site:
        assert 500 == site.client.get("/").status_code


@pytest.mark.parametrize("id", ["", "a\nb", "a\x00", "\ud800", "x" * 257])
def test_an_id_that_cannot_be_one_is_nobodys(id):
    with Site(hello, identify=lambda _: id) as site:
        assert 401 == site.client.get("/").status_code


@pytest.mark.parametrize("id", ["{acme}", "a:b", "✓", "a%0d%0aset-cookie:x", "*"])
def test_an_odd_id_is_one_like_any_other(id):
    with Site(hello, identify=lambda _: Account(id, "pro")) as site:
        response = site.client.get("/")

    assert (200, None) == (response.status_code, response.headers.get("set-cookie"))


def test_a_request_whose_cost_cannot_be_read_from_it_is_its_own_fault():
    with Site(hello, default=Route(consumes={"leads": lambda scope: int(scope["query_string"])})) as site:
        answers = [site.client.get(path) for path in ("/?3", "/?x", "/?-1", f"/?{2**53}")]
        assert [200, 400, 400, 400] == [answer.status_code for answer in answers]
        assert answers[1].json()["type"].endswith("#bad-request")
        assert site.settles_at((0, 3))


def test_a_rule_that_fails_lets_nobody_through():
    with Site(hello, default=Route(consumes={"leads": lambda _: 1 // 0})) as site:
        assert 503 == site.client.get("/").status_code
        assert site.settles_at((0, 0))


async def one(_):
    return 1


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"consumes": {"leads": lambda scope: one(scope["path"])}}, "cost of 'leads'"),
        ({"consumes": {"per-ip": 1}, "scope": lambda scope: one(scope["path"])}, "scope="),
    ],
)
def test_a_callable_of_a_rule_that_returns_an_awaitable_is_named_with_its_route_and_the_cure(rule, named, caplog):
    rules = [Route("/a", methods={"GET"}, **rule)]
    app = EntitlementsMiddleware(
        hello, enforcer=AsyncEnforcer(policy(), accounts={"pro": "pro"}), identify=lambda _: "pro", routes=rules
    )

    (start, *_) = asyncio.run(exchange(app, path="/a"))

    assert 503 == start["status"]
    assert re.search(
        rf"route GET,HEAD /a: {named}: <function .*<lambda> .* returned an awaitable \(coroutine\), which is never awaited;"
        r" write a plain function that returns",
        caplog.text,
    )


def test_strange_paths_and_headers_are_no_500():
    with Site(
        hello, routes=[Route("/v1/{id:int}", consumes={"api": 1}), Route("/files/{rest:path}", exempt=True)]
    ) as site:
        host, port = site.url.removeprefix("http://").split(":")
        for path in ("/%ff%fe", "/v1/%00", "/..//..", "/v1/9" + "9" * 2000, "//", "/%0d%0aX:1", "/files/%2e%2e/x"):
            with socket.create_connection((host, int(port))) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\nConnection: close\r\n\r\n".encode())
                head = b""
                while chunk := client.recv(4096):
                    head += chunk
            assert head.split()[1] in {b"200", b"401", b"404", b"400"}, (path, head[:80])


@given(
    path=st.text(max_size=20).map("/".__add__),
    method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]) | st.text(max_size=5),
    headers=st.lists(
        st.tuples(st.sampled_from([b"x-api-key", b"host", b"cookie"]), st.binary(max_size=8) | st.just(b"k")),
        max_size=3,
    ),
)
def test_whatever_a_client_sends_it_is_charged_or_refused_and_no_header_splits(path, method, headers):
    reached = []

    async def inner(scope, receive, send):
        reached.append(scope["path"])
        await respond(send)

    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    routes = [Route("/{id:int}", consumes={"leads": 2}), Route("/{rest:path}", methods={"POST"}, consumes={"leads": 3})]
    app = EntitlementsMiddleware(
        inner, enforcer=enforcer, identify=api_key(KEYS), routes=routes, default=Route(consumes={"leads": 1})
    )

    async def scenario():
        sent = await exchange(app, path=path, method=method, headers=headers)
        return sent, (await enforcer.usage("pro"))["leads"].used

    (start, *_), used = asyncio.run(scenario())

    keys = [value.strip() for name, value in headers if name == b"x-api-key"]
    assert (start["status"], bool(reached), used > 0) == ((200, True, True) if keys == [b"k"] else (401, False, False))
    assert not [each for header in start["headers"] for each in header if set(each) & set(b"\r\n\0")]


ODD = st.none() | st.booleans() | st.floats() | st.text(max_size=2) | st.integers(-2, 12) | st.just(2**53)


@given(ODD)
def test_whatever_a_rule_computes_only_whole_units_that_fit_get_through(units):
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    rule = Route(consumes={"leads": lambda _: units})
    app = EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: "pro", default=rule)

    (start, *_) = asyncio.run(exchange(app))

    if type(units) is not int:
        assert 503 == start["status"]
    elif not 0 <= units < 2**53:
        assert 400 == start["status"]
    else:
        assert (200 if units <= 10 else 403) == start["status"]


# -- mounts, double installation, lifespan ---------------------------------------------------


def test_a_mounted_application_matches_the_path_below_its_mount():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount
    from starlette.routing import Route as StarletteRoute

    async def leads(request):
        return PlainTextResponse(request.state.account.id)

    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    inner = Starlette(routes=[StarletteRoute("/leads", leads)])
    gated = EntitlementsMiddleware(
        inner, enforcer=enforcer, identify=api_key(KEYS), routes=[Route("/leads", consumes={"leads": 1})]
    )
    with serving(Starlette(routes=[Mount("/v1", gated)])) as url:
        assert "pro" == httpx.get(f"{url}/v1/leads", headers={"x-api-key": "k"}).text
    assert 1 == asyncio.run(enforcer.usage("pro"))["leads"].used


def test_installed_twice_each_charges_its_own_rules_and_asks_once_who_it_is():
    asked = []

    def identify(scope):
        asked.append(scope["path"])
        return "pro"

    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    inner = EntitlementsMiddleware(hello, enforcer=enforcer, identify=identify, default=Route(consumes={"leads": 1}))
    outer = EntitlementsMiddleware(inner, enforcer=enforcer, identify=identify, default=Route(consumes={"api": 1}))
    with serving(outer) as url:
        assert 200 == httpx.get(url).status_code
        usage = asyncio.run(enforcer.usage("pro"))

    assert ((1, 1), 1) == ((usage["api"].used, usage["leads"].used), len(asked))


def test_installed_twice_with_another_identify_the_inner_one_says_who_it_is_inside():
    """For example, the outer middleware limits addresses, and the inner one accounts."""
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro", "9.9.9.9": "max"})
    inner = EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: "pro", default=ROUTE)
    outer = EntitlementsMiddleware(inner, enforcer=enforcer, identify=lambda _: "9.9.9.9", default=Route())
    with serving(outer) as url:
        assert 200 == httpx.get(url).status_code

    assert (1, 0) == tuple(asyncio.run(enforcer.usage(id))["leads"].used for id in ("pro", "9.9.9.9"))


class Closing:
    """A store that cannot be opened at first, and counts its calls of `open` and `aclose`."""

    via = "memory"
    opened = closed = 0

    async def open(self):
        self.opened += 1
        raise StoreError("not yet")

    async def execute(self, order):
        raise AssertionError(order)

    async def aclose(self):
        self.closed += 1


def test_the_store_is_opened_at_the_start_and_closed_at_the_end_and_need_not_be_there_yet():
    store = Closing()
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=store)
    with serving(EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: "pro")):
        assert (1, 0) == (store.opened, store.closed)

    assert (1, 1) == (store.opened, store.closed)


async def returning(scope, receive, send):
    """Serve requests, and return from other scopes without a message."""
    if scope["type"] == "http":
        await respond(send)


async def starting(scope, receive, send):
    """Report the completed startup, and return."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
    await returning(scope, receive, send)


@pytest.mark.parametrize("inner", [returning, starting])
@pytest.mark.parametrize("lifespan", ["auto", "on"])
def test_the_store_has_its_lifespan_also_where_the_application_has_none(inner, lifespan):
    store = Closing()
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=store)
    app = EntitlementsMiddleware(inner, enforcer=enforcer, identify=lambda _: "pro")
    with serving(app, lifespan=lifespan) as url:
        assert 200 == httpx.get(url).status_code
        assert (1, 0) == (store.opened, store.closed)

    assert (1, 1) == (store.opened, store.closed)


async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def raising(scope, receive, send):
    await receive()
    raise RuntimeError("no database")


@pytest.mark.parametrize("inner", [failing, raising])
def test_the_store_is_closed_where_the_application_cannot_start(inner):
    store = Closing()
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=store)
    app = EntitlementsMiddleware(inner, enforcer=enforcer, identify=lambda _: "pro")

    with contextlib.suppress(RuntimeError):
        sent = asyncio.run(exchange(app, {"type": "lifespan.startup"}, type="lifespan"))
        assert ["lifespan.startup.failed"] == [message["type"] for message in sent]

    assert (1, 1) == (store.opened, store.closed)


def test_an_application_that_raises_at_once_keeps_its_say():
    async def http_alone(scope, receive, send):
        assert scope["type"] == "http"
        await respond(send)

    store = Closing()
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=store)
    with serving(EntitlementsMiddleware(http_alone, enforcer=enforcer, identify=lambda _: "pro")) as url:
        assert 200 == httpx.get(url).status_code

    assert (0, 0) == (store.opened, store.closed)


def test_plain_starlette_works_behind_it():
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.responses import JSONResponse
    from starlette.routing import Route as StarletteRoute

    ran = threading.Event()

    async def plan(request):
        handle = request.state.account
        return JSONResponse({"id": handle.id, "chat": handle.can("chat")}, background=BackgroundTask(ran.set))

    app = Starlette(routes=[StarletteRoute("/plan", plan)])
    app.add_middleware(
        EntitlementsMiddleware, enforcer=AsyncEnforcer(policy(), accounts={"pro": "pro"}),
        identify=api_key(KEYS), default=ROUTE,
    )  # fmt: skip
    with serving(app) as url:
        response = httpx.get(f"{url}/plan", headers={"x-api-key": "k"})

    assert ({"id": "pro", "chat": True}, True) == (response.json(), ran.wait(60))
    assert "ratelimit" in response.headers
