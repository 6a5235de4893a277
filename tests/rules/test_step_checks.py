"""Verbs reject what they cannot do, before the store is asked: the message names the thing and the value."""

import re

import pytest

from entitlements import Enforcer, Policy, UnknownFeature
from entitlements.rules.scopes import MAX_SCOPES, check_page

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "features": {"sso": "Single sign-on"},
    "limits": {
        "api": {"kind": "rate"}, "leads": {"kind": "quota"}, "seats": {"kind": "allocation"},
        "devices": {"kind": "allocation", "per": "user"}, "logins": {"kind": "rate", "per": "user"},
    },
    "tiers": {"pro": {"rank": 1, "features": ["sso"], "limits": {
        "api": "10 per hour", "leads": 10, "seats": 3, "devices": 3, "logins": "5 per hour",
    }}},
})  # fmt: skip


@pytest.fixture
def enforcer():
    return Enforcer(POLICY, accounts={"acme": "pro"})


@pytest.mark.parametrize(
    ("verb", "arguments", "options", "error", "named"),
    [
        ("assign", ("leads", "ann"), {}, ValueError, "assign works on"),
        ("assign", ("seats", ""), {}, ValueError, "holder"),
        ("assign", ("devices", "ann"), {}, ValueError, "devices"),
        ("unassign", ("leads", "ann"), {}, ValueError, "unassign works on"),
        ("unassign", ("seats", ""), {}, ValueError, "holder"),
        ("unassign", ("devices", "ann"), {}, ValueError, "devices"),
        ("unassign", ("seats", "ann"), {"scope": "ann"}, ValueError, "seats"),
        ("release", ("leads", 1), {}, ValueError, "release works on"),
        ("release", ("seats", 0), {}, ValueError, "amount"),
        ("release", ("devices", 1), {}, ValueError, "devices"),
        ("holders", ("leads",), {}, ValueError, "holders works on"),
        ("holders", ("devices",), {}, ValueError, "devices"),
        ("holders", ("seats",), {"scope": "ann"}, ValueError, "seats"),
        ("set_usage", ("api", 1), {}, ValueError, "set_usage works on"),
        ("set_usage", ("leads", -1), {}, ValueError, "usage of 'leads'"),
        ("set_usage", ("seats", True), {}, (TypeError, ValueError), "usage of 'seats'"),
        ("set_usage", ("devices", 1), {}, ValueError, "devices"),
        ("reset", ("leads",), {}, ValueError, "reset works on"),
        ("reset", ("logins",), {}, ValueError, "logins"),
        ("assign", ("sets", "ann"), {}, UnknownFeature, "sets"),
        ("set_usage", ("sets", 1), {}, UnknownFeature, "sets"),
        ("usage", (), {"scope": ""}, ValueError, "scope"),
        ("forget", (), {"scope": ""}, ValueError, "scope"),
        ("history", ("seats",), {}, ValueError, "history works on"),
    ],
)  # fmt: skip
def test_a_verb_names_what_it_rejects(enforcer, verb, arguments, options, error, named):
    with pytest.raises(error, match=re.escape(named)):
        getattr(enforcer, verb)("acme", *arguments, **options)


@pytest.mark.parametrize("size", [0, -1, MAX_SCOPES + 1, True, 1.0, "1", None])
def test_a_page_of_scopes_has_a_size_from_one_to_the_most(size):
    with pytest.raises(ValueError, match=f"from 1 to {MAX_SCOPES}"):
        check_page(None, size)
    with pytest.raises(ValueError, match="scope"):
        check_page("", 1)
    assert check_page(None, 1) is check_page("ann", MAX_SCOPES) is None
