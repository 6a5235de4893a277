"""
Every row of the funnel paper's tables has its answer by name, from `policies/second-funnel`.

The expected values are in `funnel_tables`, written from the paper.
"""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from funnel_tables import (
    DEFINITIONS,
    EXAMPLE,
    EXAMPLE_TIER,
    HEADINGS,
    LATER_STAGE,
    OTHER_CRITERIA,
    SELF_SERVICE,
    STEP_0,
    VARIANTS,
)

from entitlements import Account, Enforcer, Policy
from entitlements.model.instants import to_instant
from entitlements.testing import FakeClock
from entitlements.tiering.assignment import assign
from entitlements.tiering.reviews import combine_reviews, review
from entitlements.tiering.segmentation import segment, segmentations
from entitlements.tiering.service_costs import serve
from entitlements.tiering.services import in_variant, tier_lines

POLICIES = Path(__file__).resolve().parents[2] / "policies"
POLICY = Policy.load(POLICIES / "second-funnel")
START = datetime(2026, 11, 2, 15, tzinfo=UTC)
NOW = to_instant(START)
BY_NAME = {service.name: service for service in POLICY.services.catalogue.values()}
ROWS = [(variant, name, row) for variant, table in VARIANTS.items() for name, row in table.items()]


def test_the_policy_has_no_warning():
    assert () == POLICY.warnings


@pytest.mark.parametrize(("variant", "name", "row"), ROWS)
def test_who_gets_a_service_is_what_can_says(variant, name, row):
    """Both variants, row by row; tier 3 has none of these."""
    enforcer = Enforcer(in_variant(POLICY, variant), clock=FakeClock(START))
    told = [enforcer.can(Account("a", tier), BY_NAME[name].feature) for tier in ("tier-1", "tier-2", "tier-3")]

    assert [*row, False] == told


def test_the_later_stage_is_in_force_where_nothing_else_is_chosen():
    assert POLICY.services.variant == "later-stage"
    assert {name: "service." + BY_NAME[name].id in POLICY.tiers["tier-2"].features for name in LATER_STAGE} == {
        name: row[1] for name, row in LATER_STAGE.items()
    }


@pytest.mark.parametrize(("name", "words"), DEFINITIONS.items())
def test_a_service_is_defined(name, words):
    """Step 1."""
    assert [] == [word for word in words if word not in BY_NAME[name].about.lower()]


def test_the_customer_tiers_have_the_same_catalogue():
    other = POLICIES / "customer-tiers" / "catalogue.yaml"

    assert (POLICIES / "second-funnel" / "catalogue.yaml").read_bytes() == other.read_bytes()
    assert POLICY.services.catalogue == Policy.load(other.parent).services.catalogue


def test_there_are_fifteen_services_besides_the_self_service():
    assert list(DEFINITIONS) == [service.name for service in BY_NAME.values() if not service.self_service]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", SELF_SERVICE)
def test_tier_3_serves_itself(variant, name):
    served = {line.service.name for line in tier_lines(in_variant(POLICY, variant), "tier-3")}

    assert name in served
    assert BY_NAME[name].self_service


def test_tier_3_gets_nothing_but_self_service():
    assert list(SELF_SERVICE) == [line.service.name for line in tier_lines(POLICY, "tier-3")]


@pytest.mark.parametrize(("tier", "customers", "share", "touch"), STEP_0)
def test_step_0_describes_the_tiers(tier, customers, share, touch):
    value = Enforcer(POLICY).value

    assert (customers, touch) == tuple(value(Account("a", tier), f"segment.{key}") for key in ("customers", "touch"))
    if share is None:
        assert value(Account("a", tier), "segment.share") is None
    else:
        assert dict(zip(("from", "to"), map(Decimal, share), strict=True)) == value(Account("a", tier), "segment.share")


def test_the_cuts_of_the_share_lie_within_the_shares_of_step_0():
    first, second, _ = POLICY.segmentations["arr-share"].cuts

    assert 10 <= first.below <= 20
    assert 30 <= second.below - first.below <= 50
    assert (15, 55) == (first.below, second.below)


@pytest.mark.parametrize(("by", "attributes"), OTHER_CRITERIA.items())
def test_a_base_can_be_divided_by_other_criteria(by, attributes):
    (found,) = segment(POLICY, [attributes], by=by)

    assert ("tier-1", None) == (found.tier, found.gap)
    assert by in segmentations(POLICY)


@pytest.mark.parametrize("name", [*DEFINITIONS, *SELF_SERVICE])
def test_the_assessed_value_is_cost_times_interval_times_one_plus_margin(name):
    """Steps 2 to 4: each service has a cost and a margin, and an interval in each of its tiers."""
    service = BY_NAME[name]
    lines = [line for tier in POLICY.tiers for line in tier_lines(POLICY, tier) if line.service is service]

    assert lines
    for line in lines:
        assert line.times > 0
        assert line.cost == service.cost * line.times
        assert line.value == service.cost * line.times * (1 + service.margin)


def test_the_example_of_step_5_is_in_its_tier():
    attributes = dict(zip(HEADINGS, EXAMPLE, strict=True))
    found = assign(POLICY, attributes)

    assert EXAMPLE_TIER == POLICY.tiers[found.tier].name
    assert Decimal(50_000) == found.criteria["arr"]


def test_the_threshold_of_open_cases_is_a_value():
    """Support Case Monitoring: the paper leaves the number open, so it is the policy's."""
    assert Decimal(5) == Enforcer(POLICY).value(Account("a", "tier-1"), "support-cases.threshold")


QUESTIONS = {
    "nps": ("62", "48", "20"),
    "csat": ("95", "90", "71.5"),
    "service-requests": ("9", "14", "30"),
    "open-cases": ("1", "3", "7"),
    "adoption": ("88", "70", "35"),
    "churn-risk": ("5", "10", "40"),
    "days-to-live": ("120", "60", "3"),
}


@pytest.mark.parametrize("criterion", QUESTIONS)
def test_what_the_paper_asks_per_tier_can_be_compared_in_the_review(criterion):
    """Satisfaction, requests, adoption, churn, open cases, time to live: per tier, if the data is given."""
    accounts = [
        Account(f"a-{tier}", tier, attributes={criterion: answer, "arr": "20000"})
        for tier, answer in zip(POLICY.tiers, QUESTIONS[criterion], strict=True)
    ]
    compared = combine_reviews(POLICY, [review(POLICY, each, now=NOW) for each in accounts]).compared

    assert {tier: Decimal(answer) for tier, answer in zip(POLICY.tiers, QUESTIONS[criterion], strict=True)} == {
        tier: spreads[criterion].middle for tier, spreads in compared.items()
    }


def test_over_servicing_is_comparable_per_tier():
    """A tier-1 service for a tier-3 price is losing money."""
    served = serve(POLICY, Account("a", "tier-1", attributes={"ARR": "$9,000"}), now=NOW)

    assert ("over-serviced", False) == (served.servicing, served.covered)
