"""Ids of reservations, and the decision of a commit: what it kept, and OVERAGE where more is used than the limit."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements import Account, Enforcer, Policy, Reason
from entitlements.model.answers import Line, Settled, SettledUnits
from entitlements.model.instants import to_instant
from entitlements.rules.commit_decisions import commit_decision, committed_units
from entitlements.rules.reservations import reservation_id, split_reservation_id
from entitlements.rules.resolve import resolve
from entitlements.testing import FakeClock

words = st.text(st.characters(codec="ascii", categories=["L", "N"]) | st.sampled_from(":@-"), min_size=1, max_size=120)


@given(operation=words.map("r:".__add__), scope=st.none() | words)
def test_the_id_of_a_reservation_has_its_operation_and_its_scope(operation, scope):
    assert (operation, scope) == split_reservation_id(reservation_id(operation, scope))
    assert reservation_id("", scope) == reservation_id(None, scope) == ""


@pytest.mark.parametrize("id", ["k:7", "3:ann:k:7", "@", "@:x", "@x:ann:k", "@1000:a", "@-1:ann:k", "@²:ann:k", "@4:ann:k", "@9:ann:k"])  # fmt: skip
def test_an_id_without_a_scope_of_the_length_it_names_is_an_operation(id):
    assert (id, None) == split_reservation_id(id)


START = datetime(2026, 11, 2, 15, tzinfo=UTC)
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota"}, "seats": {"kind": "allocation"}, "docs": {"kind": "quota"}},
    "tiers": {"pro": {"rank": 1, "limits": {"api": "10 per hour", "leads": 10, "seats": 10, "docs": "unlimited"}}},
})  # fmt: skip


@pytest.mark.parametrize("name", ["api", "leads", "seats"])
@given(before=st.integers(0, 5), held=st.integers(1, 5), kept=st.integers(0, 14))
def test_a_commit_tells_what_it_kept_and_overage_from_the_unit_beyond_the_limit(name, before, held, kept):
    enforcer = Enforcer(POLICY, accounts={"acme": "pro"}, clock=FakeClock(START))
    if before:
        enforcer.consume("acme", name, before)
    decision = enforcer.reserve("acme", name, held, ttl=60).commit(kept)

    used = before + kept
    reason = Reason.OVERAGE if used > 10 else Reason.WITHIN_LIMIT
    assert (True, reason, used, max(0, 10 - used)) == (decision.allowed, decision.reason, decision.used, decision.remaining)  # fmt: skip
    assert used == enforcer.usage("acme")[name].used


def test_a_commit_of_an_unlimited_quota_is_never_overage():
    enforcer = Enforcer(POLICY, accounts={"acme": "pro"}, clock=FakeClock(START))
    assert enforcer.reserve("acme", "docs", 5, ttl=60).commit(900).reason is Reason.UNLIMITED


# --- The decision alone -------------------------------------------------------------------------------------------


def decided(limit, used, kept):
    """Return the decision of a commit of an account whose tier lacks `docs`."""
    units = (SettledUnits(limit, kept, Line(True, used, taken=kept)),)
    return commit_decision(resolve(LESS, Account("acme", "pro"), to_instant(START)), Settled(True, now=7, units=units), {}, "store")  # fmt: skip


LESS = Policy.parse({
    "policy": {"version": "2"}, "limits": {"leads": {"kind": "quota"}, "docs": {"kind": "quota"}},
    "tiers": {"pro": {"rank": 1, "limits": {"leads": 10}}},
})  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "used", "reason"),
    [("docs", 0, Reason.WITHIN_LIMIT), ("docs", 1, Reason.OVERAGE), ("leads", 10, Reason.WITHIN_LIMIT),
     ("leads", 11, Reason.OVERAGE)],
)  # fmt: skip
def test_a_commit_of_what_the_account_no_longer_has_is_overage_from_the_first_unit(limit, used, reason):
    decision = decided(limit, used, used)

    assert (True, reason, used, ((limit, used),) if used else ()) == (
        decision.allowed, decision.reason, decision.used, committed_units(decision),
    )  # fmt: skip


def test_a_commit_of_a_limit_that_the_policy_no_longer_has_is_allowed_and_tells_of_no_limit():
    decision = decided("gone", 3, 3)

    assert (True, Reason.INCLUDED, (), {}) == (
        decision.allowed, decision.reason, committed_units(decision), dict(decision.parts),
    )  # fmt: skip
