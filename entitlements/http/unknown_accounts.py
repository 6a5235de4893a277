"""
What an unknown account is told: what an account of the lowest tier would be, that is not entitled either.

Its own decision would name the first feature or limit that was asked for, which every
account may have; so the answer would say that this one is not among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entitlements.http.root_path import INNER
from entitlements.model.account import Account
from entitlements.model.charge import Verb
from entitlements.model.facts import Reason
from entitlements.rules.decisions import about_feature, without_store
from entitlements.rules.explain import facts
from entitlements.rules.planning import plan, wanted_units
from entitlements.rules.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from entitlements.http.problems import Refusal
    from entitlements.http.types import Scope
    from entitlements.model.decision import Decision
    from entitlements.model.policy import Policy

TO_STRANGER = "entitlements_to_stranger"
"""The attribute of an application that says how it refuses an account of the lowest tier: `(scope, policy)`."""

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


def refused_within(app: object, scope: Scope, policy: Policy) -> Refusal | None:
    """
    Return how an application would refuse an account of the lowest tier by itself; None where it would not.

    Args:
        app: The application that a middleware wraps; what it wraps, and whose middleware it is, is asked too.
        scope: Of the request.
        policy: The policy in force.

    Raises:
        Exception: What is raised by what computes units.
    """
    for each in (*_inward(app), scope.get("app")):
        to_stranger = getattr(each, TO_STRANGER, None)
        if to_stranger is not None:
            return to_stranger(scope, policy)  # type: ignore[no-any-return]
    return None


def _inward(app: Any) -> Iterator[object]:
    seen: set[int] = set()
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        yield app
        app = next((each for name in INNER if (each := getattr(app, name, None)) is not None), None)
