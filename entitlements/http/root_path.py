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

    from entitlements.rules.route_matching import RouteTable

WRAPPED_ATTRIBUTES = ("app", "_app", "application", "__wrapped__", "__self__")
"""Attributes in which middlewares and wrappers usually keep the application inside."""


def wrapped_apps(app: Any) -> Iterator[object]:
    """Yield an application, and those that it wraps, as far as they can be seen."""
    seen: set[int] = set()
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        yield app
        app = next((each for name in WRAPPED_ATTRIBUTES if (each := getattr(app, name, None)) is not None), None)


def flat_routes(routes: Any) -> Iterator[Any]:
    """Yield the routes of an application of Starlette or FastAPI, those of included routers with their prefix."""
    for route in routes if isinstance(routes, list | tuple) else ():
        included = getattr(route, "effective_route_contexts", None)
        if included is None:
            yield route
        else:
            yield from (each if each.starlette_route is None else each.starlette_route for each in included())


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
            raise prefix_error(prefix, table)


def prefix_error(prefix: str, table: RouteTable) -> ValueError:
    """Return the error for an application inside that sets *prefix*."""
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
    for route in flat_routes(routes):
        path = getattr(route, "path", "") if hasattr(route, "routes") else ""
        yield from _prefixes(getattr(route, "app", None), mounted + path, seen)
