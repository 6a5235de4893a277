"""The adapter that makes a transport of any `AsyncStore`: one task per order."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from entitlements.ports import Openable
from entitlements.stores.pending import run_in_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.ports import AsyncStore, Pending


class TaskTransport:
    """
    Carries orders to a store that has `execute` and `aclose` and nothing else.

    Args:
        store: The store; it keeps its own deadlines.
        clock: Monotonic seconds.
    """

    def __init__(self, store: AsyncStore, *, clock: Callable[[], float] = monotonic) -> None:
        self._store, self._clock = store, clock
        self.via = store.via

    def __repr__(self) -> str:
        return repr(self._store)

    def send(self, pending: Pending, /) -> None:
        """Carry out an order in a task of its own."""
        assert pending.order is not None
        pending.sent_at = self._clock()
        run_in_task(self._store.execute(pending.order), pending)

    def expire(self) -> None:
        """Do nothing: the store keeps its own deadlines."""

    async def open(self) -> None:
        """Open the store if it is `Openable`; any other connects at its first order."""
        if isinstance(self._store, Openable):
            await self._store.open()

    async def aclose(self) -> None:
        """Close the store's connections."""
        await self._store.aclose()
