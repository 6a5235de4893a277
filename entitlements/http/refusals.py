"""Refusal sender: answers a request, or a websocket that is not accepted yet, with a refusal."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from entitlements.http.response import merge_headers
from entitlements.http.types import App, Scope, awaited
from entitlements.http.websocket_messages import POLICY_VIOLATION
from entitlements.model.callables import takes
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from entitlements.http.problems import Refusal
    from entitlements.http.types import Headers, Message, Receive, Send

OnDenied = Callable[[Scope, "Refusal"], "App | Awaitable[App | None] | None"]
"""
Returns the ASGI app that answers a refusal, such as a Starlette `Response`, or None for the
problem document. The rate limit headers are added to its response too.
"""

_log = logging.getLogger("entitlements.http")


def check_on_denied(on_denied: OnDenied | None) -> OnDenied | None:
    """
    Return *on_denied*, unchanged.

    Raises:
        TypeError: If it is neither None nor a callable with two arguments.
    """
    if on_denied is not None and not (callable(on_denied) and takes(on_denied, {}, None)):
        raise TypeError(f"on_denied {on_denied!r} must be a callable from the scope and the refusal to an ASGI app")
    return on_denied


async def refuse(
    scope: Scope, receive: Receive, send: Send, refusal: Refusal, *, headers: Headers, on_denied: OnDenied | None
) -> None:
    """
    Answer a request or a websocket with a refusal.

    Args:
        scope: The scope of the request or the websocket.
        receive: Its `receive`.
        send: Its `send`.
        refusal: The refusal.
        headers: Rate limit headers to add.
        on_denied: Returns an ASGI app that answers instead. The problem document is sent if it
            returns None, sends nothing, or raises before it has sent anything; the error is logged.
    """
    prefix = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.kind})
            return
        prefix = "websocket.http.response"

    started = False

    async def send_with_headers(message: Message) -> None:
        nonlocal started
        started = True
        if message["type"] == f"{prefix}.start":
            message = {**message, "headers": merge_headers(message.get("headers", ()), headers)}
        await send(message)

    if on_denied is not None:
        try:
            app = await _custom_app(on_denied, scope, refusal)
            if app is not None:
                await app(scope, receive, send_with_headers)
        except Exception as error:
            if started:
                raise
            log_denied_error(error, refusal)
    if not started:
        await _send_problem(send_with_headers, prefix, refusal, is_head=scope.get("method") == "HEAD")


def log_denied_error(error: Exception, refusal: Refusal) -> None:
    """Log the error of an `on_denied`, or of what it returned."""
    traceback = redacted_traceback(error, None if refusal.decision is None else refusal.decision.account)
    _log.error(
        "on_denied failed; the problem document is sent instead\n%s", traceback, extra={"error": type(error).__name__}
    )


async def _custom_app(on_denied: OnDenied, scope: Scope, refusal: Refusal) -> App | None:
    app = await awaited(on_denied(scope, refusal))
    if app is not None and not callable(app):
        raise TypeError(f"on_denied gave {app!r}; it must give an ASGI app, such as a Starlette Response, or None")
    return app  # type: ignore[no-any-return]


async def _send_problem(send: Send, prefix: str, refusal: Refusal, *, is_head: bool) -> None:
    content = refusal.content
    headers = [*refusal.headers, (b"content-length", b"%d" % len(content))]
    await send({"type": f"{prefix}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": b"" if is_head else content})
