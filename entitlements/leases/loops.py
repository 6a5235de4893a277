"""`AsyncLeases`: the lease book of an `AsyncEnforcer`, for event loops."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from entitlements.errors import StoreError
from entitlements.model.instants import SECOND
from entitlements.model.usage import leased_usages
from entitlements.rules.leases import LEASE_TTL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from entitlements.hooks import Hooks
    from entitlements.leases.book import Lease, LeaseBook, Wanted
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order, Refund
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.usage import Usage
    from entitlements.reservations import DetachedTasks
    from entitlements.rules.planning import PreparedCharge

MAX_AT_ONCE = 100
"""Most orders in flight that return units."""


class Taking:
    """A lease that is being taken on the running loop, and the tasks that wait for its units."""

    __slots__ = ("_left", "_loop", "_waiters", "wanted")

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._left = wanted.charge.parts[0].cost
        """Units that no task waits for; -1 once it has ended."""
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[bool]] = []

    def has_room(self, units: int) -> bool:
        """Return True if a task of the running loop may wait for so many units."""
        return self._left >= units and self._loop is asyncio.get_running_loop()

    async def wait(self, units: int) -> bool:
        """Wait until the lease is taken; return False if the store has leased nothing."""
        self._left -= units
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._waiters.append(waiter)
        return await waiter

    def end(self, *, granted: bool) -> None:
        """Wake all that wait."""
        self._left = -1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(granted)


class AsyncLeases:
    """
    The leases of an `AsyncEnforcer`. A lease is taken by a task of its own, so it outlives a cancelled caller.

    Args:
        book: What is held.
        submit: Carries out an order.
        hooks: Get what is taken, spent and returned.
        tasks: Runs what goes on without its caller.
    """

    def __init__(
        self, book: LeaseBook, submit: Callable[[Order], Awaitable[Answer]], hooks: Hooks, tasks: DetachedTasks
    ) -> None:
        self._book, self._submit, self._hooks, self._tasks = book, submit, hooks, tasks
        self.observe = book.observe
        """Note what the store told of the limits of a charge that it decided."""
        self.spend = book.spend
        """Spend leased units; return None if there are not enough."""

    async def consume(self, prepared: PreparedCharge, owner: Entitlements, scope: str | None) -> Decision | None:
        """Take units and spend them; return None for a charge that the store must decide."""
        book, cost = self._book, max(part.cost for part in prepared.parts)
        while (wanted := book.wanted(prepared, owner, scope)) is not None:
            taking: Taking | None = wanted.meter.taking
            if taking is None or not taking.has_room(cost):
                taking = wanted.meter.taking = Taking(wanted)
                self._tasks.start(self._take(taking))
            if not await taking.wait(cost):
                break
            decision = self.spend(prepared, owner, scope)
            if decision is not None:
                return decision
        if book.is_due:  # before the store decides: a lease of another plan ends here
            await self._tasks.run(self.return_ended())
        return None

    async def return_ended(self) -> None:
        """Return the units of leases that are over; what the store does not take stays counted."""
        ended = self._book.ended()
        for at in range(0, len(ended), MAX_AT_ONCE):
            await asyncio.gather(*(self._return(*each) for each in ended[at : at + MAX_AT_ONCE]))

    async def give_up(self, account: str | None = None, limit: str | None = None) -> None:
        """Return what is held of a limit of an account, or all that is held."""
        self._book.give_up(account, limit)
        await self.return_ended()

    def told(self, usages: dict[str, Usage], account: str, scope: str | None) -> dict[str, Usage]:
        """Return usages with the units that are leased here."""
        return leased_usages(usages, self._book.held(account, scope))

    async def _take(self, taking: Taking) -> None:
        book, wanted, answer, granted = self._book, taking.wanted, None, None
        charge, sent = book.begin(wanted)
        try:
            answer = await self._submit(charge)
        finally:
            granted = book.take(wanted, charge, sent, answer)
            taking.end(granted=granted is not None)
        if granted is not None:
            self._hooks.leased(granted, answer)
            asyncio.get_running_loop().call_later(LEASE_TTL / SECOND, self._start_returning)

    def _start_returning(self) -> None:
        if self._book.is_due:
            self._tasks.start(self.return_ended())

    async def _return(self, lease: Lease, decision: Decision, order: Refund) -> None:
        try:
            with suppress(StoreError):
                answer = await self._submit(order)
                if answer:
                    self._hooks.record(order, answer, decision)
        finally:
            self._book.settle(lease)
