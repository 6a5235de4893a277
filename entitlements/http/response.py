"""What a server is sent of one response: told of limits at its start, and watched to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from entitlements.http.types import Headers, Message, Receive, Send

STARTS = frozenset({"http.response.start", "websocket.accept"})
BODIES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})
"""What carries a body, with the extensions that hand over a file."""

SINGLE = frozenset({b"ratelimit-limit", b"x-ratelimit-limit"})
"""How styles begin that have one figure where the structured fields have a list."""


class Response:
    """
    A `receive` and a `send` that add headers to the first start, and know how far the response came.

    For a websocket, accepting it is all: what was taken for the connection stays taken.

    Args:
        receive: The server's.
        send: The server's.
        headers: From the status to what is added.
    """

    __slots__ = ("_headers", "_receive", "_send", "_trailers", "is_complete", "is_gone", "status")

    def __init__(self, receive: Receive, send: Send, headers: Callable[[int], Headers]) -> None:
        self._receive = receive
        self._send = send
        self._headers = headers
        self._trailers = False
        self.status: int | None = None
        self.is_complete = False
        self.is_gone = False  # the client: it hung up

    async def receive(self) -> Message:
        """Return the next event."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = True
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on; one that starts the response with more headers."""
        kind = message["type"]
        if self.status is None:
            if kind in STARTS:
                self.status = status = message.get("status", 101)
                self._trailers = message.get("trailers", False)
                self.is_complete = kind == "websocket.accept"
                headers = self._headers(status)
                if headers:
                    message = {**message, "headers": merge_headers(message.get("headers", ()), headers)}
            elif kind == "websocket.http.response.start":
                self.status = message["status"]
        try:
            await self._send(message)
        except OSError:
            self.is_gone = True
            raise
        if kind in BODIES and not message.get("more_body", False):
            self.is_complete = self.is_complete or not self._trailers
        elif kind == "http.response.trailers" and not message.get("more_trailers", False):
            self.is_complete = True


def with_headers(send: Send, headers: Headers) -> Send:
    """Return a `send` that adds headers to the first start, and does no more: for what is never given back."""
    if not headers:
        return send
    started, is_single = False, headers[0][0] in SINGLE

    def sent(message: Message) -> Awaitable[None]:
        nonlocal started
        if not started and message["type"] in STARTS:
            started = True
            present = message.get("headers", ())
            message = {**message, "headers": merge_headers(present, headers) if is_single else [*present, *headers]}
        return send(message)

    return sent


def merge_headers(present: Headers, own: Headers) -> Headers:
    """
    Return a response's headers with what is said of limits.

    Structured fields are lists, and a second line adds to them; of the older styles an
    installation further in has said its figures, which stand.
    """
    if own and own[0][0] in SINGLE and any(name == own[0][0] for name, _ in present):
        return [*present]
    return [*present, *own]
