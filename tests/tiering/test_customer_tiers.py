"""
Every cell of the customer tier definitions has its answer by name, through the public API, with its type.

The expected values are in `customer_tier_tables`, written from the definitions and never read from `policies/`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from customer_tier_tables import (
    ADD_ONS,
    KEY_TREE,
    LEVELS,
    LIMITS,
    NO,
    ORDER,
    PRICES,
    SWITCHES,
    TOUCHPOINTS,
    VALUES,
    days,
    no,
)

from entitlements import NOT_INCLUDED, Account, Enforcer, Override, Policy, Reason, Trial, UnknownFeature
from entitlements.testing import FakeClock

POLICY = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "customer-tiers")
NOW = datetime(2026, 11, 2, 15, tzinfo=UTC)
ENFORCER = Enforcer(POLICY, clock=FakeClock(NOW))

TIERS = ("enterprise", "mid-market", "small-business", "freemium", "trial")
ACCOUNTS = {tier: Account(f"an-{tier}-account", tier) for tier in TIERS[:4]}
ACCOUNTS["trial"] = Account(
    "a-trial-account", "freemium", trial=Trial("trial", NOW - timedelta(days=1), NOW + timedelta(days=13))
)


def column(row: tuple[object, ...], tier: str) -> object:
    """Return the cell of *tier*: the trial plan has freemium's, unless the row has a fifth column."""
    assert len(row) in {4, 5}
    return row[min(TIERS.index(tier), len(row) - 1)]


def cells(table: Mapping[str, tuple[object, ...]]) -> list[object]:
    """Return a parameter for each cell of *table*: tier, name, expected."""
    return [
        pytest.param(tier, name, column(row, tier), id=f"{tier}-{name}")
        for name, row in table.items()
        for tier in TIERS
    ]


def typed(value: object) -> object:
    """Return *value* with the type of each scalar in it, so that True is not 1 and "24" is not 24."""
    if isinstance(value, Mapping):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(typed(inner) for inner in value)
    return type(value).__name__, value


def leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the leaf keys under *key* with their values."""
    if isinstance(value, no):
        yield key, None
        yield f"{key}.label", str(value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(f"{key}.{name}", inner)
    elif value is not NO:
        yield key, value


def names_of_the_key_tree() -> Iterator[str]:
    """Yield the keys of `KEY_TREE`, with braces expanded."""
    for word in KEY_TREE.split():
        stem, _, branches = word.partition("{")
        for branch in branches.rstrip("}").split(","):
            yield stem + branch


def test_the_files_load_without_a_warning():
    assert () == POLICY.warnings


# --- Cells --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tier", "name", "expected"), cells(LIMITS))
def test_a_limit_is_the_size_of_its_cell(tier, name, expected):
    assert typed(expected) == typed(ENFORCER.entitlements(ACCOUNTS[tier]).limit(name))


@pytest.mark.parametrize(("tier", "name", "expected"), cells(LIMITS))
def test_a_limit_can_be_used_where_its_cell_is_above_zero(tier, name, expected):
    assert (expected != 0) is ENFORCER.can(ACCOUNTS[tier], name)


@pytest.mark.parametrize(("tier", "name", "expected"), cells(SWITCHES))
def test_a_switch_is_on_where_its_cell_is_ticked(tier, name, expected):
    assert expected is ENFORCER.can(ACCOUNTS[tier], name)


@pytest.mark.parametrize(("tier", "name", "expected"), cells(LEVELS))
def test_a_feature_has_the_level_of_its_cell(tier, name, expected):
    assert expected == ENFORCER.value(ACCOUNTS[tier], name)
    assert (expected != "none") is ENFORCER.can(ACCOUNTS[tier], name)


@pytest.mark.parametrize(("tier", "name", "expected"), cells(LEVELS))
def test_a_level_includes_every_level_below_it(tier, name, expected):
    reached = ORDER[name].index(expected)

    for at, level in enumerate(ORDER[name]):
        assert (at <= reached and expected != "none") is ENFORCER.can(ACCOUNTS[tier], f"{name}:{level}")


@pytest.mark.parametrize(("tier", "name", "expected"), cells(VALUES))
def test_a_value_is_what_its_cell_says(tier, name, expected):
    account = ACCOUNTS[tier]
    whole = None if isinstance(expected, no) else expected

    assert typed(whole) == typed(ENFORCER.value(account, name))
    for key, leaf in leaves(name, expected):
        assert typed(leaf) == typed(ENFORCER.value(account, key))


@pytest.mark.parametrize("tier", TIERS)
def test_touchpoints_are_the_rows_of_the_tiers_table(tier):
    rows = []
    for frequency, activity, audience, how in TOUCHPOINTS[tier]:
        row = {"frequency": frequency, "activity": activity, "audience": audience}
        row["duration" if isinstance(how, timedelta) else "format"] = how
        rows.append({key: cell for key, cell in row.items() if cell is not None})

    assert typed(tuple(rows)) == typed(ENFORCER.value(ACCOUNTS[tier], "touchpoints"))


# --- Nothing is missing, nothing is untested ----------------------------------------------------------------------


@pytest.mark.parametrize("key", list(names_of_the_key_tree()))
def test_every_key_of_the_tree_has_a_value_in_some_tier(key):
    answers = [ENFORCER.value(account, key) for account in ACCOUNTS.values()]

    assert any(answer is not NOT_INCLUDED for answer in answers)


def test_every_name_of_the_policy_stands_in_a_table():
    tabled = {key for name, row in VALUES.items() for cell in row for key, _ in leaves(name, cell)}

    own = {key for key in POLICY.keys if key.startswith("kpi-measures.")}  # the columns of our files
    assert tabled | own | {"touchpoints"} == POLICY.keys
    assert set(SWITCHES) | set(LEVELS) == {name for name in POLICY.features if not name.startswith("service.")}
    assert set(LIMITS) == set(POLICY.limits)
    assert {name: POLICY.features[name].levels for name in ORDER} == ORDER


def test_the_tables_hold_so_many_cells():
    """Detect a missing row or column."""
    tables = (LIMITS, SWITCHES, LEVELS, VALUES)
    touchpoints = sum(cell is not None for rows in TOUCHPOINTS.values() for row in rows for cell in row)

    assert 1297 == touchpoints + sum(len(table) * len(TIERS) for table in tables)


# --- Tiers and plans ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "name", "rank", "aliases"),
    [
        ("enterprise", "Tier 1 – Enterprise", 4, ("tier-1",)),
        ("mid-market", "Tier 2 – Mid-Market", 3, ("tier-2",)),
        ("small-business", "Tier 3 – Small Business", 2, ("tier-3",)),
        ("freemium", "Tier 4 – Freemium", 1, ("tier-4",)),
        ("trial", "Tier 4 – Trial", 1, ()),
    ],
)
def test_a_tier_has_a_name_a_rank_and_an_alias(tier, name, rank, aliases):
    found = POLICY.tiers[tier]

    assert (name, rank, aliases) == (found.name, found.rank, found.aliases)
    for alias in aliases:
        assert tier == ENFORCER.entitlements(Account("by-alias", alias)).tier


def test_the_policy_has_five_plans():
    assert set(TIERS) == set(POLICY.tiers)


def test_the_trial_plan_lasts_14_to_30_days_and_then_is_freemium():
    terms = POLICY.tiers["trial"].trial
    one_day = 24 * 60 * 60 * 1_000_000

    assert (14 * one_day, 14 * one_day, 30 * one_day) == (terms.default, terms.shortest, terms.longest)
    assert "freemium" == terms.then
    assert all(POLICY.tiers[tier].trial is None for tier in TIERS[:4])


def test_a_trial_that_is_over_leaves_freemium():
    clock = FakeClock(NOW)
    enforcer = Enforcer(POLICY, clock=clock)
    account = ACCOUNTS["trial"]
    assert ("trial", "full") == (enforcer.entitlements(account).tier, enforcer.value(account, "lead-routing"))

    clock.advance(days(13))

    assert ("freemium", "basic") == (enforcer.entitlements(account).tier, enforcer.value(account, "lead-routing"))
    assert NOT_INCLUDED is enforcer.value(account, "trial.duration")


@pytest.mark.parametrize("tier", ["freemium", "trial"])
def test_no_api_access_is_a_matter_of_the_tier_not_of_speed(tier):
    decision = ENFORCER.consume(ACCOUNTS[tier], "api")

    assert (False, Reason.NOT_INCLUDED, 0) == (decision.allowed, decision.reason, decision.limit)
    assert decision.retry_after is None
    assert "small-business" == decision.remedy.tier


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("one", "other"), [("api-access", "api"), ("white-label", "branding:white-label")])
def test_two_names_for_one_fact_agree(tier, one, other):
    assert ENFORCER.can(ACCOUNTS[tier], one) is ENFORCER.can(ACCOUNTS[tier], other)


def test_a_name_that_no_table_has_is_an_error_with_the_nearest_spelling():
    with pytest.raises(UnknownFeature, match="'sso'"):
        ENFORCER.can(ACCOUNTS["enterprise"], "ssso")


# --- Add-ons ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("add_on", "tier", "key", "without", "bought"),
    [(add_on, tier, *change) for add_on, tiers in ADD_ONS.items() for tier, change in tiers.items()],
)
def test_a_bought_add_on_replaces_the_value_of_the_tier(add_on, tier, key, without, bought):
    assert without == ENFORCER.value(Account("has-none", tier), key)
    assert bought == ENFORCER.value(Account("has-one", tier, add_ons={add_on: 1}), key)


def test_an_override_wins_over_a_bought_add_on():
    override = Override("support.phone", "24/7", reason="rescue of the account", author="vp-success")
    account = Account("has-both", "small-business", add_ons={"phone-support": 1}, overrides=(override,))

    assert "24/7" == ENFORCER.value(account, "support.phone")


@pytest.mark.parametrize(("quantity", "expected"), [(1, 11), (5, 15)])
def test_each_bought_custom_report_is_one_more(quantity, expected):
    account = Account("needs-more", "mid-market", add_ons={"custom-reports": quantity})

    assert expected == ENFORCER.entitlements(account).limit("custom-reports")


def test_add_ons_have_the_listed_prices_and_are_offered_to_the_listed_tiers():
    offered = {add_on: set(tiers) for add_on, tiers in ADD_ONS.items()} | {"custom-reports": {"mid-market"}}

    assert PRICES == {name: add_on.price for name, add_on in POLICY.add_ons.items()}
    assert offered == {name: set(add_on.tiers) for name, add_on in POLICY.add_ons.items()}
