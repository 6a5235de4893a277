"""`entitlements codegen`: a module with the names of a policy, which runs and which type checkers read."""

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import get_args

import pytest

from entitlements import AsyncEnforcer, Enforcer, Policy, use
from entitlements.cli import main

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ["minimal.yaml", "photo-lab.yaml", "customer-tiers", "second-funnel"]
COMMITTED = ROOT / "tests" / "typing" / "photo_lab_names.py"


def imported(path):
    spec = importlib.util.spec_from_file_location("policy_names", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=POLICIES)
def policy_path(request):
    return str(ROOT / "policies" / request.param)


@pytest.fixture
def names(policy_path, tmp_path):
    path = tmp_path / "names.py"
    assert 0 == main(["codegen", policy_path, "-o", str(path)])
    return imported(path)


def test_the_types_are_the_names_of_the_policy(names, policy_path):
    policy = Policy.load(policy_path)

    levels = {f"{each.name}:{level}" for each in policy.features.values() for level in each.levels}
    assert {*policy.features} | levels == set(get_args(names.FeatureName)) == {each.value for each in names.Feature}
    assert set(policy.limits) == set(get_args(names.LimitName)) == {each.value for each in names.Limit}
    assert set(policy.tiers) == set(get_args(names.TierName))
    assert set(policy.add_ons) == set(get_args(names.AddOnName))


def test_every_key_has_a_value(names, policy_path):
    policy = Policy.load(policy_path)
    enforcer = names.typed(Enforcer(policy, accounts={"acme": highest(policy)}))

    for key in get_args(names.ValueKey):
        enforcer.value("acme", key)
    assert {*policy.keys, *policy.nodes} <= set(get_args(names.ValueKey))


def test_a_member_of_an_enum_is_as_good_as_its_name(names, policy_path):
    policy = Policy.load(policy_path)
    enforcer = names.typed(Enforcer(policy, accounts={"acme": highest(policy)}))

    with use(enforcer):
        for member in names.Feature:
            assert names.can("acme", member) == enforcer.can("acme", member.value)
            assert type(enforcer.decide("acme", member).feature) is str
    for member in names.Limit:
        peeked = [enforcer.peek("acme", each, scope=None) for each in (member, member.value) if not per(policy, member)]
        assert [*map(json.dumps, (each.to_dict() for each in peeked))] == [
            json.dumps(each.to_dict()) for each in peeked
        ]


def highest(policy):
    return max((tier for tier in policy.tiers.values() if not tier.trial), key=lambda tier: tier.rank).id


def per(policy, name):
    return getattr(policy.limits[name], "per", None)


def test_the_async_enforcer_is_the_same_object(names, policy_path):
    async def run():
        async with AsyncEnforcer(Policy.load(policy_path), accounts={}) as enforcer:
            assert names.typed(enforcer) is enforcer

    asyncio.run(run())


def test_names_that_would_be_one_member_stay_apart(tmp_path, capsys):
    written = {
        "policy": {"version": 1},
        "features": {"sign-on": "One", "sign.on": "Two", "Sign_On": "Three", "2fa": "Four", "-": "Five"},
        "tiers": {"one": {"rank": 1}, "two": {"rank": 2, "features": ["sign-on", "sign.on", "Sign_On", "2fa", "-"]}},
    }
    (tmp_path / "policy.json").write_text(json.dumps(written))

    assert 0 == main(["codegen", str(tmp_path / "policy.json")])

    (tmp_path / "names.py").write_text(capsys.readouterr().out)
    members = imported(tmp_path / "names.py").Feature.__members__
    assert {"SIGN_ON": "sign-on", "SIGN_ON_2": "sign.on", "SIGN_ON_3": "Sign_On", "_2FA": "2fa", "NAME": "-"} == members


def test_the_module_that_type_checkers_read_is_up_to_date():
    """`make lint` runs mypy and pyright on tests/typing/names.py, where each misspelt name must be an error."""
    assert 0 == main(["codegen", str(ROOT / "policies" / "photo-lab.yaml"), "-o", str(COMMITTED), "--check"])


def test_check_tells_that_a_module_is_not_up_to_date(tmp_path, capsys, policy_path):
    path = tmp_path / "names.py"

    assert 1 == main(["codegen", policy_path, "-o", str(path), "--check"])

    assert f"{path} is not up to date: entitlements codegen {policy_path} -o {path}\n" == capsys.readouterr().out
    assert not path.exists()
    assert 2 == main(["codegen", policy_path, "--check"])


def test_an_unreadable_policy_writes_nothing(tmp_path):
    path = tmp_path / "names.py"

    assert 4 == main(["codegen", str(tmp_path / "policy.yaml"), "-o", str(path)])

    assert not path.exists()
