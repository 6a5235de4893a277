"""Figures and steps of the resilience layer that only a fault at the right moment shows."""

from __future__ import annotations

import asyncio
import logging

import pytest
from flaky import Flaky
from virtual_time import run

from entitlements import Enforcer, MemoryStore, Policy
from entitlements.clock import monotonic
from entitlements.model.charge import Refund
from entitlements.model.instants import SECOND
from entitlements.stores.resilience.circuit_breaker import (
    FIRST_PAUSE,
    MIN_SILENCE,
    CircuitBreaker,
    State,
)
from entitlements.stores.resilience.local_limits import LocalLimits
from entitlements.stores.resilience.outage_log import CALM, OutageLog
from entitlements.stores.resilience.policy import OutagePolicy
from entitlements.stores.resilience.replay_queue import JournalEntry
from entitlements.stores.resilience.replay_timer import ReplayTimer

NOW = 1_000 * SECOND
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota"}, "exports": {"kind": "quota", "on_outage": "allow"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "10 per hour", "leads": 50, "exports": 9}}},
})  # fmt: skip


@pytest.fixture
def store():
    return Flaky(MemoryStore())


@pytest.fixture
def enforcer(store):
    """An enforcer for whose outage policy no time passes."""
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=1)
    now = monotonic()
    policy_of(enforcer).clock = lambda: now
    return enforcer


def policy_of(enforcer):
    return enforcer._store._store.policy


# --- The breaker --------------------------------------------------------------------------------------------------


def busy():
    """Return a breaker whose store has just answered a thousand calls."""
    breaker = CircuitBreaker()
    for _ in range(1000):
        breaker.succeeded(breaker.acquire(NOW), NOW)
    return breaker


def fail(breaker, times, now):
    return [breaker.failed(breaker.acquire(now), now, 0) for _ in range(times)]


def test_a_busy_store_that_falls_silent_is_left_after_twenty_failures_in_a_row():
    breaker = busy()
    assert {None} == set(fail(breaker, 19, NOW + MIN_SILENCE + 1))
    assert (State.CLOSED, State.OPEN, FIRST_PAUSE) == breaker.failed(breaker.acquire(NOW), NOW + MIN_SILENCE + 1, 0)


def test_a_busy_store_is_not_left_before_it_has_been_silent_for_a_deadline_and_a_half():
    assert SECOND * 75 // 1000 == MIN_SILENCE
    assert {None} == set(fail(busy(), 40, NOW + MIN_SILENCE))


def test_a_probe_that_ended_without_a_verdict_says_nothing_later_either():
    breaker = CircuitBreaker()
    fail(breaker, 5, NOW)
    now = NOW + FIRST_PAUSE
    permit = breaker.acquire(now)

    assert (State.HALF_OPEN, State.OPEN, 0) == breaker.release(permit, now)
    assert State.OPEN is breaker.state
    assert breaker.succeeded(permit, now) is None
    assert State.OPEN is breaker.state


@pytest.mark.parametrize(("jitter", "fifths"), [(-1.0, 4), (0.0, 5), (1.0, 6)])
def test_a_pause_is_a_fifth_longer_or_shorter_at_the_ends_of_its_jitter(jitter, fifths):
    breaker = CircuitBreaker()
    *_, change = [breaker.failed(breaker.acquire(NOW), NOW, jitter) for _ in range(5)]

    assert FIRST_PAUSE * fifths // 5 == change.pause


def test_the_pauses_of_processes_spread_over_two_fifths(enforcer, store):
    policy, pauses = policy_of(enforcer), []
    now = policy.clock()
    store.how = "refused"
    for _ in range(60):
        policy._breakers[None] = policy.breaker = CircuitBreaker()
        for _ in range(5):
            enforcer.consume("acme", "api")
        pauses.append(policy.breaker.pause(now))

    assert FIRST_PAUSE * 4 // 5 <= min(pauses) < FIRST_PAUSE < max(pauses) <= FIRST_PAUSE * 6 // 5


# --- The timer of replays -----------------------------------------------------------------------------------------


async def looks_of_the_timer(results, opens_at):
    """Return when the timer replayed, in milliseconds after it was started, and whether it then stopped."""
    loop = asyncio.get_running_loop()
    began, looks = loop.time(), []

    def clock():
        return NOW + round((loop.time() - began) * SECOND)

    policy = OutagePolicy("store x", LocalLimits(1, clock, 0), lambda _: None, clock)

    def replay(course):
        course.close()
        looks.append(round(1000 * (loop.time() - began)))
        result = loop.create_future()
        ending = results[len(looks) - 1]
        if isinstance(ending, bool):
            result.set_result(ending)
        elif ending is None:
            policy.journal.queue.done(policy.journal.queue.take())
            result.set_result(True)
        else:
            result.set_exception(ending)
        return result

    def open_breaker():
        for _ in range(5):
            policy.breaker.failed(policy.breaker.acquire(clock()), clock(), 0)

    timer = ReplayTimer(policy, replay)
    if opens_at is not None:
        loop.call_later(opens_at, open_breaker)
    policy.journal.queue.add(JournalEntry(Refund("acme", "o:1")))
    timer.start()
    await asyncio.sleep(2)
    return looks, not timer._timers


@pytest.mark.parametrize(
    ("results", "opens_at", "looks"),
    [
        pytest.param([True, True, None], None, [250, 260, 270], id="at once while it goes well"),
        pytest.param([False, False, None], None, [250, 500, 750], id="four times a second while it fails"),
        pytest.param([OSError("x"), None], None, [250, 500], id="an error is a failure"),
        pytest.param([False, None], 0.1, [250, 350], id="as soon as the breaker lets a call through"),
        pytest.param([False, None], 0.003, [250, 260], id="at least a hundredth of a second later"),
        pytest.param([None], None, [250], id="not again once nothing waits"),
    ],
)
def test_the_journal_is_replayed_on_a_loop_without_calls(results, opens_at, looks):
    assert (looks, True) == run(looks_of_the_timer(results, opens_at))


# --- Calls --------------------------------------------------------------------------------------------------------


def test_both_failures_of_a_call_that_is_repeated_count(enforcer, store):
    store.how = "silent"
    for _ in range(6):
        enforcer.consume("acme", "leads")

    assert 5 == len(store.asked)


def test_calls_in_flight_are_told_once_when_the_store_is_given_up(enforcer, store):
    told = []
    policy_of(enforcer).on_open = lambda: told.append(len(store.asked))
    store.how = "refused"
    for _ in range(8):
        enforcer.consume("acme", "api")

    assert [5] == told


def test_a_share_goes_on_from_what_a_mixed_charge_saw_used(enforcer, store):
    for _ in range(3):
        enforcer.consume("acme", {"api": 1, "leads": 1})
    store.how = "refused"

    assert 7 == sum(enforcer.consume("acme", "api").allowed for _ in range(12))


def test_the_share_of_a_rate_that_was_reset_is_a_whole_one(enforcer, store):
    for _ in range(4):
        enforcer.consume("acme", "api")
    enforcer.reset("acme", "api")
    store.how = "refused"

    assert 10 == sum(enforcer.consume("acme", "api").allowed for _ in range(12))


# --- The log ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passed", "at_once", "is_over"), [(CALM, False, False), (CALM + 1, False, True), (0, True, True)]
)
def test_an_outage_is_over_once_the_breaker_has_closed_or_nothing_was_decided_here_for_long(
    caplog, passed, at_once, is_over
):
    log = OutageLog("store x")
    log.record_fallback(NOW)
    with caplog.at_level(logging.WARNING):
        log.recovered(NOW + passed, 3, at_once=at_once)

    assert is_over == ("store x: recovered; 1 decided locally, 3 queued for replay, 0 lost" in caplog.text)
    assert is_over == (log.since is None)


def test_closing_logs_how_many_orders_it_could_not_bring(enforcer, store, caplog):
    store.how = "refused"
    for _ in range(3):
        assert enforcer.consume("acme", "exports").allowed
    store.how = "corrupt"
    enforcer.close()

    assert "closed with 0 orders still queued for replay" in caplog.text
    assert "3 lost before" in caplog.text


def test_where_there_was_no_outage_none_is_over(caplog):
    OutageLog("store x").recovered(NOW, 0, at_once=True)

    assert not caplog.text
