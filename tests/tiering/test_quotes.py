"""Quotes: prices recomputed by hand, and what they change."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Policy
from entitlements.model.instants import to_instant
from entitlements.tiering.quotes import Recurrent, quote

POLICIES = Path(__file__).resolve().parents[2] / "policies"
POLICY = Policy.load(POLICIES / "customer-tiers")
NOW = to_instant(datetime(2026, 11, 2, 12, tzinfo=UTC))


def quoted(tier, items, pays=None, to=None, **named):
    attributes = {} if pays is None else {"annual-value": pays}
    return quote(POLICY, Account("acme", tier, attributes=attributes, **named), items, now=NOW, to=to)


def amounts(found):
    return [(line.item, line.due.value, line.amount) for line in found.lines]


def test_a_small_business_buys_phone_support_and_training():
    """500 a year, and three sessions of 200: 500 yearly, 600 once."""
    found = quoted("small-business", {"phone-support": 1, "training": 3}, pays=12_000)

    assert [("phone-support", "yearly", 500), ("training", "once", 600)] == amounts(found)
    assert (500, 600, 12_000) == (found.yearly, found.once, found.fee)
    (phone,) = [each for each in found.changes if each.name == "support.phone"]
    assert ("add-on", "business-hours") == (phone.before, phone.after)


def test_the_same_with_a_move_to_mid_market():
    """
    It pays 12,000 and mid-market begins at 25,000: 13,000 more. Phone support is part of the tier: nothing. Three sessions
    are 500 each there: 1,500. Premium support is 25 % of the new fee: 6,250. Together 19,250 a year and 1,500 once.
    """
    found = quoted("small-business", {"phone-support": 1, "training": 3, "premium-support": 1}, 12_000, "mid-market")

    assert [("platform-fee", 13_000), ("professional-services", 0), ("training", 0), ("data-migration", 0),
            ("phone-support", 0), ("training", 1_500), ("premium-support", 6_250)] == [
        (line.item, line.amount) for line in found.lines
    ]  # fmt: skip
    assert (19_250, 1_500, 25_000, ()) == (found.yearly, found.once, found.fee, found.unknown)
    changed = {each.name: (each.before, each.after) for each in found.changes}
    assert ((10, 100), ("none", "standard")) == (changed["agents"], changed["analytics"])
    assert True is changed["team-collaboration"][1]


@pytest.mark.parametrize(
    ("tier", "pays", "items", "yearly", "once"),
    [
        ("enterprise", 420_000, {"premium-support": 1}, 84_000, 0),  # 20 % of 420,000
        ("enterprise", "$333,333", {"premium-support": 1}, "66666.60", 0),  # 20 % of 333,333
        (
            "enterprise",
            100_000,
            {"on-site-visits": 2, "custom-development": 10, "training": 1},
            0,
            7_000,
        ),  # 4,000+2,000+1,000
        ("mid-market", 39_000, {"premium-support": 1, "custom-reports": 3}, 9_750, 600),  # 25 % of 39,000; 3 x 200
        ("small-business", 5_000, {"phone-support": 1, "priority-support": 1}, 1_500, 0),  # 500 + 1,000
        ("small-business", 5_000, {"service.training": 2}, 910, 0),  # 2 x 350 x 1.3
        ("enterprise", 100_000, {"service.executive-sponsorship": 1}, 2_100, 0),  # 1,500 x 1.4
    ],
)
def test_prices_by_hand(tier, pays, items, yearly, once):
    found = quoted(tier, items, pays)

    assert (Decimal(yearly), once) == (found.yearly, found.once)


def test_a_quote_for_a_move_alone():
    """From 60,000 to enterprise: 40,000 more; three components are included, integrations are by quote."""
    found = quoted("mid-market", {}, 60_000, "tier-1")

    assert [("platform-fee", 40_000), ("professional-services", 0), ("custom-integrations", None), ("training", 0),
            ("data-migration", 0)] == [(line.item, line.amount) for line in found.lines]  # fmt: skip
    assert ("custom-integrations: quote",) == found.unknown


def test_a_move_down_keeps_what_is_paid_unless_it_is_less_than_the_minimum():
    assert 0 == quoted("enterprise", {}, 130_000, "mid-market").yearly


def test_what_the_account_has_and_the_tier_does_not_offer_is_noted():
    found = quoted("small-business", {}, 9_000, "mid-market", add_ons={"priority-support": 1})
    down = quoted("mid-market", {}, 30_000, "small-business", add_ons={"custom-reports": 1})

    assert ("priority-support: included in mid-market",) == found.notes
    assert ("custom-reports: included in small-business",) == down.notes


def test_an_unknown_payment_leaves_percentages_unknown_and_the_rest_known():
    found = quoted("mid-market", {"premium-support": 1, "custom-reports": 1})

    assert (None, 200, Decimal(0)) == (found.lines[0].amount, found.once, found.yearly)
    assert ("premium-support: the payment of the account is not known",) == found.unknown


def test_what_another_tier_alone_offers_has_no_amount():
    found = quoted("small-business", {"on-site-visits": 1}, 9_000)

    assert ("on-site-visits: not offered to small-business, only to enterprise",) == found.unknown


@pytest.mark.parametrize(
    ("items", "to", "problem"),
    [
        (
            {"phone-suport": 1},
            None,
            "'phone-suport' is nothing that policy 2026-11 sells; did you mean 'phone-support'",
        ),
        ({"service.trainings": 1}, None, "did you mean 'service.training'"),
        ({"training": 0}, None, "quantity of training 0"),
        ({}, "gold", "'gold' is no tier"),
        ({}, "trial", "'trial' is a trial plan"),
    ],
)
def test_what_cannot_be_quoted_is_named(items, to, problem):
    with pytest.raises(ValueError, match=problem):
        quoted("small-business", items, 9_000, to)


@given(
    tier=st.sampled_from(["enterprise", "mid-market", "small-business", "freemium"]),
    pays=st.one_of(st.none(), st.decimals(0, 900_000, places=2)),
    items=st.dictionaries(st.sampled_from([*POLICY.add_ons, "service.renewal"]), st.integers(1, 50), max_size=4),
    to=st.sampled_from([None, "enterprise", "mid-market", "small-business", "freemium"]),
)
def test_the_sums_are_those_of_the_lines_and_twice_as_much_costs_twice(tier, pays, items, to):
    found = quoted(tier, items, pays, to)
    twice = quoted(tier, {name: 2 * count for name, count in items.items()}, pays, to)

    for due, total in ((Recurrent.YEARLY, found.yearly), (Recurrent.ONCE, found.once)):
        assert total == sum((line.amount for line in found.lines if line.due is due and line.amount), Decimal(0))
    moved = len(found.lines) - len(items)
    for one, two in zip(found.lines[moved:], twice.lines[moved:], strict=True):
        assert (one.amount is None) == (two.amount is None)
        assert one.amount is None or abs(two.amount - 2 * one.amount) <= Decimal("0.01")
    json.dumps(found.to_dict())


# --- Prices stand once --------------------------------------------------------------------------------------------


def warnings_of(change):
    tiers = {
        "basic": {
            "rank": 1,
            "values": {"pricing": {"annual-minimum": 500, "additional": {"phone": {"price": 50, "per": "year"}}}},
        }
    }
    policy = {"policy": {"version": 1}, "tiers": tiers, "add_ons": {"phone": {"values": {"hotline": "yes"}}}}
    change(policy)
    return [str(each) for each in Policy.parse(policy).warnings]


def test_the_text_of_a_price_comes_from_the_figures_of_the_tiers():
    assert {
        "phone-support": "500 per year", "on-site-visits": "2000 per day, plus expenses",
        "premium-support": "25 % of the annual fee on mid-market, 20 % on enterprise",
    }.items() <= {name: each.price for name, each in POLICY.add_ons.items()}.items()  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda _: None, None),
        (lambda policy: policy["add_ons"]["phone"].update(price="50 per year"), None),
        (
            lambda policy: policy["add_ons"]["phone"].update(price="90 per year"),
            "pricing.additional.phone.price: 50 is not in the price of the add-on, '90 per year'",
        ),
        (
            lambda policy: policy["tiers"]["basic"]["values"].update(segment={"annual-value": {"from": 600}}),
            "segment.annual-value.from: 600 is not pricing.annual-minimum, 500",
        ),
        (
            lambda policy: policy["tiers"]["basic"]["values"]["pricing"].update(
                components={"platform-fee": {"minimum": 400}}
            ),
            "pricing.components.platform-fee.minimum: 400 is not pricing.annual-minimum, 500",
        ),
    ],
)
def test_prices_that_stand_twice_are_held_against_each_other(change, problem):
    found = warnings_of(change)

    assert (problem is None) == (found == [])
    assert problem is None or any(problem in each for each in found)
