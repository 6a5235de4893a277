"""
What an unknown account is told: what an account of the lowest tier would be, that is not entitled either.

Its own decision would name the first feature or limit that was asked for, which every
account may have; so the answer would say that this one is not among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.account import Account
from entitlements.model.charge import Verb
from entitlements.model.facts import Reason
from entitlements.rules.answering import about_feature, without_store
from entitlements.rules.asking import plan, wanted_units
from entitlements.rules.explain import facts
from entitlements.rules.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from entitlements.model.decision import Decision
    from entitlements.model.policy import Policy

UNENTITLED = (Reason.NOT_INCLUDED, Reason.LEVEL_TOO_LOW)


def as_unentitled(
    policy: Policy, requires: Iterable[str], costs: Mapping[str, int], scope: str | None = None
) -> Decision | None:
    """
    Return the refusal that an account of the lowest tier gets as not included; None where it gets none.

    Args:
        policy: The policy in force.
        requires: Names of features, `feature:level`, or limits, in the order asked.
        costs: Units by limit, of one charge.
        scope: Whose meters for limits with a `per`.

    Raises:
        ValueError: For a charge that cannot be.
    """
    tier = min((tier for tier in policy.tiers.values() if not tier.trial), key=lambda tier: tier.rank, default=None)
    if tier is None:
        return None
    lowest = resolve(policy, Account("lowest", tier.id), 0)
    for name in requires:
        decision = about_feature(facts(lowest, name))
        if not decision.allowed:
            return decision
    if not costs:
        return None
    planned = plan(lowest, Verb.CONSUME, wanted_units(costs, 1), 0, scope=scope)
    if not any(share.refuses for share in planned.shares):
        return None
    decision = without_store(planned)
    return decision if decision.reason in UNENTITLED else None
