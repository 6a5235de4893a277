"""Eager middleware construction: wrong options raise when the program is loaded, not at its first request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

from entitlements.http.types import App, Receive, Scope, Send

MiddlewareOptions = ParamSpec("MiddlewareOptions")
Middleware = TypeVar("Middleware")


def checked(
    middleware: Callable[Concatenate[App, MiddlewareOptions], Middleware],
    *args: MiddlewareOptions.args,
    **options: MiddlewareOptions.kwargs,
) -> Callable[[App], Middleware]:
    """
    Build *middleware* once to check its options, and return a factory for `app.add_middleware()`.

    Starlette builds its middlewares at the first call. Without this check, a server with wrong
    options starts and answers every request with a 500.

        app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, identify=identify))

    Args:
        middleware: A class such as `EntitlementsMiddleware`.
        args: Positional arguments of the class.
        options: Keyword arguments of the class.

    Raises:
        TypeError: From the class.
        ValueError: From the class.
    """
    reusable = {name: tuple(value) if isinstance(value, Iterator) else value for name, value in options.items()}

    def build(app: App) -> Middleware:
        return middleware(app, *args, **reusable)  # type: ignore[arg-type]

    build(_placeholder)
    return build


async def _placeholder(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application for the check; it is never called."""
