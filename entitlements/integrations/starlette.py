"""
Starlette: answers refusals that an application raises with their problem documents.

    app = Starlette(routes=[...])
    install(app)

Then `raise_for_denied()` in an endpoint is answered as the middleware answers a refusal.
"""

from __future__ import annotations

from entitlements.extras import extra

with extra("starlette", "Starlette", __name__):
    from starlette.applications import Starlette

from entitlements.http.exception_handlers import install_handlers
from entitlements.http.problems import Problems
from entitlements.http.rate_limit_headers import HeaderStyle

__all__ = ["install"]


def install(
    app: Starlette, *, problems: Problems | None = None, headers: HeaderStyle | str = HeaderStyle.DRAFT_11
) -> None:
    """
    Install exception handlers in *app*, and in the applications that it mounts before it has started.

    `Denied` is answered with its problem document and the rate limit headers, an error of the
    store or of the account source with a 503. A websocket is closed with 1008, or refused with
    a response before it is accepted where the server can.

    Args:
        app: The application, before it has started. For FastAPI use `entitlements.http.fastapi.install`.
        problems: Renders refusals; by default as the middleware that found the account.
        headers: Style of the rate limit headers of a refusal: `draft-11`, `draft-06`, `x-ratelimit` or `none`.

    Raises:
        ValueError: If there is no such style.
    """
    install_handlers(app, problems, HeaderStyle(headers))
