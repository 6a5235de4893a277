"""What is given back while the store is slow or gone comes back once, when it is there again."""

from __future__ import annotations

import asyncio

import pytest
from flaky import FAILURES, Flaky

from entitlements import AsyncEnforcer, Enforcer, MemoryStore, Policy, StoreError
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.model import events
from entitlements.model.instants import HOUR, MINUTE
from entitlements.stores.resilience.replay_queue import ReplayQueue
from entitlements.testing import RecordingHook

POLICY = Policy.parse({
    "policy": {"version": "7"},
    "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota"}, "exports": {"kind": "quota", "on_outage": "allow"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "100 per hour", "leads": 50, "exports": 50}}},
})  # fmt: skip
AWAY = sorted({*FAILURES, "lost"} - {"corrupt"})


@pytest.fixture
def store():
    return Flaky(MemoryStore())


@pytest.fixture
def hook():
    return RecordingHook()


@pytest.fixture
def enforcer(store, hook):
    return Enforcer(POLICY, accounts={"acme": "one"}, store=store, hooks=[hook], expected_processes=1)


def policy_of(enforcer):
    return enforcer._store._store.policy


def back(enforcer, store):
    """Let the store answer again, and be asked."""
    store.how = None
    policy_of(enforcer).breaker._probe_at = 0
    enforcer.consume("acme", "api")


def used(store, name="leads"):
    """Return what the store itself has counted."""
    return Enforcer(POLICY, accounts={"acme": "one"}, store=store.store).usage("acme")[name].used


@pytest.mark.parametrize("how", AWAY)
@pytest.mark.parametrize("before", [0, 9])
def test_it_comes_back_once_however_the_store_fails_and_is_asked(enforcer, store, how, before):
    first, second = (enforcer.consume("acme", "leads", units) for units in (3, 4))
    store.how = how
    for _ in range(before):  # these open the breaker, so that the store is not asked
        enforcer.consume("acme", "leads")
    assert [True, False] == [enforcer.refund(first) for _ in range(2)]
    back(enforcer, store)
    assert 4 == used(store)
    assert not enforcer.refund(first)
    assert enforcer.refund(second)
    assert 0 == used(store)


def test_one_whose_reply_is_lost_is_repeated_and_tells_that_it_gave_back(enforcer, store, hook):
    decision = enforcer.consume("acme", "leads", 3)
    store.script = ["lost"]
    assert enforcer.refund(decision)
    assert [events.OutcomeUnknown("Refund", repeated=True)] == hook.of(events.OutcomeUnknown)
    assert 0 == used(store)
    assert not enforcer.refund(decision)


@pytest.mark.parametrize("how", AWAY)
def test_one_of_rates_alone_is_neither_repeated_nor_kept(enforcer, store, how):
    decision = enforcer.consume("acme", "api", 3)
    store.asked.clear()
    store.how = how
    with pytest.raises(StoreError):
        enforcer.refund(decision, rates=True)
    assert 1 == len(store.asked)
    assert not policy_of(enforcer).journal.queue


def test_one_that_waits_is_brought_after_its_charge_and_before_what_is_asked_next(enforcer, store):
    store.how = "lost"
    decision = enforcer.consume("acme", "exports", 3)
    assert enforcer.refund(decision)
    store.how = None
    policy_of(enforcer).breaker._probe_at = 0
    assert 1 == enforcer.consume("acme", "exports").used


def test_one_that_waits_behind_others_is_not_made_again(enforcer, store):
    decision = enforcer.consume("acme", "leads", 3)
    store.how = "refused"
    for _ in range(100):
        enforcer.consume("acme", "exports")
    assert enforcer.refund(decision)
    back(enforcer, store)
    assert policy_of(enforcer).journal.queue
    assert not enforcer.refund(decision)
    back(enforcer, store)
    assert 0 == used(store)


def test_where_the_journal_is_full_it_is_refused(enforcer, store):
    decision = enforcer.consume("acme", "leads", 3)
    policy_of(enforcer).journal.queue = ReplayQueue(capacity=0)
    store.how = "refused"
    with pytest.raises(StoreError, match="its journal is full; refund"):
        enforcer.refund(decision)


@pytest.mark.parametrize(("key", "waited", "left"), [
    (None, 8 * MINUTE, 0), (None, 10 * MINUTE, 3), ("k", 10 * MINUTE, 0), ("k", 24 * HOUR, 3),
])  # fmt: skip
def test_one_that_has_waited_for_as_long_as_its_charge_is_remembered_is_not_brought(
    enforcer, store, hook, key, waited, left
):
    decision = enforcer.consume("acme", "leads", 3, key=key)
    store.how = "refused"
    assert enforcer.refund(decision)
    policy, now = policy_of(enforcer), policy_of(enforcer).clock
    policy.clock = lambda: now() + waited
    back(enforcer, store)
    assert left == used(store)
    assert events.Journalled(0, int(not left), int(bool(left))) == hook.of(events.Journalled)[-1]


def test_a_request_that_fails_while_the_server_stands_still_costs_nothing_once_it_goes_on(valkey):
    async def failing(scope, receive, send):
        valkey.stop()
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def story():
        enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=valkey.url, expected_processes=1)
        app = EntitlementsMiddleware(
            failing, enforcer=enforcer, identify=lambda _: "acme", default=Route(consumes={"leads": 1})
        )
        await enforcer.peek("acme", "leads")
        try:
            await app({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}, None, quiet)
        finally:
            valkey.cont()
        async with enforcer, asyncio.timeout(60):
            while (await enforcer.peek("acme", "leads")).used != 0:  # noqa: ASYNC110 - what it waits for happens in another process
                await asyncio.sleep(0.05)

    async def quiet(message):
        pass

    asyncio.run(story())


def test_a_refund_that_certainly_did_nothing_may_be_tried_again(enforcer, store):
    decision = enforcer.consume("acme", "api", 3)
    store.how = "refused"
    with pytest.raises(StoreError):
        enforcer.refund(decision, rates=True)
    back(enforcer, store)
    assert [True, False] == [enforcer.refund(decision, rates=True) for _ in "12"]
    assert 1 == used(store, "api")  # of the call that found the store back


def test_a_refund_whose_outcome_is_unknown_is_not(enforcer, store):
    decision = enforcer.consume("acme", "api", 3)
    store.how = "lost"
    with pytest.raises(StoreError):
        enforcer.refund(decision, rates=True)
    store.how = None
    assert not enforcer.refund(decision, rates=True)


@pytest.mark.parametrize("how", ["refused", "silent", "lost"])
def test_what_waits_is_refunded_once(enforcer, store, how):
    store.how = how
    decision = enforcer.consume("acme", "exports", 2)
    assert [True, False, False] == [enforcer.refund(decision) for _ in "123"]
    back(enforcer, store)
    assert 0 == used(store, "exports")


@pytest.mark.parametrize("how", ["refused", "silent", "lost"])
def test_a_key_whose_charge_was_refunded_in_an_outage_charges_again_there_and_afterwards(enforcer, store, how):
    store.how = how
    first = enforcer.consume("acme", "exports", 2, key="mine")
    assert [True, False] == [enforcer.refund(first) for _ in "12"]
    second = enforcer.consume("acme", "exports", 2, key="mine")
    assert (True, False) == (second.allowed, second.replayed)
    assert enforcer.consume("acme", "exports", 2, key="mine").replayed
    back(enforcer, store)
    assert 2 == used(store, "exports")
    assert enforcer.consume("acme", "exports", 2, key="mine").replayed
    assert [True, False] == [enforcer.refund(second) for _ in "12"]
    assert not enforcer.consume("acme", "exports", 2, key="mine").replayed
    assert 2 == used(store, "exports")


def test_a_refund_that_is_replayed_late_leaves_what_its_key_has_charged_since(enforcer, store):
    """The reply to the refund is lost; another process repeats the work with the key before the journal is replayed."""
    decision = enforcer.consume("acme", "leads", 3, key="mine")
    store.how = "lost"
    assert enforcer.refund(decision)
    elsewhere = Enforcer(POLICY, accounts={"acme": "one"}, store=store.store)
    assert not elsewhere.consume("acme", "leads", 3, key="mine").replayed
    back(enforcer, store)
    assert 3 == used(store)


def test_a_refund_that_leaves_rates_alone_gives_nothing_back_of_a_rate_with_a_key(enforcer, store):
    decision = enforcer.consume("acme", "api", 3, key="mine")
    store.how = "refused"
    assert not enforcer.refund(decision)
    back(enforcer, store)
    assert enforcer.refund(decision, rates=True)
