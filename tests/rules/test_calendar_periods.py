"""Periods of every length, in time zones whose clocks jump, agree with a calendar that is walked day by day."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wall_clock import boundaries

from entitlements.model.calendars import anchored
from entitlements.model.instants import HOUR, NEVER, SECOND, to_datetime, to_instant
from entitlements.model.limits import Allocation, PeriodLength, Quota, Rate
from entitlements.rules.counted_meters import QuotaMeter, QuotaPeriod
from entitlements.rules.periods import ends_of, period_ends

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu",
    "America/Sao_Paulo",  # midnight is skipped when summer begins, and 23:00 comes twice when it ends
    "Asia/Beirut", "Africa/Cairo", "Asia/Tehran",  # so too
    "America/Havana",  # midnight comes twice when summer ends
    "America/St_Johns",  # jumps at 00:01
    "Australia/Lord_Howe",  # half an hour
    "Antarctica/Troll",  # two hours
    "Africa/Casablanca",  # back for one month
    "Pacific/Apia",  # had no 30 December 2011
)  # fmt: skip
ANCHORS = tuple(map(datetime.fromisoformat, (
    "2024-02-29 02:30:15", "2023-01-31", "2023-03-30 23:59:59", "2022-10-29 01:15", "2011-12-30 00:00:01", "2020-06-01",
)))  # fmt: skip
LENGTHS = tuple(each for each in PeriodLength if each != PeriodLength.LIFETIME)
INSTANTS = st.integers(*(to_instant(datetime(year, 1, 1, tzinfo=UTC)) for year in (2000, 2025)))
zones, lengths, anchors = map(st.sampled_from, (ZONES, LENGTHS, ANCHORS))


def walked(zone, length, anchor, now):
    """Return the two boundaries at or before *now* and the two after it."""
    found = boundaries(zone, length.value, anchor)
    at = bisect_right(found, now)
    return tuple(found[at - 2 : at + 2])


def computed(zone, length, anchor, now):
    return period_ends(length, anchored(anchor.replace(tzinfo=ZoneInfo(zone)), ZoneInfo(zone)), now)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("zone", ZONES)
def test_thirty_years_of_periods_are_those_of_the_calendar(zone, length):
    for anchor in ANCHORS if length in ("month", "year") else ANCHORS[:1]:
        found = boundaries(zone, length.value, anchor)
        assert len(found) >= 28
        usual = 24 * HOUR if length == "day" else None  # of days like all others, one in ten is enough
        for at, start in enumerate(found[1:-2], 1):
            if found[at + 1] - start == usual == start - found[at - 1] and at % 10:
                continue
            expected = tuple(found[at - 1 : at + 3])
            assert expected == computed(zone, length, anchor, start)
            assert expected == computed(zone, length, anchor, found[at + 1] - 1)


@given(zones, lengths, anchors, INSTANTS)
def test_any_instant_lies_in_the_period_of_the_calendar(zone, length, anchor, now):
    assert walked(zone, length, anchor, now) == computed(zone, length, anchor, now)


@given(zones, lengths, anchors, st.integers(0, 27), st.integers(-2 * HOUR, 2 * HOUR))
def test_so_does_an_instant_near_a_boundary(zone, length, anchor, which, beside):
    found = boundaries(zone, length.value, anchor)
    now = found[2 + which * (len(found) - 6) // 27] + beside

    assert walked(zone, length, anchor, now) == computed(zone, length, anchor, now)


@given(zones, lengths, anchors, INSTANTS, st.integers(-2 * HOUR, 2 * HOUR))
def test_a_client_whose_clock_is_hours_off_picks_the_period_of_the_stores_clock(zone, length, anchor, now, skew):
    def running(asked_at):
        return QuotaMeter().running(computed(zone, length, anchor, asked_at), 100, now)

    _, start, end, _ = walked(zone, length, anchor, now)
    assert QuotaPeriod(start, end, 100) == running(now) == running(now + skew)


@given(zones, anchors, st.lists(st.tuples(st.sampled_from(PeriodLength), st.integers(0, 40 * 24 * HOUR)), max_size=8))
def test_another_length_moves_the_end_of_the_running_period_and_resets_nothing(zone, anchor, changes):
    meter, now, used = QuotaMeter(), to_instant(datetime(2011, 12, 1, tzinfo=UTC)), 0
    for length, step in changes:
        before = meter.periods[0] if meter.periods else None
        now += step
        period = meter.running(computed(zone, length, anchor, now), 100, now)
        runs_on = before is not None and now < before.end
        used = used + 1 if runs_on else 1
        period.used += 1
        meter.write(period)
        assert period.start <= now < period.end
        assert (used, before.start if runs_on else period.start) == (period.used, period.start)
        assert before is None or runs_on or before.end <= period.start


def hours(zone, *day):
    """Return the hours of a calendar day."""
    noon = datetime(*day, 12, tzinfo=ZoneInfo(zone))
    _, start, end, _ = period_ends(PeriodLength.DAY, anchored(None, ZoneInfo(zone)), to_instant(noon))
    return (end - start) / HOUR


def test_a_day_has_the_hours_that_its_clocks_give_it():
    assert [24, 23, 25] == [hours("Europe/Berlin", 2026, *day) for day in ((3, 28), (3, 29), (10, 25))]
    assert [23, 25] == [hours("America/Sao_Paulo", *day) for day in ((2018, 11, 4), (2018, 2, 17))]
    assert [23.5, 24.5] == [hours("Australia/Lord_Howe", 2026, *day) for day in ((10, 4), (4, 5))]


def test_a_day_that_a_country_leaves_out_has_no_period():
    zone = ZoneInfo("Pacific/Apia")
    _, start, end, after = period_ends(
        PeriodLength.DAY, anchored(None, zone), to_instant(datetime(2011, 12, 29, 12, tzinfo=zone))
    )

    shown = [f"{to_datetime(each).astimezone(zone):%d %H:%M}" for each in (start, end, after)]
    assert ["29 00:00", "31 00:00", "01 00:00"] == shown


def months(anchor, zone, count, since):
    """Return the local times at which the next months begin."""
    found, now = [], to_instant(since)
    for _ in range(count):
        now = period_ends(PeriodLength.MONTH, anchored(anchor, zone), now)[2]
        found.append(f"{to_datetime(now).astimezone(zone):%m-%d %H:%M:%S}")
    return found


def test_an_anchor_on_the_31st_is_the_last_day_of_shorter_months_and_stays_on_the_31st():
    anchor = datetime(2024, 1, 31, 12, 30, 15, tzinfo=UTC)

    expected = ["01-31", "02-29", "03-31", "04-30", "05-31"]
    assert [f"{day} 12:30:15" for day in expected] == months(anchor, UTC, 5, datetime(2024, 1, 2, tzinfo=UTC))


def test_a_year_from_29_february_begins_on_the_28th_of_other_years():
    calendar, now = anchored(datetime(2024, 2, 29, 8, tzinfo=UTC), UTC), to_instant(datetime(2024, 3, 1, tzinfo=UTC))
    found = []
    for _ in range(4):
        now = period_ends(PeriodLength.YEAR, calendar, now)[2]
        found.append(f"{to_datetime(now):%Y-%m-%d %H}")

    assert ["2025-02-28 08", "2026-02-28 08", "2027-02-28 08", "2028-02-29 08"] == found


def test_an_anchor_is_read_by_the_clocks_of_the_accounts_time_zone_and_to_the_second():
    berlin = ZoneInfo("Europe/Berlin")
    anchor = datetime(2026, 1, 31, 23, 30, 0, 999_999, tzinfo=UTC)  # 00:30 on 1 February there

    expected = ["03-01 00:30:00", "04-01 00:30:00"]
    assert expected == months(anchor, berlin, 2, datetime(2026, 2, 2, tzinfo=UTC))
    assert expected == months(
        anchor.astimezone(timezone(timedelta(hours=-7))), berlin, 2, datetime(2026, 2, 2, tzinfo=UTC)
    )


def test_a_year_from_a_day_of_the_month_begins_in_january():
    now = to_instant(datetime(2026, 6, 1, tzinfo=UTC))

    found = [to_datetime(each) for each in period_ends(PeriodLength.YEAR, anchored(15, UTC), now)]
    assert [datetime(year, 1, 15, tzinfo=UTC) for year in (2025, 2026, 2027, 2028)] == found


@given(zones, anchors, st.integers(0, NEVER - 1))
def test_a_lifetime_has_one_period_without_an_end(zone, anchor, now):
    _, start, end, after = computed(zone, PeriodLength.LIFETIME, anchor, now)

    assert (0, NEVER, NEVER) == (start, end, after)


def test_weeks_begin_on_monday_and_days_at_midnight_whatever_the_anchor():
    calendar, now = anchored(datetime(2026, 1, 15, 8, tzinfo=UTC), UTC), to_instant(datetime(2026, 11, 29, tzinfo=UTC))

    weeks = [to_datetime(each) for each in period_ends(PeriodLength.WEEK, calendar, now)]
    days = [to_datetime(each) for each in period_ends(PeriodLength.DAY, calendar, now)]

    assert ["Mon 16", "Mon 23", "Mon 30", "Mon 07"] == [f"{each:%a %d}" for each in weeks]
    assert ["28 00", "29 00", "30 00", "01 00"] == [f"{each:%d %H}" for each in days]
    assert all(later - each == timedelta(days=7) for each, later in pairwise(weeks))


def test_refusals_of_an_allocation_are_counted_by_the_month():
    calendar, now = anchored(3, UTC), to_instant(datetime(2026, 11, 29, tzinfo=UTC))

    assert ends_of(Quota("leads"), calendar, now) == ends_of(Allocation("agents"), calendar, now)
    assert ends_of(Quota("leads", PeriodLength.DAY), calendar, now) != ends_of(Quota("leads"), calendar, now)
    assert ends_of(Rate("api", SECOND), calendar, now) == ends_of(Quota("leads"), calendar, now)
