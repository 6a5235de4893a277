"""Rules of single endpoints: what `require` and `consume` of every framework decide, and how it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from entitlements.errors import Denied
from entitlements.http.costs import check_scope_error, costs_of, scope_of
from entitlements.http.error_refusals import UnknownAccountDenied
from entitlements.http.questions import ChargeCall
from entitlements.http.routes import Route
from entitlements.http.unknown_accounts import lowest_tier_denial
from entitlements.model.names import check_count, shown
from entitlements.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.http.current import Handle
    from entitlements.http.questions import Question
    from entitlements.model.decision import Decision
    from entitlements.model.policy import PolicyData

RULES = "entitlements_rules"
"""Attribute of a decorated endpoint that holds its rules, the outermost first."""


def requirement(features: tuple[str, ...]) -> Route:
    """
    Return the rule of `require(*features)`.

    Raises:
        ValueError: If there are none, or one is not a str.
    """
    if not features or not all(isinstance(each, str) for each in features):
        raise ValueError("require() needs names of features, such as require('sso')")
    return Route(requires=features)


def consumption(limit: str | Mapping[str, Any], n: Any, scope: Callable[[Any], str | None] | None) -> Route:
    """
    Return the rule of `consume(limit, n, scope=scope)`.

    Raises:
        ValueError: If *limit* is neither a name nor a mapping, or empty, a number of units is invalid, or *n* is
            given with a mapping.
    """
    if not isinstance(limit, str | Mapping) or not limit:
        what = f"consume({shown(limit)}) must have the name of a limit, or a mapping from limits to units"
        raise ValueError(f"{what}; write consume('leads'), or consume({{'leads': 1}})")
    if not isinstance(limit, str) and n != 1:
        raise ValueError(f"{shown(n)} is given with a mapping, which has its own units; leave it out")
    wanted = {limit: n} if isinstance(limit, str) else dict(limit)
    for name, units in wanted.items():
        if not callable(units):
            check_count(units, f"cost of {name!r}")
    return Route(consumes=wanted, scope=scope)


def decide_endpoint(account: Handle, rule: Route, request: Any, where: str = "") -> Question[Decision | None]:
    """
    Decide the rule of an endpoint.

    Args:
        account: The account of the request.
        rule: The rule, without a path.
        request: The argument of its callables.
        where: The route, for errors.

    Returns:
        The decision of a charge; of a request that costs nothing, that the limit is included. None without a charge.

    Raises:
        Denied: If the account is refused.
        BadRequest: If the request has no valid cost or scope.
        Exception: From a callable of the rule, or the store.
    """
    for name in rule.requires:
        decision = account.decide(name)
        if not decision.allowed:
            raise _denied(decision, lambda: lowest_tier_denial(account.entitlements().policy, rule.requires, {}))
    if not rule.consumes:
        return None
    units, meter_scope = charge_of(rule, request, where, account.id)
    try:
        decision = (
            (yield ChargeCall(account.account, units, 1, meter_scope))
            if units
            else account.decide(next(iter(rule.consumes)))
        )
    except ValueError as error:
        check_scope_error(error, rule, meter_scope, name_of(rule))
        raise
    if not decision.allowed:
        raise _denied(decision, lambda: charge_denial(rule, account.entitlements().policy, units, meter_scope))
    return decision


def charge_of(rule: Route, request: Any, where: str, id: str | None) -> tuple[dict[str, int], str | None]:
    """
    Return the units of each limit that a request takes, without those of 0, and the scope of the charge.

    Args:
        rule: The rule.
        request: The argument of its callables.
        where: The route, for errors.
        id: The id of the account, which is kept out of the log.

    Raises:
        BadRequest: If the request has no valid cost.
        TypeError: If a computed cost is not an int, or a computed scope neither a str nor None.
    """
    name = f"{where}: {name_of(rule)}".lstrip(": ")
    return costs_of(rule.consumes, request, name, id), scope_of(rule, request, name)


def endpoint_denial(rules: Iterable[Route], request: Any, where: str, policy: PolicyData) -> Decision | None:
    """
    Return the first denial that the rules of an endpoint give an account of the lowest tier; None if they give none.

    Args:
        rules: The rules, in the order in which they are decided.
        request: The argument of their callables.
        where: The route, for errors.
        policy: The policy in force.

    Raises:
        BadRequest: As `charge_of`.
        Exception: From a callable that computes units.
    """
    for rule in rules:
        denial = lowest_tier_denial(policy, rule.requires, {})
        if denial is None and rule.consumes:
            denial = charge_denial(rule, policy, *charge_of(rule, request, where, None))
        if denial is not None:
            return denial
    return None


def charge_denial(rule: Route, policy: PolicyData, units: dict[str, int], meter_scope: str | None) -> Decision | None:
    """
    Return the denial that a charge gives the lowest tier; None if it gives none.

    Raises:
        BadRequest: If the scope is missing or invalid.
    """
    try:
        return lowest_tier_denial(policy, () if units else [next(iter(rule.consumes))], units, meter_scope)
    except ValueError as error:
        check_scope_error(error, rule, meter_scope, name_of(rule))
        raise


def name_of(rule: Route) -> str:
    """Return the rule as it is written at an endpoint."""
    return f"consume({', '.join(rule.consumes)})" if rule.consumes else f"require({', '.join(rule.requires)})"


def _denied(decision: Decision, render: Callable[[], Decision | None]) -> Denied:
    """Return the exception for a refused decision; *render* returns the denial to show an unknown account instead."""
    return UnknownAccountDenied(decision, render()) if decision.reason is Reason.UNKNOWN_ACCOUNT else Denied(decision)
