"""Routes as data: which requests need which features, and consume which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.types import path_of
from entitlements.model.routes import Cost, Route
from entitlements.rules.routing import RouteTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.http.types import Scope

__all__ = ["Cost", "Route", "RouteTable", "costs_of", "route_of"]


def route_of(table: RouteTable, scope: Scope) -> Route:
    """Return the rule that a request or a websocket falls under."""
    return table.find(path_of(scope), scope.get("method"))


def costs_of(consumes: Mapping[str, Cost], scope: Scope) -> dict[str, int]:
    """Return the units of each limit, computed where a rule says how; a cost of 0 charges nothing."""
    costs = {name: cost(scope) if callable(cost) else cost for name, cost in consumes.items()}
    return {name: cost for name, cost in costs.items() if cost != 0}
