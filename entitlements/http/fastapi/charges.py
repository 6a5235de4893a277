"""Charges of dependencies: where they stand, and the denials that an unknown account gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.requests import HTTPConnection, Request

from entitlements.http.endpoint_rules import endpoint_denial
from entitlements.http.fastapi.checks import endpoint_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

    from entitlements.http.types import Scope
    from entitlements.model.decision import Decision
    from entitlements.model.policy import PolicyData


def place_of(request: HTTPConnection) -> str:
    """Return the method and the route of a request, for errors; an unknown account is refused before there is a route."""
    return f"{request.scope.get('method', '')} {getattr(request.scope.get('route'), 'path', '')}"


def dependency_denial(routes: Sequence[BaseRoute], scope: Scope, policy: PolicyData) -> Decision | None:
    """
    Return the first denial that the dependencies of an endpoint give the lowest tier; None if they give none.

    Args:
        routes: The routes of the application.
        scope: The scope of the request.
        policy: The policy in force.

    Raises:
        BadRequest: If the request has no valid cost or scope.
        Exception: From a callable that computes units.
    """
    request = Request(scope) if scope["type"] == "http" else HTTPConnection(scope)
    return endpoint_denial(endpoint_rules(routes, scope), request, place_of(request), policy)
