"""Route rules as data: the features that a request requires, and the limits that it consumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.types import cut_paths, path_of, respelled_paths
from entitlements.model.routes import Cost, Route
from entitlements.rules.route_matching import RouteTable

if TYPE_CHECKING:
    from entitlements.http.types import Scope

ROUTE_KEY = "entitlements.route"
"""Scope key of a route table and the rule that was found in it."""

__all__ = ["Cost", "Route", "RouteTable"]


def route_of(table: RouteTable, scope: Scope) -> Route | None:
    """
    Return the rule that a request or a websocket matches; the scope caches it.

    None if another spelling of its path falls under another rule: the router behind may take that one.
    """
    if not table.routes:
        return table.default
    cached: tuple[RouteTable, Route | None] | None = scope.get(ROUTE_KEY)
    if cached is not None and cached[0] is table:
        return cached[1]
    route = table.find_one(path_of(scope), scope.get("method"), respelled_paths(scope), cut_paths(scope))
    scope[ROUTE_KEY] = (table, route)
    return route
