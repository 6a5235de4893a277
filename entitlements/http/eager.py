"""
Eager middleware construction: wrong options raise when the program is loaded, or fail the start of the server.

Starlette builds its middlewares at its first call, the lifespan. A server that is set to `lifespan=auto` takes an
error of that call for an application without lifespan: it starts, and each request is a 500.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import currentframe
from typing import Concatenate, ParamSpec, TypeVar

from entitlements.http.types import App, Receive, Scope, Send

__all__ = ["checked"]

MiddlewareOptions = ParamSpec("MiddlewareOptions")
Middleware = TypeVar("Middleware")


def checked(
    middleware: Callable[Concatenate[App, MiddlewareOptions], Middleware],
    *args: MiddlewareOptions.args,
    **options: MiddlewareOptions.kwargs,
) -> Callable[[App], Middleware]:
    """
    Build *middleware* once to check its options, and return a factory for `app.add_middleware()`.

    Starlette builds its middlewares at the first call. Without this check, wrong options fail the
    start of the server, far from the line that has them.

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


def fails_at_start(
    init: Callable[Concatenate[Middleware, MiddlewareOptions], None],
) -> Callable[Concatenate[Middleware, MiddlewareOptions], None]:
    """
    Return the `__init__` of a middleware, with its errors kept where Starlette calls it.

    The instance is then a `FailedMiddleware`. Everywhere else the error is raised.
    """

    @wraps(init)
    def init_or_fail(self: Middleware, /, *args: MiddlewareOptions.args, **options: MiddlewareOptions.kwargs) -> None:
        try:
            init(self, *args, **options)
        except (TypeError, ValueError) as error:
            if not _is_built_by_starlette(self):
                raise
            vars(self)["error"] = error
            self.__class__ = FailedMiddleware  # type: ignore[assignment]  # `__init__` cannot return another object

    return init_or_fail


def _is_built_by_starlette(middleware: object) -> bool:
    """Return True if Starlette, or `checked` for it, calls the constructor that is running."""
    frame = currentframe()
    while frame and (frame.f_code.co_filename == __file__ or frame.f_locals.get("self") is middleware):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == "build_middleware_stack"


class FailedMiddleware:
    """A middleware that could not be built: fails the start of the server, and every request."""

    error: Exception

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise the error; the start of the server is also answered with it, as Starlette does."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(self.error)})
        raise self.error


async def _placeholder(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application for the check; it is never called."""
