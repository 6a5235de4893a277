"""A commit settles what was reserved down or up, of quotas, allocations and rates; what was used counts, all of it."""

from __future__ import annotations

import asyncio

import pytest
from flaky import Flaky
from hypothesis import given, settings
from hypothesis import strategies as st

from entitlements import AsyncEnforcer, Denied, Enforcer, Policy, Reason, ReservationExpired
from entitlements.model.events import Settlement, Threshold
from entitlements.stores import MemoryStore
from entitlements.stores.errors import Unreachable
from entitlements.stores.resilience.store import ResilientStore
from entitlements.testing import RecordingHook

RATES = ("sliding", "fixed", "bucket")


def policy():
    """Return a policy with a rate of each algorithm, whose windows are long, a quota and an allocation."""
    return Policy.parse({
        "policy": {"version": "1"},
        "limits": {
            "sliding": {"kind": "rate", "deadline": "10 s"},
            "fixed": {"kind": "rate", "algorithm": "fixed", "deadline": "10 s"},
            "bucket": {"kind": "rate", "algorithm": "token-bucket", "burst": 1000, "deadline": "10 s"},
            "free": {"kind": "rate", "deadline": "10 s"},
            "tokens": {"kind": "quota", "deadline": "10 s"},
            "open": {"kind": "quota", "deadline": "10 s"},
            "seats": {"kind": "allocation", "deadline": "10 s"},
        },
        "tiers": {
            "pro": {
                "rank": 1,
                "limits": {
                    "sliding": "1000 per 20 days", "fixed": "1000 per 20 days", "bucket": "1 per 20 days",
                    "free": "unlimited", "tokens": 1000, "open": {"included": 100, "overage": "allow"}, "seats": 1000,
                },
            },
        },
    })  # fmt: skip


LIMITS = (*RATES, "tokens", "open", "seats")


def enforcer(store="memory://", **options):
    return Enforcer(policy(), accounts={"acme": "pro"}, store=store, **options)


def used(enforcer, limit):
    usage = enforcer.usage("acme")[limit]
    return usage.used, usage.reserved


# --- On every store -----------------------------------------------------------------------------------------------


def test_each_limit_is_settled_to_what_was_committed(any_store):
    ent = enforcer(any_store)
    for number, (estimate, actual) in enumerate([(50, 20), (50, 50), (50, 90), (5, 1200)]):
        for limit in LIMITS:
            before = used(ent, limit)[0]
            held = ent.reserve("acme", limit, estimate if before + estimate <= 1000 else 1)
            decision = held.commit(actual)

            assert (before + actual, 0) == used(ent, limit), (number, limit)
            assert (True, before + actual, limit) == (decision.allowed, decision.used, decision.feature)
            above = before + actual > decision.limit
            assert decision.reason is (Reason.OVERAGE if above else Reason.WITHIN_LIMIT)
            assert max(0, before + actual - decision.limit) == decision.overage
            assert decision is held.commit(1)


def test_a_cancel_returns_what_was_reserved_of_each_limit(any_store):
    ent = enforcer(any_store)
    ent.consume("acme", dict.fromkeys(LIMITS, 7))
    held = ent.reserve("acme", dict.fromkeys(LIMITS, 30))
    assert [37] * len(LIMITS) == [used(ent, limit)[0] for limit in LIMITS]
    held.cancel()

    assert [(7, 0)] * len(LIMITS) == [used(ent, limit) for limit in LIMITS]
    assert (True, True) == (held.commit(9).allowed, held.commit(9).replayed)
    assert [(7, 0)] * len(LIMITS) == [used(ent, limit) for limit in LIMITS]


def test_one_commit_settles_several_limits_and_its_parts_say_how(any_store):
    ent = enforcer(any_store)
    held = ent.reserve("acme", {"sliding": 10, "bucket": 10, "tokens": 40, "seats": 2, "free": 5})
    decision = held.commit({"bucket": 30, "tokens": 1400, "seats": 1, "free": 900})

    assert {"sliding": 10, "bucket": 30, "tokens": 1400, "seats": 1} == {
        name: used(ent, name)[0] for name in ("sliding", "bucket", "tokens", "seats")
    }
    assert (Reason.OVERAGE, "tokens", 400) == (decision.reason, decision.feature, decision.overage)
    assert {"bucket", "free", "seats", "sliding", "tokens"} == set(decision.parts)
    assert Reason.UNLIMITED is decision.parts["free"].reason
    assert 1 == decision.parts["seats"].used
    assert not ent.refund(decision)


def test_an_int_is_for_the_only_limit_that_is_no_rate_or_the_only_rate(any_store):
    ent = enforcer(any_store)
    ent.reserve("acme", {"sliding": 1, "tokens": 40}).commit(41)
    ent.reserve("acme", "fixed", 10).commit(11)
    assert [1, 41, 11] == [used(ent, limit)[0] for limit in ("sliding", "tokens", "fixed")]
    with pytest.raises(ValueError, match="several limits are reserved"):
        ent.reserve("acme", {"tokens": 1, "seats": 1}).commit(1)
    with pytest.raises(ValueError, match="holds none of it"):
        ent.reserve("acme", "tokens", 1).commit({"seats": 1})


def test_another_process_settles_by_the_id_and_a_repeat_tells_what_was_settled(any_store):
    ent = enforcer(any_store)
    held = ent.reserve("acme", {"sliding": 20, "tokens": 20})
    first = ent.reservation("acme", held.id).commit({"sliding": 33, "tokens": 5})
    again = ent.reservation("acme", held.id).commit({"sliding": 1, "tokens": 1})

    assert [33, 5] == [used(ent, limit)[0] for limit in ("sliding", "tokens")]
    assert [False, True] == [each.replayed for each in (first, again)]
    assert [(33, 5)] * 2 == [(each.parts["sliding"].used, each.parts["tokens"].used) for each in (first, again)]


def test_after_its_expiry_a_commit_charges_anew_and_of_a_rate_what_is_beyond(any_store):
    ent = enforcer(any_store)
    held = ent.reserve("acme", {"sliding": 20, "tokens": 20}, ttl=0.001)
    short = ent.reserve("acme", "fixed", 20, ttl=0.001)
    full = ent.reserve("acme", "tokens", 500, ttl=0.001)
    while used(ent, "tokens")[1]:
        pass
    assert (50, 30) == tuple(
        held.commit({"sliding": 50, "tokens": 30}).parts[limit].used for limit in ("sliding", "tokens")
    )
    assert short.commit(3).allowed
    assert (20, 0) == used(ent, "fixed")
    ent.consume("acme", "tokens", 600)
    with pytest.raises(ReservationExpired):
        full.commit(500)
    assert (630, 0) == used(ent, "tokens")


def test_on_an_event_loop_it_is_the_same(server):
    async def main():
        with server.client() as client:
            client.flushdb()
        async with AsyncEnforcer(policy(), accounts={"acme": "pro"}, store=server.url) as ent:
            async with ent.reserve("acme", {"sliding": 20, "tokens": 20}) as held:
                inside = await held.commit({"sliding": 33, "tokens": 5})
            assert inside is await held.commit()
            gone = await ent.reserve("acme", "bucket", 20)
            await gone.cancel()
            with pytest.raises(Denied):
                async with ent.reserve("acme", "tokens", 2000):
                    pass
            usage = await ent.usage("acme")
            return inside.parts["sliding"].used, [usage[limit].used for limit in ("sliding", "tokens", "bucket")]

    assert (33, [33, 5, 0]) == asyncio.run(main())


steps = st.lists(
    st.tuples(
        st.sampled_from(LIMITS), st.integers(1, 40), st.sampled_from(["all", "cancel", "forget"]) | st.integers(0, 60)
    ),
    max_size=25,
)


@settings(max_examples=30)
@given(steps=steps)
def test_units_are_conserved(steps):
    """Used are the units of commits, and of a rate also those that lapsed reservations had taken."""
    ent, expected = enforcer(), dict.fromkeys(LIMITS, 0)
    for limit, estimate, ends in steps:
        held = ent.reserve("acme", limit, estimate)
        if not held:
            continue
        if ends == "cancel":
            held.cancel()
        elif ends == "all":
            expected[limit] += held.commit() and estimate
        elif ends == "forget":
            ent.reservation("acme", held.id).commit(estimate)
            expected[limit] += estimate
        else:
            held.commit(ends)
            expected[limit] += ends
        assert (expected[limit], 0) == used(ent, limit)


# --- Hooks --------------------------------------------------------------------------------------------------------


def test_hooks_see_one_settlement_with_its_decision_and_the_thresholds_that_it_crossed():
    hook = RecordingHook()
    ent = enforcer(hooks=[hook])
    held = ent.reserve("acme", {"tokens": 10, "sliding": 4})
    decision = held.commit({"tokens": 900})
    held.commit()
    ent.reservation("acme", held.id).commit({"tokens": 1})

    (settlement,) = [each for each in hook.events if isinstance(each, Settlement)]
    assert {"tokens": 900, "sliding": 4} == dict(settlement.committed)
    assert decision is settlement.decision
    assert [(80, "tokens")] == [
        (each.percent, each.decision.feature) for each in hook.events if isinstance(each, Threshold)
    ]


# --- Outage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("committed", [5, 70])
def test_a_commit_in_an_outage_is_allowed_and_counted_when_the_store_is_back(committed):
    store = Flaky(MemoryStore())
    ent = enforcer(ResilientStore(store))
    held = ent.reserve("acme", {"tokens": 40, "sliding": 40})
    store.how = "refused"
    decision = held.commit({"tokens": committed, "sliding": committed})
    assert (True, True, "journal", Reason.OUTAGE_ALLOWED) == (
        decision.allowed,
        decision.degraded,
        decision.via,
        decision.reason,
    )

    store.how = None
    for _ in range(1000):
        try:
            if (committed, 0) == used(ent, "tokens"):
                break
        except Unreachable:
            pass
    assert [(committed, 0)] * 2 == [used(ent, limit) for limit in ("tokens", "sliding")]
