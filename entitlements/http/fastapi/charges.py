"""What a request is charged by a dependency, and what all the dependencies of its endpoint would refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.requests import HTTPConnection, Request

from entitlements.http.costs import costs_of, whose_fault
from entitlements.http.fastapi.checks import asked_by
from entitlements.http.unknown_accounts import as_unentitled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

    from entitlements.http.routes import Route
    from entitlements.http.types import Scope
    from entitlements.model.decision import Decision
    from entitlements.model.policy import Policy


def charge_of(asked: Route, request: HTTPConnection, id: str | None) -> tuple[dict[str, int], str | None]:
    """
    Return the units of each limit that a request takes, those of 0 left out, and on whose meter.

    Args:
        asked: What a dependency asks for.
        request: Which it computes that from.
        id: Of the account, which no log shall name.

    Raises:
        BadRequest: For what the request says, and cannot be charged.
        TypeError: For what is computed, and is no int.
    """
    return costs_of(asked.consumes, request, id), None if asked.scope is None else asked.scope(request)


def refused_to_strangers(routes: Sequence[BaseRoute], scope: Scope, policy: Policy) -> Decision | None:
    """
    Return the first refusal that an account of the lowest tier would get by a dependency; None where it gets none.

    Args:
        routes: Of the application.
        scope: Of the request.
        policy: The policy in force.

    Raises:
        BadRequest: As `charge_of`.
        Exception: What is raised by what computes units.
    """
    request = Request(scope) if scope["type"] == "http" else HTTPConnection(scope)
    for asked in asked_by(routes, scope):
        decision = as_unentitled(policy, asked.requires, {})
        if decision is None and asked.consumes:
            decision = as_unable_to_pay(asked, policy, *charge_of(asked, request, None))
        if decision is not None:
            return decision
    return None


def as_unable_to_pay(asked: Route, policy: Policy, taken: dict[str, int], whose: str | None) -> Decision | None:
    """
    Return the refusal that an account of the lowest tier gets of a charge; None where it gets none.

    Raises:
        BadRequest: For a meter that cannot be.
    """
    try:
        return as_unentitled(policy, () if taken else [next(iter(asked.consumes))], taken, whose)
    except ValueError as error:
        if asked.scope is None:
            raise
        raise whose_fault(error, whose, f"consume({', '.join(asked.consumes)})") from error
