"""Charges of dependencies: the units that a request takes, and the denials that an unknown account gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.requests import HTTPConnection, Request

from entitlements.http.costs import check_scope_error, costs_of, scope_of
from entitlements.http.fastapi.checks import endpoint_rules
from entitlements.http.unknown_accounts import lowest_tier_denial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

    from entitlements.http.routes import Route
    from entitlements.http.types import Scope
    from entitlements.model.decision import Decision
    from entitlements.model.policy import PolicyData


def charge_of(rule: Route, request: HTTPConnection, id: str | None) -> tuple[dict[str, int], str | None]:
    """
    Return the units of each limit that a request takes, without those of 0, and the scope of the charge.

    Args:
        rule: The rule of a dependency.
        request: The argument of its callables.
        id: The id of the account, which is kept out of the log.

    Raises:
        BadRequest: If the request has no valid cost.
        TypeError: If a computed cost is not an int, or a computed scope neither a str nor None.
    """
    route = getattr(request.scope.get("route"), "path", "")  # an unknown account is refused before it is known
    where = f"{request.scope.get('method', '')} {route}: {_name(rule)}".lstrip(": ")
    return costs_of(rule.consumes, request, where, id), scope_of(rule, request, where)


def endpoint_denial(routes: Sequence[BaseRoute], scope: Scope, policy: PolicyData) -> Decision | None:
    """
    Return the first denial that the dependencies of an endpoint give the lowest tier; None if they give none.

    Args:
        routes: The routes of the application.
        scope: The scope of the request.
        policy: The policy in force.

    Raises:
        BadRequest: As `charge_of`.
        Exception: From a callable that computes units.
    """
    request = Request(scope) if scope["type"] == "http" else HTTPConnection(scope)
    for rule in endpoint_rules(routes, scope):
        denial = lowest_tier_denial(policy, rule.requires, {})
        if denial is None and rule.consumes:
            denial = charge_denial(rule, policy, *charge_of(rule, request, None))
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
        check_dependency_scope(error, rule, meter_scope)
        raise


def check_dependency_scope(error: ValueError, rule: Route, meter_scope: str | None) -> None:
    """
    Raise `BadRequest` if the charge of a dependency failed for its `scope=`, which was read from the request.

    Raises:
        BadRequest: As `check_scope_error`.
    """
    check_scope_error(error, rule, meter_scope, _name(rule))


def _name(rule: Route) -> str:
    return f"consume({', '.join(rule.consumes)})"
