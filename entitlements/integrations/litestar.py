"""
Litestar: answers refusals that an application raises with their problem documents.

    app = Litestar([...], exception_handlers=exception_handlers())

Then `raise_for_denied()` in a route handler is answered as the middleware answers a refusal. Litestar calls
no exception handlers for websockets: it closes them with 4500.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from entitlements.extras import extra

with extra("litestar", "Litestar", __name__):
    from litestar import Request, Response
    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler

from entitlements.http.account_scope import handle_of, problems_of
from entitlements.http.current import current_account
from entitlements.http.endpoint_rules import decide_endpoint, requirement
from entitlements.http.error_refusals import REFUSED_ERRORS, AccountRequired, error_headers, error_refusal
from entitlements.http.problems import Problems
from entitlements.http.rate_limit_headers import HeaderStyle

__all__ = ["current_account", "exception_handlers", "requires"]

Handler = Callable[[Request[Any, Any, Any], Exception], Response[bytes]]


def exception_handlers(
    *, problems: Problems | None = None, headers: HeaderStyle | str = HeaderStyle.DRAFT_11
) -> dict[type[Exception] | int, Handler]:
    """
    Return the argument `exception_handlers` of an application, a router or a route handler.

    `Denied` is answered with its problem document and the rate limit headers, an error of the
    store or of the account source with a 503.

    Args:
        problems: Renders refusals; by default as the middleware that found the account.
        headers: Style of the rate limit headers of a refusal: `draft-11`, `draft-06`, `x-ratelimit` or `none`.

    Raises:
        ValueError: If there is no such style.
    """
    style = HeaderStyle(headers)

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        refusal = error_refusal(error, problems or problems_of(request.scope))  # type: ignore[arg-type]  # a TypedDict is a dict
        sent = dict([*refusal.headers, *error_headers(error, style)])
        media_type = sent.pop(b"content-type").decode("ascii")
        texts = {name.decode("ascii"): value.decode("ascii") for name, value in sent.items()}
        return Response(refusal.content, status_code=refusal.status, media_type=media_type, headers=texts)

    return dict.fromkeys(REFUSED_ERRORS, handle)


def requires(*features: str) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]:
    """
    Return a guard that refuses accounts without every one of *features*: `@get("/sso", guards=[requires("sso")])`.

    Args:
        features: Names of features, `feature:level`, or limits.

    Raises:
        ValueError: If there are none, or one is not a str.
    """
    rule = requirement(features)

    def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        account = handle_of(connection.scope)  # type: ignore[arg-type]  # a TypedDict is a dict
        if account is None:
            raise AccountRequired(f"{handler} needs the account: put EntitlementsMiddleware around the application")
        next(decide_endpoint(account, rule, connection), None)

    return guard
