"""The store's life with the server's: opened when it starts, closed when it ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.errors import StoreError

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.http.types import App, Message, Receive, Scope, Send

_log = logging.getLogger("entitlements.http")


class LifespanMiddleware:
    """
    Opens the enforcer's store when the server starts, and closes it when the application has shut down.

    A store that cannot be reached then is logged, and does not keep the application from starting.

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

        async def opening() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._open()
            return message

        async def closing(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._close()
            await send(message)

        await self.app(scope, opening, closing)

    async def _open(self) -> None:
        if isinstance(self._enforcer, AsyncEnforcer):
            try:
                await self._enforcer.open()
            except StoreError as error:
                _log.warning("the store is not there when the application starts: %s", error)

    async def _close(self) -> None:
        if isinstance(self._enforcer, AsyncEnforcer):
            await self._enforcer.aclose()
        else:
            self._enforcer.close()
