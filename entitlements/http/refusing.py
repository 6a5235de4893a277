"""Sending a refusal: as a response, or to a websocket that was not accepted yet."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from entitlements.http.types import App, Scope

if TYPE_CHECKING:
    from entitlements.http.problems import Refusal
    from entitlements.http.types import Headers, Receive, Send

OnDenied = Callable[[Scope, "Refusal"], "App | Awaitable[App | None] | None"]
"""Answers a refusal in another way: an ASGI app, such as a Starlette `Response`, or None for the problem document."""

POLICY_VIOLATION = 1008
"""The code that closes a websocket which may not be used (RFC 6455, section 7.4.1)."""

_log = logging.getLogger("entitlements.http")


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
        on_denied: What may answer instead; if it fails, that is logged and the problem is sent.
    """
    if scope["type"] == "websocket":
        await _refuse_websocket(scope, receive, send, refusal, headers)
        return
    instead = await _instead(on_denied, scope, refusal)
    if instead is not None:
        await instead(scope, receive, send)
        return
    await _respond(send, "http.response", refusal, headers, is_head=scope["method"] == "HEAD")


async def _instead(on_denied: OnDenied | None, scope: Scope, refusal: Refusal) -> App | None:
    if on_denied is None:
        return None
    try:
        answer = on_denied(scope, refusal)
        return await answer if inspect.isawaitable(answer) else answer
    except Exception:  # noqa: BLE001 - a refusal stays one, whatever becomes of its looks
        _log.exception("on_denied failed; the problem document is sent instead")
        return None


async def _refuse_websocket(scope: Scope, receive: Receive, send: Send, refusal: Refusal, headers: Headers) -> None:
    """Refuse before accepting: with a response where the server can, else by closing."""
    await receive()  # websocket.connect
    if "websocket.http.response" in scope.get("extensions", {}):
        await _respond(send, "websocket.http.response", refusal, headers)
    else:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": refusal.kind})


async def _respond(send: Send, kind: str, refusal: Refusal, headers: Headers, *, is_head: bool = False) -> None:
    content = refusal.content
    length = (b"content-length", b"%d" % len(content))
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": [*refusal.headers, *headers, length]})
    await send({"type": f"{kind}.body", "body": b"" if is_head else content})
