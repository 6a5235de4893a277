"""What becomes of a charge when a request does: refunds, hanging up, streaming, and the rest of ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from trade import policy
from webserver import hello, serving
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entitlements import Account, AsyncEnforcer, Enforcer, NotLoaded, Policy, StoreError
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.current import current_account
from entitlements.http.identify import api_key
from entitlements.http.routes import Route

KEYS = {"k": "pro", "free": "free", "x": "max"}
ROUTE = Route(consumes={"api": 1, "leads": 1})


class Site:
    """An application behind the middleware on a real server, and the usage of its one account."""

    def __init__(self, inner, **options):
        self.enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro", "free": "free", "max": "max"})
        server = options.pop("server", {})
        options = {"identify": api_key(KEYS), "default": ROUTE} | options
        self._serving = serving(EntitlementsMiddleware(inner, enforcer=self.enforcer, **options), **server)

    def __enter__(self):
        self.url = self._serving.__enter__()
        self.client = httpx.Client(base_url=self.url, headers={"x-api-key": "k"}, timeout=10)
        return self

    def __exit__(self, *error):
        self.client.close()
        self._serving.__exit__(*error)

    def used(self):
        """Return what is used of the rate and of the quota, by a loop of its own: memory has no connections."""
        usage = asyncio.run(self.enforcer.usage("pro"))
        return usage["api"].used, usage["leads"].used

    def settles_at(self, expected):
        """Wait until the application is done with the request, and so with the refund."""
        patience = time.monotonic() + 5
        while self.used() != expected and time.monotonic() < patience:
            time.sleep(0.01)
        return self.used() == expected


async def respond(send, status=200, body=b"hello", headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


# -- refunds -----------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "leads"), [(200, 1), (404, 1), (422, 1), (500, 0), (503, 0)])
def test_a_quota_comes_back_for_server_errors_and_a_rate_stays_spent(status, leads):
    with Site(hello) as site:
        assert status == site.client.get(f"/{status}").status_code
        assert site.settles_at((1, leads))


def test_which_statuses_refund_is_an_option_and_so_are_rates():
    with Site(hello, refund_on={404, *range(500, 600)}, refund_rates=True) as site:
        for status in (404, 500, 200):
            site.client.get(f"/{status}")
        assert site.settles_at((1, 1))


def test_a_quota_comes_back_when_the_application_raises():
    async def raising(scope, receive, send):
        if scope["type"] == "http":
            raise RuntimeError("boom")
        await hello(scope, receive, send)

    with Site(raising) as site:
        assert 500 == site.client.get("/").status_code
        assert site.settles_at((1, 0))


def test_a_quota_comes_back_when_the_application_ends_without_a_response():
    async def silent(scope, receive, send):
        if scope["type"] != "http":
            await hello(scope, receive, send)

    with Site(silent) as site:
        assert 500 == site.client.get("/").status_code  # the server's own answer
        assert site.settles_at((1, 0))


def test_what_fails_after_the_response_is_complete_gives_nothing_back():
    async def failing_later(scope, receive, send):
        if scope["type"] != "http":
            return await hello(scope, receive, send)
        await respond(send)
        raise RuntimeError("in the background")

    with Site(failing_later) as site:
        assert 200 == site.client.get("/").status_code
        time.sleep(0.1)
        assert (1, 1) == site.used()


def hang_up(url, path="/"):
    """Send a request, and close the connection without reading the answer."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\n\r\n".encode())
        time.sleep(0.1)


def test_hanging_up_gives_nothing_back_where_the_application_finishes():
    done = threading.Event()

    async def slow(scope, receive, send):
        if scope["type"] != "http":
            return await hello(scope, receive, send)
        await asyncio.sleep(0.3)
        await respond(send)
        done.set()
        return None

    with Site(slow) as site:
        hang_up(site.url)
        assert done.wait(5)
        time.sleep(0.05)
        assert (1, 1) == site.used()


def test_hanging_up_gives_the_unit_back_where_the_application_gives_up_without_a_response():
    async def minding(scope, receive, send):
        if scope["type"] != "http":
            return await hello(scope, receive, send)
        while (await receive())["type"] != "http.disconnect":
            pass
        return None

    with Site(minding) as site:
        hang_up(site.url)
        assert site.settles_at((1, 0))


def test_hanging_up_during_a_stream_gives_nothing_back_even_if_the_server_raises():
    """Some servers raise OSError from send() once the client is gone (ASGI 2.4)."""

    async def raising_send(app, scope):
        async def send(message):
            if message["type"] == "http.response.body":
                raise OSError("gone")

        async def receive():
            return {"type": "http.request"}

        with contextlib.suppress(OSError):
            await app(scope, receive, send)

    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    app = EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: "pro", default=ROUTE)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}

    async def story():
        await raising_send(app, scope)
        return (await enforcer.usage("pro"))["leads"].used

    assert 1 == asyncio.run(story())


def test_a_cancelled_request_gives_its_unit_back():
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})

    async def hanging(scope, receive, send):
        await asyncio.sleep(60)

    app = EntitlementsMiddleware(hanging, enforcer=enforcer, identify=lambda _: "pro", default=ROUTE)

    async def story():
        task = asyncio.create_task(app({"type": "http", "method": "GET", "path": "/", "headers": []}, None, None))
        await asyncio.sleep(0.05)
        before = (await enforcer.usage("pro"))["leads"].used
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return before, (await enforcer.usage("pro"))["leads"].used

    assert (1, 0) == asyncio.run(story())


# -- streaming ---------------------------------------------------------------------------


async def streaming(scope, receive, send):
    """Send 10,000 chunks, and trailers where the server takes them."""
    if scope["type"] != "http":
        return await hello(scope, receive, send)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    for at in range(10_000):
        await send({"type": "http.response.body", "body": b"%d;" % at, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    return None


def test_10_000_chunks_pass_byte_for_byte_with_the_headers_once():
    with serving(streaming) as bare, Site(streaming) as site:
        plain, gated = httpx.get(bare), site.client.get("/")

    assert hashlib.sha256(plain.content).digest() == hashlib.sha256(gated.content).digest()
    assert 1 == len(gated.headers.get_list("ratelimit"))


def test_nothing_is_buffered():
    """Each message reaches the server before the application sends the next."""
    seen = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        seen.append(message)

    async def looking(scope, receive, send):
        for message in (
            {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
            {"type": "http.response.body", "body": b"a", "more_body": True},
            {"type": "http.response.body", "body": b"b"},
            {"type": "http.response.trailers", "headers": [(b"x", b"y")]},
        ):
            await send(message)
            sent.append(message)
            assert len(seen) == len(sent)

    sent = []
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    app = EntitlementsMiddleware(looking, enforcer=enforcer, identify=lambda _: "pro", default=ROUTE)
    asyncio.run(app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send))

    assert sent[1:] == seen[1:]  # bodies and trailers untouched
    assert [b"ratelimit-policy", b"ratelimit"] == [name for name, _ in seen[0]["headers"]]
    assert [] == sent[0]["headers"]  # nor is the application's own message changed


# -- what the application sees -------------------------------------------------------------


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


@pytest.mark.parametrize("failing", ["raises", "hangs", "returns"])
def test_an_identify_that_fails_lets_nobody_through(failing):
    async def identify(scope):
        if failing == "raises":
            raise LookupError(scope["path"])
        if failing == "hangs":
            await asyncio.sleep(60)
        return 42

    with Site(hello, identify=identify) as site:
        response = site.client.get("/")

    assert (503, "1") == (response.status_code, response.headers["retry-after"])


@pytest.mark.parametrize("id", ["", "a\nb", "a\x00", "\ud800", "x" * 257])
def test_an_id_that_cannot_be_one_is_nobodys(id):
    with Site(hello, identify=lambda _: id) as site:
        assert 401 == site.client.get("/").status_code


@pytest.mark.parametrize("id", ["{acme}", "a:b", "✓", "a%0d%0aset-cookie:x", "*"])
def test_an_odd_id_is_one_like_any_other(id):
    with Site(hello, identify=lambda _: Account(id, "pro")) as site:
        response = site.client.get("/")

    assert (200, None) == (response.status_code, response.headers.get("set-cookie"))


def test_a_rule_that_fails_on_a_request_lets_nobody_through():
    with Site(hello, default=Route(consumes={"leads": lambda scope: int(scope["query_string"])})) as site:
        assert [200, 503, 503] == [site.client.get(path).status_code for path in ("/?3", "/?x", "/?-1")]
        assert site.settles_at((0, 3))


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


def test_the_store_is_opened_at_the_start_and_closed_at_the_end_and_need_not_be_there_yet():
    class Closing:
        via = "memory"
        opened = closed = 0

        async def open(self):
            self.opened += 1
            raise StoreError("not yet")

        async def execute(self, order):
            raise AssertionError(order)

        async def aclose(self):
            self.closed += 1

    store = Closing()
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=store)
    with serving(EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: "pro")):
        assert (1, 0) == (store.opened, store.closed)

    assert (1, 1) == (store.opened, store.closed)


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

    assert ({"id": "pro", "chat": True}, True) == (response.json(), ran.wait(5))
    assert "ratelimit" in response.headers


# -- websockets ----------------------------------------------------------------------------


async def echo(scope, receive, send):
    """Accept, and say every message back."""
    if scope["type"] != "websocket":
        return await hello(scope, receive, send)
    assert "websocket.connect" == (await receive())["type"]
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})
    return None


async def talk(url, key, *words):
    """Say some words, and return what comes back, or how it was refused or closed."""
    address = url.replace("http://", "ws://")
    heard = []
    try:
        async with connect(address, additional_headers={"x-api-key": key}) as websocket:
            for word in words:
                await websocket.send(word)
                heard.append(await websocket.recv())
    except InvalidStatus as refused:
        return refused.response.status_code, json.loads(refused.response.body or b"{}").get("type", "")
    except ConnectionClosed as closed:
        heard.append(closed.rcvd.code)
    return heard


def test_a_websocket_is_charged_and_gated_at_its_connection():
    with Site(echo, routes=[Route("/gated", requires=["sso"])]) as site:
        assert ["A", "B"] == asyncio.run(talk(f"{site.url}/x", "k", "a", "b"))
        assert (1, 1) == site.used()
        assert 401 == asyncio.run(talk(f"{site.url}/x", "nobody"))[0]
        status, kind = asyncio.run(talk(f"{site.url}/gated", "k"))
        assert (403, True) == (status, kind.endswith("not-included"))


def test_messages_of_a_websocket_are_metered_and_close_it_with_1008():
    with Site(echo, default=Route(messages={"leads": 4})) as site:
        assert ["A", "B", 1008] == asyncio.run(talk(f"{site.url}/x", "k", "a", "b", "c"))
        assert site.settles_at((0, 8))


def test_without_the_extension_a_websocket_is_closed_before_it_is_accepted():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    app = EntitlementsMiddleware(echo, enforcer=enforcer, identify=lambda _: None)
    asyncio.run(app({"type": "websocket", "path": "/", "headers": []}, receive, send))

    assert [{"type": "websocket.close", "code": 1008, "reason": "account-required"}] == sent


# -- many at once ----------------------------------------------------------------------------


async def storm(url, requests, key="k"):
    """Return the statuses of so many requests at once, each on a connection of its own."""
    host, port = url.removeprefix("http://").split(":")

    async def one():
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n".encode())
        status = int((await reader.readline()).split()[1])
        writer.close()
        return status

    return await asyncio.gather(*(one() for _ in range(requests)))


def test_500_requests_at_once_on_a_limit_of_100_admit_exactly_100():
    hundred = policy()
    enforcer = AsyncEnforcer(hundred, accounts={"max": "max"})
    app = EntitlementsMiddleware(hello, enforcer=enforcer, identify=api_key(KEYS), default=Route(consumes={"fixed": 1}))
    with serving(app) as url:
        statuses = asyncio.run(storm(url, 500, key="x"))

    assert (100, 400) == (statuses.count(200), statuses.count(429))


WORKERS_APP = """
import os
from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route

policy = Policy.parse({
    "policy": {"version": "w"}, "limits": {"leads": {"kind": "quota"}},
    "tiers": {"one": {"rank": 1, "limits": {"leads": 100}}},
})

async def app(scope, receive, send):
    if scope["type"] == "http":
        if scope["path"] == "/die":
            os._exit(1)
        body = str(os.getpid()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

enforcer = AsyncEnforcer(policy, accounts={"x": "one"}, store=os.environ["STORE"])
app = EntitlementsMiddleware(app, enforcer=enforcer, identify=lambda scope: "x", default=Route(consumes={"leads": 1}))
"""


@contextlib.contextmanager
def workers(folder, store, count):
    """Serve the application above with so many processes that share a store, and yield its URL."""
    (folder / "workers_app.py").write_text(WORKERS_APP, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [
        sys.executable, "-m", "uvicorn", "workers_app:app", "--host", "127.0.0.1", "--port", str(port),
        "--workers", str(count), "--lifespan", "off", "--log-level", "error", "--no-access-log",
    ]  # fmt: skip
    running = subprocess.Popen(command, cwd=folder, env={**os.environ, "STORE": store}, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        with Enforcer(Policy.parse(WORKERS_POLICY), accounts={"x": "one"}, store=store) as enforcer:
            patience = time.monotonic() + 30
            while time.monotonic() < patience:
                with contextlib.suppress(httpx.HTTPError):
                    httpx.get(url, timeout=1)
                    break
                time.sleep(0.05)
            enforcer.forget("x")  # what asking whether it is up has taken
            yield url, enforcer
            enforcer.forget("x")
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(20)


WORKERS_POLICY = {
    "policy": {"version": "w"}, "limits": {"leads": {"kind": "quota"}}, "tiers": {"one": {"rank": 1, "limits": {"leads": 100}}}
}  # fmt: skip


def test_4_workers_on_a_redis_admit_exactly_100_of_500_and_one_that_dies_leaves_its_unit_spent(tmp_path, valkey):
    store = f"redis://127.0.0.1:{valkey.port}/0?namespace=workers"
    with workers(tmp_path, store, 4) as (url, enforcer):
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{url}/die")
        assert 1 == enforcer.usage("x")["leads"].used

        responses = asyncio.run(storm(url, 500))

    assert (99, 401) == (responses.count(200), responses.count(429))
