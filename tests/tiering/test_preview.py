"""Previews of a change of tier, and enforcement that matches them exactly."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import (
    NOT_INCLUDED,
    UNLIMITED,
    Account,
    AsyncEnforcer,
    Change,
    Enforcer,
    Grant,
    Override,
    Policy,
    Reason,
    Trial,
    UnknownAccount,
)
from entitlements.model.limits import Allocation, Quota
from entitlements.model.resolution import resolution_of
from entitlements.testing import FakeClock
from entitlements.tiering.changes import MoveDirection, UsageOutcome

POLICY = Policy.load(Path(__file__).resolve().parents[2] / "policies" / "customer-tiers")
NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
TIERS = ("enterprise", "mid-market", "small-business", "freemium")
INSTANT = timedelta(microseconds=1)


def days(n):
    return timedelta(days=n)


def enforcer(account=None, *, clock=None):
    """Return an enforcer at `NOW`, with one account."""
    return Enforcer(POLICY, accounts={account.id: account} if account else {}, clock=clock or FakeClock(NOW))


# --- Dates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "to", "notice"),
    [
        ("enterprise", "mid-market", days(90)),
        ("enterprise", "freemium", days(90)),
        ("mid-market", "small-business", days(60)),
        ("small-business", "tier-4", days(30)),
    ],
)
def test_a_downgrade_takes_effect_when_the_notice_of_the_tier_that_is_left_is_over(tier, to, notice):
    plan = enforcer().plan_change(Account("acme", tier), to)

    assert (MoveDirection.DOWN, notice, NOW + notice) == (plan.way, plan.notice, plan.effective)


@pytest.mark.parametrize(("tier", "to"), [("freemium", "enterprise"), ("small-business", "mid-market")])
def test_an_upgrade_takes_effect_at_once(tier, to):
    plan = enforcer().plan_change(Account("acme", tier), to)

    assert (MoveDirection.UP, timedelta(), NOW) == (plan.way, plan.notice, plan.effective)


@pytest.mark.parametrize(("wanted", "effective"), [(days(10), days(30)), (days(30), days(30)), (days(45), days(45))])
def test_a_downgrade_may_be_wanted_later_and_is_never_before_its_notice(wanted, effective):
    plan = enforcer().plan_change(Account("acme", "small-business"), "freemium", at=NOW + wanted)

    assert NOW + effective == plan.effective


def test_an_upgrade_may_be_wanted_later():
    assert NOW + days(5) == enforcer().plan_change(Account("acme", "freemium"), "tier-3", at=NOW + days(5)).effective


def test_an_account_may_have_agreed_on_another_notice():
    longer = Override("transition.notice", days(120), reason="contract", author="deal-desk")
    plan = enforcer().plan_change(Account("acme", "mid-market", overrides=(longer,)), "freemium")

    assert days(120) == plan.notice


def test_the_notice_is_that_of_the_contract_and_not_of_a_trial():
    trial = Trial("enterprise", NOW - days(1), NOW + days(20))
    plan = enforcer().plan_change(Account("acme", "small-business", trial=trial), "freemium")

    assert ("small-business", days(30)) == (plan.from_tier, plan.notice)


def test_a_scheduled_change_that_has_come_is_the_tier_to_leave():
    account = Account("acme", "enterprise", changes=(Change("mid-market", at=NOW - days(1)),))

    assert days(60) == enforcer().plan_change(account, "freemium").notice


@pytest.mark.parametrize(("tier", "steps"), [("enterprise", 5), ("mid-market", 4), ("small-business", 4)])
def test_a_downgrade_names_the_steps_of_the_policy(tier, steps):
    process = enforcer().plan_change(Account("acme", tier), "freemium").process

    assert POLICY.tiers[tier].values["transition.process"] == process
    assert steps == len(process)


@pytest.mark.parametrize(
    ("tier", "first"),
    [
        ("freemium", "Automated notification"),
        ("small-business", "Customer success manager sees the opportunity"),
        ("mid-market", "Vice president of customer success takes part"),
    ],
)
def test_an_upgrade_names_the_steps_of_the_policy(tier, first):
    process = enforcer().plan_change(Account("acme", tier), "enterprise").process

    assert POLICY.tiers[tier].values["transition.upgrade.process"] == process
    assert first == process[0]


# --- What changes -----------------------------------------------------------------------------------------------


def test_features_limits_and_services_before_and_after():
    plan = enforcer().plan_change(Account("acme", "mid-market"), "small-business")

    assert {"team-collaboration", "early-access", "integrations:standard", "analytics", "branding"} < {
        *plan.features_lost
    }
    assert {"service.automated-engagement", "service.self-guided-training"} == {*plan.features_gained}
    assert "service.assigned-csm" in plan.features_lost
    assert (100_000, 5_000) == (plan.limits["leads"].before, plan.limits["leads"].after)
    assert (UNLIMITED, 10) == (plan.limits["standard-reports"].before, plan.limits["standard-reports"].after)
    assert ("1:5", "1:20") == (plan.services_changed["csm.ratio"].before, plan.services_changed["csm.ratio"].after)
    assert (True, False) == (
        plan.services_lost["reviews.monthly"].before,
        plan.services_lost["reviews.monthly"].after,
    )
    assert (NOT_INCLUDED, "monthly") == (
        plan.services_gained["csm.newsletters"].before,
        plan.services_gained["csm.newsletters"].after,
    )


@pytest.mark.parametrize(("tier", "to"), [("small-business", "mid-market"), ("enterprise", "mid-market")])
def test_an_account_that_is_live_is_not_onboarded_again(tier, to):
    plan = enforcer().plan_change(Account("acme", tier), to)
    keys = {*plan.services_lost, *plan.services_gained, *plan.services_changed}

    assert not {key for key in keys if key.startswith(("onboarding.", "schedule."))}
    assert {"support.response", "touchpoints"} <= keys


def test_what_the_account_bought_stays_bought():
    """An override stays in force on the new tier."""
    override = Override("sso", True, reason="contract", author="deal-desk")
    plan = enforcer().plan_change(Account("acme", "enterprise", overrides=(override,)), "mid-market")

    assert "sso" not in plan.features_lost
    assert "white-label" in plan.features_lost


def test_usage_over_a_new_allocation_is_kept_and_over_a_new_quota_refused_or_counted_anew():
    clock = FakeClock(NOW)
    acme = enforcer(Account("acme", "mid-market"), clock=clock).account("acme")
    acme.set_usage("agents", 64)
    acme.set_usage("leads", 60_000)
    later, plan = acme.plan_change("small-business"), acme.plan_change("freemium")

    assert (UsageOutcome.KEPT, 54) == (later.limits["agents"].fate, later.limits["agents"].over)
    assert (UsageOutcome.RESET, 0) == (later.limits["leads"].fate, later.limits["leads"].over)
    assert ("agents",) == tuple(change.limit for change in plan.over)
    assert "54 over: kept, and nothing can be added until that many are given back" in later.limits["agents"].text


def test_a_quota_over_its_new_size_in_the_same_period_is_refused_until_it_ends():
    acme = enforcer(Account("acme", "mid-market"))
    acme.set_usage("acme", "leads", 60_000)
    none = Override("transition.notice", days(1), reason="goodwill", author="deal-desk")
    plan = acme.plan_change(Account("acme", "mid-market", overrides=(none,)), "small-business")

    assert (UsageOutcome.REFUSED, 55_000) == (plan.limits["leads"].fate, plan.limits["leads"].over)


def test_a_new_plan_takes_the_place_of_what_was_scheduled_and_is_yet_to_come():
    past, ahead = Change("small-business", at=NOW - days(5)), Change("freemium", at=NOW + days(20))
    plan = enforcer().plan_change(Account("acme", "freemium", changes=(past, ahead)), "mid-market")

    assert ((ahead,), (past, Change("mid-market", at=NOW))) == (plan.replaces, plan.scheduled.changes)
    assert ("small-business", 5_000) == (plan.from_tier, plan.limits["leads"].before)


def test_nothing_changes_for_the_tier_that_it_has():
    plan = enforcer().plan_change(Account("acme", "mid-market"), "tier-2")

    assert (MoveDirection.NOWHERE, (), {}, ()) == (
        plan.way,
        plan.features_lost,
        dict(plan.limits),
        plan.scheduled.changes,
    )


def test_a_change_to_the_tier_that_it_has_cancels_a_scheduled_downgrade():
    past, ahead = Change("mid-market", at=NOW - days(5)), Change("freemium", at=NOW + days(20))
    account = Account("acme", "small-business", changes=(ahead, past))
    clock = FakeClock(NOW)
    acme = enforcer(account, clock=clock)

    plan = acme.plan_change("acme", "mid-market")

    assert (MoveDirection.NOWHERE, NOW, (ahead,), (past,)) == (
        plan.way,
        plan.effective,
        plan.replaces,
        plan.scheduled.changes,
    )
    clock.advance(days(30))
    assert ("freemium", "mid-market") == (acme.entitlements("acme").tier, acme.entitlements(plan.scheduled).tier)


def overriding(name, value, **span):
    return Override(name, value, reason="pilot of 2024", author="ops", **span)


@pytest.mark.parametrize(
    ("override", "capped"),
    [
        (overriding("leads", 50), [("leads", 50, 100_000)]),
        (overriding("integrations", "basic"), [("integrations", "basic", "standard")]),
        (overriding("team-collaboration", NOT_INCLUDED), [("team-collaboration", NOT_INCLUDED, True)]),
        (overriding("leads", 50, expires=NOW + days(9)), [("leads", 50, 100_000)]),
        (overriding("leads", 200_000), []),
        (overriding("sso", True), []),
        (overriding("leads", 50, expires=NOW - days(1)), []),
        (overriding("leads", 50, starts=NOW + days(1)), []),
        (overriding("support.phone", "always"), []),
    ],
)
def test_an_upgrade_names_the_override_that_holds_it_back(override, capped):
    plan = enforcer().plan_change(Account("acme", "small-business", overrides=[override]), "mid-market")

    assert capped == [(each.name, each.value, each.instead_of) for each in plan.capped]
    assert all(
        (each.reason, each.author, each.expires) == ("pilot of 2024", "ops", override.expires) for each in plan.capped
    )
    assert capped == [
        (each["name"], NOT_INCLUDED if each["value"] == "not-included" else each["value"], each["instead_of"])
        for each in plan.to_dict()["capped"]
    ]


@given(
    override=st.sampled_from(
        [overriding("leads", 0), overriding("agents", 3), overriding("leads", UNLIMITED), overriding("sso", False)]
    ),
    tiers=st.tuples(st.sampled_from(TIERS), st.sampled_from(TIERS)),
)
def test_without_the_overrides_that_are_named_the_account_has_what_is_said(override, tiers):
    account = Account("acme", tiers[0], overrides=[override])
    plan = enforcer().plan_change(account, tiers[1])
    clock = FakeClock(plan.effective)

    own = enforcer(clock=clock).entitlements(plan.scheduled)
    free = enforcer(clock=clock).entitlements(replace(plan.scheduled, overrides=()))
    if override.name == "sso":
        assert [each.instead_of for each in plan.capped] == [True] * free.can("sso")
    else:
        held_back = [each.instead_of for each in plan.capped]
        assert held_back == [free.limit(override.name)] * (free.limit(override.name) > own.limit(override.name))


def test_a_plan_is_json():
    acme = enforcer(Account("acme", "enterprise"))
    acme.set_usage("acme", "agents", 860)
    plan = json.loads(json.dumps(acme.plan_change("acme", "mid-market").to_dict()))

    assert ("unlimited", 100, 760) == tuple(plan["limits"]["agents"][word] for word in ("before", "after", "over"))
    assert ("2027-02-08T12:00:00Z", ["agents"]) == (plan["effective"], plan["over"])


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        ("gold", "'gold' is no tier; there are enterprise"),
        ("midmarket", "did you mean 'mid-market'"),
        ("trial", "'trial' is a trial plan, which no account moves to"),
        (None, "None is no tier"),
    ],
)
def test_a_tier_that_no_account_can_move_to_is_named(to, problem):
    with pytest.raises(ValueError, match=problem):
        enforcer().plan_change(Account("acme", "freemium"), to)


def test_a_stranger_has_nothing_to_change():
    with pytest.raises(UnknownAccount, match="there is no such account"):
        enforcer().plan_change("nobody", "enterprise")
    with pytest.raises(UnknownAccount, match="tier 'platinum' is not in the policy"):
        enforcer().plan_change(Account("acme", "platinum"), "enterprise")


def test_the_async_enforcer_and_the_bound_handles_say_the_same():
    account = Account("acme", "mid-market")
    plain = enforcer(account)

    async def plans():
        async with AsyncEnforcer(POLICY, accounts={"acme": account}, clock=FakeClock(NOW)) as awaited:
            bound = await awaited.account("acme")
            return await awaited.plan_change("acme", "freemium"), await bound.plan_change("freemium")

    assert {plain.plan_change("acme", "freemium").to_dict()["effective"]} == {
        plan.to_dict()["effective"] for plan in asyncio.run(plans())
    }
    assert plain.plan_change("acme", "freemium") == plain.account("acme").plan_change("freemium")
    assert (plain.plan_change("acme", "freemium"),) * 2 == asyncio.run(plans())


# --- Previews agree with enforcement ----------------------------------------------------------------------------

MOMENTS = st.integers(-100, 200).map(lambda n: NOW + timedelta(days=n, hours=1))
SPANS = st.tuples(st.none() | MOMENTS, st.none() | MOMENTS).filter(lambda span: None in span or span[0] < span[1])
GRANTS = st.builds(
    lambda limit, amount, span: Grant(limit, amount, starts=span[0], expires=span[1]),
    st.sampled_from(["agents", "leads", "api", "custom-dashboards"]),
    st.integers(1, 500),
    SPANS,
)
WORDS = st.sampled_from(
    [("sso", True), ("sso", NOT_INCLUDED), ("agents", 5), ("leads", UNLIMITED), ("analytics", "standard")]
)
OVERRIDES = st.lists(
    st.builds(
        lambda word, span: Override(*word, reason="r", author="a", starts=span[0], expires=span[1]), WORDS, SPANS
    ),
    max_size=3,
    unique_by=lambda override: override.name,
)


@st.composite
def accounts(draw):
    """Return an account with any temporary entitlements."""
    tier = draw(st.sampled_from(TIERS))
    ends = draw(st.none() | MOMENTS)
    trial = Trial(draw(st.sampled_from(TIERS[: TIERS.index(tier) + 1])), None, ends) if ends else None
    changes = draw(st.lists(st.builds(lambda to, at: Change(to, at=at), st.sampled_from(TIERS), MOMENTS), max_size=2,
                            unique_by=lambda change: change.at))  # fmt: skip
    return Account(
        "acme", tier, trial=trial, overrides=tuple(draw(OVERRIDES)), changes=tuple(changes),
        grants=tuple(draw(st.lists(GRANTS, max_size=2))), add_ons=draw(st.sampled_from([{}, {"custom-reports": 3}])),
    )  # fmt: skip


@given(account=accounts(), to=st.sampled_from(TIERS), wanted=st.none() | MOMENTS)
def test_what_a_plan_says_is_lost_is_allowed_until_the_date_and_refused_from_it_on(account, to, wanted):
    clock = FakeClock(NOW)
    acme = Enforcer(POLICY, clock=clock)
    plan = acme.plan_change(account, to, at=wanted)
    assert plan.effective >= NOW + plan.notice

    clock.set(plan.effective - INSTANT if plan.effective > NOW else NOW)
    before = acme.entitlements(account if plan.effective == NOW else plan.scheduled)
    clock.set(plan.effective)
    after = acme.entitlements(plan.scheduled)

    for name in plan.features_lost:
        assert (True, False) == (before.can(name), after.can(name)), name
    for name in plan.features_gained:
        assert (False, True) == (before.can(name), after.can(name)), name
    told = {*plan.features_lost, *plan.features_gained}
    for name in set(resolution_of(before).answers) - told - set(POLICY.limits):
        assert name.endswith(":none") or before.can(name) is after.can(name), name
    for name in POLICY.limits:
        sizes = (before.limit(name), after.limit(name))
        told_sizes = plan.limits.get(name)
        assert sizes == ((told_sizes.before, told_sizes.after) if told_sizes else (sizes[0], sizes[0])), name
    values = {**plan.services_lost, **plan.services_gained, **plan.services_changed}
    for key, change in values.items():
        assert (change.before, change.after) == (
            resolution_of(before).values.get(key, NOT_INCLUDED),
            resolution_of(after).values.get(key, NOT_INCLUDED),
        )


@given(
    tiers=st.tuples(st.sampled_from(TIERS), st.sampled_from(TIERS)),
    used=st.fixed_dictionaries(
        {name: st.integers(0, 150) for name in ("agents", "leads", "storage", "custom-reports", "standard-reports")}
    ),
)
def test_what_a_plan_says_of_usage_is_what_becomes_of_it(tiers, used):
    tier, to = tiers
    clock = FakeClock(NOW)
    acme = Enforcer(POLICY, clock=clock)
    account = Account("acme", tier)
    for name, total in used.items():
        acme.set_usage(account, name, total)
    plan = acme.plan_change(account, to)
    clock.set(plan.effective)

    for name, change in plan.limits.items():
        limit = POLICY.limits[name]
        if not isinstance(limit, Allocation | Quota):
            continue
        meter, decision = acme.usage(plan.scheduled)[name], acme.consume(plan.scheduled, name)
        if change.fate in {UsageOutcome.KEPT, UsageOutcome.REFUSED}:
            assert (change.used, 0, False) == (meter.used, meter.remaining, decision.allowed)
            assert change.over == meter.used - (meter.limit or 0)
        if change.fate is UsageOutcome.RESET:
            assert 0 == meter.used
        if change.fate is UsageOutcome.FITS:
            assert meter.used <= meter.limit if meter.limit is not NOT_INCLUDED else not meter.used


def test_a_scheduled_downgrade_comes_by_the_clock_and_nothing_stored_is_deleted():
    clock = FakeClock(NOW)
    directory = {"acme": Account("acme", "small-business")}
    acme = Enforcer(POLICY, accounts=directory, clock=clock)
    acme.set_usage("acme", "agents", 9)
    plan = acme.plan_change("acme", "freemium")
    acme = Enforcer(POLICY, accounts={"acme": plan.scheduled}, clock=clock, store=acme._store)

    assert acme.can("acme", "api-access")
    assert acme.consume("acme", "agents").allowed
    clock.set(plan.effective)
    refused = acme.consume("acme", "agents")
    assert not acme.can("acme", "api-access")
    assert (10, 0, Reason.ALLOCATION_FULL) == (acme.usage("acme")["agents"].used, refused.remaining, refused.reason)
    assert 8 == acme.release("acme", "agents", 8)
    assert acme.consume("acme", "agents").allowed
