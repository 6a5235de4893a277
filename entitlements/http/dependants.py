"""What the dependencies of a FastAPI application ask for, checked against the policy when it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.routing import Match, Mount

from entitlements.http.routes import Route
from entitlements.rules.routing import unknown_names

if TYPE_CHECKING:
    from fastapi.dependencies.models import Dependant
    from starlette.routing import BaseRoute

    from entitlements.http.types import Scope
    from entitlements.model.policy import Policy

ASKED = "entitlements_asked"
"""The attribute of a dependency that says what it asks for, as a rule for every path."""


def check(routes: Iterable[BaseRoute], policy: Policy) -> None:
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
                rules.setdefault(call, replace(asked, path=prefix + route.path, methods=_plain(route)))
    wrong = [text for rule in rules.values() for text in unknown_names(rule, policy)]
    if wrong:
        raise ValueError("; ".join(wrong))


def asked_by(routes: Iterable[BaseRoute], scope: Scope) -> Iterator[Route]:
    """Yield what the dependencies of the endpoint that a request reaches ask for, in the order that they are run."""
    for route in flat(routes):
        match, found = route.matches(dict(scope))
        if match is Match.FULL:
            if isinstance(route, Mount):
                yield from asked_by(route.routes, {**scope, **found})
            elif getattr(route, "dependant", None) is not None:
                yield from (asked for call in _calls(route.dependant) if (asked := _asked(call)) is not None)
            return


def _all(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every route with dependencies, those of included routers and mounted applications too."""
    for route in flat(routes):
        if isinstance(route, Mount):
            yield from _all(route.routes, prefix + route.path)
        elif getattr(route, "dependant", None) is not None:
            yield prefix, route


def flat(routes: Iterable[BaseRoute]) -> Iterator[Any]:
    """Yield routes as they are reached: those of an included router with its prefix and its dependencies."""
    for route in routes:
        included = getattr(route, "effective_route_contexts", None)
        if included is None:
            yield route
        else:
            yield from (getattr(each, "starlette_route", None) or each for each in included())


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for each in dependant.dependencies:
        yield from _calls(each)
        if each.call is not None:
            yield each.call


def _asked(call: Callable[..., Any]) -> Route | None:
    asked = vars(call).get(ASKED) if hasattr(call, "__dict__") else None
    return asked if isinstance(asked, Route) else None


def _plain(route: BaseRoute) -> set[str] | None:
    """Return the methods that a rule may have, for its name; None for a websocket."""
    methods: set[str] = getattr(route, "methods", None) or set()
    return {each for each in methods if each.isascii() and each.isalpha() and each.isupper()} or None
