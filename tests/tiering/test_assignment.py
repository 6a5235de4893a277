"""Tier assignment: the table of the definitions, signals, gaps and invalid values."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Policy
from entitlements.model.criteria import Criterion, CriterionKind
from entitlements.tiering.assignment import GapKind, VoteDirection, assign, explain
from entitlements.tiering.criterion_values import read_attributes, read_value

POLICY = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "customer-tiers")


def voted(signal, value, **others):
    """Return the tier that one signal votes for."""
    (vote,) = [vote for vote in assign(POLICY, {signal: value, **others}).votes if vote.signal == signal]
    return vote.tier


# --- The table of the definitions, row by row ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "tier"),
    [
        (0, "freemium"),
        (4_999, "freemium"),
        ("4999.99", "freemium"),
        (5_000, "small-business"),
        ("24999.99", "small-business"),
        (25_000, "mid-market"),
        ("99,999.99", "mid-market"),
        ("$100,000", "enterprise"),
        ("USD 100000", "enterprise"),
        (500_000, "enterprise"),
    ],
)
def test_the_annual_value_decides_by_half_open_bands(value, tier):
    assert tier == assign(POLICY, {"annual-value": value}).tier


@pytest.mark.parametrize(
    ("agents", "tier"),
    [
        (1, "freemium"),
        (2, "freemium"),
        (3, "freemium"),
        (4, "small-business"),
        (9, "small-business"),
        (10, "mid-market"),
        (99, "mid-market"),
        (100, "enterprise"),
        (5_000, "enterprise"),
    ],
)
def test_agents_vote_for_the_narrower_band(agents, tier):
    """Two agents are in the bands 1 to 9 and 1 to 3."""
    assert tier == voted("agents", agents)


@pytest.mark.parametrize(
    ("leads", "tier"),
    [
        (0, "freemium"),
        (50, "freemium"),
        (99, "freemium"),
        (100, "small-business"),
        (999, "small-business"),
        (1_000, "mid-market"),
        (9_999, "mid-market"),
        (10_000, "enterprise"),
    ],
)
def test_leads_per_month_vote_for_the_narrower_band(leads, tier):
    assert tier == voted("leads", leads)


@pytest.mark.parametrize(
    ("industry", "tier"),
    [
        ("Enterprise Brokerage", "enterprise"),
        ("carrier", "enterprise"),
        ("regional-agency", "mid-market"),
        ("local_agency", "small-business"),
        ("Independent", "small-business"),
    ],
)
def test_an_industry_votes(industry, tier):
    assert tier == voted("industry", industry)


@pytest.mark.parametrize(
    ("region", "tier"),
    [("multiple-locations", "enterprise"), ("single-region", "mid-market"), ("single-location", "small-business")],
)
def test_a_region_votes(region, tier):
    assert tier == voted("region", region)


@pytest.mark.parametrize(("value", "tier"), [(30_000, "mid-market"), (300_000, "enterprise"), (6_000, "mid-market")])
def test_several_states_vote_for_the_nearer_of_their_two_tiers(value, tier):
    assert tier == voted("region", "multiple-states", **{"annual-value": value})


@pytest.mark.parametrize(
    ("needs", "tier"),
    [("complex", "enterprise"), ("standard", "mid-market"), ("basic", "small-business"), ("none", "freemium")],
)
def test_integration_needs_vote(needs, tier):
    assert tier == voted("integrations", needs)


@pytest.mark.parametrize("industry", ["local-agency", "carrier", "bakery"])
def test_any_industry_and_any_region_fits_tier_4(industry):
    assignment = assign(POLICY, {"annual-value": 0, "industry": industry, "region": "multiple-states"})

    assert [VoteDirection.SAME, VoteDirection.SAME] == [vote.direction for vote in assignment.votes]
    assert assignment.upgrade is None


def test_what_no_tier_names_votes_for_none():
    """Tier 4, which takes any industry, gets no vote from accounts of other tiers."""
    assert () == assign(POLICY, {"annual-value": 50_000, "industry": "bakery"}).votes


# --- Answers ----------------------------------------------------------------------------------------------------


COMPARED = (
    "nps",
    "csat",
    "service-requests",
    "open-cases",
    "adoption",
    "days-to-live",
    "renewed-on-time",
    "churn-risk",
)
"""Criteria that decide nothing and that a review compares."""


def test_an_assignment_names_its_rule_every_criterion_and_every_vote():
    account = Account("acme", "freemium", attributes={"ARR": "$30,000", "agents": "140", "leads_per_month": "80"})
    assignment = assign(POLICY, account)

    assert ("acme", "mid-market", "mid-market") == (assignment.account, assignment.tier, assignment.rule)
    assert "annual-value from 25,000 below 100,000" == assignment.because
    assert {
        "annual-value": Decimal(30_000),
        "evaluating": False,
        "agents": 140,
        "leads": 80,
        "industry": None,
        "region": None,
        "integrations": None,
        "potential": None,
        "locations": None,
        "departments": None,
    } | dict.fromkeys(COMPARED) == assignment.criteria
    assert [("agents", "enterprise", VoteDirection.HIGHER), ("leads", "freemium", VoteDirection.LOWER)] == [
        (vote.signal, vote.tier, vote.direction) for vote in assignment.votes
    ]
    assert assignment.upgrade is not None
    assert ("enterprise", ("agents",)) == (assignment.upgrade.tier, assignment.upgrade.signals)
    assert assignment.optimisation is not None
    assert ("freemium", ("leads",)) == (assignment.optimisation.tier, assignment.optimisation.signals)


def test_votes_for_several_higher_tiers_point_to_the_one_with_most():
    assignment = assign(POLICY, {"annual-value": 6_000, "agents": 500, "leads": 2_000, "integrations": "standard"})

    assert assignment.upgrade is not None
    assert ("mid-market", ("agents", "leads", "integrations")) == (assignment.upgrade.tier, assignment.upgrade.signals)


def test_an_explanation_says_all_of_it():
    told = "\n".join(explain(assign(POLICY, {"annual-value": 30_000, "agents": 140, "leads": 0.5})))

    for words in ("belongs in mid-market", "agents 140 votes for enterprise", "upgrade opportunity", "leads: 0.5"):
        assert words in told


def test_an_assignment_is_json():
    known = json.loads(json.dumps(assign(POLICY, {"annual-value": -1, "agents": 12}).to_dict()))

    assert ("contradictory", 12) == (known["gap"]["why"], known["criteria"]["agents"])


@pytest.mark.parametrize("value", [{}, {"annual-value": 0}, {"annual-value": 200_000}])
def test_evaluating_assigns_the_trial(value):
    assert "trial" == assign(POLICY, {"evaluating": "yes", **value}).tier


# --- Gaps, and what cannot be right -----------------------------------------------------------------------------


@pytest.mark.parametrize("attributes", [{}, {"agents": 3}, {"annual-value": ""}, {"annual_value": None}])
def test_a_missing_annual_value_is_a_named_gap_and_never_freemium(attributes):
    assignment = assign(POLICY, attributes)

    assert assignment.tier is None
    assert assignment.gap is not None
    assert (GapKind.UNKNOWN, ("annual-value",)) == (assignment.gap.why, assignment.gap.criteria)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("agents", 0, "0 is below 1"),
        ("agents", "-3", "-3 is below 1"),
        ("agents", "2.5", "'2.5' is not a whole number"),
        ("leads_per_month", "-1", "-1 is below 0"),
        ("leads", "many", "'many' is not a number"),
        ("industry", 7, "7 is not a word"),
        ("agents", True, "True is not a number"),
        ("agents", [1], "[1] is not a number"),
        ("leads", float("nan"), "nan is not a number"),
        ("potential", "€50,000", "'€50,000' is in EUR, the policy counts in USD"),
        ("potential", "50000 CHF", "'50000 CHF' is in CHF, the policy counts in USD"),
    ],
)
def test_an_attribute_that_cannot_be_right_is_reported_by_account_and_field(field, value, problem):
    assignment = assign(POLICY, Account("acme", "freemium", attributes={"annual-value": 6_000, field: value}))
    (misfit,) = assignment.misfits

    assert ("small-business", "acme", field, problem) == (assignment.tier, misfit.account, misfit.field, misfit.problem)
    assert () == assignment.votes


@pytest.mark.parametrize("value", [-5_000, "($5,000)", "fifty", "1,00", "9" * 50])
def test_a_contradictory_annual_value_is_a_named_gap(value):
    assignment = assign(POLICY, {"annual-value": value})

    assert assignment.tier is None
    assert assignment.gap is not None
    assert (GapKind.CONTRADICTORY, ("annual-value",)) == (assignment.gap.why, assignment.gap.criteria)


def test_two_attributes_that_say_two_things_are_reported_together():
    (misfit,) = assign(POLICY, {"ARR": "$5,000", "annual_value": "6000", "evaluating": True}).misfits

    assert "annual_value and ARR" == misfit.field


def test_two_attributes_that_agree_are_one():
    assert "small-business" == assign(POLICY, {"ARR": "$5,000.00", "annual_value": "5000"}).tier


def test_a_policy_without_rules_leaves_a_gap():
    policy = Policy.parse({"policy": {"version": 1}, "tiers": {"free": {"rank": 1}}})

    gap = assign(policy, {}).gap
    assert gap is not None
    assert GapKind.NO_RULES == gap.why


# --- Total and monotone -----------------------------------------------------------------------------------------

WORDS = ["carrier", "regional-agency", "local-agency", "bakery", "complex", "none", "multiple-states", "", "-1"]
VALUES = st.one_of(
    st.none(),
    st.integers(-10, 200_000),
    st.decimals(-10, 200_000, places=2),
    st.floats(allow_nan=True, allow_infinity=True),
    st.booleans(),
    st.sampled_from(WORDS),
    st.text(max_size=12),
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["annual-value", "ARR", "agents", "leads", "industry", "region", "integrations", "evaluating"]),
    VALUES,
)


@given(attributes=ATTRIBUTES)
def test_every_account_gets_exactly_one_tier_or_a_named_gap(attributes):
    assignment = assign(POLICY, attributes)

    assert (assignment.tier in POLICY.tiers) is (assignment.gap is None)
    assert (assignment.rule is None) is (assignment.gap is not None)
    json.dumps(assignment.to_dict())
    assert explain(assignment)


@given(
    attributes=ATTRIBUTES,
    values=st.lists(st.decimals(0, 300_000, places=2), min_size=2, max_size=2).map(sorted),
)
def test_whoever_pays_more_never_belongs_in_a_lower_tier(attributes, values):
    others = {name: value for name, value in attributes.items() if name not in {"annual-value", "ARR"}}
    lower, higher = (assign(POLICY, {**others, "annual-value": value}).tier for value in values)

    assert (lower is None) is (higher is None)
    if lower is not None:
        assert POLICY.tiers[lower].rank <= POLICY.tiers[higher].rank


# -- money and numbers of other countries -------------------------------------------------

MONEY = Criterion("arr", CriterionKind.AMOUNT, ("arr",))
SEATS = Criterion("seats", CriterionKind.COUNT, ("seats",))


@pytest.mark.parametrize(
    ("text", "currency", "problem"),
    [
        ("$60000", "EUR", "is in dollars, the policy counts in EUR"),
        ("€60000", "USD", "is in EUR"),
        ("¥60000", "EUR", "is in JPY"),
        ("25 000 30 000", "USD", "is not a number"),
        ("10 20", "USD", "is not a number"),
        ("5 0000", "USD", "is not a number"),
    ],
)
def test_an_amount_that_would_have_to_be_guessed_is_an_error(text, currency, problem):
    with pytest.raises(ValueError, match=problem):
        read_value(MONEY, text, currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [("$50,000", "CAD"), ("¥50000", "CNY"), ("50 000", "EUR"), ("50\u00a0000", "EUR"), ("50\u202f000 €", "EUR")],
)
def test_signs_of_the_policys_currency_and_grouping_blanks_are_read(text, currency):
    assert 50_000 == read_value(MONEY, text, currency)


@pytest.mark.parametrize("text", ["1.000", "12.000", "250.000", "1.500"])
def test_a_count_that_may_be_thousands_is_an_error(text):
    with pytest.raises(ValueError, match="thousands or thousandths"):
        read_value(SEATS, text)


@pytest.mark.parametrize(
    "attributes",
    [
        {"ARR (EUR)": "60000"},
        {"ARR": "60000", "ARR Currency": "EUR"},
        {"ARR": "60000", "Currency": "EUR"},
        {"arr": 60_000, "CurrencyIsoCode": "EUR"},
    ],
)
def test_a_heading_or_a_column_states_the_currency_of_an_amount(attributes):
    euro, euro_misfits = read_attributes({"arr": MONEY}, attributes, currency="EUR")
    dollar, (misfit,) = read_attributes({"arr": MONEY}, attributes, currency="USD")

    assert ({"arr": 60_000}, (), {}) == (euro, euro_misfits, dollar)
    assert "is in EUR, the policy counts in USD" in misfit.problem
