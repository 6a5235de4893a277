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

    def build_or_fail(app: App) -> Middleware:
        try:
            return build(app)
        except (TypeError, ValueError) as error:  # of this application, such as its root_path
            return _Failed(error)  # type: ignore[return-value]

    build(_placeholder)
    return build_or_fail


class _Failed:
    """
    Stands for a middleware that cannot be built around an application: fails the start of the server, and every request.

    Args:
        error: The error of its constructor.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(self._error)})
            return
        raise self._error


async def _placeholder(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application for the check; it is never called."""
