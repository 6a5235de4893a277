"""
Refusals of unknown accounts, as an account of the lowest tier would get them.

The decision about an unknown account names the first feature or limit that was asked for. If
every account has that one, the response would reveal that the id is unknown. So the response
names what an account of the lowest tier lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.root_path import wrapped_apps
from entitlements.model.account import Account
from entitlements.model.charge import Verb
from entitlements.model.reasons import Reason
from entitlements.rules.decisions import about_feature, without_store
from entitlements.rules.explain import facts
from entitlements.rules.planning import plan, wanted_units
from entitlements.rules.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from entitlements.http.problems import Refusal
    from entitlements.http.types import Scope
    from entitlements.model.decision import Decision
    from entitlements.model.policy import PolicyData

UNKNOWN_ACCOUNT_REFUSAL = "entitlements_unknown_account_refusal"
"""Attribute of an application: a callable from `(scope, policy)` to its refusal of an account of the lowest tier."""

UNENTITLED = (Reason.NOT_INCLUDED, Reason.LEVEL_TOO_LOW)


def lowest_tier_denial(
    policy: PolicyData, requires: Iterable[str], costs: Mapping[str, int], scope: str | None = None
) -> Decision | None:
    """
    Return the decision that refuses an account of the lowest tier as not entitled; None if it is not refused so.

    Args:
        policy: The policy in force.
        requires: Names of features, `feature:level`, or limits, in the order asked.
        costs: Units by limit, of one charge.
        scope: The scope of limits with a `per`.

    Raises:
        ValueError: If the charge is invalid.
    """
    sold = [tier for tier in policy.tiers.values() if tier.is_sold]
    tier = min(sold, key=lambda tier: tier.rank, default=None)
    if tier is None:
        return None
    lowest = resolve(policy, Account("lowest", tier.id), 0)
    for name in requires:
        decision = about_feature(lowest.account, facts(lowest, name))
        if not decision.allowed:
            return decision
    if not costs:
        return None
    limits = plan(lowest, Verb.CONSUME, wanted_units(costs, 1), 0, scope=scope).prepared.limits
    if not any(each.refuses for each in limits):
        return None
    decision = without_store(lowest.account, limits)
    return decision if decision.reason in UNENTITLED else None


def inner_refusal(app: object, scope: Scope, policy: PolicyData) -> Refusal | None:
    """
    Return the refusal that an inner application itself gives an account of the lowest tier; None if it gives none.

    Args:
        app: The application that a middleware wraps. Those that it wraps, and `scope["app"]`, are asked too.
        scope: The scope of the request.
        policy: The policy in force.

    Raises:
        Exception: From a callable that computes units.
    """
    for each in (*wrapped_apps(app), scope.get("app")):
        refusal_of = getattr(each, UNKNOWN_ACCOUNT_REFUSAL, None)
        if refusal_of is not None:
            return refusal_of(scope, policy)  # type: ignore[no-any-return]
    return None
