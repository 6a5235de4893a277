"""Leases in policies: what is refused at load, and why."""

from __future__ import annotations

import pytest

from entitlements import Policy, PolicyError
from entitlements.model.problem import Severity

HEAD = {"policy": {"version": 1}}


def load(limit, size, **more):
    return Policy.parse(
        HEAD | {"limits": {"api": limit}, "tiers": {"one": {"rank": 1, "limits": {"api": size}}}} | more
    )


def problem_of(limit, size, **more):
    with pytest.raises(PolicyError) as raised:
        load(limit, size, **more)
    (problem,) = [each for each in raised.value.problems if each.severity is Severity.ERROR]
    return str(problem)


@pytest.mark.parametrize(
    ("limit", "size"),
    [
        ({"kind": "rate", "lease": 50}, "50 per hour"),
        ({"kind": "rate", "lease": 50, "algorithm": "fixed", "on_outage": "allow"}, "50 per hour"),
        ({"kind": "quota", "lease": 50, "on_outage": "allow"}, 50),
        ({"kind": "quota", "lease": 50, "on_outage": "allow"}, {"included": 50, "overage": 10}),
        ({"kind": "allocation", "lease": 50, "on_outage": "allow"}, "unlimited"),
        ({"kind": "allocation", "lease": 50, "on_outage": "allow"}, 0),
    ],
)
def test_a_lease_is_part_of_the_definition_of_a_limit(limit, size):
    assert load(limit, size).limits["api"].lease == 50


@pytest.mark.parametrize(
    ("limit", "size", "found"),
    [
        ({"kind": "rate", "lease": 50}, "49 per hour", "the lease of 50 (<mapping>) is larger than this limit of 49"),
        ({"kind": "rate", "lease": 50, "on_outage": "deny"}, "99 per hour", "on_outage: deny and a lease contradict"),
        ({"kind": "quota", "lease": 50}, 99, "on_outage: deny (the default here) and a lease contradict"),
        ({"kind": "allocation", "lease": 50}, 99, "on_outage: deny (the default here) and a lease contradict"),
        ({"kind": "rate", "lease": 50, "algorithm": "token-bucket"}, "99 per hour", "a token bucket has no lease"),
        ({"kind": "rate", "lease": 1}, "99 per hour", "1 is below 2"),
        ({"kind": "rate", "lease": "some"}, "99 per hour", "'some' is not a whole number"),
        ({"kind": "quota", "lease": 50, "on_outage": "allow"}, {"included": 9, "overage": "allow"}, "larger than this"),
    ],
)  # fmt: skip
def test_a_lease_that_cannot_be_exact_is_refused_with_its_reason(limit, size, found):
    problem = problem_of(limit, size)

    assert found in problem
    assert "; write " in problem


def test_an_add_on_that_sets_less_than_the_lease_is_refused():
    limit = {"kind": "quota", "lease": 50, "on_outage": "allow"}

    assert "larger than this limit of 20" in problem_of(limit, 99, add_ons={"less": {"limits": {"api": {"sets": 20}}}})
    load(limit, 99, add_ons={"more": {"limits": {"api": {"adds": 20}}}})
