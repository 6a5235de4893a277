"""Exception handlers: answer the errors that dependencies raise, also in mounted applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fastapi.requests import HTTPConnection
from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from entitlements.errors import AccountError, AccountsUnavailable, Denied, StoreError
from entitlements.http.costs import BadRequest
from entitlements.http.header_middleware import RESPONSE_KEY
from entitlements.http.problems import Problems, Refusal
from entitlements.http.rate_limit_headers import HeaderStyle, rate_limit_headers
from entitlements.http.refusals import refuse
from entitlements.http.types import Headers, Message
from entitlements.http.websocket_messages import POLICY_VIOLATION
from entitlements.model.decision import Decision

Handler = Callable[[Any, Exception], Awaitable[Any]]
Handlers = Mapping[type[Exception], Handler]
"""A handler by type of exception. It returns the `Response` to a `Request`, and sends to a `WebSocket` itself."""

CLOSED = {WebSocketState.DISCONNECTED, WebSocketState.RESPONSE}
"""States in which a websocket takes no more messages."""


class AccountRequired(Exception):
    """A dependency needs the account of a request, and no middleware has found one."""


class UnknownAccountDenied(Denied):
    """
    The denial of an unknown account.

    Args:
        decision: The decision.
        rendered: The one to render instead; None if there is none.
    """

    def __init__(self, decision: Decision, rendered: Decision | None) -> None:
        super().__init__(decision)
        self.rendered = rendered


def handlers(problems: Problems, style: HeaderStyle) -> Handlers:
    """Return the exception handlers; *problems* renders refusals, *style* is that of the rate limit headers."""

    async def denied(connection: HTTPConnection, error: Exception) -> Response | None:
        assert isinstance(error, Denied)
        rendered = error.rendered if isinstance(error, UnknownAccountDenied) else None
        refusal = problems.refused(error.decision, rendered)
        return await _answer(connection, refusal, rate_limit_headers(error.decision, style))

    def handler(refusal: Callable[[], Refusal]) -> Handler:
        async def handle(connection: HTTPConnection, _: Exception) -> Response | None:
            return await _answer(connection, refusal())

        return handle

    return {
        Denied: denied,
        BadRequest: handler(problems.bad_request),
        AccountRequired: handler(problems.account_required),
        StoreError: handler(problems.unavailable),
        AccountError: handler(problems.unavailable),
        AccountsUnavailable: handler(problems.unavailable),
    }


def add_to_mounted(routes: Sequence[BaseRoute], handlers: Handlers) -> None:
    """
    Add the handlers to every mounted application, unless it has its own.

    They take effect only before its first request: Starlette copies the handlers then.
    """
    for route in iter_route_contexts(routes):
        mount = route.original_route
        if isinstance(mount, Mount):
            app: Any = mount.app
            while app is not None and not isinstance(app, Starlette):  # a middleware around it
                app = getattr(app, "app", None)
            if app is not None:
                for error, handler in handlers.items():
                    app.exception_handlers.setdefault(error, handler)
            add_to_mounted(mount.routes, handlers)


async def _answer(connection: HTTPConnection, refusal: Refusal, headers: Headers | None = None) -> Response | None:
    """Return the response to a request; a websocket is answered directly."""
    if isinstance(connection, WebSocket):
        await _refuse_websocket(connection, refusal, headers or [])
        return None
    response = Response(refusal.content, refusal.status)
    response.raw_headers = [*refusal.headers, *(headers or ()), (b"content-length", b"%d" % len(refusal.content))]
    return response


async def _refuse_websocket(websocket: WebSocket, refusal: Refusal, headers: Headers) -> None:
    """Refuse a websocket as the middleware does: before it is accepted with a response if possible, later with 1008."""
    if {websocket.application_state, websocket.client_state} & CLOSED:
        return
    if not _is_accepted(websocket):
        await refuse(websocket.scope, _connect, websocket.send, refusal, headers=headers, on_denied=None)
        return
    with suppress(WebSocketDisconnect):  # the client disconnected first
        await websocket.send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.kind})


def _is_accepted(websocket: WebSocket) -> bool:
    """Return True if a websocket was accepted, by its endpoint or by an inner application."""
    response = websocket.scope.get(RESPONSE_KEY)
    accepted = websocket.application_state is WebSocketState.CONNECTED
    return accepted or (response is not None and response.is_complete)


async def _connect() -> Message:
    """Return the opening message of a websocket again: the endpoint may have received the only one."""
    return {"type": "websocket.connect"}
