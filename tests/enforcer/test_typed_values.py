"""`value(account, key, kind)`: one type, or the default, and the same answer by every shell."""

from datetime import timedelta
from decimal import Decimal
from inspect import isfunction, signature

import pytest

from entitlements import NOT_INCLUDED, AsyncEnforcer, Enforcer, Policy, UnknownFeature
from entitlements.typed import TypedAsyncEnforcer, TypedEnforcer

VALUES = {
    "agents": 5,
    "uptime": Decimal("99.95"),
    "reply": timedelta(hours=4),
    "phone": "business-hours",
    "open": True,
    "days": ["monday", "friday"],
    "visits": {"no-commitment": "when we can"},
    "zero": 0,
}
POLICY = Policy.parse(
    {
        "policy": {"version": 1},
        "levels": {"reports": ["none", "basic"]},
        "tiers": {
            "free": {"rank": 1},
            "pro": {"rank": 2, "levels": {"reports": "basic"}, "values": {"support": VALUES}},
        },
    }
)
ACCOUNTS = {"petra": "pro", "frida": "free"}

FITTING = [
    ("support.agents", int, 5),
    ("support.agents", Decimal, Decimal(5)),
    ("support.agents", float, 5.0),
    ("support.zero", int, 0),
    ("support.uptime", float, 99.95),
    ("support.uptime", Decimal, Decimal("99.95")),
    ("support.reply", timedelta, timedelta(hours=4)),
    ("support.phone", str, "business-hours"),
    ("support.open", bool, True),
    ("support.days", tuple, ("monday", "friday")),
    ("support.visits.label", str, "when we can"),
    ("reports", str, "basic"),
]


@pytest.fixture
def enforcer():
    return Enforcer(POLICY, accounts=ACCOUNTS)


@pytest.mark.parametrize(("key", "kind", "value"), FITTING)
async def test_a_value_comes_as_the_type_that_was_asked_for(enforcer, key, kind, value):
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS) as asynchronous:
        handle = await asynchronous.account("petra")
        found = [
            enforcer.value("petra", key, kind),
            enforcer.account("petra").value(key, kind),
            enforcer.entitlements("petra").value(key, kind),
            await asynchronous.value("petra", key, kind),
            handle.value(key, kind),
        ]

    assert [value] * 5 == found
    assert {kind} == {type(each) for each in found}


def test_an_inner_node_comes_as_a_dict(enforcer):
    assert enforcer.value("petra", "support", dict)["agents"] == 5


@pytest.mark.parametrize(("account", "key"), [("frida", "support.agents"), ("petra", "support.visits")])
def test_what_is_not_included_and_no_commitment_are_the_default(enforcer, account, key):
    assert enforcer.value(account, key, int) is None
    assert enforcer.value(account, key, int, default=3) == 3


def test_the_untyped_call_tells_not_included_from_no_commitment(enforcer):
    assert enforcer.value("frida", "support.agents") is NOT_INCLUDED
    assert enforcer.value("petra", "support.visits") is None


@pytest.mark.parametrize(
    ("key", "kind", "says"),
    [
        ("support.uptime", int, "'support.uptime' is '99.95', a Decimal, which is no int; ask value"),
        ("support.reply", int, "a timedelta, which is no int"),
        ("support.open", int, "a bool, which is no int"),
        ("support.agents", str, "a Decimal, which is no str"),
        ("support.agents", bool, "a Decimal, which is no bool"),
        ("support.agents", complex, "is none of bool, str, int, float, Decimal, timedelta, tuple, dict"),
        ("support.visits", list, "is none of bool"),
    ],
)
def test_another_type_is_named_with_the_one_to_ask_for(enforcer, key, kind, says):
    with pytest.raises(TypeError, match=says):
        enforcer.value("petra", key, kind, default=kind())


def test_an_unknown_key_is_unknown_whatever_the_type(enforcer):
    with pytest.raises(UnknownFeature, match=r"support\.agents"):
        enforcer.value("petra", "support.agent", int)


TYPED = {TypedEnforcer: Enforcer, TypedAsyncEnforcer: AsyncEnforcer}
VERBS = [(typed, name) for typed in TYPED for name in vars(typed) if not name.startswith("_") and name != "value"]


@pytest.mark.parametrize(("typed", "name"), VERBS, ids=lambda each: getattr(each, "__name__", each))
def test_a_typed_enforcer_has_the_arguments_of_the_enforcer(typed, name):
    """`tests/typing/names.py` compares their types."""
    parameters = [
        [(each.name, each.kind, each.default) for each in signature(getattr(cls, name)).parameters.values()]
        for cls in (typed, TYPED[typed])
    ]

    assert parameters[0] == parameters[1]


def test_every_verb_that_takes_a_name_is_typed():
    named = {"feature", "what", "limit", "key"}
    verbs = {
        name
        for name, method in vars(Enforcer).items()
        if not name.startswith("_") and isfunction(method) and named & {*signature(method).parameters}
    }

    assert verbs <= {name for _, name in VERBS} | {"value"}
