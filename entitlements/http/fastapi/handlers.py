"""What a FastAPI application answers to what its dependencies raise, those that are mounted in it too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
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
from entitlements.http.headers import HeaderStyle, rate_limit_headers
from entitlements.http.problems import Problems, Refusal
from entitlements.http.refusals import refuse
from entitlements.http.types import Headers, Message
from entitlements.http.websocket_messages import POLICY_VIOLATION
from entitlements.model.decision import Decision

Handlers = Mapping[type[Exception], Callable[[Any, Exception], Awaitable[Any]]]
"""What answers each exception: a `Request` by the `Response` that it returns, a `WebSocket` by what it sends there."""

OVER = {WebSocketState.DISCONNECTED, WebSocketState.RESPONSE}
"""A websocket to which nothing more can be said."""


class AccountRequired(Exception):
    """A dependency ran for a request for which no middleware has found an account."""


class UnknownDenied(Denied):
    """A refusal of an unknown account, with the one that it shall read like."""

    def __init__(self, decision: Decision, like: Decision | None) -> None:
        super().__init__(decision)
        self.like = like


def handlers(say: Problems, style: HeaderStyle) -> Handlers:
    """Return what answers each exception: *say* how a refusal reads, in *style* what is left."""

    async def denied(connection: HTTPConnection, error: Exception) -> Response | None:
        assert isinstance(error, Denied)
        like = error.like if isinstance(error, UnknownDenied) else None
        return await _answer(connection, say.refused(error.decision, like), rate_limit_headers(error.decision, style))

    async def bad(connection: HTTPConnection, _: Exception) -> Response | None:
        return await _answer(connection, say.bad_request())

    async def nobody(connection: HTTPConnection, _: Exception) -> Response | None:
        return await _answer(connection, say.account_required())

    async def unavailable(connection: HTTPConnection, _: Exception) -> Response | None:
        return await _answer(connection, say.unavailable())

    return {
        Denied: denied,
        BadRequest: bad,
        AccountRequired: nobody,
        StoreError: unavailable,
        AccountError: unavailable,
        AccountsUnavailable: unavailable,
    }


def answer_mounted(routes: Sequence[BaseRoute], answers: Handlers) -> None:
    """
    Let every application that is mounted answer as the one around it; a handler of its own stays.

    It must not have served anything yet: it keeps what it has at its first request.
    """
    for route in iter_route_contexts(routes):
        mount = route.original_route
        if isinstance(mount, Mount):
            for app in _applications(mount):
                for error, handler in answers.items():
                    app.exception_handlers.setdefault(error, handler)
            answer_mounted(mount.routes, answers)


def _applications(mount: Mount) -> Iterator[Starlette]:
    """Yield the application of a mount, which middlewares may stand around."""
    app: Any = mount.app
    while app is not None and not isinstance(app, Starlette):
        app = getattr(app, "app", None)
    if app is not None:
        yield app


async def _answer(connection: HTTPConnection, refusal: Refusal, headers: Headers | None = None) -> Response | None:
    """Return the response to a request; a websocket is told by itself."""
    if isinstance(connection, WebSocket):
        await _turn_away(connection, refusal, headers or [])
        return None
    response = Response(refusal.content, refusal.status)
    response.raw_headers = [*refusal.headers, *(headers or ()), (b"content-length", b"%d" % len(refusal.content))]
    return response


async def _turn_away(websocket: WebSocket, refusal: Refusal, headers: Headers) -> None:
    """Refuse a websocket as the middleware does: while it connects as far as the server can say it, later with 1008."""
    if {websocket.application_state, websocket.client_state} & OVER:
        return
    if not _is_accepted(websocket):
        await refuse(websocket.scope, _connect, websocket.send, refusal, headers=headers, on_denied=None)
        return
    with suppress(WebSocketDisconnect):  # the client was faster
        await websocket.send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.kind})


def _is_accepted(websocket: WebSocket) -> bool:
    """Say whether a websocket was accepted, by its endpoint or by an application further in."""
    response = websocket.scope.get(RESPONSE_KEY)
    accepted = websocket.application_state is WebSocketState.CONNECTED
    return accepted or (response is not None and response.is_complete)


async def _connect() -> Message:
    """Stand for the message that opens a websocket: an endpoint may have received it, and no second one comes."""
    return {"type": "websocket.connect"}
