"""Account lookup with a slow or failing account source or `identify`."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from trade import policy
from webserver import ROUTE, exchange, hello

from entitlements import Account, AsyncEnforcer
from entitlements.http import account_lookup
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware

MIDDLEWARES = [
    lambda enforcer, **named: EntitlementsMiddleware(hello, enforcer=enforcer, default=ROUTE, **named),
    lambda enforcer, **named: AccountMiddleware(hello, enforcer=enforcer, **named),
]


class Directory:
    """An account source that blocks until `released` is set, and counts its calls."""

    def __init__(self):
        self.asked, self.reached, self.released = 0, asyncio.Event(), asyncio.Event()

    async def find(self, id):
        self.asked += 1
        self.reached.set()
        await self.released.wait()
        return Account(id, "pro")


async def status(app):
    async with asyncio.timeout(60):
        return (await exchange(app))[0]["status"]


@pytest.fixture(params=MIDDLEWARES)
def built(request):
    """Return a factory of a middleware with a blocking account source, its enforcer and the source."""

    def build(identify=lambda _: "pro"):
        directory = Directory()
        enforcer = AsyncEnforcer(policy(), accounts=directory)
        return request.param(enforcer, identify=identify), enforcer, directory

    return build


def test_a_directory_that_hangs_is_503_and_whoever_else_waits_for_the_account_gets_it(built, monkeypatch):
    monkeypatch.setattr(account_lookup, "LOAD_TIMEOUT", 0.05)

    async def scenario():
        app, enforcer, directory = built()
        waiting = asyncio.create_task(enforcer.account("pro"))
        await directory.reached.wait()
        refused = await asyncio.gather(status(app), status(app))
        is_waiting = not waiting.done()
        directory.released.set()
        handle = await waiting
        return refused, is_waiting, handle.id, await status(app), directory.asked

    assert ([503, 503], True, "pro", 200, 1) == asyncio.run(scenario())


def test_a_request_that_gives_up_does_not_end_the_load_that_it_began(built, monkeypatch):
    monkeypatch.setattr(account_lookup, "LOAD_TIMEOUT", 0.05)

    async def scenario():
        app, _, directory = built()
        first = await status(app)
        directory.released.set()
        return first, await status(app), directory.asked

    assert (503, 200, 1) == asyncio.run(scenario())


def test_a_request_that_is_cancelled_while_its_account_is_loaded_spoils_the_load_for_nobody(built):
    async def scenario():
        app, _, directory = built()
        first = asyncio.create_task(status(app))
        await directory.reached.wait()
        second = asyncio.create_task(status(app))
        await asyncio.sleep(0)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        directory.released.set()
        return first.cancelled(), await second, await status(app), directory.asked

    assert (True, 200, 200, 1) == asyncio.run(scenario())


@pytest.mark.parametrize("raised", [TimeoutError, asyncio.CancelledError, OSError])
def test_a_directory_that_breaks_off_is_503_and_is_asked_again(built, raised, monkeypatch):
    monkeypatch.setattr(account_lookup, "LOAD_TIMEOUT", 0.05)

    async def scenario():
        app, _, directory = built()
        find, breaks = directory.find, [raised()]

        async def breaking(id):
            if breaks:
                raise breaks.pop()
            return await find(id)

        directory.find = breaking
        first = await status(app)
        directory.released.set()
        return first, await status(app)

    assert (503, 200) == asyncio.run(scenario())


def test_an_identify_that_hangs_is_503_for_its_own_request_alone(built, monkeypatch):
    monkeypatch.setattr(account_lookup, "IDENTIFY_TIMEOUT", 0.05)

    async def scenario():
        never = asyncio.Event()

        async def identify(scope):
            if scope["path"] == "/hangs":
                await never.wait()
            return "pro"

        app, _, directory = built(identify)
        directory.released.set()
        hanging, other = await asyncio.gather(exchange(app, path="/hangs"), exchange(app))
        return hanging[0]["status"], other[0]["status"]

    assert (503, 200) == asyncio.run(scenario())


def test_the_deadline_of_identify_leaves_the_directory_its_own(built, monkeypatch):
    """The timeout of a load is longer than that of `identify`."""
    monkeypatch.setattr(account_lookup, "IDENTIFY_TIMEOUT", 1)

    async def scenario():
        async def identify(_):
            return "pro"

        app, _, directory = built(identify)
        serving = asyncio.create_task(status(app))
        await directory.reached.wait()
        await asyncio.sleep(1.2)
        directory.released.set()
        return await serving

    assert 200 == asyncio.run(scenario())


class Shared:
    """An `identify` that returns the same future to every request."""

    def __init__(self):
        self.answer = None

    def __call__(self, scope):
        self.answer = self.answer or asyncio.get_running_loop().create_future()
        return self.answer


def test_a_future_that_requests_share_is_cancelled_by_none_of_them(built, monkeypatch):
    monkeypatch.setattr(account_lookup, "IDENTIFY_TIMEOUT", 0.05)

    async def scenario():
        shared = Shared()
        app, _, directory = built(shared)
        directory.released.set()
        refused = [await status(app), *await asyncio.gather(status(app), status(app))]
        first = asyncio.create_task(status(app))
        await asyncio.sleep(0)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        is_cancelled = shared.answer.cancelled()
        monkeypatch.setattr(account_lookup, "IDENTIFY_TIMEOUT", 20)
        shared.answer.set_result("pro")
        return refused, is_cancelled, await status(app)

    assert ([503, 503, 503], False, 200) == asyncio.run(scenario())


async def raises_cancelled(scope):
    raise asyncio.CancelledError


def raises_cancelled_at_once(scope):
    raise asyncio.CancelledError


def cancels_a_future(scope):
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


@pytest.mark.parametrize("identify", [raises_cancelled, raises_cancelled_at_once, cancels_a_future])
def test_an_identify_that_is_cancelled_by_somebody_else_is_503(built, identify):
    assert 503 == asyncio.run(status(built(identify)[0]))


def test_a_request_that_is_cancelled_while_identify_waits_ends_with_it(built):
    async def scenario():
        reached, ended = asyncio.Event(), []

        async def identify(scope):
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        request = asyncio.create_task(status(built(identify)[0]))
        await reached.wait()
        request.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await request
        return request.cancelled(), ended

    assert (True, [True]) == asyncio.run(scenario())
