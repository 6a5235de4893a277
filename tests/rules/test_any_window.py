"""No window of a sliding rate holds more than its limit, on real servers under adversarial traffic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.any_window import LIMIT, WIDTH, WINDOW, Admission, compete, most_in_any_window, table

ACCOUNTS = 60
TRIES = 5
"""A machine that is busy makes calls late, and late calls do not meet in the worst window."""


async def test_of_sixty_accounts_at_once_none_gets_more_than_its_limit_in_any_window_and_some_get_all_of_it(valkey):
    """The sliding-window counter of `limits` admits almost twice as much at the same instants."""
    for _ in range(TRIES):
        ours, theirs = await compete(valkey.url, accounts=ACCOUNTS)
        print(table([ours, theirs]))
        assert max(ours.most.values()) <= LIMIT
        assert ACCOUNTS == len(ours.most)
        if LIMIT in ours.most.values() and max(theirs.most.values()) > LIMIT:  # for all, the machine must be on time
            return
    raise AssertionError("the traffic has not found the worst window")


@pytest.mark.slow
async def test_no_window_holds_more_than_its_limit_on_any_server(server):
    for _ in range(TRIES):
        ours, theirs = await compete(server.url, accounts=ACCOUNTS, rounds=3)
        print(table([ours, theirs]))
        assert max(ours.most.values()) <= LIMIT
        assert 3 * ACCOUNTS == len(ours.most)
        if max(theirs.most.values()) > LIMIT:
            return
    raise AssertionError("the traffic has not found the worst window")


async def test_the_traffic_finds_a_window_that_is_two_sub_buckets_too_short(valkey):
    for _ in range(TRIES):
        ours, _ = await compete(valkey.url, accounts=ACCOUNTS // 5, window=WINDOW - 2 * WIDTH)
        if max(ours.most.values()) > LIMIT:
            return
    raise AssertionError("the traffic has not found the worst window")


@pytest.mark.parametrize(
    ("admissions", "most"),
    [
        ([], 0),
        ([Admission(0, 0, 3)], 3),
        ([Admission(0, 0, 3), Admission(9, 9, 4)], 7),
        ([Admission(0, 0, 3), Admission(10, 10, 4)], 4),  # half-open: what comes a window later is in the next one
        ([Admission(0, 2, 3), Admission(8, 10, 4)], 4),  # uncertain, so it counts for neither
        ([Admission(1, 2, 3), Admission(8, 10, 4)], 7),
    ],
)
def test_what_certainly_falls_into_one_window(admissions, most):
    assert most == most_in_any_window(admissions, window=10)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=20))
def test_the_most_in_any_window_is_that_of_the_worst_of_all_windows(calls):
    every = (sum(cost for at, cost in calls if end - 10 < at <= end) for end in range(51))

    assert max(every) == most_in_any_window([Admission(at, at, cost) for at, cost in calls], window=10)
