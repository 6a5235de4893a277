"""
Startup checks: checks the dependencies of a FastAPI application against the policy.

`iter_route_contexts`, FastAPI's own iterator, visits the routes of included routers too. A
registry of dependencies could not replace it: it would hold those of other applications in
the process, and only a route knows its dependencies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import __version__ as fastapi_version
from starlette.routing import Match, Mount

try:
    from fastapi.routing import iter_route_contexts
except ImportError:  # before 0.144
    iter_route_contexts = None  # type: ignore[assignment]

from entitlements.http.routes import Route
from entitlements.model.routes import METHODS
from entitlements.rules.route_matching import unknown_names

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant
    from fastapi.routing import RouteContext
    from starlette.routing import BaseRoute

    from entitlements.http.types import Scope
    from entitlements.model.policy import PolicyData

_log = logging.getLogger("entitlements.http")

RULE = "entitlements_rule"
"""Attribute of a dependency that holds its `Route`, a rule without a path."""


def check_dependencies(routes: Sequence[BaseRoute], policy: PolicyData) -> None:
    """
    Check every name in the dependencies of an application.

    Args:
        routes: The routes of the application.
        policy: The policy in force.

    Raises:
        ValueError: If the policy does not define one; it lists all of them, each with a route.
    """
    if iter_route_contexts is None:
        _log.warning(
            "FastAPI %s does not list its routes: the names in require() and consume() are not checked at the start;"
            " FastAPI 0.144 or newer does",
            fastapi_version,
            extra={"fastapi_version": fastapi_version},
        )
        return
    rules: dict[Callable[..., Any], Route] = {}
    for prefix, route in _routes_with_dependencies(routes):
        for call, rule in _rules_of(route.dependant):
            rules.setdefault(call, replace(rule, path=f"{prefix}{route.path}", methods=_methods_of(route)))
    wrong = [text for rule in rules.values() for text in unknown_names(rule, policy)]
    if wrong:
        raise ValueError("; ".join(wrong))


def endpoint_rules(routes: Sequence[BaseRoute], scope: Scope) -> Iterator[Route]:
    """Yield the rules of the dependencies of a request's endpoint, in the order in which FastAPI runs them."""
    for route in () if iter_route_contexts is None else iter_route_contexts(routes):
        match, found = route.matches(dict(scope))
        if match is Match.FULL:
            if isinstance(route.original_route, Mount):
                yield from endpoint_rules(route.original_route.routes, {**scope, **found})
            elif getattr(route, "dependant", None) is not None:
                yield from (rule for _, rule in _rules_of(route.dependant))
            return


def _routes_with_dependencies(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[tuple[str, RouteContext]]:
    """Yield every route with dependencies and its prefix, also those of included routers and mounted applications."""
    for route in iter_route_contexts(routes):
        if isinstance(route.original_route, Mount):
            yield from _routes_with_dependencies(route.original_route.routes, f"{prefix}{route.path}")
        elif getattr(route, "dependant", None) is not None:
            yield prefix, route


def _rules_of(dependant: Dependant) -> Iterator[tuple[Callable[..., Any], Route]]:
    """Yield every dependency that has a rule, and the rule."""
    for each in dependant.dependencies:
        yield from _rules_of(each)
        rule = vars(each.call).get(RULE) if hasattr(each.call, "__dict__") else None
        if each.call is not None and isinstance(rule, Route):
            yield each.call, rule


def _methods_of(route: RouteContext) -> set[str] | None:
    """Return the methods of a route that a rule can have; None for a websocket."""
    return set(route.methods or ()) & METHODS or None
