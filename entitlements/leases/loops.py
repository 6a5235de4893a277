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
    from entitlements.model.usage import Usage
    from entitlements.reservations import DetachedTasks
    from entitlements.resolved_account import ResolvedAccount
    from entitlements.rules.planning import PreparedCharge

MAX_AT_ONCE = 100
"""Most orders in flight that return units."""


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

    def spend(self, prepared: PreparedCharge, resolved: ResolvedAccount, scope: str | None) -> Decision | None:
        """Spend leased units; return None if there are not enough."""
        decision = self._book.spend(prepared, resolved.entitlements, scope)
        if decision is not None and self._hooks.listens:
            self._hooks.spent(decision)
        return decision

    async def consume(self, prepared: PreparedCharge, resolved: ResolvedAccount, scope: str | None) -> Decision | None:
        """Take units and spend them; return None for a charge that the store must decide."""
        book = self._book
        while (wanted := book.wanted(prepared, resolved.entitlements, scope)) is not None:
            taking: asyncio.Task[bool] | None = wanted.meter.taking
            if taking is None or taking.done():
                taking = wanted.meter.taking = self._tasks.start(self._take(wanted))
            elif taking.get_loop() is not asyncio.get_running_loop():
                return None
            await asyncio.wait((taking,))
            if not taking.result():
                break
            decision = self.spend(prepared, resolved, scope)
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

    async def _take(self, wanted: Wanted) -> bool:
        book, answer = self._book, None
        charge, sent = book.begin(wanted)
        try:
            answer = await self._submit(charge)
        finally:
            granted = book.take(wanted, charge, sent, answer)
        if granted is None:
            return False
        self._hooks.leased(granted, answer)
        asyncio.get_running_loop().call_later(LEASE_TTL / SECOND, self._start_returning)
        return True

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
