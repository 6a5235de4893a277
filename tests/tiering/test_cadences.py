"""Cadences: the days on which something recurs."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Policy, PolicyError
from entitlements.tiering.cadences import CADENCES, cadence_of
from entitlements.tiering.schedule import schedule

DAYS = {"daily": 1, "weekly": 7, "bi-weekly": 14}
MONTHS = {"monthly": 1, "quarterly": 3, "semi-annually": 6, "bi-annually": 6, "annually": 12}


@pytest.mark.parametrize("text", [*DAYS, *MONTHS])
def test_a_cadence_is_so_many_days_or_months(text):
    """Bi-weekly is every two weeks; bi-annually and semi-annually are both twice a year."""
    cadence = cadence_of(text)

    assert (DAYS.get(text, 0), MONTHS.get(text, 0)) == (cadence.days, cadence.months)


def test_as_needed_is_never_due():
    assert [] == list(cadence_of("as needed").dates(date(2026, 1, 1), date(2026, 1, 1), date(2036, 1, 1)))


@pytest.mark.parametrize(
    ("text", "near"), [("bi-weakly", "did you mean 'bi-weekly'"), ("often", "there are daily, weekly")]
)
def test_a_text_that_is_no_cadence_is_named(text, near):
    with pytest.raises(ValueError, match=f"{text!r} is no cadence.*{near}"):
        cadence_of(text)


def days_of_month(day):
    return (date(day.year + day.month // 12, day.month % 12 + 1, 1) - timedelta(days=1)).day


def is_due(text, start, day):
    """Decide by one day alone whether something that began on *start* is due on it."""
    if day <= start:
        return False
    if text in DAYS:
        return (day - start).days % DAYS[text] == 0
    months = (day.year - start.year) * 12 + day.month - start.month
    return months % MONTHS[text] == 0 and months > 0 and day.day == min(start.day, days_of_month(day))


@pytest.mark.parametrize("text", sorted(set(CADENCES) - {"as needed"}))
@given(
    start=st.one_of(
        st.dates(date(2022, 1, 1), date(2028, 1, 1)),
        st.sampled_from([date(2024, 2, 29), date(2025, 1, 31), date(2025, 11, 30), date(2023, 12, 31)]),
    ),
    skipped=st.integers(-400, 2_000),
    length=st.integers(0, 1_827),
)
def test_dates_agree_with_a_walk_day_by_day(text, start, skipped, length):
    """Five years at most; a 31st falls on the last day of a shorter month, and on a 31st again after it."""
    since = start + timedelta(days=skipped)
    until = since + timedelta(days=length)
    walked = [day for at in range(length) if is_due(text, start, day := since + timedelta(days=at))]

    assert walked == list(cadence_of(text).dates(start, since, until))


# --- The policy's side --------------------------------------------------------------------------------------------

REVIEW = {"frequency": "monthly", "activity": "Business review"}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"touchpoints": [{"frequency": "weakly", "activity": "Call"}]},
            "'weakly' is no cadence; did you mean 'weekly'",
        ),
        ({"touchpoints": ["weekly"]}, "'weekly' is no touchpoint; write {frequency: monthly"),
        ({"activities": {"risk": "montly"}}, "activities.risk: 'montly' is no cadence; did you mean 'monthly'"),
        (
            {"transition": {"review": "quartely"}},
            "transition.review: 'quartely' is no cadence; did you mean 'quarterly'",
        ),
        (
            {"touchpoints": [REVIEW], "schedule": {"reviews": {"monthly": "Busines review"}}},
            "'Busines review' is no touchpoint of the tier; did you mean 'Business review'",
        ),
        ({"schedule": {"owners": {"touchpiont": "csm"}}}, "'touchpiont' is no kind of item; did you mean 'touchpoint'"),
        (
            {"schedule": {"exceptions": [{"item": "Call"}]}},
            "names no item with its owner; write {item: Business review",
        ),
        ({"schedule": {"owner": {"visit": "csm"}}}, "'owner.visit' is no part of the schedule"),
    ],
)
def test_cadences_and_owners_that_cannot_be_are_reported_with_the_policy(values, problem):
    policy = {"policy": {"version": 1}, "tiers": {"basic": {"rank": 1, "values": values}}}
    try:
        found = [str(each) for each in Policy.parse(policy).warnings]
    except PolicyError as error:
        found = [str(each) for each in error.problems]

    assert any(problem in each for each in found), found


def test_a_text_for_people_is_a_warning_and_no_item():
    policy = Policy.parse({"policy": {"version": 1}, "tiers": {"basic": {"rank": 1, "values": {
        "touchpoints": [{"frequency": "on full moon", "activity": "Call"}, REVIEW], "activities": {"risk": "automated"}}}}})  # fmt: skip
    account = Account("a", "basic", attributes={"start": "2026-01-05"})
    items = schedule(policy, account, date(2026, 1, 5), date(2026, 4, 1), zones=ZoneInfo).items

    assert ["'on full moon' is no cadence" in str(each) for each in policy.warnings] == [True]
    assert ["Business review"] * 2 == [each.name for each in items]
