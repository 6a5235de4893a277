"""The breaker: when it opens, who may try the store, and how long it waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.model.instants import SECOND
from entitlements.stores.resilience.circuit_breaker import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PROBE_TIMEOUT,
    CircuitBreaker,
    State,
)

NOW = 1_000 * SECOND


def opened(now=NOW, jitter=0.0):
    breaker = CircuitBreaker()
    for _ in range(5):
        breaker.failed(breaker.acquire(now), now, jitter)
    assert State.OPEN is breaker.state
    return breaker


def test_five_failures_that_are_half_of_the_calls_open_it():
    breaker = CircuitBreaker()
    for _ in range(5):
        breaker.succeeded(breaker.acquire(NOW), NOW)
    for _ in range(4):
        assert breaker.failed(breaker.acquire(NOW), NOW, 0) is None
    change = breaker.failed(breaker.acquire(NOW), NOW, 0)
    assert (State.CLOSED, State.OPEN, FIRST_PAUSE) == change


def test_failures_that_are_few_among_many_answers_do_not_open_it():
    breaker = CircuitBreaker()
    for at in range(0, 3 * SECOND, 1000):
        permit = breaker.acquire(NOW + at)
        if at % 3000:
            breaker.succeeded(permit, NOW + at)
        else:
            breaker.failed(permit, NOW + at, 0)
    assert State.CLOSED is breaker.state


def test_failures_of_more_than_a_second_ago_do_not_count_while_others_are_answered():
    breaker = CircuitBreaker()
    for at in range(40):
        now = NOW + at * SECOND // 3
        breaker.failed(breaker.acquire(now), now, 0)
        breaker.succeeded(breaker.acquire(now), now)
    assert State.CLOSED is breaker.state


def test_with_little_traffic_five_failures_in_a_row_open_it():
    breaker = CircuitBreaker()
    breaker.succeeded(breaker.acquire(NOW), NOW)
    for at in range(1, 6):
        assert State.CLOSED is breaker.state
        breaker.failed(breaker.acquire(NOW + 10 * at * SECOND), NOW + 10 * at * SECOND, 0)
    assert State.OPEN is breaker.state


def test_open_it_lets_nobody_ask_until_its_pause_is_over_and_then_one():
    breaker = opened()
    assert breaker.acquire(NOW + FIRST_PAUSE - 1) is None
    permit = breaker.acquire(NOW + FIRST_PAUSE)
    assert (State.OPEN, State.HALF_OPEN) == permit.change[:2]
    assert [None] * 20 == [breaker.acquire(NOW + FIRST_PAUSE) for _ in range(20)]


def test_the_answer_to_a_trial_closes_it():
    breaker = opened()
    now = NOW + FIRST_PAUSE
    assert (State.HALF_OPEN, State.CLOSED, 0) == breaker.succeeded(breaker.acquire(now), now)
    assert breaker.acquire(now) is not None


def test_pauses_grow_to_a_second_and_a_half_and_no_further():
    breaker, now, pauses = opened(), NOW, []
    for _ in range(8):
        now += LONGEST_PAUSE
        pauses.append(breaker.failed(breaker.acquire(now), now, 0).pause)
    assert [SECOND // 2] + [LONGEST_PAUSE] * 7 == pauses


@given(st.floats(-1, 1), st.integers(0, 12))
def test_a_pause_is_longer_or_shorter_by_a_fifth_at_most(jitter, failures):
    breaker, now = opened(jitter=jitter), NOW
    for _ in range(failures):
        now += 2 * LONGEST_PAUSE
        breaker.failed(breaker.acquire(now), now, jitter)
    usual = min(FIRST_PAUSE << failures, LONGEST_PAUSE)
    assert usual * 4 // 5 - 1 <= breaker.pause(now) <= usual * 6 // 5


def test_a_trial_without_a_verdict_lets_the_next_call_try_at_once():
    breaker = opened()
    now = NOW + FIRST_PAUSE
    breaker.release(breaker.acquire(now), now)
    assert breaker.acquire(now) is not None


def test_a_trial_that_vanished_is_given_up_by_its_age():
    breaker = opened()
    now = NOW + FIRST_PAUSE
    vanished = breaker.acquire(now)
    assert breaker.acquire(now + PROBE_TIMEOUT - 1) is None
    other = breaker.acquire(now + PROBE_TIMEOUT)
    assert breaker.succeeded(vanished, now + PROBE_TIMEOUT) is None
    assert State.CLOSED is breaker.succeeded(other, now + PROBE_TIMEOUT).after


@pytest.mark.parametrize("verdict", ["succeeded", "failed"])
def test_a_call_that_began_before_it_opened_says_nothing_of_the_store_since(verdict):
    breaker = CircuitBreaker()
    early = breaker.acquire(NOW)
    for _ in range(5):
        breaker.failed(breaker.acquire(NOW), NOW, 0)
    assert None is (breaker.succeeded(early, NOW) if verdict == "succeeded" else breaker.failed(early, NOW, 0))
    assert State.OPEN is breaker.state


@given(st.lists(st.tuples(st.sampled_from(["enter", "ok", "fail", "leave"]), st.integers(0, SECOND))))
def test_whatever_happens_at_most_one_call_tries_the_store(steps):
    breaker, now, permits, trying = opened(), NOW, [], None
    for step, later in steps:
        now += later
        if step == "enter":
            permit = breaker.acquire(now)
            if permit is not None:
                permits.append(permit)
            if permit is not None and breaker.state is State.HALF_OPEN:
                assert trying is None or now - trying >= PROBE_TIMEOUT
                trying = now
        elif permits:
            permit = permits.pop(0)
            if step == "ok":
                breaker.succeeded(permit, now)
            elif step == "fail":
                breaker.failed(permit, now, 0)
            else:
                breaker.release(permit, now)
            if breaker.state is not State.HALF_OPEN:
                trying = None
