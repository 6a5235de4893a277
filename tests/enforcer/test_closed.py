"""A closed enforcer refuses every verb; an `AsyncEnforcer` is closed by event loop."""

from __future__ import annotations

import asyncio

import pytest
from flaky import AsyncFlaky, Flaky

from entitlements import AsyncEnforcer, Enforcer, EntitlementsError, MemoryStore, Policy
from entitlements.stores.errors import Closed
from entitlements.testing import RecordingHook

POLICY = Policy.load("policies/minimal.yaml")
ACCOUNTS = {"acme": "pro"}
VERBS = {
    "can": lambda each: each.can("acme", "sso"),
    "decide": lambda each: each.decide("acme", "sso"),
    "entitlements": lambda each: each.entitlements("acme"),
    "consume": lambda each: each.consume("acme", "api"),
    "consume a quota": lambda each: each.consume("acme", "leads"),
    "peek": lambda each: each.peek("acme", "api"),
    "static": lambda each: each.consume("nobody", "api"),
    "reserve": lambda each: each.reserve("acme", "leads"),
    "commit": lambda each: each.reservation("acme", "o:1").commit(),
    "usage": lambda each: each.usage("acme"),
    "history": lambda each: each.history("acme", "leads"),
    "forget": lambda each: each.forget("acme"),
    "health": lambda each: each.health("acme"),
    "refresh": lambda each: each.refresh("acme"),
    "reload": lambda each: each.reload(POLICY),
    "watch": lambda each: each.watch("policies/minimal.yaml"),
}
every_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
every_store = pytest.mark.parametrize("store", ["memory://", "given"])
hooks_or_none = pytest.mark.parametrize("hooks", [(), (RecordingHook(),)], ids=["no hooks", "hooks"])


@every_verb
@every_store
@hooks_or_none
def test_a_closed_enforcer_refuses_every_verb(verb, store, hooks):
    given = Flaky(MemoryStore()) if store == "given" else store
    with Enforcer(POLICY, accounts=ACCOUNTS, store=given, expected_processes=1, hooks=hooks) as enforcer:
        decision = enforcer.consume("acme", "leads")
        handle = enforcer.account("acme")
    with pytest.raises(Closed, match="was closed"):
        verb(enforcer)
    for call in (lambda: enforcer.refund(decision), lambda: handle.can("sso"), lambda: handle.consume("api")):
        with pytest.raises(Closed):
            call()
    enforcer.close()


def test_the_error_is_one_of_ours_and_a_misuse():
    assert issubclass(Closed, EntitlementsError)
    assert issubclass(Closed, RuntimeError)
    assert Closed.undone


@every_verb
@every_store
@hooks_or_none
async def test_a_closed_async_enforcer_refuses_every_verb_until_it_is_opened(verb, store, hooks):
    given = AsyncFlaky(MemoryStore()) if store == "given" else store
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=given, expected_processes=1, hooks=hooks) as enforcer:
        decision = await enforcer.consume("acme", "leads")
        handle = await enforcer.account("acme")
    with pytest.raises(Closed, match="was closed on this event loop"):
        await verb(enforcer)
    for call in (lambda: enforcer.refund(decision), lambda: handle.consume("api")):
        with pytest.raises(Closed):
            await call()
    with pytest.raises(Closed):
        handle.can("sso")
    await enforcer.aclose()
    await enforcer.open()
    assert await enforcer.consume("acme", "leads")
    assert handle.can("sso")


def test_an_async_enforcer_goes_on_on_other_loops(valkey):
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1)

    async def use(*, close):
        decision = await enforcer.consume("acme", "leads")
        if close:
            await enforcer.aclose()
        return decision.allowed, await enforcer.can("acme", "sso") if not close else None

    with asyncio.Runner() as staying:
        assert (True, True) == staying.run(use(close=False))
        assert (True, None) == asyncio.run(use(close=True))
        assert (True, True) == staying.run(use(close=False))
        assert 3 == staying.run(enforcer.usage("acme"))["leads"].used
        staying.run(enforcer.aclose())
