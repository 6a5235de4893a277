"""
Readings of the definitions where they are silent or contradict themselves, with one test each.

Service levels are in `test_sla`, assignment in `test_assignment`, triggers and reviews in `test_reviews`, changes in
`test_preview`, trials in `test_trials`.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from entitlements import UNLIMITED, Account, AccountError, Enforcer, Override, Policy, Reason, Trial
from entitlements.testing import FakeClock

ROOT = Path(__file__).resolve().parents[2]
POLICY = Policy.load(ROOT / "policies" / "customer-tiers")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TRYING = Account("trying", "freemium", trial=Trial("trial", NOW, NOW + timedelta(days=14)))
FREE = Account("free", "freemium")
SMALL, MIDDLE = Account("small", "small-business"), Account("middle", "mid-market")


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def enforcer(clock):
    return Enforcer(POLICY, clock=clock)


def test_tier_4_is_one_tier_with_two_plans_that_share_their_limits(enforcer):
    trial, free = enforcer.entitlements(TRYING), enforcer.entitlements(FREE)

    assert ("trial", "freemium") == (trial.tier, free.tier)
    assert POLICY.tiers["trial"].rank == POLICY.tiers["freemium"].rank
    assert all(trial.limit(name) == free.limit(name) for name in POLICY.limits)
    assert "freemium" == enforcer.entitlements(Account("acme", "tier-4")).tier


@pytest.mark.parametrize("length", [13, 31])
def test_a_trial_plan_out_of_its_bounds_is_a_bad_account(enforcer, length):
    with pytest.raises(AccountError, match="14 days to 30 days"):
        enforcer.can(Account("a", "freemium", trial=Trial("trial", NOW, NOW + timedelta(days=length))), "leads")


@pytest.mark.parametrize("trial", [Trial("enterprise", NOW, NOW + timedelta(days=365)), Trial("trial", None, NOW)])
def test_a_trial_of_a_paid_tier_has_no_bounds_and_one_without_a_start_is_not_measured(enforcer, trial):
    assert enforcer.can(Account("acme", "freemium", trial=trial), "leads")


def test_custom_reports_and_standard_reports_are_two_limits(enforcer):
    sizes = {account.tier: enforcer.entitlements(account) for account in (SMALL, MIDDLE)}

    assert (10, 5) == tuple(sizes["small-business"].limit(name) for name in ("standard-reports", "custom-reports"))
    assert (UNLIMITED, 10) == tuple(sizes["mid-market"].limit(name) for name in ("standard-reports", "custom-reports"))


def test_profile_figures_say_whom_a_tier_is_for_and_are_never_enforced(enforcer):
    """A small business is for up to 9 agents and 999 leads; it may have 10 and 5,000."""
    assert (Decimal(9), Decimal(999)) == tuple(
        enforcer.value(SMALL, f"segment.{name}.to") for name in ("agents", "leads")
    )
    assert enforcer.consume(SMALL, {"agents": 10, "leads": 5_000}).allowed
    assert Reason.NEVER_FITS is enforcer.peek(SMALL, "leads", 5_001).reason


@pytest.mark.parametrize(
    ("anchor", "ends"),
    [
        (None, datetime(2026, 2, 1, tzinfo=UTC)),
        (31, datetime(2026, 2, 28, tzinfo=UTC)),
        (15, datetime(2026, 2, 15, tzinfo=UTC)),
    ],
)
def test_months_are_calendar_months_unless_an_account_has_an_anchor(enforcer, anchor, ends):
    """A 31st falls on the last day of a shorter month."""
    account = Account("acme", "freemium", anchor=anchor)
    enforcer.consume(account, "leads")

    assert ends == enforcer.usage(account)["leads"].resets_at


def test_a_trial_has_the_standard_features_in_full_and_none_of_the_exclusive_ones(enforcer):
    for feature in ("lead-management:full", "lead-routing:full", "email-notifications", "standard-reports"):
        assert enforcer.can(TRYING, feature), feature
    for feature in ("sso", "white-label", "team-collaboration", "early-access", "analytics", "branding"):
        assert not enforcer.can(TRYING, feature), feature


@pytest.mark.parametrize("account", [TRYING, FREE], ids=lambda account: account.id)
def test_the_limitations_win_for_every_tier_4_account(enforcer, account):
    assert (False, False, False) == tuple(enforcer.can(account, name) for name in ("integrations", "api-access", "api"))
    assert ("limited", "community", "none") == tuple(
        enforcer.value(account, key) for key in ("customization", "support.primary-channel", "support.email")
    )


def test_where_no_level_is_named_the_lowest_applies(enforcer):
    assert ["basic"] * 3 == [enforcer.value(account, "security") for account in (SMALL, FREE, TRYING)]


def test_the_seven_conversion_metrics_the_prices_and_the_customer_counts_are_values(enforcer):
    rich = Account("rich", "enterprise")

    assert 7 == len(enforcer.value(FREE, "conversion-metrics"))
    assert (2_000, 200) == tuple(
        enforcer.value(rich, f"pricing.additional.{name}.price") for name in ("on-site-visits", "custom-development")
    )
    assert ({"from": 50, "to": 100}, "Self-service enablement") == tuple(
        enforcer.value(SMALL, f"segment.{name}") for name in ("customers", "focus")
    )


@pytest.mark.parametrize(
    ("key", "label"),
    [("support.response", "48+ hours"), ("sla.p4.response", "72+ hours"), ("sla.p4.resolution", "Best effort"),
     ("onboarding.migration", "N/A"), ("sla.p1.response", "N/A"), ("uptime.guarantee", "Best effort")],
)  # fmt: skip
def test_texts_that_promise_nothing_are_no_commitment(enforcer, key, label):
    assert (None, label) == (enforcer.value(FREE, key), enforcer.value(FREE, f"{key}.label"))


def test_the_touchpoint_table_governs_month_1_of_mid_market(enforcer):
    first = enforcer.value(MIDDLE, "touchpoints")[0]

    assert ("bi-weekly", "Check-in (month 1)") == (first["frequency"], first["activity"])
    assert "bi-weekly in month 1 only" == enforcer.value(MIDDLE, "reviews.weekly")


def test_tier_4_has_no_customer_success_manager_and_is_labelled_automated(enforcer):
    assert ("none", "Automated") == (enforcer.value(FREE, "csm.model"), enforcer.value(FREE, "csm.label"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("onboarding.kickoff", "virtual or in person"),
        ("onboarding.migration", "templates"),
        ("reviews.quarterly", "with manager approval"),
    ],
)
def test_the_sections_govern_for_mid_market(enforcer, key, value):
    assert value == enforcer.value(MIDDLE, key)


def test_a_brand_ambassador_is_a_grant_or_an_override_and_keeps_the_tier(enforcer):
    benefit = Override("standard-reports", 15, reason="brand ambassador", author="Community Desk")
    account = Account("acme", "freemium", overrides=(benefit,))

    assert ("freemium", 15) == (
        enforcer.entitlements(account).tier,
        enforcer.entitlements(account).limit("standard-reports"),
    )


def test_every_reading_of_the_page_names_a_test_that_there_is():
    page = (ROOT / "docs" / "readings.md").read_text(encoding="utf-8").partition("## Abbreviations")[0]
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| the text")]
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)` \|$", page, re.MULTILINE)
    files = {file: (ROOT / "tests" / "tiering" / file).read_text(encoding="utf-8") for file, _ in named}

    assert len(rows) == len(named) >= 30
    assert [] == [(file, name) for file, name in named if f"def {name}(" not in files[file]]
