"""
Startup checks: an application that has started is compared with the rules of a middleware around it or inside of it.

A prefix of its own fails the start. A rule that matches none of its routes, and an exception that
it would answer with a bare 500, are logged as warnings.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.errors import Denied
from entitlements.http.root_path import check_prefix, flat_routes, prefix_error, wrapped_apps
from entitlements.model.names import nearest
from entitlements.rules.route_matching import RouteTable
from entitlements.rules.templates import overlap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from entitlements.http.routes import Route
    from entitlements.http.types import Message, Scope, Send

STARTED = "lifespan.startup.complete"
FAILED = "lifespan.startup.failed"

HANDLERS_KEY = "entitlements.handlers_checked"
"""Scope key that is set once the exception handlers of an application were checked."""

NO_RULES = RouteTable()
"""The rules of a middleware that has none."""

_ANYTHING = "/{rest:path}"
_log = logging.getLogger("entitlements.http")


class InnerRoute(NamedTuple):
    """
    A route of the application inside.

    Args:
        path: Its template, below the middleware; `/{rest:path}` at the end of one that cannot be looked into.
        methods: Its methods; None for all.
        has_messages: True for a websocket, None if that is not known.
        app: The application that has the route.
    """

    path: str
    methods: Collection[str] | None
    has_messages: bool | None
    app: object


class Framework(NamedTuple):
    """A framework whose applications answer an exception by a handler of theirs, else with a bare 500."""

    name: str
    module: str
    cure: str


_FRAMEWORKS = (
    Framework("FastAPI", "fastapi", "call entitlements.http.fastapi.install(app)"),
    Framework("Starlette", "starlette.applications", "call entitlements.integrations.starlette.install(app)"),
    Framework(
        "Litestar",
        "litestar",
        "pass exception_handlers=entitlements.integrations.litestar.exception_handlers()",
    ),
)
"""In this order: an application of FastAPI is one of Starlette, too."""


def startup_checked_send(app: object, scope: Scope, send: Send, table: RouteTable = NO_RULES) -> Send:
    """
    Return a `send` for a lifespan scope that checks the application when it has started.

    It detects prefixes that `check_prefix` could not see: behind a function, or mounted later.

    Args:
        app: The application inside the middleware.
        scope: The lifespan scope.
        send: The `send` of the server.
        table: The rules of the middleware.
    """
    outer, root = scope.get("app"), scope.get("root_path", "")

    is_failed = False

    async def checked_send(message: Message) -> None:
        nonlocal is_failed
        if is_failed:  # the application reports the same error once more
            return
        if message["type"] == STARTED:
            try:
                if table.routes and scope.get("app") is not outer:
                    check_prefix(scope["app"], table)
                if table.routes and scope.get("root_path", "") != root:
                    raise prefix_error(scope["root_path"], table)
            except ValueError as error:
                is_failed = True
                await send({"type": FAILED, "message": str(error)})
                raise
            routes = list(inner_routes(app))
            warn_of_unmatched_rules(table, routes)
            if not scope.get(HANDLERS_KEY):
                scope[HANDLERS_KEY] = True
                warn_of_unhandled_denials([scope.get("app"), *(route.app for route in routes)])
        await send(message)

    return checked_send


def inner_routes(app: object, mounted: str = "", outer: tuple[object, ...] = ()) -> Iterator[InnerRoute]:
    """
    Yield the routes of an application of Starlette or FastAPI, and of those that it mounts.

    Args:
        app: The application; any other, and a route of an unknown kind, are yielded as a route for everything.
        mounted: The path at which it is mounted.
        outer: The applications around it; one that mounts itself is not looked into again.
    """
    routing: Any = sys.modules.get("starlette.routing")
    inside = [] if routing is None else list(wrapped_apps(app))
    found = next((each for each in inside if isinstance(getattr(each, "router", each), routing.Router)), None)
    if found is None or found in outer:
        yield InnerRoute(mounted + _ANYTHING, None, None, app)
        return
    router: Any = getattr(found, "router", found)
    if router.default != router.not_found or getattr(router, "_low_priority_routes", ()):  # those serve files
        yield InnerRoute(mounted + _ANYTHING, None, None, found)
    for route in flat_routes(router.routes):
        path = getattr(route, "path", None)
        if hasattr(route, "routes"):  # a mount, or a host
            yield from inner_routes(getattr(route, "app", None), mounted + (path or ""), (*outer, found))
        elif not isinstance(path, str):
            yield InnerRoute(mounted + _ANYTHING, None, None, found)
        else:
            is_websocket = not hasattr(route, "methods")
            yield InnerRoute(mounted + path, {"GET"} if is_websocket else route.methods, is_websocket, found)


def warn_of_unmatched_rules(table: RouteTable, routes: Collection[InnerRoute]) -> None:
    """Log a warning that lists the rules that match no route; a middleware inside may answer OPTIONS by itself."""
    unmatched = [rule for rule in table.routes if rule.methods != {"OPTIONS"} and not _matches_any(rule, routes)]
    if unmatched:
        _log.warning(
            "rules match no route of the application, so they have no effect: %s;"
            " correct the path or the methods, or remove them",
            ", ".join(f"{rule}{_cure(rule, routes)}" for rule in unmatched),
            extra={"rules": [str(rule) for rule in unmatched]},
        )


def _matches_any(rule: Route, routes: Collection[InnerRoute]) -> bool:
    return any(
        overlap(rule.path or "", route.path)
        and (rule.methods is None or route.methods is None or not rule.methods.isdisjoint(route.methods))  # type: ignore[attr-defined]
        and (route.has_messages is not False or not rule.messages)
        for route in routes
    )


def _cure(rule: Route, routes: Collection[InnerRoute]) -> str:
    there = [route for route in routes if overlap(rule.path or "", route.path)]
    if not there:
        close = nearest(rule.path or "", {route.path for route in routes})
        return f" ({close[2:]})" if close else ""
    methods = sorted({method for route in there for method in route.methods or ()})
    return " (it has no websocket there)" if rule.messages else f" (it has {', '.join(methods)} there)"


def warn_of_unhandled_denials(apps: Collection[object]) -> None:
    """Log a warning for each framework with applications that have no handler for `Denied`."""
    unhandled: dict[Framework, dict[str, None]] = {}
    for app in apps:
        found = next((each for each in _FRAMEWORKS if _is_of(app, each)), None)
        handlers: Any = getattr(app, "exception_handlers", {})
        if found is not None and not any(each in handlers for each in Denied.__mro__):
            unhandled.setdefault(found, {})[repr(getattr(app, "title", type(app).__name__))] = None
    for framework, titles in unhandled.items():
        _log.warning(
            "%s application %s has no handler for Denied: what raise_for_denied() or a dependency refuses is"
            " answered with a bare 500; %s",
            framework.name,
            ", ".join(titles),
            framework.cure,
            extra={"applications": [*titles]},
        )


def _is_of(app: object, framework: Framework) -> bool:
    module = sys.modules.get(framework.module)
    return module is not None and isinstance(app, getattr(module, framework.name))
