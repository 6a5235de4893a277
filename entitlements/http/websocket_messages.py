"""A websocket whose every message received is charged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entitlements.http.types import Message, Receive, Send

POLICY_VIOLATION = 1008
"""The code that closes a websocket which may not be used (RFC 6455, section 7.4.1)."""

Charge = Callable[[], Awaitable[str | None]]
"""Takes the units of one message; says why it is refused, or None."""


class MeteredMessages:
    """
    A `receive` and a `send` between a server and an application.

    A message that is refused closes the websocket with 1008: the application receives a
    disconnect instead of it, and whatever it sends later fails as if the client had gone.
    An application may give up waiting at any time, by a timeout say: no message is lost
    by that, and none is charged twice.

    Args:
        receive: The server's.
        send: The server's.
        charge: Takes the units of one message.
    """

    __slots__ = ("_charge", "_charged", "_closed", "_message", "_receive", "_send")

    def __init__(self, receive: Receive, send: Send, charge: Charge) -> None:
        self._receive = receive
        self._send = send
        self._charge = charge
        self._message: Message = {}
        self._charged: asyncio.Future[str | None] | None = None
        self._closed: Message | None = None

    async def receive(self) -> Message:
        """Return the next message that was paid for, or the disconnect."""
        if self._closed is not None:
            return self._closed
        if self._charged is None:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return message
            self._message, self._charged = message, asyncio.ensure_future(self._charge())
        kind = await asyncio.shield(self._charged)
        self._charged = None
        if kind is None:
            return self._message
        self._closed = {"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": kind}
        await self._send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": kind})
        return self._closed

    async def send(self, message: Message) -> None:
        """
        Pass a message on; once closed, a second close does nothing.

        Raises:
            ConnectionResetError: For anything else on a websocket that was closed.
        """
        if self._closed is None:
            await self._send(message)
        elif message["type"] != "websocket.close":
            raise ConnectionResetError(f"this websocket was closed with {POLICY_VIOLATION}: {self._closed['reason']}")
