"""Refunds of failed requests: errors, disconnects, cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import http_sf
import pytest
from trade import policy
from webserver import ROUTE, Site, SlowStore, exchange, hang_up, hello, respond

from entitlements import AsyncEnforcer
from entitlements.http.asgi import EntitlementsMiddleware


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


def test_a_response_that_brings_units_back_says_what_is_left_then():
    def left(response):
        items = http_sf.parse(response.headers["ratelimit"].encode("ascii"), tltype="list")
        return {name: parameters["r"] for name, parameters in items}

    with Site(hello) as site:
        told = [left(site.client.get(f"/{status}")) for status in (200, 500, 200)]

    assert [{"api": 9, "leads": 9}, {"api": 8, "leads": 9}, {"api": 7, "leads": 8}] == told


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
        assert done.wait(60)
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

    async def scenario():
        await raising_send(app, scope)
        return (await enforcer.usage("pro"))["leads"].used

    assert 1 == asyncio.run(scenario())


def test_a_cancelled_request_gives_its_unit_back():
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})

    begun = asyncio.Event()

    async def hanging(scope, receive, send):
        begun.set()
        await asyncio.sleep(60)

    app = EntitlementsMiddleware(hanging, enforcer=enforcer, identify=lambda _: "pro", default=ROUTE)

    async def scenario():
        task = asyncio.create_task(app({"type": "http", "method": "GET", "path": "/", "headers": []}, None, None))
        await begun.wait()
        before = (await enforcer.usage("pro"))["leads"].used
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return before, (await enforcer.usage("pro"))["leads"].used

    assert (1, 0) == asyncio.run(scenario())


def test_a_request_that_is_cancelled_while_its_charge_is_under_way_takes_nothing(valkey):
    async def scenario():
        app = EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: "pro", default=ROUTE)
        await exchange(app)
        valkey.stop()
        request = asyncio.create_task(exchange(app))
        await asyncio.sleep(0.02)
        request.cancel()
        await asyncio.wait([request])
        valkey.cont()
        used = []
        for _ in range(1000):
            used.append((await enforcer.usage("pro"))["leads"].used)
            if len(used) > 1 and used[-1] == 1:
                break
            await asyncio.sleep(0.01)
        await enforcer.aclose()
        return request.cancelled(), used[-1]

    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=valkey.url, expected_processes=1)
    assert (True, 1) == asyncio.run(scenario())


# -- a response that began, and did not end ------------------------------------------------

START = {"type": "http.response.start", "status": 200, "headers": []}
FIRST = {"type": "http.response.body", "body": b"a", "more_body": True}


def left_after(inner, *events, cancelled=False, **scope):
    """Serve one request with *inner*, or cancel it once its response has started, and return the usage of the quota."""
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    app = EntitlementsMiddleware(inner, enforcer=enforcer, identify=lambda _: "pro", default=ROUTE)

    async def scenario():
        begun = asyncio.Event()

        async def sent(_):
            begun.set()

        serving = asyncio.create_task(exchange(app, *events, send=sent, **scope))
        if cancelled:
            await begun.wait()
            serving.cancel()
        with contextlib.suppress(RuntimeError, asyncio.CancelledError):
            await serving
        return (await enforcer.usage("pro"))["leads"].used

    return asyncio.run(scenario())


def test_a_stream_that_breaks_off_by_itself_gives_its_unit_back():
    async def breaking(scope, receive, send):
        await send(START)
        await send(FIRST)
        raise RuntimeError("no second chunk")

    assert 0 == left_after(breaking)


def test_a_stream_that_is_given_up_because_the_client_hung_up_gives_nothing_back():
    async def minding(scope, receive, send):
        await send(START)
        await send(FIRST)
        if (await receive())["type"] == "http.disconnect":
            raise RuntimeError("nobody listens")

    assert 1 == left_after(minding, {"type": "http.disconnect"})


def test_a_request_that_is_cancelled_in_the_middle_of_its_response_gives_nothing_back():
    """Some servers cancel the application when a client disconnects."""

    async def streaming(scope, receive, send):
        await send(START)
        await asyncio.sleep(60)

    assert 1 == left_after(streaming, cancelled=True)


def test_a_unit_comes_back_though_the_request_is_cancelled_again_while_the_store_is_asked():
    class Held(SlowStore):
        """A store that blocks every order but the first until it is released."""

        async def execute(self, order):
            orders.append(order)
            if len(orders) > 1:
                asked.set()
                await released.wait()
            return await super().execute(order)

    async def hanging(scope, receive, send):
        serving.set()
        await asyncio.sleep(60)

    async def scenario():
        request = asyncio.create_task(exchange(app))
        await serving.wait()
        request.cancel()
        await asked.wait()
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request
        released.set()
        await asyncio.sleep(0)
        return (await enforcer.usage("pro"))["leads"].used

    orders, serving, asked, released = [], asyncio.Event(), asyncio.Event(), asyncio.Event()
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=Held(0))
    app = EntitlementsMiddleware(hanging, enforcer=enforcer, identify=lambda _: "pro", default=ROUTE)

    assert 0 == asyncio.run(scenario())


@pytest.mark.parametrize(
    ("messages", "leads"),
    [
        ([{"type": "http.response.pathsend", "path": "/etc/hostname"}], 1),
        ([{"type": "http.response.zerocopysend", "file": 0, "more_body": True}], 0),
        ([{"type": "http.response.zerocopysend", "file": 0}], 1),
    ],
)
def test_a_response_is_complete_with_the_file_that_it_hands_over(messages, leads):
    async def sending(scope, receive, send):
        for message in (START, *messages):
            await send(message)
        raise RuntimeError("in the background")

    assert leads == left_after(sending)


@pytest.mark.parametrize(("sent", "leads"), [(2, 0), (3, 0), (4, 1)])
def test_a_response_with_trailers_is_complete_with_the_last_of_them(sent, leads):
    trailers = {"type": "http.response.trailers", "headers": []}
    messages = [
        START | {"trailers": True},
        {"type": "http.response.body", "body": b"a"},
        trailers | {"more_trailers": True},
        trailers,
    ]

    async def sending(scope, receive, send):
        for message in messages[:sent]:
            await send(message)
        raise RuntimeError("in the background")

    assert leads == left_after(sending)


def test_a_websocket_that_the_application_does_not_accept_gives_its_unit_back():
    async def refusing(scope, receive, send):
        await receive()
        await send({"type": "websocket.close", "code": 1000})

    assert 0 == left_after(refusing, {"type": "websocket.connect"}, type="websocket")


def test_a_websocket_that_was_accepted_stays_paid_for_however_it_ends():
    async def breaking(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        raise RuntimeError("in the middle of it")

    assert 1 == left_after(breaking, {"type": "websocket.connect"}, type="websocket")
