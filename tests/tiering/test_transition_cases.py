"""Transition cases: steps, owners and due times of what a review recommends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Policy
from entitlements.model.instants import DAY, to_datetime, to_instant
from entitlements.tiering.reviews import review
from entitlements.tiering.transition_cases import case_of
from entitlements.tiering.triggers import Action

POLICY = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "customer-tiers")
FRIDAY_EVENING = datetime(2026, 11, 6, 22, tzinfo=UTC)  # 17:00 in New York, three hours before support closes
VALUES = {"enterprise": 150_000, "mid-market": 50_000, "small-business": 12_000, "freemium": 0}


def opened(tier, *events, now=FRIDAY_EVENING, **attributes):
    """Return the case of an account with these events."""
    account = Account("acme", tier, attributes={"annual-value": VALUES[tier], **attributes})
    return case_of(POLICY, review(POLICY, account, now=to_instant(now), events=events), to_instant(now), ZoneInfo)


def test_an_account_that_keeps_its_tier_has_no_case():
    assert opened("mid-market") is None


def test_outreach_within_24_hours_runs_on_the_support_clock_of_the_tier_above():
    """Friday 17:00 in New York: 3 hours, Monday 12 hours, and 9 hours of Tuesday: 17:00, 22:00 UTC."""
    case = opened("freemium", "expansion")

    assert (case.action, case.to) == (Action.UPGRADE, "small-business")
    assert case.outreach_due == datetime(2026, 11, 10, 22, tzinfo=UTC)


def test_a_downgrade_takes_effect_when_its_notice_ends():
    """60 days after 6 November are 5 January."""
    case = opened("mid-market", "less-usage")

    assert (case.to, case.effective) == ("small-business", datetime(2027, 1, 5, 22, tzinfo=UTC))
    assert case.steps[0].text == "Notice of 60 days"


def test_every_step_of_the_policy_has_its_owner():
    for tier, event in (("freemium", "expansion"), ("small-business", "expansion"), ("mid-market", "expansion")):
        for case in (opened(tier, event), opened(tier, "downsizing") if tier != "freemium" else None):
            assert case is None or (case.steps and all(step.owner for step in case.steps))


def test_the_steps_of_an_upgrade_from_freemium_are_due_in_their_order():
    case = opened("freemium", "expansion")

    assert case.steps[0].due == case.opened + timedelta(hours=1)  # Friday 18:00 in New York
    assert case.steps[1].due == case.outreach_due


@given(st.integers(to_instant(FRIDAY_EVENING), to_instant(FRIDAY_EVENING) + 4 * 365 * DAY).map(to_datetime))
def test_outreach_is_due_in_support_hours_and_after_24_of_them(now):
    due = opened("freemium", "expansion", now=now).outreach_due
    local = due.astimezone(ZoneInfo("America/New_York"))

    assert local.weekday() < 5
    assert 8 <= local.hour + local.minute / 60 <= 20
    assert timedelta(days=1) <= due - to_datetime(to_instant(now)) <= timedelta(days=5)
