"""Streaming: responses pass byte for byte and without delay, with rate limit headers added once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import StreamingResponse
from starlette.routing import Route
from trade import policy
from webserver import ROUTE, Site, exchange, hello, serving

from entitlements import AsyncEnforcer
from entitlements.http.asgi import EntitlementsMiddleware


async def streaming(scope, receive, send):
    """Send 10,000 chunks, and trailers if the server supports them."""
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


@pytest.mark.parametrize("gated", [False, True])
def test_a_client_has_the_first_chunk_while_the_application_still_waits(gated):
    """The application sends no more before the client says that it has the first: only an early start gets through."""
    heard = threading.Event()

    async def waiting(scope, receive, send):
        if scope["type"] != "http":
            return await hello(scope, receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.to_thread(heard.wait, 10)
        await send({"type": "http.response.body", "body": b"last"})
        return None

    with contextlib.ExitStack() as stack:
        client = stack.enter_context(Site(waiting)).client if gated else httpx.Client(
            base_url=stack.enter_context(serving(waiting)), timeout=60
        )  # fmt: skip
        with client.stream("GET", "/") as response:
            chunks = response.iter_raw()
            first = next(chunks)
            heard.set()
            assert (b"first", b"last") == (first, b"".join(chunks))
        client.close()


@pytest.mark.parametrize(("inside", "leads"), [(True, 0), (False, 1)])
def test_a_stream_that_breaks_off_gives_its_unit_back_where_nothing_ends_it_in_between(inside, leads):
    """`BaseHTTPMiddleware` completes a response before it raises the error of its body."""

    async def breaking(_):
        async def body():
            yield b"a part"
            raise RuntimeError("in the middle of it")

        return StreamingResponse(body())

    async def passing(request, call_next):
        return await call_next(request)

    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    options = {"enforcer": enforcer, "identify": lambda _: "pro", "default": ROUTE}
    around = [Middleware(BaseHTTPMiddleware, passing), Middleware(EntitlementsMiddleware, **options)]
    app = Starlette(routes=[Route("/", breaking)], middleware=around if inside else around[::-1])
    with pytest.raises(RuntimeError, match="in the middle"):
        asyncio.run(exchange(app))

    assert leads == asyncio.run(enforcer.usage("pro"))["leads"].used
