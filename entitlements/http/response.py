"""Response wrapper: adds rate limit headers at the start of a response, and records its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from entitlements.http.types import Headers, Message, Receive, Send

STARTS = frozenset({"http.response.start", "websocket.accept"})
BODIES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})
"""Messages with a body, including the extensions that send a file."""

SINGLE_LIMIT_HEADERS = frozenset({b"ratelimit-limit", b"x-ratelimit-limit"})
"""First header of the styles that describe one limit; the structured fields hold a list."""


class Response:
    """
    The `receive` and `send` of one response: they add headers to its start and record its progress.

    A websocket's response is complete once it is accepted, so the charge for a connection is not refunded.

    Args:
        receive: The `receive` of the server.
        send: The `send` of the server.
    """

    __slots__ = ("_receive", "_send", "_trailers", "is_complete", "is_disconnected", "status")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._trailers = False
        self.status: int | None = None
        self.is_complete = False
        self.is_disconnected = False  # by the client

    def added_headers(self, _: int) -> Headers:
        """Return the headers to add to a response that starts with this status: none, unless a subclass has some."""
        return []

    async def receive(self) -> Message:
        """Return the next event."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_disconnected = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message; add headers to the one that starts the response."""
        kind = message["type"]
        if self.status is None:
            if kind in STARTS:
                self.status = status = message.get("status", 101)
                self._trailers = message.get("trailers", False)
                self.is_complete = kind == "websocket.accept"
                headers = self.added_headers(status)
                if headers:
                    message = {**message, "headers": merge_headers(message.get("headers", ()), headers)}
            elif kind == "websocket.http.response.start":
                self.status = message["status"]
        try:
            await self._send(message)
        except OSError:
            self.is_disconnected = True
            raise
        if kind in BODIES and not message.get("more_body", False):
            self.is_complete = self.is_complete or not self._trailers
        elif kind == "http.response.trailers" and not message.get("more_trailers", False):
            self.is_complete = True


def text_headers(added: Headers, present: Iterable[str] = ()) -> list[tuple[str, str]]:
    """
    Return rate limit headers as text, for frameworks whose headers are text.

    Args:
        added: The headers of `RateLimitHeaders`.
        present: Names of the headers of the response; if they describe a limit already, nothing is added.
    """
    if (
        added
        and added[0][0] in SINGLE_LIMIT_HEADERS
        and added[0][0].decode("ascii") in {each.lower() for each in present}
    ):
        return []
    return [(name.decode("ascii"), value.decode("latin-1")) for name, value in added]


def with_headers(send: Send, headers: Headers) -> Send:
    """Return a `send` that adds *headers* to the start of a response, for charges that are never refunded."""
    if not headers:
        return send
    started, is_single = False, headers[0][0] in SINGLE_LIMIT_HEADERS

    def send_with_headers(message: Message) -> Awaitable[None]:
        nonlocal started
        if not started and message["type"] in STARTS:
            started = True
            present = message.get("headers", ())
            message = {**message, "headers": merge_headers(present, headers) if is_single else [*present, *headers]}
        return send(message)

    return send_with_headers


def merge_headers(present: Iterable[tuple[bytes, bytes]], added: Headers) -> Headers:
    """
    Return the headers of a response, *present*, with the rate limit headers *added*.

    Structured fields are lists, so a second line extends them. The older styles describe one
    limit: headers that a middleware further inside has set are kept.

    Args:
        present: Any iterable, as in ASGI; it is read once.
        added: The headers of `RateLimitHeaders`.
    """
    merged = [*present]
    is_described = added and added[0][0] in SINGLE_LIMIT_HEADERS and any(name == added[0][0] for name, _ in merged)
    return merged if is_described else merged + added
