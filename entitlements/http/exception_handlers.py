"""Exception handlers of Starlette: answer the errors that verbs and dependencies raise, also in mounted applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute, Host, Mount
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from entitlements.http.account_scope import problems_of
from entitlements.http.error_refusals import REFUSED_ERRORS, error_headers, error_refusal
from entitlements.http.header_middleware import RESPONSE_KEY, HeaderMiddleware
from entitlements.http.problems import Problems, Refusal
from entitlements.http.rate_limit_headers import HeaderStyle
from entitlements.http.refusals import refuse
from entitlements.http.root_path import flat_routes
from entitlements.http.types import Headers, Message
from entitlements.http.websocket_messages import POLICY_VIOLATION

Handler = Callable[[Any, Exception], Awaitable[Any]]
Handlers = Mapping[type[Exception], Handler]
"""A handler by type of exception. It returns the `Response` to a `Request`, and sends to a `WebSocket` itself."""

CLOSED = {WebSocketState.DISCONNECTED, WebSocketState.RESPONSE}
"""States in which a websocket takes no more messages."""


def install_handlers(app: Starlette, problems: Problems | None, style: HeaderStyle) -> None:
    """
    Install the exception handlers in *app*, and in the applications that it mounts before it serves its first scope.

    Args:
        app: The application, before it has started.
        problems: Renders refusals; that of the middleware by default.
        style: Style of the rate limit headers.
    """

    async def handle(connection: HTTPConnection, error: Exception) -> Response | None:
        refusal = error_refusal(error, problems or problems_of(connection.scope))
        return await _answer(connection, refusal, error_headers(error, style))

    handlers: Handlers = dict.fromkeys(REFUSED_ERRORS, handle)
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)
    app.add_middleware(HeaderMiddleware, style=style, on_first_scope=lambda: _add_to_mounted(app.routes, handlers))


def _add_to_mounted(routes: Sequence[BaseRoute], handlers: Handlers, outer: tuple[object, ...] = ()) -> None:
    """
    Add the handlers to every mounted application, unless it has its own.

    They take effect only before its first request: Starlette copies the handlers then.
    """
    for mount in flat_routes(routes):
        if isinstance(mount, Mount | Host) and mount.app not in outer:  # one may mount itself
            app: Any = mount.app
            while app is not None and not isinstance(app, Starlette):  # a middleware around it
                app = getattr(app, "app", None)
            if app is not None:
                for error, handler in handlers.items():
                    app.exception_handlers.setdefault(error, handler)
            _add_to_mounted(mount.routes, handlers, (*outer, mount.app))


async def _answer(connection: HTTPConnection, refusal: Refusal, headers: Headers) -> Response | None:
    """Return the response to a request; a websocket is answered directly."""
    if isinstance(connection, WebSocket):
        await _refuse_websocket(connection, refusal, headers)
        return None
    response = Response(refusal.content, refusal.status)
    response.raw_headers = [*refusal.headers, *headers, (b"content-length", b"%d" % len(refusal.content))]
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
