"""Closed stores: what an enforcer calls after it was closed."""

from __future__ import annotations

from asyncio import _get_running_loop, get_running_loop
from typing import TYPE_CHECKING, NoReturn
from weakref import WeakSet

from entitlements.stores.errors import Closed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from entitlements.model.answers import Answer, Outcome
    from entitlements.model.charge import Charge, Order
    from entitlements.ports import AsyncDispatcher, Store


class ClosedStore:
    """
    A store that takes no orders any more.

    Args:
        store: The store; it may be closed again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.via, self.close = store.via, store.close

    def execute(self, _: Order, /) -> Answer:
        """Refuse an order, as `refuse` does."""
        self.refuse()

    def refuse(self) -> NoReturn:
        """
        Refuse a call.

        Raises:
            Closed: Always.
        """
        raise Closed("this Enforcer was closed; make a new one, or close it after its last use")


class PartlyClosedStore:
    """
    A store that takes no orders on the event loops on which it was closed; on others it goes on.

    Args:
        store: The store.
    """

    def __init__(self, store: AsyncDispatcher) -> None:
        self._store = store
        self.via = store.via
        self._closed: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def check_open(self) -> None:
        """
        Check that the store is open on the running loop.

        Raises:
            Closed: If it is not.
        """
        if _get_running_loop() in self._closed:
            raise Closed("this AsyncEnforcer was closed on this event loop; await its open() to use it again")

    def try_now(self, charge: Charge, /) -> Outcome | None:
        """Return the outcome of a charge without waiting, if it is known."""
        self.check_open()
        return self._store.try_now(charge)

    def submit(
        self, order: Order, /, abandoned: Callable[[Answer | Exception], object] | None = None
    ) -> Awaitable[Answer]:
        """Carry out one order."""
        self.check_open()
        return self._store.submit(order, abandoned)

    async def open(self) -> None:
        """Open the store on this loop again."""
        self._closed.discard(get_running_loop())
        await self._store.open()

    async def aclose(self) -> None:
        """Close the store on this loop."""
        self._closed.add(get_running_loop())
        await self._store.aclose()
