"""The store's life with the server's: opened when it starts, closed when it ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.errors import StoreError
from entitlements.http.current import ENFORCER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from entitlements.enforcer import Enforcer
    from entitlements.http.types import App, Message, Receive, Scope, Send

    Step = Callable[[], Awaitable[None]]

STARTUP = "lifespan.startup"
SHUTDOWN = "lifespan.shutdown"

_log = logging.getLogger("entitlements.http")


class LifespanMiddleware:
    """
    Opens the enforcer's store when the server starts, and closes it when the application has shut down.

    A store that cannot be reached then is logged, and does not keep the application from starting;
    one that waiting does not heal does, such as a wrong password or a database that there is not.
    An application that returns without a word takes no part in this, and is answered for. One
    that raises, or cannot start, keeps its say, and what was opened is closed.

    Args:
        app: The application.
        enforcer: Whose store.
    """

    def __init__(self, app: App, *, enforcer: AsyncEnforcer | Enforcer) -> None:
        self.app = app
        self._enforcer = enforcer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        span = _Span(receive, send, self._open, self._close)
        ENFORCER.set(self._enforcer)
        try:
            await self.app(scope, span.receive, span.send)
            await span.finish()
        except BaseException as error:
            await span.close()
            if not (span.is_refused and isinstance(error, Exception)):
                raise

    async def _open(self) -> None:
        if isinstance(self._enforcer, AsyncEnforcer):
            try:
                await self._enforcer.open()
            except StoreError as error:
                if error.lasts:
                    raise
                _log.warning("the store is not there when the application starts: %s", error)

    async def _close(self) -> None:
        if isinstance(self._enforcer, AsyncEnforcer):
            await self._enforcer.aclose()
        else:
            self._enforcer.close()


class _Span:
    """
    The `receive` and the `send` of one lifespan.

    Args:
        receive: The server's.
        send: The server's.
        opening: Opens the store.
        closing: Closes it.
    """

    def __init__(self, receive: Receive, send: Send, opening: Step, closing: Step) -> None:
        self._receive = receive
        self._send = send
        self._opening = opening
        self._closing = closing
        self._is_open = False
        self._heard = self._said = ""
        self.is_refused = False

    async def receive(self) -> Message:
        """Return the next event; the store is opened with the first."""
        message = await self._receive()
        self._heard = message["type"]
        if self._heard == STARTUP:
            self._is_open = True
            await self._open()
        return message

    async def _open(self) -> None:
        """Open the store; where that can never be, the server is told why, and the application nothing more."""
        try:
            await self._opening()
        except StoreError as error:
            await self.send({"type": f"{STARTUP}.failed", "message": str(error)})
            self.is_refused = True
            raise

    async def send(self, message: Message) -> None:
        """Pass an answer on; the store is closed before the last, also when the application cannot start."""
        if self.is_refused:
            return
        self._said = message["type"]
        if self._said != f"{STARTUP}.complete":
            await self.close()
        await self._send(message)

    async def finish(self) -> None:
        """Answer the events that an application has left unanswered which takes no part in this."""
        if not self._said:
            await self._answer(STARTUP)
        if self._said == f"{STARTUP}.complete":
            await self._answer(SHUTDOWN)

    async def close(self) -> None:
        """Close the store, if it was opened."""
        if self._is_open:
            self._is_open = False
            await self._closing()

    async def _answer(self, event: str) -> None:
        while self._heard != event:
            await self.receive()
        await self.send({"type": f"{event}.complete"})
