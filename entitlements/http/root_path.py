"""
Checks of `root_path`, the ASGI prefix of a path below which routes are matched.

Rules match the path without the prefix, as routers do. So the middleware and the
application inside it must see the same prefix. If the application sets another, `/sso`
and `/api/sso` can be one route to it and two paths to the rules, one of them without a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.http.types import Message, Scope, Send
    from entitlements.rules.route_matching import RouteTable

WRAPPED_ATTRIBUTES = ("app", "_app", "application", "__wrapped__", "__self__")
"""Attributes in which middlewares and wrappers usually keep the application inside."""

STARTED = "lifespan.startup.complete"
FAILED = "lifespan.startup.failed"


def wrapped_apps(app: Any) -> Iterator[object]:
    """Yield an application, and those that it wraps, as far as they can be seen."""
    seen: set[int] = set()
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        yield app
        app = next((each for name in WRAPPED_ATTRIBUTES if (each := getattr(app, name, None)) is not None), None)


def takes_empty_parameters(app: object) -> bool:
    """Return True if a router is seen inside whose `{name}` also takes an empty segment: Falcon's."""
    return any(type(each).__module__.partition(".")[0] == "falcon" for each in wrapped_apps(app))


def check_prefix(app: object, table: RouteTable) -> None:
    """
    Check that no application inside sets a prefix of its own, if a rule has a path.

    Args:
        app: The wrapped application; the check descends into wrapped and mounted ones.
        table: The rules that match its paths.

    Raises:
        ValueError: If one sets a prefix; the message names it.
    """
    if table.routes:
        for prefix in _prefixes(app, "", set()):
            raise _prefix_error(prefix, table)


def prefix_checked_send(scope: Scope, send: Send, table: RouteTable) -> Send:
    """
    Return a `send` for a lifespan scope that fails the start of an application that has set a prefix by then.

    It detects applications that `check_prefix` could not see: behind a function, or mounted later.
    """
    outer, root = scope.get("app"), scope.get("root_path", "")

    is_failed = False

    async def checked_send(message: Message) -> None:
        nonlocal is_failed
        if is_failed:  # the application reports the same error once more
            return
        if message["type"] == STARTED and table.routes:
            try:
                if scope.get("app") is not outer:
                    check_prefix(scope["app"], table)
                if scope.get("root_path", "") != root:
                    raise _prefix_error(scope["root_path"], table)
            except ValueError as error:
                is_failed = True
                await send({"type": FAILED, "message": str(error)})
                raise
        await send(message)

    return checked_send


def _prefix_error(prefix: str, table: RouteTable) -> ValueError:
    return ValueError(
        f"an application inside has root_path={prefix!r}: a path with that prefix and without it is one route to it, and"
        f" two to {table.routes[0]}; put the middleware inside of it (app.add_middleware), or leave root_path to the"
        " server (uvicorn --root-path) or to the mount"
    )


def _prefixes(app: Any, mounted: str, seen: set[int]) -> Iterator[str]:
    """Yield every prefix that an application sets itself, unless it equals the path at which it is mounted."""
    if app is None or id(app) in seen:
        return
    seen.add(id(app))
    root = getattr(app, "root_path", "")
    routed = isinstance(getattr(app, "routes", None), list | tuple)  # Flask's and Quart's `root_path` is a folder
    if routed and isinstance(root, str) and root not in {"", mounted}:
        yield root
    for name in WRAPPED_ATTRIBUTES:
        yield from _prefixes(getattr(app, name, None), mounted, seen)
    yield from _mounted_prefixes(getattr(app, "routes", None), mounted, seen)


def _mounted_prefixes(routes: Any, mounted: str, seen: set[int]) -> Iterator[str]:
    """Yield the prefixes of mounted applications."""
    for route in routes if isinstance(routes, list | tuple) else ():
        path = getattr(route, "path", "")
        yield from _prefixes(getattr(route, "app", None), mounted + (path if hasattr(route, "routes") else ""), seen)
        included = getattr(route, "effective_route_contexts", None)
        if included is not None:
            yield from _mounted_prefixes([getattr(each, "starlette_route", None) for each in included()], mounted, seen)
