"""
The prefix that a request's path has outside of its routes: `root_path`, in ASGI's word.

Rules match what is left without it, as routers do. So a middleware and the application
within must know the same one: where the application has another, `/sso` and `/api/sso`
may be one route to it, and two to the rules, of which one is let through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.http.types import Message, Scope, Send
    from entitlements.rules.route_matching import RouteTable

INNER = ("app", "_app", "application", "__wrapped__", "__self__")
"""Where an application keeps the one that it wraps, by custom."""

STARTED = "lifespan.startup.complete"


def check_prefix(app: object, table: RouteTable) -> None:
    """
    Check that no application within sets a prefix that rules with paths could not know.

    Args:
        app: The application that is wrapped; what it wraps and mounts is looked at too.
        table: The rules that are to match its paths.

    Raises:
        ValueError: Naming the prefix.
    """
    if table.routes:
        for prefix in _prefixes(app, "", set()):
            raise ValueError(_told(prefix, table))


def prefix_checked_send(scope: Scope, send: Send, table: RouteTable) -> Send:
    """
    Return a `send` for a lifespan that lets no application start which has set a prefix by then.

    That is how one shows that could not be looked into, and what was mounted later.
    """
    outer, root = scope.get("app"), scope.get("root_path", "")

    async def checked(message: Message) -> None:
        if message["type"] == STARTED and table.routes:
            if scope.get("app") is not outer:
                check_prefix(scope["app"], table)
            if scope.get("root_path", "") != root:
                raise ValueError(_told(scope["root_path"], table))
        await send(message)

    return checked


def _told(prefix: str, table: RouteTable) -> str:
    return (
        f"an application within has root_path={prefix!r}, so that its paths with and without that are one to it, and"
        f" two to {table.routes[0]}; put the middleware inside of it (app.add_middleware), or leave root_path to the"
        " server (uvicorn --root-path) or to the mount"
    )


def _prefixes(app: Any, mounted: str, seen: set[int]) -> Iterator[str]:
    """Yield every prefix that an application sets itself, but one that says where it is mounted."""
    if app is None or id(app) in seen:
        return
    seen.add(id(app))
    root = getattr(app, "root_path", "")
    if isinstance(root, str) and root not in {"", mounted}:
        yield root
    for name in INNER:
        yield from _prefixes(getattr(app, name, None), mounted, seen)
    yield from _mounted(getattr(app, "routes", None), mounted, seen)


def _mounted(routes: Any, mounted: str, seen: set[int]) -> Iterator[str]:
    """Yield the prefixes of mounted applications."""
    for route in routes if isinstance(routes, list | tuple) else ():
        path = getattr(route, "path", "")
        yield from _prefixes(getattr(route, "app", None), mounted + (path if hasattr(route, "routes") else ""), seen)
        included = getattr(route, "effective_route_contexts", None)
        if included is not None:
            yield from _mounted([getattr(each, "starlette_route", None) for each in included()], mounted, seen)
