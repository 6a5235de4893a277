"""What waits in the journal is replayed without a further call of its kind, and counts in the period in which it was allowed."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from flaky import AsyncFlaky, Flaky

from entitlements import Account, AsyncEnforcer, Enforcer, MemoryStore, Policy, StoreError
from entitlements.model import events
from entitlements.testing import FakeClock, RecordingHook

POLICY = Policy.parse({
    "policy": {"version": "7"},
    "features": {"sso": "single sign-on"},
    "limits": {
        "api": {"kind": "rate"},
        "exports": {"kind": "quota", "on_outage": "allow"},
        "daily": {"kind": "quota", "period": "day", "on_outage": "allow"},
        "credits": {"kind": "quota", "period": "lifetime", "on_outage": "allow"},
        "rooms": {"kind": "allocation", "on_outage": "allow"},
        "none": {"kind": "rate"},
    },
    "tiers": {"one": {"rank": 1, "features": ["sso"], "limits": {
        "api": "1000 per hour", "exports": 50, "daily": 50, "credits": 50, "rooms": 9,
    }}},
})  # fmt: skip
ACCOUNTS = {"acme": "one", "globex": "one"}
WITHOUT_STORE = {
    "can": lambda enforcer: enforcer.can("acme", "sso"),
    "decide": lambda enforcer: enforcer.decide("acme", "sso"),
    "entitlements": lambda enforcer: enforcer.entitlements("acme"),
    "a static answer": lambda enforcer: enforcer.consume("acme", "none"),
    "a handle": lambda enforcer: enforcer.account("globex").can("sso"),
}


@pytest.fixture
def store():
    return Flaky(MemoryStore())


def made(store, **options):
    return Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1, **options)


def used(store, name="exports", account="acme"):
    """Return what the store itself has counted."""
    return made(store.store).usage(account)[name].used


def policy_of(enforcer):
    return enforcer._store._store.policy


def interrupted(store, times=3, **options):
    """Return an enforcer that has let charges through in an outage, which is over."""
    enforcer = made(store, **options)
    store.how = "refused"
    for _ in range(times):
        assert enforcer.consume("acme", "exports").via == "journal"
    store.how = None
    policy_of(enforcer).breaker._probe_at = 0
    return enforcer


# --- Threads: the next call of anything ---------------------------------------------------------------------------


@pytest.mark.parametrize("call", WITHOUT_STORE.values(), ids=WITHOUT_STORE)
@pytest.mark.parametrize("hooks", [(), (RecordingHook(),)], ids=["no hooks", "hooks"])
def test_the_next_call_replays_although_it_needs_no_store(store, call, hooks):
    enforcer = interrupted(store, hooks=hooks)
    call(enforcer)
    assert 3 == used(store)
    asked = len(store.asked)
    call(enforcer)
    assert asked == len(store.asked)


def test_a_call_that_needs_no_store_is_answered_while_the_store_is_still_away(store):
    enforcer = interrupted(store)
    store.how = "refused"
    assert enforcer.can("acme", "sso")
    assert 0 == used(store)
    store.how = None
    policy_of(enforcer).breaker._probe_at = 0
    assert not enforcer.can("acme", "none")
    assert 3 == used(store)


def test_a_call_that_needs_no_store_asks_nothing_while_the_breaker_is_open(store):
    enforcer = interrupted(store, times=9)
    policy_of(enforcer).breaker._probe_at = policy_of(enforcer).clock() + 10**9
    asked = len(store.asked)
    assert enforcer.can("acme", "sso")
    assert asked == len(store.asked)


# --- Event loops: a timer -----------------------------------------------------------------------------------------


async def until(true):
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - what it waits for is a timer of the package
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("times", [1, 200])
async def test_an_idle_loop_replays(times):
    store, hook = AsyncFlaky(MemoryStore()), RecordingHook()
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=store, hooks=[hook], expected_processes=1)
    store.flaky.how = "refused"
    for _ in range(times):
        await enforcer.consume("acme", "exports")
    await asyncio.sleep(0.3)  # the timer has fired in vain
    store.flaky.how = None
    await until(lambda: not policy_of(enforcer).journal.queue)
    assert times == used(store.flaky)
    assert times == sum(each.replayed for each in hook.of(events.Journalled))
    await enforcer.aclose()


async def test_a_server_that_is_back_is_asked_within_a_second_by_a_loop_that_makes_no_call(valkey):
    policy = Policy.parse({
        "policy": {"version": "1"},
        "limits": {"exports": {"kind": "quota", "on_outage": "allow", "deadline": "1 second"}},
        "tiers": {"one": {"rank": 1, "limits": {"exports": 50}}},
    })  # fmt: skip
    changes = []
    async with AsyncEnforcer(
        policy, accounts=ACCOUNTS, store=valkey.url, hooks=[changes.append], expected_processes=1
    ) as enforcer:
        await enforcer.usage("acme")
        valkey.kill()
        for _ in range(9):
            await enforcer.consume("acme", "exports")
        pauses = [each.pause for each in changes if isinstance(each, events.BreakerChanged)]
        await until(lambda: len([1 for each in changes if isinstance(each, events.BreakerChanged)]) >= 9)
        pauses = [each.pause for each in changes if isinstance(each, events.BreakerChanged)]
        valkey.start()
        await until(lambda: not policy_of(enforcer).journal.queue)
        assert max(pauses) < 1_000_000
        assert 9 == (await enforcer.usage("acme"))["exports"].used


def test_another_loop_replays_what_one_that_has_ended_has_left():
    store = AsyncFlaky(MemoryStore())
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)

    async def let_through():
        store.flaky.how = "refused"
        await enforcer.consume("acme", "exports")

    async def meet():
        await enforcer.consume("globex", "rooms")
        store.flaky.how = None
        await until(lambda: not policy_of(enforcer).journal.queue)
        await enforcer.aclose()

    asyncio.run(let_through())
    asyncio.run(meet())
    assert (1, 1) == (used(store.flaky), used(store.flaky, "rooms", "globex"))


async def test_a_replay_that_is_under_way_when_the_store_is_closed_counts_once():
    class Slow(AsyncFlaky):
        entered = 0

        async def execute(self, order):
            self.entered += 1
            answer = await super().execute(order)
            await asyncio.sleep(60 if self.entered == 2 else 0)
            return answer

    store = Slow(MemoryStore())
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)
    store.flaky.how = "refused"
    await enforcer.consume("acme", "exports", 3)
    store.flaky.how = None
    await until(lambda: store.entered == 2)
    await enforcer.aclose()
    assert 3 == store.entered
    assert 3 == used(store.flaky)


# --- Periods ------------------------------------------------------------------------------------------------------


def after_an_outage(account, limit, later, *, charged_before):
    """Return the decision about units that were allowed in an outage, and the enforcer after it."""
    clock = FakeClock(datetime(2026, 1, 30, 23, tzinfo=UTC))
    store = Flaky(MemoryStore(clock))
    enforcer = made(store, clock=clock.__call__)
    if charged_before:
        enforcer.consume(account, limit, 2)
    policy_of(enforcer)._local_limits.clock_offset = clock() - policy_of(enforcer).clock()  # as its last reply has told
    store.how = "refused"
    decision = enforcer.consume(account, limit, 5)
    assert decision.via == "journal"
    store.how = None
    clock.advance(later + timedelta(days=1))
    policy_of(enforcer).breaker._probe_at = 0
    return decision, enforcer


@pytest.mark.parametrize("charged_before", [False, True])
@pytest.mark.parametrize("later", [timedelta(days=1), timedelta(days=40), timedelta(days=100)])
@pytest.mark.parametrize(
    ("limit", "parts"),
    [("exports", {}), ("exports", {"anchor": 31}), ("daily", {}), ("daily", {"time_zone": "Asia/Tokyo"})],
)
def test_units_count_in_the_period_in_which_they_were_allowed(limit, parts, charged_before, later):
    account = Account("acme", "one", **parts)
    _, enforcer = after_an_outage(account, limit, later, charged_before=charged_before)

    now, *before = enforcer.history(account, limit)

    assert 0 == now.used
    assert [5 + 2 * charged_before] == [each.used for each in before]
    assert before[0].start <= datetime(2026, 1, 30, 23, tzinfo=UTC) < before[0].end


@pytest.mark.parametrize("charged_before", [False, True])
def test_units_of_a_lifetime_are_replayed_and_given_back(charged_before):
    account, refunded_after = Account("acme", "one"), timedelta(seconds=-86_390)
    decision, enforcer = after_an_outage(account, "credits", refunded_after, charged_before=charged_before)

    assert 5 + 2 * charged_before == enforcer.usage(account)["credits"].used
    assert enforcer.refund(decision)
    assert [(2 * charged_before, None)] == [(each.used, each.end) for each in enforcer.history(account, "credits")]


@pytest.mark.parametrize("away", [timedelta(minutes=1), timedelta(hours=3), timedelta(days=60)])
def test_a_commit_counts_in_the_period_in_which_it_was_acknowledged_however_long_the_store_is_away(away):
    clock = FakeClock(datetime(2026, 1, 31, 23, 59, 50, tzinfo=UTC))
    store = Flaky(MemoryStore(clock))
    enforcer = made(store, clock=clock.__call__)
    reservation = enforcer.reserve("acme", "exports", 7, ttl=60)
    policy_of(enforcer)._local_limits.clock_offset = clock() - policy_of(enforcer).clock()
    store.how = "refused"
    reservation.commit(4)
    store.how = None
    clock.advance(away)
    policy_of(enforcer).breaker._probe_at = 0
    assert [0, 4] == [each.used for each in enforcer.history("acme", "exports")]


def test_a_refund_of_units_that_were_replayed_late_gives_them_back_to_their_period():
    clock = FakeClock(datetime(2026, 1, 31, 23, tzinfo=UTC))
    store = Flaky(MemoryStore(clock))
    enforcer = made(store, clock=clock.__call__)
    enforcer.consume("acme", "exports", 1)
    policy_of(enforcer)._local_limits.clock_offset = clock() - policy_of(enforcer).clock()
    store.how = "refused"
    decision = enforcer.consume("acme", "exports", 5)
    store.how = None
    clock.advance(timedelta(days=1))
    policy_of(enforcer).breaker._probe_at = 0
    enforcer.consume("acme", "exports", 2)
    assert [2, 6] == [each.used for each in enforcer.history("acme", "exports")]
    clock.advance(timedelta(minutes=1))
    assert enforcer.refund(decision)
    assert [2, 1] == [each.used for each in enforcer.history("acme", "exports")]


# --- The end of a process -----------------------------------------------------------------------------------------

ENDING = """
import asyncio
from entitlements import AsyncEnforcer, Policy

POLICY = Policy.parse({
    "policy": {"version": "7"},
    "limits": {"exports": {"kind": "quota", "on_outage": "allow"}},
    "tiers": {"one": {"rank": 1, "limits": {"exports": 50}}},
})

async def work(close):
    enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store="redis://127.0.0.1:1", expected_processes=1)
    assert await enforcer.consume("acme", "exports")
    if close:
        await enforcer.aclose()
    return enforcer

"""


@pytest.mark.parametrize(("close", "lines"), [(False, 1), (True, 0)])
def test_a_loop_that_ends_without_closing_says_what_it_loses(close, lines):
    code = f"{ENDING}kept = asyncio.run(work({close}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert lines == done.stderr.count("ended without close(); 1 orders queued for replay are lost"), done.stderr
    assert 1 - lines == done.stderr.count("closed with 1 orders still queued for replay"), done.stderr


def test_what_is_queued_after_a_close_is_said_too(store, caplog):
    enforcer = made(store)
    resilient = enforcer._store._store
    store.how = "refused"
    enforcer.consume("acme", "exports")
    with caplog.at_level(logging.WARNING):
        enforcer.close()
        with pytest.raises(StoreError, match="was closed"):
            enforcer.consume("acme", "exports")
    assert 1 == len(resilient.policy.journal.queue) == resilient.policy.journal.reported
