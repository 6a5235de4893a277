"""Other ways to run coroutines: trio is refused at the start, with the cure; cancel scopes of anyio replace no error."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import anyio
import pytest
import trio
from flaky import AsyncFlaky
from starlette.requests import HTTPConnection
from starlette.responses import Response

from entitlements import AsyncEnforcer, Enforcer, MemoryStore, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.fastapi import consume
from entitlements.http.routes import Route

POLICY = Policy.load("policies/minimal.yaml")
ACCOUNTS = {"acme": "pro"}
SCOPE = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
ASYNCIO_ONLY = "run on asyncio only"


async def hello(scope, receive, send):
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def served(enforcer, app=hello):
    return EntitlementsMiddleware(
        app, enforcer=enforcer, identify=lambda _: "acme", default=Route(consumes={"leads": 1})
    )


# --- trio ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["memory://", "redis://127.0.0.1:1"])
@pytest.mark.parametrize("verb", [
    lambda each: each.can("acme", "sso"), lambda each: each.consume("acme", "leads"),
    lambda each: each.account("acme"), lambda each: each.open(), lambda each: each.reserve("acme", "leads"),
], ids=["can", "consume", "account", "open", "reserve"])  # fmt: skip
def test_an_async_enforcer_says_that_it_runs_on_asyncio_only(store, verb):
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)

    async def first_call():
        await verb(enforcer)

    with pytest.raises(RuntimeError, match=f"{ASYNCIO_ONLY}.*trio.to_thread.run_sync"):
        trio.run(first_call)


@pytest.mark.parametrize("enforcer", [Enforcer, AsyncEnforcer])
def test_a_server_that_runs_trio_does_not_start(enforcer):
    app, said = served(enforcer(POLICY, accounts=ACCOUNTS)), []

    async def start():
        async def receive():
            return {"type": "lifespan.startup"}

        async def send(message):
            said.append(message)

        await app({"type": "lifespan"}, receive, send)

    with pytest.raises(RuntimeError, match=ASYNCIO_ONLY):
        trio.run(start)
    assert ["lifespan.startup.failed"] == [each["type"] for each in said]
    assert ASYNCIO_ONLY in said[0]["message"]


@pytest.mark.parametrize("enforcer", [Enforcer, AsyncEnforcer])
def test_without_lifespan_a_request_raises_and_none_is_served(enforcer):
    app, said = served(enforcer(POLICY, accounts=ACCOUNTS)), []

    async def request():
        async def send(message):
            said.append(message)

        await app(dict(SCOPE), None, send)

    with pytest.raises(RuntimeError, match=ASYNCIO_ONLY):
        trio.run(request)
    assert [] == said


def test_a_blocking_enforcer_works_in_a_thread_of_trio_as_the_message_says(valkey):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as enforcer:

        async def charge_and_refund():
            decision = await trio.to_thread.run_sync(enforcer.consume, "acme", "leads")
            return decision.allowed, await trio.to_thread.run_sync(enforcer.refund, decision)

        assert (True, True) == trio.run(charge_and_refund)


# --- Cancel scopes ------------------------------------------------------------------------------------------------


class Slow(AsyncFlaky):
    """A store whose answers take a turn of the loop, as those of a server do."""

    async def execute(self, order):
        await asyncio.sleep(0.001)
        return await super().execute(order)


async def used(enforcer):
    async with asyncio.timeout(60):
        while (usage := await enforcer.usage("acme"))["leads"].used:  # noqa: ASYNC110 - a refund that goes on
            await asyncio.sleep(0.01)
    return usage["leads"].used


@pytest.mark.parametrize("store", ["slow", "valkey"])
async def test_the_applications_own_error_leaves_a_cancelled_scope_and_the_units_come_back(request, store):
    given = Slow(MemoryStore()) if store == "slow" else request.getfixturevalue("valkey").url

    async def fails(scope, receive, send):
        given_up.cancel()
        try:
            await anyio.sleep(60)
        finally:
            raise LookupError("of the application")

    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=given, expected_processes=1) as enforcer:
        app = served(enforcer, fails)
        with pytest.raises(LookupError), anyio.CancelScope() as given_up:
            await app(dict(SCOPE), None, None)
        assert 0 == await used(enforcer)


@pytest.mark.parametrize("store", ["slow", "valkey"])
async def test_the_error_of_a_block_leaves_a_cancelled_scope_and_its_reservation_is_cancelled(request, store):
    given = Slow(MemoryStore()) if store == "slow" else request.getfixturevalue("valkey").url

    async def work(enforcer):
        async with enforcer.reserve("acme", "leads", 3):
            given_up.cancel()
            try:
                await anyio.sleep(60)
            finally:
                raise LookupError("of the application")

    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=given, expected_processes=1) as enforcer:
        with pytest.raises(LookupError), anyio.CancelScope() as given_up:
            await work(enforcer)
        assert 0 == await used(enforcer)


@pytest.mark.parametrize("cancelled", ["scope", "task"])
async def test_a_refund_goes_on_when_its_caller_is_cancelled(valkey, cancelled):
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as enforcer:
        decision = await enforcer.consume("acme", "leads", 3)
        if cancelled == "scope":
            with anyio.move_on_after(0) as scope:
                await enforcer.refund(decision)
            assert scope.cancelled_caught
        else:
            task = asyncio.create_task(refund(enforcer, decision))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert 0 == await used(enforcer)


async def refund(enforcer, decision):
    return await enforcer.refund(decision)


async def test_the_error_of_an_endpoint_leaves_a_cancelled_scope_and_its_dependency_refunds():
    async def serve(enforcer):
        """Enter the dependency of FastAPI as its exit stack does, and fail."""
        request = HTTPConnection({"type": "http", "headers": [], "path": "/"})
        dependency = asynccontextmanager(consume("leads", 3))(request, Response(), await enforcer.account("acme"))
        async with dependency as decision:
            assert decision.allowed
            given_up.cancel()
            try:
                await anyio.sleep(60)
            finally:
                raise LookupError("of the application")

    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=Slow(MemoryStore()), expected_processes=1) as enforcer:
        with pytest.raises(LookupError), anyio.CancelScope() as given_up:
            await serve(enforcer)
        assert 0 == await used(enforcer)
