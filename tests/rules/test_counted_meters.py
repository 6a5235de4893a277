"""Quotas count each unit in exactly one period, and allocations never hold more than their limit."""

from copy import deepcopy
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import NOW, anchors, boundaries, ends_around

from entitlements.model.charge import Part
from entitlements.model.instants import DAY, HOUR, SECOND, to_instant
from entitlements.model.limits import UNLIMITED, Allocation, Mode, Quota
from entitlements.model.names import MAX_COUNT
from entitlements.rules.counted_meters import (
    KEPT_PERIODS,
    AllocationMeter,
    QuotaMeter,
    QuotaPeriod,
    deny,
    quota_line,
    take_quota,
)

LEADS = Quota("leads")
AGENTS = Allocation("agents")
SHADOW_LEADS = Quota("leads", mode=Mode.SHADOW)

skews = st.sampled_from([0, SECOND, -SECOND, HOUR, -HOUR]) | st.integers(-28 * DAY, 28 * DAY)
steps = st.sampled_from([0, 1, HOUR, DAY, 20 * DAY, 31 * DAY, 45 * DAY, 100 * DAY]) | st.integers(0, 62 * DAY)
moments = st.integers(NOW, NOW + 400 * DAY) | st.builds(
    lambda at, side: boundaries(1)[700 + at] + side, st.integers(0, 24), st.sampled_from([-1, 0, 1])
)


def at(*date):
    return to_instant(datetime(*date, tzinfo=UTC))


def count_units(meter, anchor, now, units=1, *, app=None):
    """Count *units* for a caller with the clock *app* and a store with the clock *now*; return the period."""
    period = meter.running(ends_around(anchor, now if app is None else app), 100, now)
    assert period is not None
    period.used += units
    meter.write(period)
    return period


def spans(meter):
    return [(period.start, period.end) for period in meter.periods]


# --- Periods ------------------------------------------------------------------------------------------------------


@given(anchors, moments)
def test_the_first_period_is_the_one_that_holds_the_instant(anchor, now):
    _, start, end, _ = ends_around(anchor, now)

    assert QuotaPeriod(start, end, 100) == QuotaMeter().running(ends_around(anchor, now), 100, now)


@given(anchors, moments, skews)
def test_skewed_clocks_pick_the_period_of_the_stores_clock(anchor, now, skew):
    earliest, *_, latest = ends = ends_around(anchor, now + skew)
    _, start, end, _ = ends_around(anchor, now)

    assert (earliest <= now < latest) == (QuotaMeter().running(ends, 100, now) is not None)
    if earliest <= now < latest:
        assert QuotaPeriod(start, end, 100) == QuotaMeter().running(ends, 100, now)


@given(anchors, moments, st.lists(st.tuples(steps, skews), max_size=12))
def test_a_clock_of_a_caller_changes_no_period_that_others_see(anchor, now, calls):
    exact, skewed = QuotaMeter(), QuotaMeter()

    for step, skew in calls:
        now += step
        stale = skewed.running(ends_around(anchor, now + skew), 100, now) is None
        count_units(exact, anchor, now)
        count_units(skewed, anchor, now, app=now if stale else now + skew)  # who is stale takes the store's time

    assert exact == skewed


@given(anchors, anchors, moments, st.integers(0, 27 * DAY))
def test_a_new_anchor_moves_the_end_alone_and_resets_nothing(old, new, now, later):
    meter = QuotaMeter()
    before = count_units(meter, old, now, 7)
    now = min(now + later, before.end - 1)

    moved = meter.running(ends_around(new, now), 100, now)

    assert (before.start, 7) == (moved.start, moved.used)
    assert next(end for end in boundaries(new) if end > now) == moved.end


def test_a_running_period_goes_on_with_all_that_it_counted():
    start, end = at(2026, 11, 1), at(2026, 12, 1)
    meter = QuotaMeter([QuotaPeriod(start, end, 10, 5, 2, 3)])

    assert QuotaPeriod(start, end, 20, 5, 2, 3) == meter.running(ends_around(None, NOW), 20, NOW)


def test_asking_with_a_new_anchor_moves_nothing():
    meter = QuotaMeter()
    count_units(meter, None, NOW)
    before = deepcopy(meter)

    meter.running(ends_around(15, NOW), 100, NOW)

    assert before == meter


def test_the_period_after_a_moved_end_begins_where_the_last_one_ended():
    meter = QuotaMeter()
    count_units(meter, 1, at(2026, 1, 20))
    count_units(meter, 15, at(2026, 1, 21))
    count_units(meter, 15, at(2026, 2, 15))

    assert [(at(2026, 2, 15), at(2026, 3, 15)), (at(2026, 1, 1), at(2026, 2, 15))] == spans(meter)


def test_an_anchor_that_changed_after_the_end_still_begins_a_period_at_that_end():
    meter = QuotaMeter()
    count_units(meter, 1, at(2026, 1, 20))
    count_units(meter, 15, at(2026, 2, 3))

    assert [(at(2026, 2, 1), at(2026, 2, 15)), (at(2026, 1, 1), at(2026, 2, 1))] == spans(meter)


@given(anchors, moments, st.integers(1, 27 * DAY), skews)
def test_a_clock_that_went_back_never_opens_an_older_period(anchor, now, back, skew):
    meter = QuotaMeter()
    _, start, *_ = ends_around(anchor, now)
    newest = count_units(meter, anchor, start, 3)

    again = meter.running(ends_around(anchor, start - back + min(skew, back)), 100, start - back)

    assert again is None or (newest.start, newest.end, 3) == (again.start, again.end, again.used)


def test_a_clock_that_went_back_by_a_week_goes_on_in_the_newest_period():
    meter = QuotaMeter()
    count_units(meter, None, at(2026, 3, 2))
    count_units(meter, None, at(2026, 2, 23))

    assert [(at(2026, 3, 1), at(2026, 4, 1))] == spans(meter)
    assert 2 == meter.periods[0].used


@given(anchors, anchors, moments, st.lists(st.tuples(steps, st.integers(0, 3 * DAY), st.booleans()), max_size=13))
def test_whatever_clock_and_anchor_do_each_unit_counts_in_one_period_that_overlaps_no_other(one, other, now, calls):
    meter, newest, admitted = QuotaMeter(), 0, 0

    for step, back, which in calls:
        now += step
        period = meter.running(ends_around(one if which else other, now - back), 100, now - back)
        if period is None:
            continue
        assert newest <= period.start < period.end
        newest, admitted = period.start, admitted + 1
        period.used += 1
        meter.write(period)

    assert admitted == sum(period.used for period in meter.periods)
    assert all(newer.start >= older.end for newer, older in pairwise(meter.periods))


def test_a_period_that_nobody_charged_is_skipped():
    meter = QuotaMeter()
    count_units(meter, None, at(2026, 1, 31))
    count_units(meter, None, at(2026, 4, 10))

    assert [(at(2026, 4, 1), at(2026, 5, 1)), (at(2026, 1, 1), at(2026, 2, 1))] == spans(meter)


BOUNDS = (0, DAY, 2 * DAY, 3 * DAY)
"""Ends of periods, as a caller sends them."""


def test_a_period_ends_at_its_end_to_the_microsecond():
    meter = QuotaMeter([QuotaPeriod(0, DAY, 10, 5, 2, 1)])

    assert QuotaPeriod(0, DAY, 10, 5, 2, 1) == meter.running(BOUNDS, 10, DAY - 1)
    assert QuotaPeriod(DAY, 2 * DAY, 10) == meter.running(BOUNDS, 10, DAY)


def test_a_period_begins_no_earlier_than_the_last_one_ended():
    moved = QuotaMeter([QuotaPeriod(0, DAY + HOUR, 10, 5)])

    assert QuotaPeriod(DAY + HOUR, 2 * DAY, 10) == moved.running(BOUNDS, 10, DAY + HOUR)
    assert QuotaPeriod(2 * DAY, 3 * DAY, 10) == moved.running(BOUNDS, 10, 2 * DAY)


def test_ends_that_do_not_reach_beyond_the_running_period_are_stale_unless_the_clock_went_back_before_it():
    meter, ends = QuotaMeter([QuotaPeriod(3 * DAY, 4 * DAY, 10, 5)]), BOUNDS

    assert QuotaPeriod(3 * DAY, 4 * DAY, 10, 5) == meter.running(ends, 10, 3 * DAY - 1)
    assert meter.running(ends, 10, 3 * DAY) is None
    assert meter.running(ends, 10, -1) is None


def test_a_charge_of_earlier_counts_in_the_oldest_kept_period_that_ends_after_it():
    first, second = QuotaPeriod(0, DAY, 10, 3), QuotaPeriod(DAY, 2 * DAY, 10, 5)
    meter, part = QuotaMeter([second, first]), Part(LEADS, 20, 1, BOUNDS)

    assert first == meter.period_of(part, DAY + HOUR, DAY - 1)
    assert second == meter.period_of(part, DAY + HOUR, DAY)
    assert first == meter.period_of(part, DAY + HOUR, -HOUR)
    now = QuotaPeriod(DAY, 2 * DAY, 20, 5)
    assert [now, now, now] == [meter.period_of(part, DAY + HOUR, made) for made in (None, DAY + HOUR, 2 * DAY)]


def test_only_the_running_period_takes_another_end():
    running = QuotaPeriod(DAY, 2 * DAY, 10, 5)
    meter = QuotaMeter([running, QuotaPeriod(0, DAY, 10, 3)])
    before = deepcopy(meter)

    meter.keep_end(QuotaPeriod(0, 2 * DAY, 10, 3))
    meter.keep_end(QuotaPeriod(DAY, 2 * DAY, 99, 99))
    assert before == meter

    meter.keep_end(QuotaPeriod(DAY, 2 * DAY + HOUR, 10, 5))
    assert [(DAY, 2 * DAY + HOUR), (0, DAY)] == spans(meter)


def test_a_meter_without_a_period_keeps_no_end():
    meter = QuotaMeter()

    meter.keep_end(QuotaPeriod(0, DAY, 10, 5))

    assert QuotaMeter() == meter


def test_thirteen_periods_are_kept_the_running_one_included():
    meter = QuotaMeter()
    for month in range(1, 25):
        count_units(meter, None, at(2026 + (month - 1) // 12, (month - 1) % 12 + 1, 20), month)

    assert 13 == KEPT_PERIODS
    assert list(range(24, 11, -1)) == [period.used for period in meter.periods]


def test_a_store_whose_clock_is_beyond_the_ends_calls_them_stale():
    ends = ends_around(None, at(2026, 5, 20))

    assert (at(2026, 4, 1), at(2026, 5, 1), at(2026, 6, 1), at(2026, 7, 1)) == ends
    assert QuotaMeter().running(ends, 100, at(2026, 7, 1)) is None
    assert QuotaMeter().running(ends, 100, at(2026, 7, 1) - 1) is not None
    assert QuotaMeter().running(ends, 100, at(2026, 4, 1)) is not None
    assert QuotaMeter().running(ends, 100, at(2026, 4, 1) - 1) is None


# --- Quotas -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(1, 60), st.integers(1, 60))
def test_a_quota_admits_exactly_what_is_left(used, size, cost):
    line = quota_line(QuotaPeriod(0, DAY, size, used), Part(LEADS, size, cost))

    assert (used + cost <= size) == line.fits


@pytest.mark.parametrize(("cost", "retry_at"), [(3, None), (4, DAY), (10, DAY), (11, None)])
def test_a_quota_says_to_wait_for_its_end_where_waiting_helps(cost, retry_at):
    line = quota_line(QuotaPeriod(0, DAY, 10, 7), Part(LEADS, 10, cost))

    assert (retry_at, DAY) == (line.retry_at, line.resets_at)


@pytest.mark.parametrize("reserve", [False, True])
def test_taking_of_a_quota_says_what_stands_after_it(reserve):
    period = QuotaPeriod(0, DAY, 10, 4)

    line = take_quota(period, Part(LEADS, 10, 3), reserve=reserve)

    assert (7, 3 * reserve, 3) == (line.used, line.reserved, line.taken)
    assert QuotaPeriod(0, DAY, 10, 7, 3 * reserve) == period


def test_a_shadow_quota_counts_what_it_would_have_refused_as_used_and_as_denied():
    period = QuotaPeriod(0, DAY, 10, 9)

    line = take_quota(period, Part(SHADOW_LEADS, 10, 3), reserve=False)

    assert (False, 12, 3) == (line.fits, line.used, line.taken)
    assert 3 == period.denied


def test_denied_units_stop_at_the_largest_count():
    period = QuotaPeriod(0, DAY, 10)
    deny(period, MAX_COUNT - 1)
    deny(period, 5)

    assert MAX_COUNT == period.denied


def test_an_unlimited_quota_counts_up_to_the_largest_count_and_never_refuses():
    period = QuotaPeriod(0, DAY, UNLIMITED, MAX_COUNT - 2)

    lines = [take_quota(period, Part(LEADS, UNLIMITED, cost), reserve=False) for cost in (1, 5, MAX_COUNT)]

    assert [(True, 1), (True, 1), (True, 0)] == [(line.fits, line.taken) for line in lines]
    assert (MAX_COUNT, 0) == (period.used, period.denied)


def test_a_quota_of_the_largest_size_is_not_unlimited():
    period = QuotaPeriod(0, DAY, MAX_COUNT, MAX_COUNT)

    assert not quota_line(period, Part(LEADS, MAX_COUNT, 1)).fits


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_settling_keeps_what_is_said_and_gives_the_rest_back(used, reserved, kept):
    reserved, kept = min(reserved, used), min(kept, reserved, used)
    meter = QuotaMeter([QuotaPeriod(0, DAY, 100, used, reserved)])

    meter.settle(0, reserved, kept)

    assert (used - reserved + kept, 0) == (meter.periods[0].used, meter.periods[0].reserved)


def test_a_refund_returns_to_the_period_it_was_taken_from():
    meter = QuotaMeter([QuotaPeriod(2 * DAY, 3 * DAY, 10, 5), QuotaPeriod(DAY, 2 * DAY, 10, 8)])

    assert 3 == meter.refund(DAY, 3)
    assert [5, 5] == [period.used for period in meter.periods]


def test_a_refund_never_gives_back_what_is_reserved():
    meter = QuotaMeter([QuotaPeriod(0, DAY, 10, 5, 4)])

    meter.refund(0, 3)

    assert (4, 4) == (meter.periods[0].used, meter.periods[0].reserved)


def test_a_period_no_longer_kept_takes_nothing_back():
    meter = QuotaMeter([QuotaPeriod(DAY, 2 * DAY, 10, 5, 5)])
    before = deepcopy(meter)

    assert 0 == meter.refund(0, 3)
    assert meter.settle(0, 3, 0) is None
    assert before == meter


# --- Allocations --------------------------------------------------------------------------------------------------


@given(st.integers(0, 999), st.integers(0, 999), st.sets(st.sampled_from("abcdef")), st.integers(1, 50))
def test_an_allocation_uses_what_is_anonymous_held_and_reserved_together(anonymous, reserved, holders, cost):
    meter = AllocationMeter(anonymous, reserved, holders)
    used = anonymous + reserved + len(holders)

    assert used == meter.used == meter.peek(Part(AGENTS, 5, cost), None).used
    assert meter.peek(Part(AGENTS, used + cost, cost), None).fits
    assert not meter.peek(Part(AGENTS, used + cost - 1, cost), None).fits


def test_each_way_of_taking_moves_its_own_count():
    meter, part = AllocationMeter(), Part(AGENTS, 10, 2)
    meter.take(part, None, reserve=False)
    meter.take(part, None, reserve=True)
    line = meter.take(Part(AGENTS, 10), "ada", reserve=False)

    assert AllocationMeter(2, 2, {"ada"}) == meter
    assert (5, 2, 1) == (line.used, line.reserved, line.taken)


def test_whoever_holds_a_unit_takes_no_other_even_of_a_full_allocation():
    meter = AllocationMeter(9, 0, {"ada"})
    line = meter.take(Part(AGENTS, 10), "ada", reserve=False)

    assert (True, 10, 0) == (line.fits, line.used, line.taken)
    assert not meter.peek(Part(AGENTS, 10), "bob").fits


def test_an_allocation_above_its_lowered_limit_keeps_all_and_adds_nothing():
    meter = AllocationMeter(5, 0, {"ada"})

    assert (False, 6) == meter.peek(Part(AGENTS, 3), None)[:2]
    assert (False, 6) == meter.peek(Part(AGENTS, 3), "bob")[:2]
    assert meter.peek(Part(AGENTS, 3), "ada").fits


def test_releasing_stops_at_zero_and_leaves_holders_and_reservations():
    meter = AllocationMeter(3, 4, {"ada"})

    assert 3 == meter.refund(5)
    assert 0 == meter.refund(5)
    assert AllocationMeter(0, 4, {"ada"}) == meter


def test_what_is_kept_of_a_reservation_becomes_anonymous():
    meter = AllocationMeter(1, 5)

    meter.settle(5, 2)

    assert AllocationMeter(3, 0) == meter


def test_what_is_kept_of_a_reservation_stops_at_the_largest_count():
    meter = AllocationMeter(MAX_COUNT - 7, 5)

    meter.settle(5, 100)

    assert AllocationMeter(MAX_COUNT, 0) == meter


def test_an_unlimited_allocation_counts_up_to_the_largest_count_and_never_refuses():
    meter = AllocationMeter(MAX_COUNT - 2)

    lines = [meter.take(Part(AGENTS, UNLIMITED, cost), None, reserve=False) for cost in (1, 5, 7)]

    assert [(True, 1), (True, 1), (True, 0)] == [(line.fits, line.taken) for line in lines]
    assert MAX_COUNT == meter.used


def test_an_assignment_of_an_unlimited_allocation_stops_at_the_largest_count_too():
    meter = AllocationMeter(MAX_COUNT)

    line = meter.take(Part(AGENTS, UNLIMITED), "ada", reserve=False)

    assert line.fits
    assert MAX_COUNT == line.used
