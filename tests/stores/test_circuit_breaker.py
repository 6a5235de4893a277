"""The breaker: when it opens, who may try the store, and how long it waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.model.instants import SECOND
from entitlements.stores.resilience.circuit_breaker import (
    CONSECUTIVE_FAILURES,
    FAILURES,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MIN_SILENCE,
    PROBE_TIMEOUT,
    WINDOW,
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


# --- The same, from the list of all results -----------------------------------------------------------------------


class Model:
    """The breaker that the module describes, kept as the list of results since it last changed its state."""

    def __init__(self):
        self.state, self.results, self.in_row, self.replied_at = State.CLOSED, [], 0, 0
        self.probe_at = self.openings = self.generation = 0
        self.failing = False

    def acquire(self, now):
        """Return the generation of a permit and the change of state; None if the call may not go."""
        if self.state is State.CLOSED:
            return self.generation, None
        if now < self.probe_at:
            return None
        was_open = self.state is State.OPEN
        self.enter(State.HALF_OPEN)
        self.probe_at = now + 3 * SECOND
        return self.generation, (State.OPEN, State.HALF_OPEN, 0) if was_open else None

    def succeeded(self, generation, now):
        if generation != self.generation:
            return None
        self.failing, self.in_row, self.replied_at = False, 0, now
        if self.state is State.CLOSED:
            self.results.append((now, True))
            return None
        return self.enter(State.CLOSED, openings=0)

    def failed(self, generation, now, jitter):
        if generation != self.generation:
            return None
        self.failing = True
        self.in_row += 1
        self.results.append((now, False))
        if self.state is State.CLOSED and not self.is_broken(now):
            return None
        pause = {0: SECOND // 4, 1: SECOND // 2}.get(self.openings, 3 * SECOND // 4)
        pause += int(pause * jitter) // 5
        self.probe_at = now + pause
        return self.enter(State.OPEN, pause, self.openings + 1)

    def release(self, generation, now):
        if generation != self.generation or self.state is not State.HALF_OPEN:
            return None
        self.probe_at = now
        return self.enter(State.OPEN)

    def enter(self, state, pause=0, openings=None):
        before, self.state, self.results = self.state, state, []
        self.generation += 1
        self.openings = self.openings if openings is None else openings
        return before, state, pause

    def is_broken(self, now):
        """At the grain of an eighth of a second, as calls are counted."""
        silent, eighth = now - self.replied_at, SECOND // 8
        latest = [
            [is_reply for at, is_reply in self.results if at // eighth > now // eighth - slots] for slots in (8, 2)
        ]
        return (
            (self.in_row >= 5 and silent > SECOND)
            or (self.in_row >= 20 and silent > 75_000)
            or any(each.count(False) >= max(5, each.count(True)) for each in latest)
        )


PAUSES = [
    0,
    0,
    0,
    1000,
    SECOND // 8,
    SECOND // 8,
    SECOND // 4,
    MIN_SILENCE,
    MIN_SILENCE + 1,
    WINDOW,
    WINDOW + 1,
    PROBE_TIMEOUT,
]
MOVES = ["call", "late reply", "late failure", "release", "probe now", "forget", *["reply", "failure"] * 4]
TIMES = [1, 1, 1, FAILURES - 1, FAILURES, CONSECUTIVE_FAILURES - 1, CONSECUTIVE_FAILURES]
JITTERS = [-1.0, -0.3, 0.0, 0.7, 1.0]


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(MOVES),
            st.sampled_from(PAUSES) | st.integers(0, SECOND // 2),
            st.sampled_from(TIMES),
            st.sampled_from(JITTERS),
        ),
        min_size=20,
        max_size=40,
    ),
    begins=st.sampled_from([0, WINDOW, 2 * WINDOW]) | st.integers(0, WINDOW),
)
def test_whatever_replies_and_fails_it_is_in_the_state_that_the_list_of_all_results_gives(steps, begins):
    breaker, model, now, permits = CircuitBreaker(), Model(), begins, []
    for move, later, times, jitter in steps:
        now += later
        for _ in range(times):
            if move in ("call", "reply", "failure"):
                permit, expected = breaker.acquire(now), model.acquire(now)
                assert (expected is None) == (permit is None)
                if permit is None:
                    break
                assert expected == (permit.generation, permit.change)
                permits.append(permit)
            elif move == "probe now":
                breaker.probe_now()
                model.probe_at = 0
                break
            permit = permits.pop(0 if "late" in move else -1) if permits and move != "call" else None
            if permit and "reply" in move:
                assert model.succeeded(permit.generation, now) == breaker.succeeded(permit, now)
            elif permit and "failure" in move:
                assert model.failed(permit.generation, now, jitter) == breaker.failed(permit, now, jitter)
            elif permit and move == "release":
                assert model.release(permit.generation, now) == breaker.release(permit, now)
            assert (model.state, model.failing) == (breaker.state, breaker.failing)
            assert now - model.replied_at == breaker.silent_for(now)
            waits = 0 if model.state is State.CLOSED else max(0, model.probe_at - now)
            assert waits == breaker.pause(now)


def test_in_a_forked_child_the_probe_of_its_parent_is_over_and_results_of_the_parent_still_count():
    breaker = opened()
    breaker.acquire(NOW + FIRST_PAUSE)
    breaker.renew()

    assert (State.OPEN, 0) == (breaker.state, breaker.pause(NOW))
    assert State.HALF_OPEN is breaker.acquire(NOW).change.after
    closed = CircuitBreaker()
    for _ in range(4):
        closed.failed(closed.acquire(NOW), NOW, 0)
    closed.renew()
    assert State.OPEN is closed.failed(closed.acquire(NOW), NOW, 0).after
