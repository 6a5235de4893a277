"""Metered websocket: charges each message that it receives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entitlements.http.types import Message, Receive, Send

POLICY_VIOLATION = 1008
"""Close code of a refused websocket (RFC 6455, section 7.4.1)."""

MessageCharge = Callable[[], Awaitable[str | None]]
"""Charges one message; returns the problem kind of a refusal, or None if it is admitted."""


class MeteredMessages:
    """
    The `receive` and `send` of a websocket whose messages are charged.

    A refused message closes the websocket with 1008: the application receives a disconnect
    instead of it, and its later sends fail as if the client had disconnected. The application
    may cancel a `receive` at any time, for example by a timeout: no message is lost or charged twice.

    Args:
        receive: The `receive` of the server.
        send: The `send` of the server.
        charge: Charges one message.
    """

    __slots__ = ("_charge", "_charged", "_closed", "_message", "_receive", "_send")

    def __init__(self, receive: Receive, send: Send, charge: MessageCharge) -> None:
        self._receive = receive
        self._send = send
        self._charge = charge
        self._message: Message = {}
        self._charged: asyncio.Future[str | None] | None = None
        self._closed: Message | None = None

    async def receive(self) -> Message:
        """Return the next admitted message, or the disconnect."""
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
        Send a message; on a closed websocket, a second close does nothing.

        Raises:
            ConnectionResetError: If the websocket was closed, for any other message.
        """
        if self._closed is None:
            await self._send(message)
        elif message["type"] != "websocket.close":
            raise ConnectionResetError(f"this websocket was closed with {POLICY_VIOLATION}: {self._closed['reason']}")
