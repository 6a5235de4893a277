"""Overage: units beyond the included ones are admitted up to a bound, and told wherever usage is told."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements import (
    NOT_INCLUDED,
    UNLIMITED,
    Account,
    AccountError,
    AsyncEnforcer,
    Enforcer,
    Grant,
    Override,
    Policy,
    PolicyError,
    Reason,
)
from entitlements.http.rate_limit_headers import rate_limit_headers
from entitlements.model.events import Threshold
from entitlements.testing import FakeClock, RecordingHook

START = datetime(2026, 11, 2, 15, tzinfo=UTC)


def policy_of(leads, seats=10, mode="enforce"):
    """Return a policy of two tiers; *leads* and *seats* are the sizes of the lower one."""
    return Policy.parse({
        "policy": {"version": "1"},
        "limits": {
            "leads": {"kind": "quota", "mode": mode},
            "seats": {"kind": "allocation"},
            "api": {"kind": "rate"},
        },
        "tiers": {
            "basic": {"rank": 1, "limits": {"leads": leads, "seats": seats, "api": "100 per hour"}},
            "pro": {"rank": 2, "limits": {"leads": 100, "seats": 50, "api": "100 per hour"}},
        },
        "add_ons": {"pack": {"limits": {"leads": {"included": 3, "overage": 2}}}, "plain": {"limits": {"leads": 3}}},
    })  # fmt: skip


def enforcer_of(leads, seats=10, accounts=("acme",), store="memory://", **more):
    return Enforcer(policy_of(leads, seats), accounts=dict.fromkeys(accounts, "basic"), store=store, **more)


def seen(decision):
    return decision.reason, decision.used, decision.limit, decision.remaining, decision.overage


def override(value):
    return Override("leads", value, reason="promised", author="ann")


# --- On every store -----------------------------------------------------------------------------------------------


def test_units_beyond_the_included_ones_are_admitted_up_to_the_bound(any_store):
    enforcer = enforcer_of({"included": 5, "overage": 3}, {"included": 2, "overage": "allow"}, store=any_store)

    assert (Reason.WITHIN_LIMIT, 4, 5, 1, 0) == seen(enforcer.consume("acme", "leads", 4))
    assert (Reason.OVERAGE, 6, 5, 0, 1) == seen(enforcer.consume("acme", "leads", 2))
    assert (Reason.QUOTA_EXCEEDED, 6, 5, 0, 1) == seen(enforcer.consume("acme", "leads", 3))
    assert (Reason.NEVER_FITS, 6, 5, 0, 1) == seen(enforcer.consume("acme", "leads", 9))
    assert (Reason.OVERAGE, 6, 5, 0, 1) == seen(enforcer.peek("acme", "leads", 2))
    assert (Reason.OVERAGE, 8, 5, 0, 3) == seen(enforcer.consume("acme", "leads", 2, key="last"))
    assert (Reason.OVERAGE, 8, 5, 0, 3) == seen(enforcer.consume("acme", "leads", 2, key="last"))
    assert [(Reason.WITHIN_LIMIT, 0)] + [(Reason.OVERAGE, each) for each in (2, 6)] == [
        (decision.reason, decision.overage) for decision in (enforcer.consume("acme", "seats", n) for n in (2, 2, 4))
    ]
    assert 2 == enforcer.release("acme", "seats", 2)

    usage, (period,) = enforcer.usage("acme"), enforcer.history("acme", "leads")
    assert (8, 5, 0, 3) == (usage["leads"].used, usage["leads"].limit, usage["leads"].remaining, usage["leads"].overage)
    assert (6, 2, 0, 4) == (usage["seats"].used, usage["seats"].limit, usage["seats"].remaining, usage["seats"].overage)
    assert (8, 12, 5, 3) == (period.used, period.denied, period.limit, period.overage)


def test_a_charge_of_several_is_all_or_nothing_and_tells_the_overage(any_store):
    enforcer = enforcer_of({"included": 1, "overage": 5}, 2, store=any_store)

    both = enforcer.consume("acme", {"leads": 2, "seats": 2, "api": 1})
    assert (Reason.OVERAGE, "leads", 1) == (both.reason, both.feature, both.overage)
    assert (Reason.WITHIN_LIMIT, 0) == (both.parts["seats"].reason, both.parts["seats"].overage)
    assert Reason.ALLOCATION_FULL is enforcer.consume("acme", {"leads": 1, "seats": 1}).reason
    assert 2 == enforcer.usage("acme")["leads"].used

    assert enforcer.refund(both)
    assert (0, 0) == (enforcer.usage("acme")["leads"].used, enforcer.usage("acme")["leads"].overage)


def test_reservations_assignments_and_totals_may_reach_into_overage(any_store):
    enforcer = enforcer_of({"included": 5, "overage": 5}, {"included": 1, "overage": 1}, store=any_store)

    held = enforcer.reserve("acme", "leads", 8, ttl=60)
    assert (Reason.OVERAGE, 3) == (held.decision.reason, held.decision.overage)
    held.commit(4)
    assert (4, 0) == (enforcer.usage("acme")["leads"].used, enforcer.usage("acme")["leads"].overage)
    assert 7 == enforcer.set_usage("acme", "leads", 12).overage

    reasons = [enforcer.assign("acme", "seats", holder).reason for holder in ("ann", "bo", "bo", "cy")]
    assert [Reason.WITHIN_LIMIT, Reason.OVERAGE, Reason.OVERAGE, Reason.ALLOCATION_FULL] == reasons


def test_history_tells_the_overage_of_past_periods_only_where_there_was_some(any_store):
    enforcer = enforcer_of({"included": 5, "overage": "allow"}, store=any_store)
    account = Account("acme", "basic")
    enforcer.consume(account, "leads", 7)
    assert [(7, 5, 2)] == [(each.used, each.limit, each.overage) for each in enforcer.history(account, "leads")]

    plain = Account("acme", "basic", overrides=[override(6)])
    assert Reason.QUOTA_EXCEEDED is enforcer.consume(plain, "leads").reason
    assert [(7, 6, 0)] == [(each.used, each.limit, each.overage) for each in enforcer.history(plain, "leads")]


def test_async_tells_the_same(server):
    async def main():
        with server.client() as client:
            client.flushdb()
        async with AsyncEnforcer(
            policy_of({"included": 1, "overage": 1}), accounts={"acme": "basic"}, store=server.url
        ) as enforcer:
            decisions = [await enforcer.consume("acme", {"leads": 1, "api": 1}) for _ in range(3)]
            return [(each.reason, each.parts["leads"].overage) for each in decisions]

    expected = [(Reason.WITHIN_LIMIT, 0), (Reason.OVERAGE, 1), (Reason.QUOTA_EXCEEDED, 1)]
    assert expected == asyncio.run(main())


amounts = st.integers(0, 8)
values = st.builds(
    lambda included, overage: {"included": included, "overage": overage}, amounts, amounts | st.just("allow")
)


@settings(max_examples=25)
@given(
    value=values,
    steps=st.lists(
        st.tuples(st.sampled_from(["consume", "peek", "refund", "reserve"]), st.integers(1, 6)), max_size=12
    ),
)
def test_the_law_is_that_of_a_plain_counter_with_two_marks(value, steps):
    """Oracle: a number, the included amount and the most that may be used."""
    enforcer, used, last = enforcer_of(value), 0, None
    most = float("inf") if value["overage"] == "allow" else value["included"] + value["overage"]
    for verb, n in steps:
        if verb == "refund":
            used -= last[1] if last is not None and enforcer.refund(last[0]) else 0
            last = None
            continue
        if verb == "reserve":
            held = enforcer.reserve("acme", "leads", n)
            assert bool(held) is (used + n <= most)
            held.cancel()
            continue
        decision = getattr(enforcer, verb)("acme", "leads", n)
        fits = used + n <= most
        assert fits is decision.allowed
        if fits:
            assert decision.reason is (Reason.OVERAGE if used + n > value["included"] else Reason.WITHIN_LIMIT)
        if fits and verb == "consume":
            used, last = used + n, (decision, n)
        usage = enforcer.usage("acme")["leads"]
        remaining, overage = max(0, value["included"] - used), max(0, used - value["included"])
        assert (used, remaining, overage if most != value["included"] else 0) == (
            usage.used,
            usage.remaining,
            usage.overage,
        )


# --- Where the size comes from ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "included", "overage"),
    [
        ({}, 5, 2),
        ({"add_ons": {"pack": 2}}, 11, 6),
        ({"add_ons": {"plain": 1}}, 8, 2),
        ({"grants": [Grant("leads", 4)]}, 9, 2),
        ({"overrides": [override({"included": 0, "overage": "allow"})]}, 0, UNLIMITED),
        ({"overrides": [override({"included": 7, "overage": 0})]}, 7, 0),
        ({"overrides": [override(UNLIMITED)]}, UNLIMITED, 0),
        ({"overrides": [override(NOT_INCLUDED)]}, NOT_INCLUDED, 0),
    ],
)
def test_tiers_add_ons_grants_and_overrides_come_together(account, included, overage):
    enforcer = Enforcer(policy_of({"included": 5, "overage": 2}))
    found = enforcer.entitlements(Account("acme", "basic", **account))

    assert (included, overage) == (found.limit("leads"), found.overage("leads"))
    assert found.can("leads") is bool(included or overage)
    assert included == enforcer.decide(Account("acme", "basic", **account), "leads").limit


def test_an_add_on_may_sell_overage_for_a_plain_limit():
    found = Enforcer(policy_of(5)).entitlements(Account("acme", "basic", add_ons={"pack": 1}))

    assert (8, 2) == (found.limit("leads"), found.overage("leads"))


def test_explain_and_json_show_the_size_as_a_policy_writes_it():
    decision = enforcer_of({"included": 5, "overage": "allow"}).decide("acme", "leads")

    assert "tier:basic says 5 included, overage beyond: won" == str(decision.trace[0])
    assert {"included": 5, "overage": "allow"} == json.loads(json.dumps(decision.to_dict()))["trace"][0]["value"]


def test_a_remedy_is_a_tier_with_room_beyond_included_and_overage():
    enforcer = enforcer_of({"included": 1, "overage": 1}, accounts=["acme"])
    enforcer.consume("acme", "leads", 2)
    refused = enforcer.consume("acme", "leads")

    assert "pro" == refused.remedy.tier
    assert "pack" == refused.remedy.add_on
    assert enforcer.consume("acme", "seats").remedy is None


def test_thresholds_and_headers_are_of_the_included_amount():
    hook = RecordingHook()
    enforcer = enforcer_of({"included": 10, "overage": "allow"}, hooks=[hook])
    for _ in range(12):
        decision = enforcer.consume("acme", "leads")

    crossed = [(each.percent, each.decision.used) for each in hook.events if isinstance(each, Threshold)]
    assert [(80, 8), (100, 10)] == crossed
    policy, state = (value.decode() for _, value in rate_limit_headers(decision))
    assert '"leads";q=10' == policy
    assert state.startswith('"leads";r=0;t=')


def test_a_shadow_limit_reports_what_is_beyond_its_overage():
    policy = policy_of({"included": 1, "overage": 1}, mode="shadow")
    enforcer = Enforcer(policy, accounts={"acme": "basic"})
    reasons = [enforcer.consume("acme", "leads").parts["leads"].reason for _ in range(3)]

    assert [Reason.WITHIN_LIMIT, Reason.OVERAGE, Reason.QUOTA_EXCEEDED] == reasons
    assert 2 == enforcer.usage("acme")["leads"].overage


def test_a_preview_says_what_will_be_overage_there():
    clock = FakeClock(START)
    policy = Policy.parse({
        "policy": {"version": "1"},
        "limits": {"seats": {"kind": "allocation"}},
        "tiers": {
            "basic": {"rank": 1, "limits": {"seats": {"included": 2, "overage": "allow"}}},
            "pro": {"rank": 2, "limits": {"seats": 50}},
        },
    })  # fmt: skip
    enforcer = Enforcer(policy, accounts={"acme": "pro"}, clock=clock)
    enforcer.consume("acme", "seats", 5)
    change = enforcer.plan_change("acme", "basic", at=START + timedelta(days=1)).limits["seats"]

    assert (0, 2) == (change.over, int(change.after))
    assert "seats: 50 → 2 included, overage beyond; 3 of those in use are overage there" == change.text


# --- Bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "line", "path", "said"),
    [
        ("{included: 5, overage: -1}", 7, "leads.overage", "overage -1 is below zero; write allow, or 0 or more"),
        ("{included: -5, overage: 1}", 7, "leads.included", "included -5 is below zero; write 0 or more"),
        ("\n        included: 5\n        overage: some", 9, "leads.overage", "overage: 'some' is no number of units"),
        ("{included: unlimited, overage: allow}", 7, "leads.included", "nothing is beyond unlimited"),
        ("{included: 5, overage: unlimited}", 7, "leads.overage", "write overage: allow"),
        ("{included: 5}", 7, "leads", "included: 5 has no overage beside it; write overage: allow, or 5 alone"),
        ("{included: 5, overages: 1}", 7, "leads.overages", "did you mean 'overage'?"),
        ("{included: 9007199254740990, overage: 1}", 7, "leads", "above the largest count"),
    ],
)  # fmt: skip
def test_a_size_that_cannot_be_is_an_error_with_its_line(tmp_path, written, line, path, said):
    file = tmp_path / "a.yaml"
    file.write_text(
        "policy: {version: 1}\nlimits: {leads: {kind: quota}}\n"
        f"tiers:\n  pro:\n    rank: 1\n    limits:\n      leads: {written}\n"
    )
    with pytest.raises(PolicyError) as raised:
        Policy.load(file)
    problem = raised.value.problems[0]

    assert (line, f"tiers.pro.limits.{path}") == (problem.line, problem.path)
    assert said in str(problem)


def test_a_rate_has_no_overage(tmp_path):
    with pytest.raises(PolicyError, match="a rate, which protects what it counts"):
        Policy.parse({
            "policy": {"version": "1"},
            "limits": {"api": {"kind": "rate"}},
            "tiers": {"pro": {"rank": 1, "limits": {"api": {"included": 5, "overage": "allow"}}}},
        })  # fmt: skip


@pytest.mark.parametrize("value", [{"included": 5, "overage": -1}, {"included": "many", "overage": 1}])
def test_an_override_that_cannot_be_is_a_bad_account(value):
    with pytest.raises(AccountError, match=r"override of .leads.: (included|overage)"):
        Enforcer(policy_of(5)).can(Account("acme", "basic", overrides=[override(value)]), "leads")
