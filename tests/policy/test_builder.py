"""The policy that is built from files: inheritance, replaced, dropped and flattened values."""

import dataclasses
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Algorithm, Allocation, Mode, OnOutage, Quota, Rate
from entitlements.model.policy import Feature, PolicyData
from entitlements.model.tier import TrialTerms
from entitlements.policy import Policy
from entitlements.policy.values import overlay

POLICIES = Path(__file__).resolve().parents[2] / "policies"
MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE

WHOLE = {
    "policy": {"version": "v1", "unknown_account": "free", "currency": "EUR"},
    "features": {"sso": "Single sign-on", "beta": "New things"},
    "levels": {"analytics": ["none", "standard", "advanced"]},
    "limits": {
        "api": {"kind": "rate", "algorithm": "token-bucket", "burst": 7, "deadline": "20 ms", "on_outage": "allow"},
        "calls": {"kind": "rate", "per": "ip", "unit": "call", "about": "Calls", "mode": "shadow"},
        "leads": {"kind": "quota", "unit": "lead", "deadline": timedelta(seconds=1)},
        "storage": {"kind": "allocation", "unit": "byte", "on_outage": "allow"},
    },
    "tiers": {
        "free": {
            "rank": 0,
            "features": ["beta"],
            "levels": {"analytics": "standard"},
            "limits": {"api": "5 per 2 minutes", "leads": 10, "storage": "1 GB"},
            "values": {
                "support": {"phone": "none", "email": "primary"},
                "reply": {"no-commitment": "Best effort"},
                "seats": 3,
                "term": {"from": timedelta(days=1), "to": "2 days"},
            },
        },
        "pro": {
            "rank": 1,
            "name": "For professionals",
            "aliases": ["tier-2", "Tier Two"],
            "extends": "free",
            "without": ["beta", "support.phone"],
            "features": ["sso"],
            "limits": {"leads": UNLIMITED, "storage": NOT_INCLUDED},
            "values": {"reply": "4 hours", "seats": NOT_INCLUDED, "term": Decimal("1.5"), "support": {"chat": True}},
        },
        "pro-trial": {
            "rank": 1,
            "extends": "pro",
            "levels": {"analytics": NOT_INCLUDED},
            "values": {"reply": {"label": "x"}, "support": NOT_INCLUDED},
            "trial": {"of": "14 days", "from": "7 days", "to": "30 days", "then": "free"},
        },
    },
    "add_ons": {
        "extra": {
            "about": "More of it",
            "tiers": ["pro"],
            "features": ["beta"],
            "levels": {"analytics": "advanced"},
            "limits": {"leads": 100, "api": "5 per 2 minutes"},
            "values": {"support": {"phone": "24/7"}},
            "price": "5 per month",
        }
    },
}


@pytest.fixture(scope="module")
def policy():
    return Policy.parse(WHOLE)


def test_a_policy_is_the_models_policy(policy):
    """The public `Policy` is a `PolicyData`, which the rest of the package uses."""
    assert isinstance(policy, Policy)
    assert isinstance(policy, PolicyData)
    assert ("v1", "free", "EUR") == (policy.version, policy.unknown_account, policy.currency)


def test_a_policy_carries_what_was_found_odd(policy):
    """Warnings do not prevent its use."""
    assert ["<mapping>: warning: limits.calls: no tier names the limit 'calls'; give it to a tier, or remove it"] == [
        str(warning) for warning in policy.warnings
    ]


def test_features_are_switches_and_features_with_levels(policy):
    """Switches have a sentence, features with levels have an order."""
    assert {
        "sso": Feature("sso", about="Single sign-on"),
        "beta": Feature("beta", about="New things"),
        "analytics": Feature("analytics", ("none", "standard", "advanced")),
    } == policy.features


def test_limits_are_defined_once_and_get_their_window_from_the_tiers(policy):
    """Missing keys have the default of the limit's kind."""
    assert {
        "api": Rate(
            "api",
            2 * MINUTE,
            algorithm=Algorithm.TOKEN_BUCKET,
            burst=7,
            deadline=20_000,
            on_outage=OnOutage.ALLOW,
        ),
        "calls": Rate("calls", 0, per="ip", unit="call", about="Calls", mode=Mode.SHADOW),
        "leads": Quota("leads", unit="lead", deadline=1_000_000),
        "storage": Allocation("storage", unit="byte", on_outage=OnOutage.ALLOW),
    } == policy.limits


def test_a_tier_has_what_it_writes(policy):
    """Sizes are numbers, values are flat."""
    free = policy.tiers["free"]

    assert (0, "free", (), None) == (free.rank, free.name, free.aliases, free.trial)
    assert (frozenset({"beta"}), {"analytics": "standard"}) == (free.features, free.levels)
    assert {"api": 5, "leads": 10, "storage": 10**9} == free.limits
    assert {
        "support.phone": "none",
        "support.email": "primary",
        "reply": None,
        "reply.label": "Best effort",
        "seats": Decimal(3),
        "term.from": timedelta(days=1),
        "term.to": timedelta(days=2),
    } == free.values


def test_a_child_has_what_its_parent_has_except_what_it_replaces_or_drops(policy):
    """A value replaces the value of the same key and the label of a `no-commitment`."""
    pro = policy.tiers["pro"]

    assert (1, "For professionals", ("tier-2", "Tier Two")) == (pro.rank, pro.name, pro.aliases)
    assert (frozenset({"sso"}), {"analytics": "standard"}) == (pro.features, pro.levels)
    assert {"api": 5, "leads": UNLIMITED} == pro.limits
    assert {
        "support.email": "primary",
        "support.chat": True,
        "reply": timedelta(hours=4),
        "term": Decimal("1.5"),
    } == pro.values


def test_what_belongs_to_a_tier_alone_is_not_inherited(policy):
    """Rank, name, aliases and trial are not inherited."""
    trial = policy.tiers["pro-trial"]

    assert ("pro-trial", ()) == (trial.name, trial.aliases)
    assert ({}, {"reply.label": "x", "term": Decimal("1.5")}) == (trial.levels, trial.values)
    assert TrialTerms(14 * DAY, 7 * DAY, 30 * DAY, "free") == trial.trial
    assert policy.tiers["pro"].trial is None


def test_a_trial_without_bounds_lasts_exactly_as_long_as_it_says():
    """The default of both bounds is the length itself."""
    tiers = {"free": {"rank": 1}, "try": {"rank": 1, "trial": {"of": "2 weeks", "then": "free"}}}

    policy = Policy.parse({"policy": {"version": 1}, "tiers": tiers})

    assert TrialTerms(14 * DAY, 14 * DAY, 14 * DAY, "free") == policy.tiers["try"].trial


def test_each_name_remembers_the_tier_that_wrote_it(policy):
    """Through every step of inheritance; a dropped name has no origin."""
    assert {
        "analytics": "free",
        "api": "free",
        "support.email": "free",
        "sso": "pro",
        "leads": "pro",
        "support.chat": "pro",
        "reply": "pro",
        "term": "pro",
    } == policy.tiers["pro"].origins
    assert {"free", "pro", "pro-trial"} == set(policy.tiers["pro-trial"].origins.values())


def test_an_add_on_holds_what_it_adds(policy):
    """Its sizes are parsed like those of a tier."""
    extra = policy.add_ons["extra"]

    assert (("pro",), frozenset({"beta"}), {"analytics": "advanced"}) == (extra.tiers, extra.features, extra.levels)
    assert ({"leads": 100, "api": 5}, {"support.phone": "24/7"}) == (extra.limits, extra.values)
    assert ("5 per month", "More of it") == (extra.price, extra.about)


def test_tiers_stand_in_the_order_of_the_files_also_if_children_come_first():
    """A parent may be defined after its child."""
    tiers = {"b": {"rank": 2, "extends": "a", "values": {"y": True}}, "a": {"rank": 1, "values": {"x": True}}}

    policy = Policy.parse({"policy": {"version": 1}, "tiers": tiers})

    assert ["b", "a"] == list(policy.tiers)
    assert {"x": True, "y": True} == policy.tiers["b"].values


@pytest.mark.parametrize("attribute", ["tiers", "features", "limits", "add_ons"])
def test_a_policy_cannot_be_changed(policy, attribute):
    """Its mappings are read-only, and so are those of its tiers."""
    with pytest.raises(TypeError):
        getattr(policy, attribute)["new"] = None
    with pytest.raises(TypeError):
        policy.tiers["free"].limits["leads"] = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.version = "2"


@pytest.mark.parametrize("file", ["minimal.yaml", "photo-lab.yaml"])
def test_a_mapping_says_what_the_file_says(file):
    """`Policy.parse` of a file's YAML equals `Policy.load` of the file."""
    path = POLICIES / file

    loaded, parsed = Policy.load(path), Policy.parse(YAML(typ="safe", pure=True).load(path))

    assert contents(loaded) == contents(parsed)


def contents(policy):
    return {each.name: getattr(policy, each.name) for each in dataclasses.fields(policy)}


def test_a_number_of_a_mapping_is_the_number_written():
    """A float is read as its shortest text, a Decimal and an int are kept."""
    values = {"a": 99.95, "b": Decimal("9.50"), "c": 35, "d": "35", "e": "24 hours", "f": timedelta(hours=1)}

    policy = Policy.parse({"policy": {"version": 1}, "tiers": {"free": {"rank": 1, "values": values}}})
    found = policy.tiers["free"].values

    assert ["99.95", "9.50", "35", "35"] == [str(found[key]) for key in "abcd"]
    assert [Decimal, Decimal, Decimal, str, timedelta, timedelta] == [type(found[key]) for key in "abcdef"]


@pytest.mark.parametrize(
    ("base", "own", "expected"),
    [
        ({"a": "x"}, {"b": "y"}, {"a": "x", "b": "y"}),
        ({"a": "x"}, {"a": "y"}, {"a": "y"}),
        ({"a.b": "x", "a.c": "x", "ab": "x"}, {"a": "y"}, {"a": "y", "ab": "x"}),
        ({"a": "x"}, {"a.b": "y"}, {"a.b": "y"}),
        ({"a": None, "a.label": "x"}, {"a": "y"}, {"a": "y"}),
        ({"a": "x"}, {"a": None, "a.label": "y"}, {"a": None, "a.label": "y"}),
        ({"a": None, "a.label": "x"}, {"a.label": "y"}, {"a": None, "a.label": "y"}),
        ({"a": None, "a.label": "x"}, {"a.b": "y"}, {"a.b": "y"}),
        ({"a.b": "x", "a.c.d": "x"}, {"a": NOT_INCLUDED}, {}),
        ({"a.b": "x", "a.c.d": "x"}, {"a.c": NOT_INCLUDED}, {"a.b": "x"}),
    ],
)
def test_a_key_replaces_itself_what_is_below_it_and_a_value_above_it(base, own, expected):
    """Exception: a label alone changes only the text of a `no-commitment`."""
    assert expected == overlay(base, own)
