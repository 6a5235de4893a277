"""Period boundaries agree with a walk through the calendar, day by day."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from strategies import anchors, boundaries, ends_around, moments

from entitlements.model.instants import DAY, to_datetime, to_instant
from entitlements.rules.periods import month_ends

every_anchor = pytest.mark.parametrize("anchor", [None, *range(1, 32)])


def days(anchor, year):
    """Return the boundaries of *year* as month and day."""
    ends = (month_ends(anchor, to_instant(datetime(year, month, 15, 12, tzinfo=UTC)))[1:3] for month in range(1, 13))
    found = {to_datetime(end) for pair in ends for end in pair}
    return [(each.month, each.day) for each in sorted(found) if each.year == year]


@every_anchor
def test_a_century_of_months_is_that_of_the_calendar(anchor):
    walked = boundaries(anchor)

    for at, start in enumerate(walked[2:-2], 2):
        expected = tuple(walked[at - 1 : at + 3])
        assert expected == month_ends(anchor, start)
        assert expected == month_ends(anchor, walked[at + 1] - 1)


@given(anchors, moments)
def test_any_instant_lies_in_the_month_of_the_calendar(anchor, now):
    assert ends_around(anchor, now) == month_ends(anchor, now)


@given(anchors, moments)
def test_boundaries_increase_and_the_middle_two_hold_the_instant(anchor, now):
    before, start, end, after = month_ends(anchor, now)

    assert before < start <= now < end < after


@given(anchors, moments)
def test_every_boundary_is_a_midnight_in_utc_about_a_month_from_the_next(anchor, now):
    ends = month_ends(anchor, now)

    assert [0, 0, 0, 0] == [end % DAY for end in ends]
    assert {True} == {28 * DAY <= later - earlier <= 31 * DAY for earlier, later in pairwise(ends)}


def test_the_31st_comes_back_after_every_shorter_month():
    lasts = [(1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31), (9, 30), (10, 31), (11, 30)]

    assert [*lasts, (12, 31)] == days(31, 2026)


@pytest.mark.parametrize(("year", "last"), [(2024, 29), (2026, 28), (2000, 29), (2100, 28)])
def test_february_ends_on_its_last_day(year, last):
    assert [(1, 30), (2, last), (3, 30)] == days(30, year)[:3]


def test_the_29th_is_a_day_of_february_in_leap_years_alone():
    assert [(2, 29), (3, 29)] == days(29, 2028)[1:3]
    assert [(2, 28), (3, 29)] == days(29, 2027)[1:3]


def test_without_an_anchor_periods_are_the_months_of_the_calendar():
    assert [(month, 1) for month in range(1, 13)] == days(None, 2026)


def test_the_last_microsecond_of_a_period_is_not_in_the_next():
    midnight = datetime(2026, 3, 31, tzinfo=UTC)

    assert to_instant(midnight) == month_ends(31, to_instant(midnight - timedelta(microseconds=1)))[2]
    assert to_instant(midnight) == month_ends(31, to_instant(midnight))[1]
