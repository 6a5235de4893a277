"""Requests and responses of the small ASGI applications that speak JSON."""

from __future__ import annotations

import json
from typing import Any

from entitlements.http.types import Headers, Receive, Scope, Send

MAX_BODY = 65_536
"""Bytes of a request's body that are read."""


class UnreadableRequest(Exception):
    """A request cannot be read; *status* is that of the response."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def read_object(receive: Receive) -> dict[str, Any]:
    """
    Return the body of a request, a JSON object; an empty body is an empty object.

    Raises:
        UnreadableRequest: For a body that is too long, or anything else.
    """
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UnreadableRequest("the client has hung up")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise UnreadableRequest(f"the body has more than {MAX_BODY} bytes", 413)
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise UnreadableRequest(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise UnreadableRequest("the body is no JSON object")
    return found


async def send_json(send: Send, status: int, body: object, headers: Headers | None = None) -> None:
    """Send a response; None sends no body."""
    content = b"" if body is None else json.dumps(body).encode("utf-8")
    sent = [(b"content-length", b"%d" % len(content)), *(headers or [])]
    if body is not None:
        sent.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": content})


async def answer_lifespan(receive: Receive, send: Send) -> None:
    """Follow the lifespan of the server; there is nothing to start."""
    for event in ("startup", "shutdown"):
        while (await receive())["type"] != f"lifespan.{event}":
            pass
        await send({"type": f"lifespan.{event}.complete"})


async def handle_other(scope: Scope, receive: Receive, send: Send) -> bool:
    """Handle what is no HTTP request; return True if it was handled."""
    if scope["type"] == "lifespan":
        await answer_lifespan(receive, send)
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
    return bool(scope["type"] != "http")
