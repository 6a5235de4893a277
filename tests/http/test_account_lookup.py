"""Finding the account of a request where the directory, or `identify`, keeps it waiting."""

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
    """Answers once it is let, and counts how often it was asked."""

    def __init__(self):
        self.asked, self.reached, self.let = 0, asyncio.Event(), asyncio.Event()

    async def find(self, id):
        self.asked += 1
        self.reached.set()
        await self.let.wait()
        return Account(id, "pro")


async def status(app):
    async with asyncio.timeout(10):
        return (await exchange(app))[0]["status"]


@pytest.fixture(params=MIDDLEWARES)
def built(request):
    """Return what builds a middleware behind a directory that is kept waiting, and both."""

    def build(identify=lambda _: "pro"):
        directory = Directory()
        enforcer = AsyncEnforcer(policy(), accounts=directory)
        return request.param(enforcer, identify=identify), enforcer, directory

    return build


def test_a_directory_that_hangs_is_503_and_whoever_else_waits_for_the_account_gets_it(built, monkeypatch):
    monkeypatch.setattr(account_lookup, "LOAD_TIMEOUT", 0.05)

    async def story():
        app, enforcer, directory = built()
        waiting = asyncio.create_task(enforcer.account("pro"))
        await directory.reached.wait()
        refused = await asyncio.gather(status(app), status(app))
        is_waiting = not waiting.done()
        directory.let.set()
        handle = await waiting
        return refused, is_waiting, handle.id, await status(app), directory.asked

    assert ([503, 503], True, "pro", 200, 1) == asyncio.run(story())


def test_a_request_that_gives_up_does_not_end_the_load_that_it_began(built, monkeypatch):
    monkeypatch.setattr(account_lookup, "LOAD_TIMEOUT", 0.05)

    async def story():
        app, _, directory = built()
        first = await status(app)
        directory.let.set()
        return first, await status(app), directory.asked

    assert (503, 200, 1) == asyncio.run(story())


def test_a_request_that_is_cancelled_while_its_account_is_loaded_spoils_the_load_for_nobody(built):
    async def story():
        app, _, directory = built()
        first = asyncio.create_task(status(app))
        await directory.reached.wait()
        second = asyncio.create_task(status(app))
        await asyncio.sleep(0)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        directory.let.set()
        return first.cancelled(), await second, await status(app), directory.asked

    assert (True, 200, 200, 1) == asyncio.run(story())


@pytest.mark.parametrize("raised", [TimeoutError, asyncio.CancelledError, OSError])
def test_a_directory_that_breaks_off_is_503_and_is_asked_again(built, raised, monkeypatch):
    monkeypatch.setattr(account_lookup, "LOAD_TIMEOUT", 0.05)

    async def story():
        app, _, directory = built()
        find, breaks = directory.find, [raised()]

        async def breaking(id):
            if breaks:
                raise breaks.pop()
            return await find(id)

        directory.find = breaking
        first = await status(app)
        directory.let.set()
        return first, await status(app)

    assert (503, 200) == asyncio.run(story())


def test_an_identify_that_hangs_is_503_for_its_own_request_alone(built, monkeypatch):
    monkeypatch.setattr(account_lookup, "IDENTIFY_TIMEOUT", 0.05)

    async def story():
        never = asyncio.Event()

        async def identify(scope):
            if scope["path"] == "/hangs":
                await never.wait()
            return "pro"

        app, _, directory = built(identify)
        directory.let.set()
        hanging, other = await asyncio.gather(exchange(app, path="/hangs"), exchange(app))
        return hanging[0]["status"], other[0]["status"]

    assert (503, 200) == asyncio.run(story())


def test_the_deadline_of_identify_leaves_the_directory_its_own(built, monkeypatch):
    """A load may take longer than an `identify` may."""
    monkeypatch.setattr(account_lookup, "IDENTIFY_TIMEOUT", 1)

    async def story():
        async def identify(_):
            return "pro"

        app, _, directory = built(identify)
        serving = asyncio.create_task(status(app))
        await directory.reached.wait()
        await asyncio.sleep(1.2)
        directory.let.set()
        return await serving

    assert 200 == asyncio.run(story())


class Shared:
    """An `identify` that gives every request one future, as one that asks only once does."""

    def __init__(self):
        self.answer = None

    def __call__(self, scope):
        self.answer = self.answer or asyncio.get_running_loop().create_future()
        return self.answer


def test_a_future_that_requests_share_is_cancelled_by_none_of_them(built, monkeypatch):
    monkeypatch.setattr(account_lookup, "IDENTIFY_TIMEOUT", 0.05)

    async def story():
        shared = Shared()
        app, _, directory = built(shared)
        directory.let.set()
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

    assert ([503, 503, 503], False, 200) == asyncio.run(story())


async def breaks_off(scope):
    raise asyncio.CancelledError


def breaks_off_at_once(scope):
    raise asyncio.CancelledError


def gives_up_a_future(scope):
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    return future


@pytest.mark.parametrize("identify", [breaks_off, breaks_off_at_once, gives_up_a_future])
def test_an_identify_that_is_cancelled_by_somebody_else_is_503(built, identify):
    assert 503 == asyncio.run(status(built(identify)[0]))


def test_a_request_that_is_cancelled_while_identify_waits_ends_with_it(built):
    async def story():
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

    assert (True, [True]) == asyncio.run(story())
