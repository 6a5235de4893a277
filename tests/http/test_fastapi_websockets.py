"""FastAPI dependencies on websockets: refused as by the middleware, before and after they are accepted."""

from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import Depends, FastAPI, WebSocket
from trade import policy
from webserver import exchange, serving
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entitlements import AsyncEnforcer
from entitlements.http.asgi import AccountMiddleware
from entitlements.http.current import current_account
from entitlements.http.eager import checked
from entitlements.http.fastapi import CurrentAccount, consume, install, require

CONNECT = {"type": "websocket.connect"}


def refuse(account):
    account.decide("sso").raise_for_denied()


def site():
    """Return an application with websockets that are refused at different times."""
    app = FastAPI()
    install(app)
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    exempt = lambda scope: scope["path"] == "/nobody"  # noqa: E731 - it is one
    app.add_middleware(checked(AccountMiddleware, enforcer=enforcer, identify=lambda _: "pro", exempt=exempt))

    @app.websocket("/sso", dependencies=[Depends(require("sso"))])
    async def sso(websocket: WebSocket) -> None:
        await websocket.accept()

    @app.websocket("/leads", dependencies=[Depends(consume("leads", 11))])
    async def leads(websocket: WebSocket) -> None:
        await websocket.accept()

    @app.websocket("/nobody")
    async def nobody(websocket: WebSocket, account: CurrentAccount) -> None:
        await websocket.accept()

    @app.websocket("/connected")
    async def connected(websocket: WebSocket, account: CurrentAccount) -> None:
        await websocket.receive()
        refuse(account)

    @app.websocket("/accepted")
    async def accepted(websocket: WebSocket, account: CurrentAccount) -> None:
        await websocket.accept()
        refuse(account)

    @app.websocket("/closed")
    async def closed(websocket: WebSocket, account: CurrentAccount) -> None:
        await websocket.accept()
        await websocket.close()
        refuse(account)

    @app.websocket("/gone")
    async def gone(websocket: WebSocket, account: CurrentAccount) -> None:
        await websocket.accept()
        await websocket.receive()
        refuse(account)

    async def plain(scope, receive, send):
        await receive()
        if scope["path"].endswith("/accepted"):
            await send({"type": "websocket.accept"})
        refuse(current_account())

    app.mount("/plain", plain)
    return app


REFUSED = [
    ("/sso", "not-included"), ("/leads", "limit-reached"), ("/nobody", "account-required"),
    ("/connected", "not-included"), ("/plain/connected", "not-included"),
]  # fmt: skip
ACCEPTED = ["/accepted", "/plain/accepted"]


async def meet(url):
    """Open a websocket, and return its refusal or its close code."""
    try:
        async with connect(url.replace("http://", "ws://")) as websocket:
            return await websocket.recv()
    except InvalidStatus as refused:
        return refused.response.status_code, json.loads(refused.response.body)["type"].rpartition("#")[2]
    except ConnectionClosed as closed:
        return closed.rcvd and (closed.rcvd.code, closed.rcvd.reason)


def test_a_websocket_is_refused_with_a_response_before_it_is_accepted_and_closed_with_1008_after():
    with serving(site(), log_level="critical") as url:
        answers = {path: asyncio.run(meet(url + path)) for path in (*dict(REFUSED), *ACCEPTED)}

    status = {"account-required": 401}
    assert {path: (status.get(kind, 403), kind) for path, kind in REFUSED}.items() <= answers.items()
    assert [(1008, "not-included")] * 2 == [answers[path] for path in ACCEPTED]


@pytest.mark.parametrize(("path", "kind"), REFUSED)
def test_without_the_extension_a_websocket_is_closed_before_it_is_accepted(path, kind):
    sent = asyncio.run(exchange(site(), CONNECT, type="websocket", path=path))

    assert [{"type": "websocket.close", "code": 1008, "reason": kind}] == sent


@pytest.mark.parametrize("path", ACCEPTED)
def test_without_the_extension_an_accepted_one_is_closed_all_the_same(path):
    accepted, closed = asyncio.run(exchange(site(), CONNECT, type="websocket", path=path))

    assert "websocket.accept" == accepted["type"]
    assert {"type": "websocket.close", "code": 1008, "reason": "not-included"} == closed


@pytest.mark.parametrize(("path", "last"), [("/closed", "websocket.close"), ("/gone", "websocket.accept")])
def test_a_websocket_that_is_over_is_told_nothing_more(path, last):
    events = [CONNECT, {"type": "websocket.disconnect", "code": 1001}]
    sent = asyncio.run(exchange(site(), *events, type="websocket", path=path))

    assert ("websocket.accept", last) == (sent[0]["type"], sent[-1]["type"])
    assert all(each.get("code") != 1008 for each in sent)


def test_a_client_that_hangs_up_before_it_is_told_is_no_error():
    async def gone(message):
        if message["type"] == "websocket.close":
            raise OSError("gone")

    sent = asyncio.run(exchange(site(), CONNECT, send=gone, type="websocket", path="/accepted"))

    assert "websocket.close" == sent[-1]["type"]
