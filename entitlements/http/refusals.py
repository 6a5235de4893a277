"""Sending a refusal: as a response, or to a websocket that was not accepted yet."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from entitlements.http.response import merge_headers
from entitlements.http.types import App, Scope
from entitlements.http.websocket_messages import POLICY_VIOLATION
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from entitlements.http.problems import Refusal
    from entitlements.http.types import Headers, Message, Receive, Send

OnDenied = Callable[[Scope, "Refusal"], "App | Awaitable[App | None] | None"]
"""
Answers a refusal in another way: an ASGI app, such as a Starlette `Response`, or None for
the problem document. What is left of the limits is added to its headers too.
"""

_log = logging.getLogger("entitlements.http")


def check_on_denied(on_denied: OnDenied | None) -> OnDenied | None:
    """
    Return what may answer refusals.

    Raises:
        TypeError: For what cannot be called.
    """
    if on_denied is not None and not callable(on_denied):
        raise TypeError(f"on_denied {on_denied!r} must be a callable from the scope and the refusal to an ASGI app")
    return on_denied


async def refuse(
    scope: Scope, receive: Receive, send: Send, refusal: Refusal, *, headers: Headers, on_denied: OnDenied | None
) -> None:
    """
    Answer with a refusal.

    Args:
        scope: Of the request or the websocket.
        receive: Of the same.
        send: Of the same.
        refusal: What to say.
        headers: What to say beside it.
        on_denied: What may answer instead; where nothing is sent, the problem is;
            what fails before it has sent anything is logged.
    """
    prefix = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.kind})
            return
        prefix = "websocket.http.response"

    began = False

    async def telling(message: Message) -> None:
        nonlocal began
        began = True
        if message["type"] == f"{prefix}.start":
            message = {**message, "headers": merge_headers(message.get("headers", ()), headers)}
        await send(message)

    if on_denied is not None:
        try:
            instead = await _instead(on_denied, scope, refusal)
            await instead(scope, receive, telling)
        except Exception as error:
            if began:
                raise
            told = redacted_traceback(error, refusal.decision.account if refusal.decision is not None else None)
            _log.error("on_denied failed; the problem document is sent instead\n%s", told)
    if not began:
        await _respond(telling, prefix, refusal, is_head=scope.get("method") == "HEAD")


async def _instead(on_denied: OnDenied, scope: Scope, refusal: Refusal) -> App:
    answer = on_denied(scope, refusal)
    app = await answer if inspect.isawaitable(answer) else answer
    if app is None:
        return _nothing
    if not callable(app):
        raise TypeError(f"on_denied gave {app!r}; it must give an ASGI app, such as a Starlette Response, or None")
    return app


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave the answer to the problem document."""


async def _respond(send: Send, prefix: str, refusal: Refusal, *, is_head: bool) -> None:
    content = refusal.content
    headers = [*refusal.headers, (b"content-length", b"%d" % len(content))]
    await send({"type": f"{prefix}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": b"" if is_head else content})
