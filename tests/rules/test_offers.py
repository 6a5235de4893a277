"""An offer says what an account would have after the purchase: resolution of that account, anew, says the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import NOT_INCLUDED, UNLIMITED, Account, Grant, Policy
from entitlements.model.facts import JointOffer, Offer
from entitlements.model.instants import to_instant
from entitlements.policy.accounts import bind
from entitlements.rules.add_ons import exclude_each_other, next_quantity
from entitlements.rules.offers import add_on_offers, joint_offers, tier_offers
from entitlements.rules.resolve import resolve

NOW = datetime(2026, 3, 10, tzinfo=UTC)
WRITTEN = {
    "policy": {"version": 1},
    "features": {"sso": "Single sign-on", "audit": "Audit log"},
    "levels": {"reports": ["none", "basic", "full"]},
    "limits": {"seats": {"kind": "allocation"}, "leads": {"kind": "quota"}, "api": {"kind": "rate", "algorithm": "token-bucket", "burst": 7}},
    "tiers": {
        "free": {"rank": 1, "limits": {"seats": 1, "leads": 0}},
        "basic": {"rank": 2, "limits": {"seats": 5, "leads": {"included": 10, "overage": 3}}},
        "team": {"rank": 2, "limits": {"seats": 6, "leads": 10, "api": "3 per hour"}, "levels": {"reports": "basic"}, "values": {
            "pricing": {"price": Decimal(20), "per": "month", "additional": {"packs": {"price": Decimal(7), "per": "user/quarter"}}}}},
        "cheap": {"rank": 2, "limits": {"seats": 4}, "values": {"pricing": {"price": Decimal(20), "per": "year"}}},
        "gold": {"rank": 3, "retired": True, "features": ["sso"], "limits": {"seats": 50}},
        "tryout": {"rank": 3, "trial": {"of": timedelta(days=14), "then": "free"}, "features": ["sso", "audit"], "limits": {"seats": 50}},
        "pro": {"rank": 4, "features": ["sso"], "levels": {"reports": "full"}, "limits": {"seats": 20, "leads": {"included": 10, "overage": "allow"}, "api": "9 per hour"},
                "values": {"pricing": {"annual-minimum": Decimal(1200)}}},
        "max": {"rank": 5, "features": ["sso", "audit"], "levels": {"reports": "full"}, "limits": {"seats": "unlimited", "leads": "unlimited", "api": "unlimited"}},
        "viewer": {"rank": 1, "line": "viewer", "limits": {"seats": 2}},
        "watcher": {"rank": 9, "line": "viewer", "features": ["sso", "audit"], "limits": {"seats": 1000, "leads": 1000}},
    },
    "add_ons": {
        "base": {"features": ["audit"], "price": "1,200.50 per year"},
        "packs": {"limits": {"seats": {"adds": 2}}, "at_least": 3, "step": 3, "at_most": 9, "requires": ["base"], "price": "5 per month"},
        "boxes": {"tiers": ["team", "pro"], "limits": {"seats": 4, "leads": 8}, "at_least": 2, "price": "on request"},
        "wide": {"limits": {"seats": {"sets": 30}}, "excludes": ["packs"], "price": "9 per quarter"},
        "huge": {"tiers": ["pro"], "limits": {"seats": {"sets": 40}, "leads": {"sets": "unlimited"}}, "requires": ["wide"]},
        "reader": {"tiers": ["basic", "team"], "levels": {"reports": "basic"}},
        "writer": {"levels": {"reports": "full"}, "features": ["sso"], "requires": ["reader"]},
        "calls": {"limits": {"api": "2 per hour"}},
        "former": {"limits": {"seats": 100}, "features": ["audit"], "retired": True},
        "extra": {"limits": {"leads": 1}, "requires": ["former"]},
        "other": {"limits": {"leads": 1}, "requires": ["packs"], "excludes": ["wide"]},
    },
}  # fmt: skip
POLICY = Policy.parse(WRITTEN)
NAMES = ("seats", "leads", "api", "sso", "audit", "reports", "reports:basic", "reports:full")
TIERS = {
    "team": ("20 per month", Decimal(240)),
    "cheap": ("20 per year", Decimal(20)),
    "pro": ("1,200 per year", Decimal(1200)),
}
"""The price of each tier that has one, and of a year."""
ADD_ONS = {
    "base": ("1,200.50 per year", Decimal("1200.50")), "packs": ("5 per month", Decimal(60)),
    "boxes": ("on request", None), "wide": ("9 per quarter", Decimal(36)),
}  # fmt: skip


ADDS = {
    ("packs", "seats"): 2, ("boxes", "seats"): 4, ("boxes", "leads"): 8, ("extra", "leads"): 1, ("other", "leads"): 1,
}  # fmt: skip
"""The units at once that one more of an add-on gives; none of a rate, whose burst stays."""


def price_of(add_on, tier):
    """Return the price of one of an add-on, and that of a year."""
    if (add_on, tier) == ("packs", "team"):
        return "7 per user/quarter", Decimal(28)
    return ADD_ONS.get(add_on, ("", None))


def resolved(account):
    """Return the entitlements of an account."""
    return resolve(POLICY, bind(POLICY, account), to_instant(NOW))


def size_of(account, name):
    """Return the units of a name that an account may use at once, as a whole resolution of it says."""
    known = resolved(account)
    if name not in POLICY.limits:
        return UNLIMITED if known.can(name) else NOT_INCLUDED
    size, overage = known.limit(name), known.overage(name)
    if UNLIMITED in (size, overage):
        return UNLIMITED
    if name == "api" and size is not NOT_INCLUDED:
        return 7 if size else 0  # the burst
    return size + overage if overage else size


def sold_above(account):
    """Return the tiers above the one of an account, by rank, those of one rank by price."""
    own = WRITTEN["tiers"][account.tier]
    found = [
        (tier["rank"], TIERS.get(name, ("", Decimal("Infinity")))[1], at, name)
        for at, (name, tier) in enumerate(WRITTEN["tiers"].items())
        if "retired" not in tier and "trial" not in tier
        and tier.get("line") == own.get("line") and tier["rank"] > own["rank"]
    ]  # fmt: skip
    return [each[-1] for each in sorted(found)]


def expected_tier(account, tier, name):
    """Return the offer of a tier."""
    text, yearly = TIERS.get(tier, ("", None))
    return Offer(tier, size_of(replace(account, tier=tier), name), text, yearly)


def expected_add_ons(account, name):
    """Return the offers of add-ons to an account, by trying each quantity of each."""
    return [found for add_on in WRITTEN["add_ons"] if (found := expected_add_on(account, add_on, name))]


def gives(add_on, name):
    """Return whether an add-on gives something of a name, and whether it sets a size."""
    written, (base, _, level) = WRITTEN["add_ons"][add_on], name.partition(":")
    limit, has = written.get("limits", {}).get(name), written.get("levels", {}).get(base)
    levels = WRITTEN["levels"]["reports"]
    of_level = has is not None and (not level or levels.index(has) >= levels.index(level))
    return limit is not None or of_level or base in written.get("features", ()), isinstance(
        limit, dict
    ) and "sets" in limit


def expected_add_on(account, add_on, name):
    """Return the offer of one add-on; None if it cannot be bought, or gives nothing."""
    given, sets = gives(add_on, name)
    had, written = account.add_ons.get(add_on, 0), WRITTEN["add_ons"][add_on]
    if not given or (had and (sets or name not in POLICY.limits)):
        return None
    wanted, todo = [], [add_on]
    while todo:
        wanted.append(todo.pop(0))
        needed = WRITTEN["add_ons"][wanted[-1]].get("requires", ())
        todo += [each for each in needed if each not in (*wanted, *todo, *account.add_ons)]
    for each in wanted:
        rules = WRITTEN["add_ons"][each]
        if rules.get("retired") or account.tier not in rules.get("tiers", [account.tier]):
            return None
    together = {*wanted, *account.add_ons}
    for each, other in product(wanted, together):
        if other in WRITTEN["add_ons"][each].get("excludes", ()) or each in WRITTEN["add_ons"][other].get(
            "excludes", ()
        ):
            return None
    step, most = written.get("step", 1), written.get("at_most")
    total = next(each for each in range(had + 1, 99) if each % step == 0 and each >= written.get("at_least", 1))
    if most is not None and total > most:
        return None
    rest = {each: WRITTEN["add_ons"][each].get("at_least", 1) for each in wanted[1:]}
    size = size_of(replace(account, add_ons={**account.add_ons, **rest, add_on: total}), name)
    text, yearly = price_of(add_on, account.tier)
    prices = [(price_of(each, account.tier)[1], quantity) for each, quantity in rest.items()]
    also = None if any(price is None for price, _ in prices) else sum(price * quantity for price, quantity in prices)
    if name not in POLICY.limits:
        return Offer(add_on, UNLIMITED, text, yearly, total - had, also=tuple(rest), also_yearly=also)
    adds = 0 if size is UNLIMITED else ADDS.get((add_on, name), 0)
    return Offer(add_on, size, text, yearly, total - had, adds, step, most and most - had, tuple(rest), also)


grants = st.lists(
    st.tuples(st.sampled_from(["seats", "leads"]), st.integers(1, 5), st.sampled_from([None, -2, 2])), max_size=2
)
bought = st.fixed_dictionaries(
    {},
    optional={
        "base": st.just(1), "packs": st.sampled_from([3, 6, 9]), "boxes": st.integers(2, 4), "wide": st.just(1),
        "reader": st.just(1), "former": st.just(1), "calls": st.just(1), "writer": st.just(1), "huge": st.just(1),
    },
)  # fmt: skip


@st.composite
def accounts(draw):
    """Return an account with some add-ons and grants, of which some do not apply, and a tier."""
    timed = tuple(
        Grant(limit, amount, expires=days and NOW + timedelta(days=days)) for limit, amount, days in draw(grants)
    )
    add_ons = draw(bought)
    for each in ("packs", "huge", "writer"):
        if each in add_ons:
            add_ons |= dict.fromkeys(WRITTEN["add_ons"][each]["requires"], 1)
    if "packs" in add_ons:
        add_ons = {each: quantity for each, quantity in add_ons.items() if each not in {"wide", "huge"}}
    return Account(
        "acme", draw(st.sampled_from(sorted(WRITTEN["tiers"].keys() - {"tryout"}))), add_ons=add_ons, grants=timed
    )


@given(accounts())
def test_an_offer_says_what_the_account_would_have_after_the_purchase(account):
    known = resolved(account)
    for name in NAMES:
        above = [expected_tier(account, tier, name) for tier in sold_above(account)]

        assert [each for each in above if each.size] == list(tier_offers(known, name))
        assert expected_add_ons(account, name) == list(add_on_offers(known, name))
        joint = [JointOffer(tier, tuple(expected_add_ons(replace(account, tier=tier.name), name))) for tier in above]
        assert [each for each in joint if each.add_ons] == list(joint_offers(known, name))


@pytest.mark.parametrize(("quantity", "least"), [(0, 3), (1, 3), (3, 3), (4, 6), (6, 6), (7, 9), (9, 9), (10, None)])
def test_the_next_quantity_is_the_least_that_can_be_bought(quantity, least):
    assert least == next_quantity(POLICY.add_ons["packs"], quantity)


def test_one_of_two_add_ons_says_that_they_exclude_each_other():
    pairs = {(one, other) for one, other in product(POLICY.add_ons, repeat=2) if exclude_each_other(POLICY, one, other)}

    assert {("packs", "wide"), ("wide", "packs"), ("other", "wide"), ("wide", "other")} == pairs
