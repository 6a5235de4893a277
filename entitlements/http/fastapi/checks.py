"""
What the dependencies of a FastAPI application ask for, checked against the policy when it starts.

Routes are walked by `iter_route_contexts`, which FastAPI offers for this since its routers
keep what they include. Collecting dependencies where they are written would not do: those
of other applications in the process are among them, and which of them a request meets is
known to its route alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi.routing import iter_route_contexts
from starlette.routing import Match, Mount

from entitlements.http.routes import Route
from entitlements.rules.route_matching import unknown_names

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant
    from fastapi.routing import RouteContext
    from starlette.routing import BaseRoute

    from entitlements.http.types import Scope
    from entitlements.model.policy import Policy

ASKED = "entitlements_asked"
"""The attribute of a dependency that says what it asks for, as a rule for every path."""


def check(routes: Sequence[BaseRoute], policy: Policy) -> None:
    """
    Check every name that dependencies of an application ask for.

    Args:
        routes: Of the application.
        policy: The policy in force.

    Raises:
        ValueError: Naming a route of each dependency and what the policy does not know, all at once.
    """
    rules: dict[Callable[..., Any], Route] = {}
    for prefix, route in _all(routes):
        for call in _calls(route.dependant):
            asked = _asked(call)
            if asked is not None:
                rules.setdefault(call, replace(asked, path=f"{prefix}{route.path}", methods=_plain(route)))
    wrong = [text for rule in rules.values() for text in unknown_names(rule, policy)]
    if wrong:
        raise ValueError("; ".join(wrong))


def asked_by(routes: Sequence[BaseRoute], scope: Scope) -> Iterator[Route]:
    """Yield what the dependencies of the endpoint that a request reaches ask for, in the order that they are run."""
    for route in iter_route_contexts(routes):
        match, found = route.matches(dict(scope))
        if match is Match.FULL:
            if isinstance(route.original_route, Mount):
                yield from asked_by(route.original_route.routes, {**scope, **found})
            elif getattr(route, "dependant", None) is not None:
                yield from (asked for call in _calls(route.dependant) if (asked := _asked(call)) is not None)
            return


def _all(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[tuple[str, RouteContext]]:
    """Yield every route with dependencies, those of included routers and mounted applications too."""
    for route in iter_route_contexts(routes):
        if isinstance(route.original_route, Mount):
            yield from _all(route.original_route.routes, f"{prefix}{route.path}")
        elif getattr(route, "dependant", None) is not None:
            yield prefix, route


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for each in dependant.dependencies:
        yield from _calls(each)
        if each.call is not None:
            yield each.call


def _asked(call: Callable[..., Any]) -> Route | None:
    asked = vars(call).get(ASKED) if hasattr(call, "__dict__") else None
    return asked if isinstance(asked, Route) else None


def _plain(route: RouteContext) -> set[str] | None:
    """Return the methods that a rule may have, for its name; None for a websocket."""
    return {each for each in route.methods or () if each.isascii() and each.isalpha() and each.isupper()} or None
