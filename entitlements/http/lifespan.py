"""Lifespan middleware: opens the store when the server starts, and closes it at shutdown."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from entitlements.async_call import require_asyncio
from entitlements.async_enforcer import AsyncEnforcer
from entitlements.errors import StoreError
from entitlements.http.current import ENFORCER

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.http.types import App, Message, Receive, Scope, Send

STARTUP = "lifespan.startup"
SHUTDOWN = "lifespan.shutdown"

_log = logging.getLogger("entitlements.http")


class LifespanMiddleware:
    """
    Opens the enforcer's store when the server starts, and closes it when the application has shut down.

    A store that cannot be reached at startup is logged, and the application starts. An error that
    a retry cannot fix, such as a wrong password or a server that runs trio, fails the startup and is raised. If the
    application returns without an answer, it does not implement the protocol, and the middleware
    answers for it. If it raises, or cannot start, its error or answer is passed on and the store is closed.

    Args:
        app: The application.
        enforcer: The enforcer with the store.
    """

    def __init__(self, app: App, *, enforcer: AsyncEnforcer | Enforcer) -> None:
        self.app = app
        self._enforcer = enforcer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        lifespan = _LifespanChannel(receive, send, self._enforcer)
        ENFORCER.set(self._enforcer)
        try:
            await self.app(scope, lifespan.receive, lifespan.send)
            await lifespan.finish()
        except BaseException:
            with suppress(asyncio.CancelledError):  # of a cancel scope: the application's own error stands
                await lifespan.close()
            raise


class _LifespanChannel:
    """
    The `receive` and `send` of one lifespan scope.

    Args:
        receive: The `receive` of the server.
        send: The `send` of the server.
        enforcer: The enforcer with the store.
    """

    def __init__(self, receive: Receive, send: Send, enforcer: AsyncEnforcer | Enforcer) -> None:
        self._receive = receive
        self._send = send
        self._enforcer = enforcer
        self._is_open = False
        self._received = self._sent = ""
        self._error: Exception | None = None

    async def receive(self) -> Message:
        """Return the next event; open the store on startup."""
        message = await self._receive()
        self._received = message["type"]
        if self._received == STARTUP:
            self._is_open = True
            await self._open()
        return message

    async def _open(self) -> None:
        """Open the store; on a lasting error report the failed startup, and drop later messages of the application."""
        try:
            require_asyncio()
            if isinstance(self._enforcer, AsyncEnforcer):
                await self._enforcer.open()
        except (StoreError, RuntimeError) as error:
            if isinstance(error, StoreError) and not error.lasts:
                _log.warning("store unreachable at startup: %s", error, extra={"problem": str(error)})
                return
            self._is_open = isinstance(error, StoreError)  # under trio there is nothing to close
            await self.send({"type": f"{STARTUP}.failed", "message": str(error)})
            self._error = error
            raise

    async def send(self, message: Message) -> None:
        """Send an answer; close the store before the last one, also if the application cannot start."""
        if self._error:
            return
        self._sent = message["type"]
        if self._sent != f"{STARTUP}.complete":
            await self.close()
        await self._send(message)

    async def finish(self) -> None:
        """Answer the events that the application left unanswered; raise the error that failed the startup."""
        if self._error:
            raise self._error
        if not self._sent:
            await self._answer(STARTUP)
        if self._sent == f"{STARTUP}.complete":
            await self._answer(SHUTDOWN)

    async def close(self) -> None:
        """Close the store, if it was opened."""
        if self._is_open:
            self._is_open = False
            if isinstance(self._enforcer, AsyncEnforcer):  # an `Enforcer` counts in memory, and has nothing to close
                await self._enforcer.aclose()

    async def _answer(self, event: str) -> None:
        while self._received != event:
            await self.receive()
        await self.send({"type": f"{event}.complete"})
