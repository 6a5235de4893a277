"""What is wrong shows when the program is loaded, not at its first request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Concatenate, ParamSpec, TypeVar

from entitlements.http.types import App, Receive, Scope, Send

Options = ParamSpec("Options")
Middleware = TypeVar("Middleware")


def checked(
    middleware: Callable[Concatenate[App, Options], Middleware], *args: Options.args, **options: Options.kwargs
) -> Callable[[App], Middleware]:
    """
    Return what `app.add_middleware()` takes, having built it once with the same options.

    Starlette builds its middlewares at the first call: what is wrong with them would be a
    500 for every request, of a server that has started.

        app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, identify=identify))

    Args:
        middleware: A class such as `EntitlementsMiddleware`.
        args: As the class takes them.
        options: As the class takes them.

    Raises:
        TypeError: As the class.
        ValueError: As the class.
    """
    given = {name: tuple(value) if isinstance(value, Iterator) else value for name, value in options.items()}

    def build(app: App) -> Middleware:
        return middleware(app, *args, **given)  # type: ignore[arg-type]

    build(_nothing)
    return build


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand where the application will."""
