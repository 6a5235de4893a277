"""Leases are small enough for the other processes, and end before the clock or the period of their limit moves on."""

from __future__ import annotations

import pytest
from strategies import NOW

from entitlements import UNLIMITED, Account, Enforcer, Policy
from entitlements.model.answers import Line
from entitlements.model.charge import Part, Verb
from entitlements.model.instants import HOUR, MINUTE, SECOND
from entitlements.model.limits import Algorithm, Allocation, Mode, Quota, Rate
from entitlements.model.overage import Included
from entitlements.rules.leases import all_leased, lease_of, spendable_for, units_to_lease
from entitlements.rules.planning import plan

MOST = SECOND - SECOND // 1000 - 1
"""A second, less what the clocks of two machines may differ by in it."""


@pytest.mark.parametrize(("limit", "line", "spendable"), [
    (Rate("api", HOUR), Line(True, 1, mark=NOW), MOST),
    (Rate("api", MINUTE), Line(True, 1, mark=NOW - 300_000), 699_299),
    (Rate("api", 61), Line(True, 1, mark=NOW), 1),
    (Rate("api", SECOND // 2, Algorithm.FIXED), Line(True, 1, mark=NOW - 100_000), 399_599),
    (Rate("api", HOUR, Algorithm.FIXED), Line(True, 1, mark=NOW - 100_000), MOST),
    (Quota("leads"), Line(True, 1, resets_at=NOW + 200_000), 199_799),
    (Quota("leads"), Line(True, 1, resets_at=NOW + HOUR), MOST),
    (Quota("leads"), Line(True, 1), MOST),
    (Allocation("seats"), Line(True, 1, resets_at=NOW + 5), MOST),
])  # fmt: skip
def test_a_lease_is_spent_within_a_second_and_before_its_bucket_window_or_period_ends(limit, line, spendable):
    assert spendable == spendable_for(Part(limit, 10), line, NOW)


@pytest.mark.parametrize(("size", "lease", "wanted", "used", "processes", "units"), [
    (1000, 50, 10, 0, 1, 10),
    (1000, 50, 99, 0, 1, 50),
    (100, 99, 99, 90, 1, 5),
    (100, 99, 99, 40, 3, 10),
    (100, 99, 99, 90, 5, 1),
    (100, 99, 99, 99, 1, 0),
    (100, 99, 99, 100, 1, 0),
    (100, 99, 99, 120, 1, 0),
    (100, None, 99, 0, 1, 0),
    (UNLIMITED, 50, 99, 7, 4, 50),
    (Included(10, 100), 99, 99, 8, 1, 2),
    (Included(10, 100), 99, 99, 9, 1, 1),
    (Included(10, 100), 99, 99, 10, 1, 50),
    (Included(10, UNLIMITED), 99, 99, 12, 1, 99),
])  # fmt: skip
def test_all_processes_lease_at_most_half_of_what_is_left(size, lease, wanted, used, processes, units):
    assert units == units_to_lease(Part(Quota("leads", lease=lease), size), wanted, used, processes)


def test_a_charge_needs_no_store_if_every_limit_is_enforced_and_leased():
    leased, plain = Part(Quota("leads", lease=5), 10), Part(Quota("mails"), 10)
    watched = Part(Quota("leads", lease=5, mode=Mode.SHADOW), 10)

    assert [True, False, False, False] == [
        all_leased(parts) for parts in ([leased], [leased, plain], [watched], [leased, watched])
    ]


def test_a_lease_is_kept_for_a_scope_only_if_its_limit_is():
    policy = Policy.parse(
        {
            "policy": {"version": 1},
            "limits": {"api": {"kind": "rate", "lease": 5}, "address": {"kind": "rate", "lease": 5, "per": "ip"}},
            "tiers": {"one": {"rank": 1, "limits": {"api": "100 per hour", "address": "100 per hour"}}},
        }
    )
    account = Enforcer(policy).entitlements(Account("acme", "one"))
    prepared = plan(account, Verb.CONSUME, {"api": 1, "address": 1}, NOW, scope="10.0.0.1").prepared

    charges = [lease_of(prepared, account, at, 5, "10.0.0.1")[0] for at in range(2)]

    assert [("address", 5, "10.0.0.1"), ("api", 5, None)] == [
        (each.parts[0].limit.name, each.parts[0].cost, each.scope) for each in charges
    ]
