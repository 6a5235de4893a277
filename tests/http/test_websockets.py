"""Websockets: gated at the handshake, charged per connection or per message."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.responses import PlainTextResponse
from trade import policy
from webserver import Site, SlowStore, exchange, hello
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entitlements import Account, AsyncEnforcer, StoreError
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route


async def echo(scope, receive, send):
    """Accept, and echo every message."""
    if scope["type"] != "websocket":
        return await hello(scope, receive, send)
    assert "websocket.connect" == (await receive())["type"]
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})
    return None


async def talk(url, key, *words):
    """Send messages; return the echoes, or the refusal or close code."""
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


def test_a_handshake_is_a_get_so_a_rule_for_other_methods_is_no_way_in():
    with Site(echo, routes=[Route("/hook", methods={"POST"}, exempt=True)]) as site:
        assert 401 == asyncio.run(talk(f"{site.url}/hook", "nobody"))[0]
        assert ["A"] == asyncio.run(talk(f"{site.url}/hook", "k", "a"))
        assert (1, 1) == site.used()


def test_an_accepted_websocket_is_told_what_is_left():
    async def handshake_headers(url):
        async with connect(url.replace("http://", "ws://"), additional_headers={"x-api-key": "k"}) as websocket:
            return websocket.response.headers

    with Site(echo) as site:
        headers = asyncio.run(handshake_headers(site.url))

    assert '"api";q=10;w=3600, "leads";q=10' == headers["ratelimit-policy"]


def test_a_denial_handler_answers_a_websocket_too():
    def polite(scope, refusal):
        return PlainTextResponse(f"sorry: {refusal.kind}", 418)

    async def refused(url):
        with pytest.raises(InvalidStatus) as raised:
            await connect(url.replace("http://", "ws://"))
        return raised.value.response.status_code, raised.value.response.body

    with Site(echo, on_denied=polite) as site:
        assert (418, b"sorry: account-required") == asyncio.run(refused(site.url))


def test_a_suspended_account_opens_no_websocket_even_where_only_messages_cost():
    shut = Account("shut", "pro", status="suspended")
    with Site(echo, identify=lambda _: shut, default=Route(messages={"leads": 1})) as site:
        status, kind = asyncio.run(talk(site.url, "k", "a"))

    assert (403, True) == (status, kind.endswith("suspended"))


def metered(inner, *texts, store="memory://", leads=1):
    """Serve a websocket that receives *texts*, each charged; return the messages sent and the usage."""
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=store)
    rule = Route(messages={"leads": leads})
    app = EntitlementsMiddleware(inner, enforcer=enforcer, identify=lambda _: "pro", default=rule)
    events = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)]

    async def scenario():
        sent = await exchange(app, *events, {"type": "websocket.disconnect", "code": 1000}, type="websocket")
        return sent, (await enforcer.usage("pro"))["leads"].used

    return asyncio.run(scenario())


def test_an_application_that_gives_up_waiting_loses_no_message_and_pays_none_twice():
    """Its timeout is shorter than the store's latency, so each charge is in flight when it expires."""
    given_up = []

    async def impatient(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            try:
                async with asyncio.timeout(0.03):
                    message = await receive()
            except TimeoutError:
                given_up.append(True)
                continue
            if message["type"] == "websocket.disconnect":
                return
            await send({"type": "websocket.send", "text": message["text"]})

    sent, used = metered(impatient, "a", "b", "c", store=SlowStore(0.1))

    assert (["a", "b", "c"], 3) == ([message["text"] for message in sent[1:]], used)
    assert len(given_up) >= 3


def test_after_a_refused_message_the_application_hears_and_reaches_nobody():
    heard = []

    async def stubborn(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            heard.append(message["text"])
        assert message == await receive()
        with pytest.raises(OSError, match="1008: quota-exceeded"):
            await send({"type": "websocket.send", "text": "still here"})
        await send({"type": "websocket.close", "code": 1000})

    sent, used = metered(stubborn, "a", "b", "c", "d", leads=4)

    assert (["a", "b"], 8) == (heard, used)
    closed = {"type": "websocket.close", "code": 1008, "reason": "quota-exceeded"}
    assert [{"type": "websocket.accept"}, closed] == sent


def test_what_fails_to_be_counted_closes_the_websocket():
    class Breaking(SlowStore):
        async def execute(self, order):
            raise StoreError("gone")

    async def listening(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        assert 1008 == (await receive())["code"]

    sent = asyncio.run(broken(listening, Breaking()))

    assert [{"type": "websocket.close", "code": 1008, "reason": "limits-unavailable"}] == sent[1:]


async def broken(inner, store):
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=store)
    rule = Route(messages={"leads": 1})
    app = EntitlementsMiddleware(inner, enforcer=enforcer, identify=lambda _: "pro", default=rule)
    events = {"type": "websocket.connect"}, {"type": "websocket.receive", "text": "a"}
    return await exchange(app, *events, type="websocket")
