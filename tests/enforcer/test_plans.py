"""Accounts with add-ons that have rules, in retired tiers and in product lines: answers, refusals and remedies."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import UNLIMITED, Account, AccountError, Enforcer, Policy, Trial
from entitlements.accounts import CsvAccounts
from entitlements.tiering.changes import MoveDirection
from entitlements.tiering.preview import preview
from entitlements.tiering.quotes import quote
from entitlements.tiering.reviews import Action, review
from entitlements.tiering.triggers import FeatureRequest

POLICY = """\
policy: {version: 1}
features: {sso: Single sign-on, audit: Audit log}
limits:
  seats: {kind: allocation}
  leads: {kind: quota}
tiers:
  free: {rank: 1, limits: {seats: 3, leads: 10}, values: {transition: {upgrade: {to: gold}}}}
  gold: {rank: 2, retired: true, features: [sso], limits: {seats: 50, leads: 50}}
  pro: {rank: 3, features: [sso], limits: {seats: 20, leads: 100}, values: {pricing: {price: 40, per: month}}}
  max: {rank: 4, features: [sso, audit], limits: {seats: unlimited, leads: unlimited}, values: {pricing: {annual-minimum: 9000}}}
  viewer: {rank: 9, line: viewer, features: [sso, audit], limits: {seats: 1000, leads: 1000}}
add_ons:
  bundle: {limits: {seats: {sets: 10}}, tiers: [free], price: 300 per year}
  packs: {limits: {seats: {adds: 2}}, step: 2, at_most: 8, requires: [bundle], price: 5 per month}
  single: {limits: {seats: 1}, price: 20 per month}
  solo: {limits: {seats: {sets: 15}}, excludes: [bundle], tiers: [free]}
  former: {limits: {seats: 100}, features: [audit], retired: true, price: 1 per year}
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "policy.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return Policy.load(path)


def seats(policy, **add_ons):
    return Enforcer(policy).entitlements(Account("acme", "free", add_ons=add_ons)).limit("seats")


def test_an_add_on_sets_a_limit_whatever_its_quantity_and_others_add_to_it(policy):
    assert (10, 10, 14, 15, 103) == (
        seats(policy, bundle=1), seats(policy, bundle=3), seats(policy, packs=2, bundle=1), seats(policy, solo=1),
        seats(policy, former=1),
    )  # fmt: skip


def test_the_trace_says_what_an_add_on_sets(policy):
    trace = Enforcer(policy).decide(Account("acme", "free", add_ons={"packs": 2, "bundle": 1}), "seats").trace

    assert [("add-on:packs", 4, "won"), ("add-on:bundle", 10, "raised"), ("tier:free", 3, "base")] == [
        (each.source, each.value, each.verdict) for each in trace
    ]
    assert "quantity 1, in place of the tier's" == trace[1].note


BAD = [
    ({"packs": 2}, "add-on 'packs' requires 'bundle'; add 'bundle' as well, or take 'packs' away"),
    ({"bundle": 1, "solo": 1}, "the add-ons 'bundle' and 'solo' exclude each other; take one of the two away"),
    ({"bundle": 1, "packs": 3}, "quantity 3 of add-on 'packs' cannot be bought; buy 2 to 8 in steps of 2, such as 2 or 4"),
    ({"bundle": 1, "packs": 10}, "quantity 10 of add-on 'packs' cannot be bought; buy 2 to 8 in steps of 2, such as 8"),
]  # fmt: skip


@pytest.mark.parametrize(("add_ons", "said"), BAD)
def test_a_combination_that_breaks_a_rule_is_a_bad_account(policy, tmp_path, add_ons, said):
    account = Account("acme", "free", add_ons=add_ons)
    cell = "; ".join(f"{name}={quantity}" for name, quantity in add_ons.items())
    (tmp_path / "accounts.csv").write_text(f"id,tier,add_ons\nacme,free,{cell}\n", encoding="utf-8")
    accounts = CsvAccounts(tmp_path / "accounts.csv", policy=policy)

    for ask in (lambda: Enforcer(policy).can(account, "sso"), lambda: Enforcer(policy).consume(account, "leads")):
        with pytest.raises(AccountError) as error:
            ask()
        assert f"account 'acme': {said}" == str(error.value)
    assert [("add_ons", said)] == [(each.path, f"{each.problem}; {each.cure}") for each in accounts.problems]
    with pytest.raises(ValueError, match=r"exclude|requires|cannot be bought"):
        quote(policy, Account("acme", "free"), add_ons, now=0)


@st.composite
def rules(draw):
    """Return rules of add-ons without a circle, and the add-ons of an account."""
    names = "abcd"
    add_ons = {}
    for at, name in enumerate(names):
        step = draw(st.integers(1, 3))
        least = step * draw(st.integers(1, 3))
        needed = draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
        word = draw(st.sampled_from(["adds", "sets"]))
        add_ons[name] = {
            "limits": {"seats": {word: draw(st.integers(1, 20))}}, "requires": needed, "step": step, "at_least": least,
            "excludes": draw(st.lists(st.sampled_from([each for each in names if each != name]), unique=True, max_size=1)),
        } | draw(st.sampled_from([{}, {"at_most": least + 2 * step}]))  # fmt: skip
    return add_ons, draw(st.dictionaries(st.sampled_from(names), st.integers(1, 12)))


@given(rules())
def test_an_account_is_bad_if_and_only_if_a_rule_is_broken(case):
    """The oracle reads the rules as written; the size is the largest that is set, or the tier's, plus all that is added."""
    written, bought = case
    try:
        policy = Policy.parse({
            "policy": {"version": 1}, "limits": {"seats": {"kind": "allocation"}},
            "tiers": {"free": {"rank": 1, "limits": {"seats": 1}}}, "add_ons": written,
        })  # fmt: skip
    except ValueError:
        return  # an add-on excludes what it requires
    broken = False
    for name, quantity in bought.items():
        rule = written[name]
        broken |= quantity < rule["at_least"] or quantity > rule.get("at_most", 99) or quantity % rule["step"] != 0
        broken |= any(each not in bought for each in rule["requires"]) or any(
            each in bought for each in rule["excludes"]
        )

    if broken:
        with pytest.raises(AccountError):
            seats(policy, **bought)
    else:
        limits = {name: written[name]["limits"]["seats"] for name in bought}
        base = max((each["sets"] for each in limits.values() if "sets" in each), default=1)
        assert base + sum(limits[name].get("adds", 0) * count for name, count in bought.items()) == seats(
            policy, **bought
        )


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (4, ("pro", "single", 1, (), "40 per month", "20 per month", "add_on")),
        (6, ("pro", "bundle", 1, (), "40 per month", "300 per year", "add_on")),
        (13, ("pro", "packs", 2, ("bundle",), "40 per month", "5 per month", "add_on")),
        (18, ("pro", "packs", 4, ("bundle",), "40 per month", "5 per month", "tier")),
        (30, ("max", "single", 27, (), "9,000 per year", "20 per month", "add_on")),
    ],
)
def test_a_remedy_names_the_cheapest_way_that_is_sold(policy, cost, expected):
    remedy = Enforcer(policy).consume(Account("acme", "free"), "seats", cost).remedy

    assert expected == (
        remedy.tier, remedy.add_on, remedy.quantity, remedy.also, remedy.tier_price, remedy.add_on_price, remedy.cheaper,
    )  # fmt: skip


@given(used=st.integers(0, 3), cost=st.integers(1, 40))
def test_what_a_remedy_names_would_have_allowed_the_charge(policy, used, cost):
    account = Account("acme", "free")
    decision = _charged(policy, account, used, cost)
    remedy = decision.remedy
    if remedy is None:
        assert decision.allowed
        return
    if remedy.tier:
        assert _charged(policy, replace(account, tier=remedy.tier), used, cost).allowed
    if remedy.add_on:
        rest = dict.fromkeys(remedy.also, 1)
        bought = replace(account, add_ons={**rest, remedy.add_on: remedy.quantity})
        assert _charged(policy, bought, used, cost).allowed
        step = policy.add_ons[remedy.add_on].step
        if remedy.quantity > step:
            fewer = replace(account, add_ons={**rest, remedy.add_on: remedy.quantity - step})
            assert not _charged(policy, fewer, used, cost).allowed


def _charged(policy, account, used, cost):
    enforcer = Enforcer(policy)
    if used:
        enforcer.set_usage(account, "seats", used)
    return enforcer.consume(account, "seats", cost)


JOINT = Policy.parse({
    "policy": {"version": "1"},
    "features": {"phone": "Support by phone"},
    "limits": {"seats": {"kind": "allocation"}, "leads": {"kind": "quota"}},
    "tiers": {
        "free": {"rank": 1, "limits": {"seats": 3, "leads": 10}},
        "pro": {"rank": 2, "limits": {"seats": 20, "leads": 100}, "values": {"pricing": {"price": 40, "per": "month"}}},
        "max": {"rank": 3, "limits": {"seats": 40, "leads": 1000}},
        "old": {"rank": 4, "retired": True, "features": ["phone"], "limits": {"seats": 1000, "leads": 1000}},
    },
    "add_ons": {
        "packs": {"tiers": ["pro", "max"], "limits": {"seats": 5}, "at_most": 3, "price": "10 per month"},
        "support": {"tiers": ["max"], "features": ["phone"], "requires": ["packs"], "price": "500 per year"},
    },
})  # fmt: skip


def test_a_remedy_is_a_tier_and_an_add_on_together_where_neither_alone_would_do():
    remedy = Enforcer(JOINT).decide(Account("acme", "free"), "phone").remedy

    assert ("max", "support", ("packs",), True) == (remedy.tier, remedy.add_on, remedy.also, remedy.together)
    assert ["tier 'max' with add-on 'support' with 'packs'"] == remedy.ways()
    assert remedy.to_dict()["together"]
    assert not Enforcer(JOINT).consume(Account("acme", "free"), "seats", 30).remedy.together


def test_a_refusal_of_a_request_says_that_both_are_needed():
    from entitlements.http.problems import Problems

    refusal = Problems().refused(Enforcer(JOINT).decide(Account("acme", "free"), "phone"))

    assert {"tier": "max", "add_on": "support", "together": True} == refusal.body["remedy"]
    assert "; max with support does." in refusal.body["detail"]


@given(st.integers(0, 60), st.integers(1, 70), st.sampled_from([None, 5, 50, 500]))
def test_what_a_joint_remedy_names_is_needed_and_enough(used, cost, leads):
    wanted = {"seats": cost} | ({} if leads is None else {"leads": leads})

    def answer(account):
        enforcer = Enforcer(JOINT)
        enforcer.set_usage(account, "seats", used)
        return enforcer.consume(account, wanted)

    account = Account("acme", "free")
    remedy = answer(account).remedy
    if remedy is None or not remedy.together:
        assert remedy is not None or answer(account).allowed or used + cost > 55
        return
    moved = replace(account, tier=remedy.tier)
    assert answer(replace(moved, add_ons={remedy.add_on: remedy.quantity})).allowed
    assert not any(answer(replace(account, tier=tier)).allowed for tier in ("pro", "max"))
    if remedy.quantity > 1:
        assert not answer(replace(moved, add_ons={remedy.add_on: remedy.quantity - 1})).allowed


def test_a_remedy_is_of_the_line_of_the_account_and_never_retired(policy):
    """gold has the feature at a lower rank, viewer at a higher one of another line, former for next to nothing."""
    enforcer = Enforcer(policy)

    assert [("pro", None), ("max", None)] == [
        (found.tier, found.add_on)
        for found in (enforcer.decide(Account("acme", "free"), name).remedy for name in ("sso", "audit"))
    ]
    assert enforcer.decide(Account("acme", "viewer"), "seats").remedy is None
    assert "max" == enforcer.decide(Account("acme", "gold"), "audit").remedy.tier


def test_an_add_on_that_the_account_must_not_have_is_no_remedy(policy):
    """Neither what is excluded by a bought one, nor what would need one that is excluded."""
    remedy = Enforcer(policy).consume(Account("acme", "free", add_ons={"solo": 1}), "seats", 16).remedy

    assert ("pro", "single", 1) == (remedy.tier, remedy.add_on, remedy.quantity)


def test_who_has_a_retired_tier_and_a_retired_add_on_keeps_both(policy):
    enforcer = Enforcer(policy)
    account = Account("acme", "gold", add_ons={"former": 2})

    assert (250, True, "gold") == (
        enforcer.entitlements(account).limit("seats"), enforcer.can(account, "audit"), enforcer.entitlements(account).tier,
    )  # fmt: skip
    assert enforcer.consume(account, "seats", 250).allowed


def test_a_quote_offers_nothing_that_is_retired(policy):
    with pytest.raises(ValueError, match="'former' is not sold any more; only accounts that have it keep it"):
        quote(policy, Account("acme", "free"), {"former": 1}, now=0)
    with pytest.raises(ValueError, match="'gold' is not sold any more"):
        quote(policy, Account("acme", "free"), {}, now=0, to="gold")
    assert 1 == len(quote(policy, Account("acme", "free", add_ons={"former": 1}), {"former": 1}, now=0).lines)
    assert "gold" == quote(policy, Account("acme", "gold"), {"single": 1}, now=0).to


def test_a_review_moves_no_account_to_a_retired_tier_or_another_line(policy):
    """The terms of free name gold, which is retired: the request stands as evidence, and nothing is recommended."""
    found = review(policy, Account("acme", "free"), now=0, requests=[FeatureRequest("audit", 3)])
    other = review(policy, Account("acme", "viewer"), now=0, requests=[FeatureRequest("audit", 3)])

    assert [("requested", "max")] == [(each.cause, each.evidence["tier"]) for each in (*found.reasons, *found.others)]
    assert (Action.KEEP, None, Action.KEEP, ()) == (
        found.action,
        found.to,
        other.action,
        (*other.reasons, *other.others),
    )


def test_a_move_to_another_line_is_sideways(policy):
    moves = [("free", "viewer"), ("viewer", "free"), ("free", "max"), ("max", "free")]

    assert [MoveDirection.SIDEWAYS, MoveDirection.SIDEWAYS, MoveDirection.UP, MoveDirection.DOWN] == [
        preview(policy, Account("acme", tier), to, now=0).way for tier, to in moves
    ]


def test_a_trial_stays_within_the_line_of_its_account(policy):
    ends = datetime(2026, 5, 1, tzinfo=UTC)
    account = Account("acme", "free", trial=Trial("viewer", None, ends))
    cure = "trial of 'viewer' is in another line than the account's own tier 'free', and a trial takes nothing away; let it try a tier of rank 1 or higher"

    with pytest.raises(AccountError) as error:
        Enforcer(policy).can(account, "sso")

    assert f"account 'acme': {cure}" == str(error.value)
    assert Enforcer(policy).can(replace(account, trial=Trial("pro", None, ends + timedelta(days=99999))), "sso")


def test_an_unlimited_amount_needs_no_further_quantity():
    policy = Policy.parse({
        "policy": {"version": 1}, "limits": {"seats": {"kind": "allocation"}},
        "tiers": {"free": {"rank": 1, "limits": {"seats": 1}}},
        "add_ons": {"all": {"limits": {"seats": UNLIMITED}}, "dear": {"limits": {"seats": {"sets": 5}}, "price": "a bargain"}},
    })  # fmt: skip
    remedy = Enforcer(policy).consume(Account("acme", "free"), "seats", 5).remedy

    assert (None, "all", 1, None) == (remedy.tier, remedy.add_on, remedy.quantity, remedy.cheaper)
