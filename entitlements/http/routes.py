"""Route rules as data: the features that a request requires, and the limits that it consumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.types import path_of
from entitlements.model.routes import Cost, Route
from entitlements.rules.route_matching import RouteTable

if TYPE_CHECKING:
    from entitlements.http.types import Scope

ROUTE_KEY = "entitlements.route"
"""Scope key of a route table and the rule that was found in it."""

__all__ = ["Cost", "Route", "RouteTable"]


def route_of(table: RouteTable, scope: Scope) -> Route:
    """Return the rule that a request or a websocket matches; the scope caches it."""
    if not table.routes:
        return table.default
    cached: tuple[RouteTable, Route] | None = scope.get(ROUTE_KEY)
    if cached is not None and cached[0] is table:
        return cached[1]
    route = table.find(path_of(scope), scope.get("method"))
    scope[ROUTE_KEY] = (table, route)
    return route
