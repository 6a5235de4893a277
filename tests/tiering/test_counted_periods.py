"""Reviews of quotas by the day, week, year and for a lifetime count the periods of each quota."""

from datetime import UTC, date, datetime, timedelta

import pytest

from entitlements import Account, Enforcer, Policy
from entitlements.model.instants import to_instant
from entitlements.rules.resolve import resolve
from entitlements.testing import FakeClock
from entitlements.tiering.triggers import Cause
from entitlements.usage_files import measured_usage
from entitlements.usage_files.columns import UsagePart
from entitlements.usage_files.reading import UsageMonth

TERMS = {
    "notice": "30 days", "downgrade-to": "free", "upgrade": {"to": "max"},
    "exceeded": {"percent": 100, "months": 2, "of": 3}, "underused": {"percent": 25, "months": 2, "of": 2},
}  # fmt: skip
START = datetime(2026, 7, 10, 12, tzinfo=UTC)
STEPS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31), "year": timedelta(days=366)}


def policy(period):
    return Policy.parse({
        "policy": {"version": "1", "time_zone": "America/New_York"},
        "limits": {"leads": {"kind": "quota", "period": period}},
        "tiers": {
            "free": {"rank": 1, "limits": {"leads": 1}},
            "pro": {"rank": 2, "limits": {"leads": 10}, "values": {"transition": TERMS}},
            "max": {"rank": 3, "limits": {"leads": 100}},
        },
    })  # fmt: skip


def reasons(period, used):
    """Return the causes of a review after some periods of usage, and the sentence of the first."""
    clock = FakeClock(START)
    acme = Account("acme", "pro", anchor=datetime(2024, 2, 29, 23, 30, tzinfo=UTC))
    with Enforcer(policy(period), accounts={"acme": acme}, clock=clock) as enforcer:
        for units in used:
            enforcer.set_usage("acme", "leads", units)
            clock.advance(STEPS.get(period, timedelta(days=40)))
        found = enforcer.review("acme").reasons
    return [each.cause for each in found], "; ".join(each.text for each in found)


@pytest.mark.parametrize("period", STEPS)
def test_a_quota_is_exceeded_in_periods_of_its_own(period):
    causes, text = reasons(period, [10, 3, 10])

    assert Cause.EXCEEDED in causes
    assert f"leads was exceeded in 2 of the last 3 {period}s" in text
    assert Cause.EXCEEDED not in reasons(period, [10, 10, 3, 3])[0]


@pytest.mark.parametrize("period", STEPS)
def test_a_quota_is_underused_in_periods_of_its_own(period):
    assert Cause.UNDERUSED in reasons(period, [2, 2])[0]
    assert Cause.UNDERUSED not in reasons(period, [2, 5])[0]


def test_a_lifetime_is_exceeded_once_and_for_all_and_never_underused():
    causes, text = reasons("lifetime", [3, 10])

    assert Cause.EXCEEDED in causes
    assert "leads, which never resets, was exceeded" in text
    assert [] == reasons("lifetime", [1, 1, 1])[0]


@pytest.mark.parametrize(
    ("period", "expected"),
    [("month", [("06-01", 5), ("05-01", 7)]), ("day", [("06-02", 5)]), ("week", [("06-01", 5)]), ("lifetime", [])],
)
def test_rows_of_months_say_nothing_about_a_quota_of_other_periods(period, expected):
    now = to_instant(datetime(2026, 6, 20, tzinfo=UTC))
    months = tuple(
        UsageMonth(line, day, is_month, {(UsagePart.USED, "leads"): units})
        for line, day, is_month, units in [(3, date(2026, 6, 2), False, 5), (2, date(2026, 5, 1), True, 7)]
    )
    entitlements = resolve(policy(period), Account("acme", "pro", time_zone="UTC"), now)

    found = measured_usage(entitlements, months, now).history.get("leads", ())

    assert expected == [(f"{each.start:%m-%d}", each.used) for each in found]
