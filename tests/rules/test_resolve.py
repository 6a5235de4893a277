"""Resolution: monotone in tiers, and constant until the instant that it names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import NOT_INCLUDED, Account, AccountError, Change, Grant, Override, Policy, Trial
from entitlements.model.instants import to_instant
from entitlements.model.resolution import resolution_of
from entitlements.policy.accounts import bind
from entitlements.rules.resolve import resolve

POLICY = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "customer-tiers")
NOW = datetime(2026, 11, 20, tzinfo=UTC)
LADDER = sorted((tier for tier in POLICY.tiers.values() if not tier.trial), key=lambda tier: tier.rank)

moments = st.one_of(st.none(), st.integers(-60, 60).map(lambda days: NOW + timedelta(days=days)))


@st.composite
def spans(draw):
    """A half-open span around now, with or without a start and an end."""
    starts, ends = draw(moments), draw(moments)
    if starts is not None and ends is not None and starts >= ends:
        ends = starts + timedelta(days=1)
    return {"starts": starts, "expires": ends}


@st.composite
def extras(draw):
    """Add-ons, grants and overrides of an account; at most one override of a name."""
    limits = draw(st.lists(st.sampled_from(sorted(POLICY.limits)), max_size=4))
    overridden = draw(st.sets(st.sampled_from(["sso", "leads", "agents"]), max_size=2))
    values = {"sso": True, "leads": 70, "agents": 12}
    return {
        "grants": tuple(Grant(limit, draw(st.integers(1, 500)), **draw(spans())) for limit in limits),
        "overrides": tuple(
            Override(name, values[name], reason="r", author="a", **draw(spans())) for name in sorted(overridden)
        ),
    }


def resolved(account, at=NOW):
    """Return the entitlements of *account* at *at*."""
    return resolve(POLICY, bind(POLICY, account), to_instant(at))


def tables(entitlements):
    """Return the tier, answers, limits and levels."""
    found = resolution_of(entitlements)
    return entitlements.tier, found.answers, found.limits, found.levels


def at_least(high, low):
    """Return True if *high* is at least as large as *low*."""
    return low is NOT_INCLUDED or (high is not NOT_INCLUDED and high >= low)


@given(extras(), st.integers(0, len(LADDER) - 2))
def test_a_higher_tier_never_has_less(beside, step):
    """With the same grants and overrides, a higher tier allows what a lower one does; other services replace some."""
    low, high = (resolved(Account("acme", tier.id, **beside)) for tier in LADDER[step : step + 2])

    answers = resolution_of(high).answers
    lost = {name for name, can in resolution_of(low).answers.items() if can and not answers[name]}
    assert set() == {name for name in lost if not name.startswith("service.")}
    assert set() == {name for name in POLICY.limits if not at_least(high.limit(name), low.limit(name))}


@st.composite
def accounts(draw):
    """An account with a trial, changes, grants and overrides, each around now."""
    tier = draw(st.sampled_from(LADDER))
    ends = draw(moments)
    tried = draw(st.sampled_from([each for each in LADDER if each.rank >= tier.rank]))
    days = draw(st.sets(st.integers(-60, 60), max_size=3))
    changes = tuple(Change(draw(st.sampled_from(LADDER)).id, at=NOW + timedelta(days=day)) for day in days)
    trial = ends and Trial(tried.id, draw(st.sampled_from([None, ends - timedelta(days=20)])), ends)
    return Account("acme", tier.id, trial=trial, changes=changes, **draw(extras()))


@given(accounts(), st.integers(0, 999_999))
def test_nothing_changes_before_valid_until(account, millionths):
    """Every answer is constant between now and the instant at which the result may change."""
    now = resolved(account)
    until = now.valid_until or NOW + timedelta(days=365)

    later = resolved(account, NOW + (until - NOW) * millionths // 1_000_000)

    assert tables(now) == tables(later)
    assert now.valid_until == later.valid_until


@given(accounts())
def test_resolving_is_pure(account):
    """The same policy, account and instant give the same answers, and neither is modified."""
    before = repr(account)

    first, second = resolved(account), resolved(account)

    assert (tables(first), resolution_of(first).adjustments) == (tables(second), resolution_of(second).adjustments)
    assert before == repr(account)


@pytest.mark.parametrize(
    ("tier", "bought", "level"),
    [
        ("basic", ["more"], "full"),
        ("full", ["less"], "full"),
        ("none", ["less", "more"], "full"),
        ("none", ["more", "less"], "full"),
        (None, ["less"], "basic"),
    ],
)
def test_the_highest_level_counts_whatever_gives_it_and_in_any_order(tier, bought, level):
    policy = Policy.parse({
        "policy": {"version": 1},
        "levels": {"reports": ["none", "basic", "full"]},
        "tiers": {"one": {"rank": 1, "levels": {"reports": tier} if tier else {}}},
        "add_ons": {name: {"tiers": ["one"], "levels": {"reports": of}} for name, of in (("more", "full"), ("less", "basic"))},
    })  # fmt: skip
    account = Account("acme", "one", add_ons=dict.fromkeys(bought, 1))

    assert level == resolve(policy, bind(policy, account), to_instant(NOW)).value("reports")


@pytest.mark.parametrize(("limit", "size", "most"), [("leads", 10, 2**53 - 1), ("api", "10 per hour", 2**32 - 1)])
def test_a_limit_that_grants_take_beyond_what_can_be_counted_is_a_bad_account(limit, size, most):
    policy = Policy.parse({
        "policy": {"version": 1},
        "limits": {"leads": {"kind": "quota"}, "api": {"kind": "rate"}},
        "tiers": {"one": {"rank": 1, "limits": {limit: size}}},
    })  # fmt: skip

    def at(amount):
        account = Account("acme", "one", grants=(Grant(limit, amount),))
        return resolve(policy, bind(policy, account), to_instant(NOW))

    assert policy.limits[limit].capacity(at(most - 10).limit(limit)) == most
    with pytest.raises(AccountError, match=f"'{limit}' comes to {most + 1} with its add-ons and grants"):
        at(most - 9)
