"""Values travel: each can be pickled and copied, and means the same in another process."""

import asyncio
import copy
import multiprocessing
import pickle
import re
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import entitlements.stores.errors
from entitlements import (
    NOT_INCLUDED,
    UNLIMITED,
    Account,
    AsyncEnforcer,
    Change,
    Denied,
    Enforcer,
    Grant,
    Override,
    Policy,
    PolicyError,
    Trial,
)
from entitlements.accounts.sql.rows import RowError
from entitlements.errors import EntitlementsError
from entitlements.http.error_refusals import UnknownAccountDenied
from entitlements.http.routes import Route
from entitlements.model.frozen_dict import FrozenDict
from entitlements.stores import MemoryStore
from entitlements.stores.redis import AsyncRedisStore, RedisStore
from entitlements.testing import FakeClock, RecordingHook

POLICIES = Path(__file__).resolve().parents[2] / "policies"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SOON = NOW + timedelta(days=9)
POLICY = Policy.load(POLICIES / "customer-tiers")
ACME = Account(
    "acme",
    "small-business",
    trial=Trial("mid-market", None, SOON),
    anchor=31,
    add_ons={"phone-support": 1},
    overrides=[Override("agents", 12, reason="pilot", author="ops")],
    grants=[Grant("leads", 5, expires=SOON)],
    changes=[Change("freemium", at=SOON)],
    attributes={"annual_value": "$12,000", "agents": 9, "tags": ["a"]},
)


def travelled(value):
    """Return the value after a pickle of each protocol, and its copies."""
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(value, protocol))  # noqa: S301
    yield copy.copy(value)
    yield copy.deepcopy(value)


def values():
    """Yield a value of each kind that the verbs take and return, with events."""
    hook = RecordingHook()
    acme = Enforcer(POLICY, accounts={"acme": ACME}, clock=FakeClock(NOW), hooks=[hook]).account("acme")
    enforcer = Enforcer(POLICY, accounts={"acme": ACME}, clock=FakeClock(NOW))
    yield from (ACME, UNLIMITED, NOT_INCLUDED, acme.decide("sso"), acme.consume({"api": 1, "leads": 2}))
    yield from (acme.peek("leads", 10**9), acme.reserve("leads", 3).decision, acme.usage(), acme.history("leads"))
    yield from (enforcer.review("acme"), enforcer.plan_change("acme", "freemium"), enforcer.uptime("acme"))
    yield from (enforcer.sla("acme", "P1"), enforcer.health("acme", {}), *hook.events)
    yield from (POLICY.assignment, POLICY.tiers, POLICY.limits, POLICY.add_ons, POLICY.warnings)


@pytest.mark.parametrize("value", [*values()], ids=lambda value: type(value).__name__)
def test_a_value_is_the_same_after_its_travels(value):
    for other in travelled(value):
        assert value == other or repr(value) == repr(other)
        assert type(value) is type(other)
        if hasattr(value, "to_dict"):
            assert value.to_dict() == other.to_dict()


@pytest.mark.parametrize("name", ["customer-tiers", "second-funnel", "minimal.yaml", "photo-lab.yaml"])
def test_a_policy_that_travelled_decides_the_same(name):
    policy = Policy.load(POLICIES / name)
    for other in travelled(policy):
        assert (repr(policy), policy.tiers, policy.routes) == (repr(other), other.tiers, other.routes)
        for tier in policy.tiers:
            account = Account("acme", policy.tiers[tier].trial.then if policy.tiers[tier].trial else tier)
            one, two = Enforcer(policy).entitlements(account), Enforcer(other).entitlements(account)
            assert {each: one.can(each) for each in policy.features} == {each: two.can(each) for each in other.features}
            assert {each: one.limit(each) for each in policy.limits} == {each: two.limit(each) for each in other.limits}


def test_entitlements_that_travelled_answer_the_same():
    enforcer = Enforcer(POLICY, accounts={"acme": ACME}, clock=FakeClock(NOW))
    enforcer.consume("acme", {"api": 1, "leads": 2})  # prepares what does not travel
    found = enforcer.entitlements("acme")

    for other in travelled(found):
        assert (found.account, found.tier, found.valid_until) == (other.account, other.tier, other.valid_until)
        assert all(found.can(name) is other.can(name) for name in POLICY.features)
        assert all(found.value(key) == other.value(key) for key in POLICY.keys)


def test_a_mapping_of_a_value_stays_read_only_after_its_travels():
    for other in travelled(FrozenDict(a=1)):
        for change in (
            lambda it: it.__setitem__("b", 2),
            lambda it: it.update(b=2),
            lambda it: it.__ior__({"b": 2}),
            lambda it: it.pop("a"),
            lambda it: it.clear(),
            lambda it: it.setdefault("b", 2),
        ):
            with pytest.raises(TypeError, match="read-only"):
                change(other)
        assert {"a": 1} == other


def kinds(base):
    """Return the classes below *base*."""
    below = base.__subclasses__()
    return below + [each for kind in below for each in kinds(kind)]


@pytest.mark.parametrize("kind", kinds(EntitlementsError), ids=lambda kind: kind.__name__)
def test_an_exception_crosses_processes(kind):
    """One that cannot be unpickled breaks a pool of processes."""
    assert entitlements.stores.errors.StoreError in kinds(EntitlementsError)
    made = {
        Denied: lambda: Denied(Enforcer(POLICY).decide(Account("a", "freemium"), "sso")),
        PolicyError: lambda: PolicyError(POLICY.warnings),
        RowError: lambda: RowError("acme", "accounts", "acme", "tier", "there is no such tier; write another"),
        UnknownAccountDenied: lambda: UnknownAccountDenied(
            Enforcer(POLICY, accounts={}).decide("a", "sso"), Enforcer(POLICY).decide(Account("a", "freemium"), "sso")
        ),
    }.get(kind, lambda: kind("what happened; the cure"))()

    for other in travelled(made):
        assert (type(made), str(made)) == (type(other), str(other))


def decide(policy, account):
    return Enforcer(policy).entitlements(account), Enforcer(policy).decide(account, "sso")


def test_a_policy_goes_to_a_spawned_process_and_its_decisions_come_back():
    """The default way of starting processes from Python 3.14 on pickles what they are given."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found, decision = pool.submit(decide, POLICY, Account("acme", "enterprise")).result()

    assert (True, "enterprise") == (decision.allowed, found.tier)


ENFORCER = Enforcer(POLICY, accounts={"acme": ACME}, clock=FakeClock(NOW))
FROZEN = [
    *((value, name, "make a copy: dataclasses.replace(..., {}=...)") for value, name in [
        (ACME, "tier"), (ACME.trial, "ends"), (ACME.overrides[0], "value"), (ACME.grants[0], "amount"),
        (ACME.changes[0], "at"), (Route("/"), "path"),
    ]),
    *((value, name, "change the policy's files and load them again") for value, name in [
        (POLICY, "version"), (POLICY.tiers["enterprise"], "rank"), (POLICY.limits["api"], "window"),
        (POLICY.limits["leads"], "name"), (POLICY.limits["agents"], "mode"),
    ]),
    *((value, name, "it says what was found; ask again for what is so now") for value, name in [
        (ENFORCER.usage("acme")["leads"], "used"), (ENFORCER.history("acme", "leads")[0], "denied"),
        (ENFORCER.entitlements("acme"), "tier"), (ENFORCER.decide("acme", "sso"), "allowed"),
        (ENFORCER.decide("acme", "sso").trace[0], "source"), (ENFORCER.review("acme"), "to"),
        (ENFORCER.plan_change("acme", "freemium"), "to"), (ENFORCER.health("acme", {}), "score"),
        (ENFORCER.uptime("acme"), "guaranteed"), (ENFORCER.sla("acme", "P1"), "response"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "name", "cure"), FROZEN, ids=lambda each: type(each).__name__)
def test_a_frozen_value_says_how_to_change_it(value, name, cure):
    for change in (lambda: setattr(value, name, "other"), lambda: delattr(value, name)):
        with pytest.raises(AttributeError, match=re.escape(cure.format(name))):
            change()


def objects_of_a_process():
    enforcer, loop = Enforcer(POLICY, accounts={"acme": ACME}), AsyncEnforcer(POLICY, accounts={"acme": ACME})
    yield from (enforcer, loop, enforcer.account("acme"), asyncio.run(loop.account("acme")))
    yield from (enforcer.reserve("acme", "leads"), loop.reserve("acme", "leads"))
    yield from (MemoryStore(), RedisStore("redis://127.0.0.1:1"), AsyncRedisStore("redis://127.0.0.1:1"))


@pytest.mark.parametrize("value", [*objects_of_a_process()], ids=lambda value: type(value).__name__)
def test_what_belongs_to_a_process_says_what_to_send_instead(value):
    for travel in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"^{type(value).__name__} cannot be pickled or copied.*; (make|send)"):
            travel(value)
