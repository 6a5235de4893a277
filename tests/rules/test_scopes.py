"""Scopes: which have units, which limits have them, and the sentences about a scope that is missing or of no use."""

from __future__ import annotations

import pytest

from entitlements import Enforcer, Policy, UnknownFeature

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {
        "leads": {"kind": "quota"}, "api": {"kind": "rate"}, "agents": {"kind": "allocation"},
        "mine": {"kind": "quota", "per": "user"}, "seats": {"kind": "allocation", "per": "user"}, "pages": {"kind": "quota", "per": "project"},
    },
    "tiers": {"one": {"rank": 1, "limits": {"leads": 9, "api": "9 per hour", "agents": 9, "mine": 9, "seats": 9, "pages": 9}}},
})  # fmt: skip


@pytest.fixture
def enforcer():
    return Enforcer(POLICY, accounts={"acme": "one"})


def test_the_scopes_of_a_limit_are_those_that_have_units_of_it(enforcer):
    for scope, limit, units in (("ann", "mine", 1), ("bob", "mine", 2), ("bob", "seats", 1), ("cid", "seats", 3)):
        assert enforcer.consume("acme", limit, units, scope=scope)
    enforcer.set_usage("acme", "mine", 0, scope="bob")

    assert ("ann", "bob", "cid") == enforcer.scopes("acme")
    assert ("ann",) == enforcer.scopes("acme", "mine")
    assert ("bob", "cid") == enforcer.scopes("acme", "seats")


def test_reserved_units_are_units_of_a_scope(enforcer):
    reservation = enforcer.reserve("acme", "mine", 4, ttl=60, scope="ann")
    held = enforcer.scopes("acme", "mine")
    reservation.cancel()

    assert (("ann",), ()) == (held, enforcer.scopes("acme", "mine"))


SENTENCES = [
    (lambda e: e.scopes("acme", "leads"), "limit 'leads' has no scopes: it is not declared `per` anything; leave it out"),
    (lambda e: e.consume("acme", "leads", scope="ann"), "scope 'ann' has no use: 'leads' is not declared `per` anything; leave it out"),
    (lambda e: e.consume("acme", {"leads": 1, "api": 1}, scope="ann"),
     "scope 'ann' has no use: 'leads', 'api' are not declared `per` anything; leave it out"),
    (lambda e: e.consume("acme", {"leads": 1, "mine": 1}), "'mine': a limit per user needs scope=, the user that it is kept for"),
    (lambda e: e.consume("acme", {"leads": 1, "mine": 1, "pages": 1}, scope="ann"),
     "'mine', 'pages' are limits per project and per user, and a charge has one scope; make two"),
    (lambda e: e.history("acme", "mine"), "'mine': a limit per user needs scope=, the user that it is kept for"),
    (lambda e: e.history("acme", "agents"), "history works on a quota; 'agents' is an allocation; usage shows what is used of it now"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), SENTENCES, ids=range(len(SENTENCES)))
def test_a_scope_that_is_missing_or_of_no_use_is_named_with_the_cure(enforcer, call, sentence):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole sentence is compared
        call(enforcer)

    assert sentence == str(raised.value)
    assert 0 == enforcer.usage("acme")["leads"].used


@pytest.mark.parametrize(
    ("account", "limit", "holder", "is_swapped"),
    [("acme", "ann", "agents", True), ("agents", "acme", "ann", True), ("acme", "agent", "ann", False)],
)
def test_arguments_in_another_order_are_named_only_where_they_were_swapped(account, limit, holder, is_swapped):
    enforcer = Enforcer(POLICY, accounts={"acme": "one", "agents": "one"})

    with pytest.raises(UnknownFeature) as raised:
        enforcer.assign(account, limit, holder)

    assert is_swapped is ("write assign(account, limit, holder)" in str(raised.value))


def test_a_repeat_of_an_unassignment_tells_that_nothing_was_held(enforcer):
    enforcer.assign("acme", "agents", "ann")

    assert (True, False) == (enforcer.unassign("acme", "agents", "ann"), enforcer.unassign("acme", "agents", "ann"))
