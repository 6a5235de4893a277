"""The current account of requests that a server starts from the context of an earlier request of their connection."""

from __future__ import annotations

import asyncio
import contextvars
import http.client
import socket

import pytest
from trade import policy
from webserver import exchange, hello, respond, serving

from entitlements import AsyncEnforcer, NotLoaded
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware, RoutesMiddleware
from entitlements.http.current import current_account
from entitlements.http.identify import api_key
from entitlements.http.routes import Route


def current():
    """Return the id of the current account, or `none`."""
    try:
        return current_account().id
    except NotLoaded:
        return "none"


async def who(scope, receive, send):
    """Answer a request, when it has been read, with the current account."""
    if scope["type"] != "http":
        await hello(scope, receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    body = current().encode()
    await respond(send, body=body, headers=[(b"content-length", b"%d" % len(body)), (b"x-who", body)])


OPEN = [Route("/open", exempt=True)]


def enforcer():
    return AsyncEnforcer(policy(), accounts={"pro": "pro", "free": "free"})


def whole(asked):
    return EntitlementsMiddleware(who, enforcer=asked, identify=api_key({"p": "pro", "f": "free"}), routes=OPEN)


def account_alone(asked):
    return AccountMiddleware(
        who,
        enforcer=asked,
        identify=api_key({"p": "pro", "f": "free"}),
        exempt=lambda scope: scope["path"] == "/open",
    )


def routes_alone(asked):
    return RoutesMiddleware(who, enforcer=asked, routes=OPEN)


def request(path, key=None):
    header = f"X-Api-Key: {key}\r\n" if key else ""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode()


@pytest.mark.parametrize("parser", ["h11", "httptools"])
@pytest.mark.parametrize("build", [whole, account_alone])
def test_an_exempt_route_has_no_account_though_it_was_pipelined_behind_a_request_that_has_one(build, parser):
    with serving(build(enforcer()), http=parser) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(request("/a", "p") + request("/open") + request("/b", "f") + request("/open"))
            received = b""
            while received.count(b"\r\n\r\n") < 4:
                received += client.recv(65_536)

    lines = received.lower().split(b"\r\n")
    assert ["pro", "none", "free", "none"] == [line[7:].decode() for line in lines if line.startswith(b"x-who: ")]


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_an_exempt_route_has_no_account_after_an_upload_on_its_connection(parser):
    with serving(whole(enforcer()), http=parser, loop="asyncio") as url:
        client = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        client.request("POST", "/upload", body=b"x" * 2_000_000, headers={"x-api-key": "p"})
        found = [client.getresponse().read().decode()]
        for _ in range(2):
            client.request("GET", "/open")
            found.append(client.getresponse().read().decode())
        client.close()

    assert ["pro", "none", "none"] == found


def within(app, **scope):
    """Serve a request within the context of one that has an account; return what was sent."""

    async def outer(asked):
        sent = []

        async def inherits(*_):
            sent.extend(await exchange(app(asked), {"type": "http.request"}, **scope))

        await exchange(AccountMiddleware(inherits, enforcer=asked, identify=lambda _: "pro"))
        return sent

    return contextvars.Context().run(asyncio.run, outer(enforcer()))


@pytest.mark.parametrize("build", [whole, account_alone, routes_alone])
def test_an_exempt_route_inherits_no_account(build):
    assert b"none" == within(build, path="/open")[1]["body"]


@pytest.mark.parametrize("middleware", [AccountMiddleware, EntitlementsMiddleware, RoutesMiddleware])
def test_on_denied_inherits_no_account_either(middleware):
    found = []

    def build(asked):
        identify = {} if middleware is RoutesMiddleware else {"identify": lambda _: None}
        return middleware(who, enforcer=asked, on_denied=lambda *_: found.append(current()), **identify)

    assert 401 == within(build)[0]["status"]
    assert ["none"] == found


def test_a_route_that_an_inner_middleware_exempts_keeps_the_account_of_the_outer_one():
    asked = enforcer()
    app = AccountMiddleware(whole(asked), enforcer=asked, identify=lambda _: "free")

    assert b"free" == asyncio.run(exchange(app, {"type": "http.request"}, path="/open"))[1]["body"]
