"""A plan from a prepared charge equals one that is built from nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from enum import StrEnum
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st
from strategies import anchors, moments

from entitlements import Account, Enforcer, Grant, Override, Policy
from entitlements.model.charge import Charge, Part, Verb
from entitlements.model.instants import DAY, MINUTE
from entitlements.model.limits import Rate
from entitlements.model.prepared import Prepared
from entitlements.model.resolution import prepared_of, resolution_of
from entitlements.rules.planning import plan

LIMITS = ("api", "leads", "mails", "seats")
POLICY = Policy.parse({
    "policy": {"version": "plans"},
    "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota"}, "mails": {"kind": "quota"}, "seats": {"kind": "allocation"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "10 per hour", "leads": 5, "seats": 3}}},
})  # fmt: skip
WANTED = [dict.fromkeys(names, 1) for many in (1, 2, 3) for names in combinations(LIMITS, many)]


def entitlements(anchor):
    """Return the entitlements of an account with this anchor."""
    return Enforcer(POLICY).entitlements(Account("acme", "one", anchor=anchor))


asks = st.tuples(
    st.sampled_from([0, 0, 1, DAY - 1, DAY, 20 * DAY, 400 * DAY, -1, -DAY]),
    st.sampled_from(WANTED) | st.dictionaries(st.sampled_from(LIMITS), st.integers(1, 9), min_size=1),
    st.sampled_from([None, None, "order-1"]),
    st.sampled_from(Verb),
)


def without_charges(account):
    """Return the entitlements with what is prepared for them, but for the charges."""
    prepared = Prepared()
    prepared.facts = prepared_of(account).facts
    return replace(account, _resolution=replace(resolution_of(account), prepared=prepared))


def values(planned):
    """Return the order of a plan, and all of its prepared charge but what is derived later."""
    names = [each.name for each in fields(planned.prepared) if each.name not in {"decide", "derived"}]
    return planned.order, [getattr(planned.prepared, name) for name in names]


@given(anchors, moments, st.lists(asks, max_size=30))
def test_a_plan_is_as_if_nothing_had_been_planned_before(anchor, now, asked):
    account = entitlements(anchor)
    for move, wanted, key, verb in asked:
        now += move
        named = {"operation": "o", "key": key}
        anew, planned = (plan(each, verb, wanted, now, **named) for each in (without_charges(account), account))
        assert values(anew) == values(planned)
        assert prepared_of(account).most >= len(prepared_of(account).charges)


def test_what_a_charge_stands_for_does_not_hang_on_who_asked_first():
    class Region(StrEnum):
        EU = "eu"

    part = Part(Rate("ip", MINUTE, per="ip"), 100)
    texts = [Charge("acme", (part,), scope=scope).fingerprint for scope in ("eu", Region.EU, "eu", Region.EU)]

    assert texts[:2] == texts[2:]
    assert "'eu'" in texts[0]
    assert "Region" in texts[1]


def test_a_plan_of_one_unit_each_shares_its_parts_with_the_one_before():
    account = entitlements(None)
    first, second = (plan(account, Verb.CONSUME, {"leads": 1, "api": 1}, 0, operation=name) for name in "ab")

    assert first.order.parts is second.order.parts
    assert first.order.operation != second.order.operation
    assert first.order.fingerprint is second.order.fingerprint


def test_accounts_share_what_is_prepared_only_if_they_have_nothing_of_their_own_but_a_tier():
    """Each is still decided by its own values, and its decisions name it."""
    more = Override("leads", 7, reason="a trade", author="ops")
    given = [
        Account("a", "one"), Account("b", "one"), Account("c", "one", overrides=[more]), Account("d", "one", anchor=9),
        Account("e", "one", grants=[Grant("leads", 2)]), Account("f", "one", status="suspended"),
    ]  # fmt: skip
    enforcer = Enforcer(POLICY)
    decided = {each.id: enforcer.consume(each, {"api": 1, "leads": 3}) for each in given}
    shared = [prepared_of(enforcer.entitlements(each)) for each in given]

    assert shared[0] is shared[1]
    assert len(given) - 1 == len({id(each) for each in shared})
    assert [each.id for each in given] == [decision.account for decision in decided.values()]
    assert all(part.account == id for id, decision in decided.items() for part in decision.parts.values())
    assert [5, 5, 7, 5, 7] == [decided[id].parts["leads"].limit for id in "abcde"]
    assert not decided["f"].allowed
