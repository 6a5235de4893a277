"""Quantities that add-ons are sold in, pairs that exclude each other, and yearly amounts of prices."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Policy
from entitlements.model.policy import AddOn
from entitlements.model.tier import Tier
from entitlements.rules.add_ons import exclude_each_other, fits_quantity, next_quantity
from entitlements.rules.prices import ADDITIONAL, add_on_price, tier_price


@given(least=st.integers(1, 12), many=st.none() | st.integers(0, 30), step=st.integers(1, 7), wanted=st.integers(0, 60))
def test_the_next_quantity_is_the_least_of_those_sold(least, many, step, wanted):
    most = None if many is None else least + many
    add_on = AddOn("seats", at_least=least, at_most=most, step=step)
    sold = [n for n in range(0, 100, step) if n >= least and (most is None or n <= most)]

    assert next((n for n in sold if n >= wanted), None) == next_quantity(add_on, wanted)
    assert (wanted in sold) is fits_quantity(add_on, wanted)


def test_add_ons_exclude_each_other_whichever_of_the_two_says_so():
    policy = Policy.parse({
        "policy": {"version": "1"},
        "features": {"sso": "Single sign-on"},
        "tiers": {"pro": {"rank": 1}},
        "add_ons": {"a": {"features": ["sso"], "excludes": ["b"]}, "b": {"features": ["sso"]}, "c": {"features": ["sso"]}},
    })  # fmt: skip
    pairs = {(one, other) for one in "abc" for other in "abc" if exclude_each_other(policy, one, other)}
    assert {("a", "b"), ("b", "a")} == pairs


@pytest.mark.parametrize(
    ("price", "yearly"),
    [
        ("500", 500),
        ("1,200.50 per year", Decimal("1200.50")),
        ("300 per quarter", 1200),
        ("90 per user/quarter", 360),
        ("99 per month", 1188),
        ("9 per user/month", 108),
        ("7 per seat", 7),
        ("on request", None),
    ],
)
def test_a_price_is_compared_by_its_amount_of_a_year(price, yearly):
    policy = Policy.parse({
        "policy": {"version": "1"},
        "features": {"sso": "Single sign-on"},
        "tiers": {"pro": {"rank": 1}},
        "add_ons": {"a": {"features": ["sso"], "price": price}},
    })  # fmt: skip
    found = add_on_price(policy.add_ons["a"], policy.tiers["pro"])
    assert (price, yearly) == (found.text, found.yearly)
    assert ("", None) == tier_price(policy.tiers["pro"])


@pytest.mark.parametrize(
    ("pricing", "text", "yearly"),
    [
        ({"price": 300, "per": "quarter"}, "300 per quarter", 1200),
        ({"price": 300, "per": "year", "annual-minimum": 900}, "300 per year", 300),
        ({"price": 9, "per": "user/month", "plus": "usage"}, "9 per user/month, plus usage", 108),
        ({"price": 7}, "7", 7),
        ({"price": "on request", "annual-minimum": 900}, "on request", None),
        ({"percent": 5, "of": "spend"}, "5 % of the spend", None),
        ({"percent": 5}, "5 %", None),
        ({"annual-minimum": 9000}, "9,000 per year", 9000),
    ],
)
def test_the_price_of_a_tier_or_an_add_on_is_what_its_tier_declares(pricing, text, yearly):
    values = {name: Decimal(value) if isinstance(value, int) else value for name, value in pricing.items()}
    tier = Tier("pro", 1, "Pro", values={f"pricing.{name}": value for name, value in values.items()})
    assert (text, yearly) == tier_price(tier)

    add_on = AddOn("a", price="1 per month")
    own = {f"{ADDITIONAL}a.{name}": value for name, value in values.items() if name != "annual-minimum"}
    expected = (text, yearly) if own else ("1 per month", 12)
    assert expected == add_on_price(add_on, Tier("pro", 1, "Pro", values=own))
