"""The facts about a name: every source that was considered, the one that decides, and the reason of a refusal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from entitlements import NOT_INCLUDED, Account, Override, Policy, Reason
from entitlements.model.instants import to_instant
from entitlements.rules.explain import considered, facts
from entitlements.rules.resolve import resolve, resolve_unknown

NOW = to_instant(datetime(2026, 11, 20, tzinfo=UTC))
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "features": {"sso": "Single sign-on", "audit": "Audit"},
    "levels": {"analytics": ["none", "standard", "advanced"]},
    "limits": {"seats": {"kind": "allocation"}, "leads": {"kind": "quota"}},
    "tiers": {
        "free": {"rank": 1, "features": ["sso"], "limits": {"seats": 3}, "values": {"hours": 8}},
        "pro": {"rank": 2, "extends": "free", "features": ["audit"], "levels": {"analytics": "standard"}, "limits": {"seats": 20, "leads": 5}},
    },
    "add_ons": {
        "small": {"limits": {"seats": {"sets": 10}}, "tiers": ["free"]}, "large": {"limits": {"seats": {"sets": 30}}},
        "packs": {"limits": {"seats": 2}},
    },
})  # fmt: skip
BY_HAND = {"reason": "promised", "author": "ann"}


def trace_of(account, name):
    """Return the deciding source of a name, and each source with its value and verdict."""
    found = facts(resolve(POLICY, account, NOW), name)
    return found.source, [(each.source, each.value, str(each.verdict)) for each in found.trace]


@pytest.mark.parametrize("order", [("small", "large"), ("large", "small")], ids=" ".join)
def test_of_two_add_ons_that_set_a_limit_the_larger_one_counts_and_the_tier_is_its_base(order):
    alone = Account("acme", "free", add_ons=dict.fromkeys(order, 1))
    raised = Account("acme", "free", add_ons=dict.fromkeys((*order, "packs"), 1))
    tier = ("tier:free", 3, "base")

    assert ("add-on:large", {("add-on:large", 30, "won"), ("add-on:small", 10, "lost"), tier}) == (
        trace_of(alone, "seats")[0], set(trace_of(alone, "seats")[1]),
    )  # fmt: skip
    assert ("add-on:packs", {("add-on:large", 30, "raised"), ("add-on:small", 10, "lost"), ("add-on:packs", 2, "won"), tier}) == (
        trace_of(raised, "seats")[0], set(trace_of(raised, "seats")[1]),
    )  # fmt: skip


def test_an_override_wins_over_the_tier_and_every_add_on():
    account = Account("acme", "free", overrides=[Override("seats", 7, **BY_HAND)], add_ons={"packs": 1})

    assert (
        "override:seats",
        [("add-on:packs", 2, "lost"), ("override:seats", 7, "won"), ("tier:free", 3, "lost")],
    ) == trace_of(account, "seats")


def test_a_feature_that_a_tier_lacks_is_shown_as_not_included_and_one_that_it_inherits_as_such():
    found = facts(resolve(POLICY, Account("acme", "pro"), NOW), "sso")

    assert ("tier:free", [("tier:free", NOT_INCLUDED, "won")]) == trace_of(Account("acme", "free"), "audit")
    assert [("tier:pro", True, "inherited from free")] == [(each.source, each.value, each.note) for each in found.trace]


def test_a_value_of_a_tier_and_an_override_of_it_are_shown():
    plain, other = Account("acme", "pro"), Account("acme", "pro", overrides=[Override("hours", 12, **BY_HAND)])

    assert (None, [("tier:pro", 8, "won")]) == values(plain)
    assert ("override:hours", [("override:hours", 12, "won"), ("tier:pro", 8, "lost")]) == values(other)


def values(account):
    winner, found = considered(resolve(POLICY, account, NOW), "hours")
    return winner, [(each.source, each.value, str(each.verdict)) for each in found]


@pytest.mark.parametrize(
    ("tier", "name", "reason"),
    [
        ("pro", "analytics:advanced", Reason.LEVEL_TOO_LOW), ("free", "analytics:advanced", Reason.NOT_INCLUDED),
        ("free", "analytics", Reason.NOT_INCLUDED), ("free", "leads", Reason.NOT_INCLUDED), ("pro", "analytics:standard", Reason.INCLUDED),
    ],
)  # fmt: skip
def test_a_level_is_too_low_only_where_there_is_a_lower_one(tier, name, reason):
    assert reason is facts(resolve(POLICY, Account("acme", tier), NOW), name).reason


def test_an_unknown_account_has_the_source_that_says_so():
    found = facts(resolve_unknown(POLICY, "initech"), "sso")

    assert ("policy:unknown-account", Reason.UNKNOWN_ACCOUNT) == (found.source, found.reason)
    assert [("policy:unknown-account", NOT_INCLUDED, "won", "there is no such account")] == [
        (each.source, each.value, str(each.verdict), each.note) for each in found.trace
    ]
