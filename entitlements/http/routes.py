"""Routes as data: which requests need which features, and consume which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.http.types import path_of
from entitlements.model.routes import Cost, Route
from entitlements.rules.route_matching import RouteTable

if TYPE_CHECKING:
    from entitlements.http.types import Scope

ROUTE_KEY = "entitlements.route"
"""Where the scope keeps the table and the rule that was found in it."""

__all__ = ["Cost", "Route", "RouteTable", "route_of"]


def route_of(table: RouteTable, scope: Scope) -> Route:
    """Return the rule that a request or a websocket falls under; looked for once per scope."""
    if not table.routes:
        return table.default
    known: tuple[RouteTable, Route] | None = scope.get(ROUTE_KEY)
    if known is not None and known[0] is table:
        return known[1]
    route = table.find(path_of(scope), scope.get("method"))
    scope[ROUTE_KEY] = (table, route)
    return route
