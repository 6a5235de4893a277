"""`Leases`: the lease book of an `Enforcer`, for threads."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from entitlements._fork import renew_after_fork
from entitlements.errors import StoreError
from entitlements.model.instants import SECOND
from entitlements.model.usage import leased_usages
from entitlements.rules.leases import LEASE_TTL

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.hooks import Hooks
    from entitlements.leases.book import LeaseBook, Wanted
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.usage import Usage
    from entitlements.rules.planning import PreparedCharge


def start_timer(call: Callable[[], None]) -> None:
    """Have a thread call a function once a lease that is taken now is over."""
    timer = threading.Timer(LEASE_TTL / SECOND, call)
    timer.name, timer.daemon = "entitlements-leases", True
    timer.start()


class Leases:
    """
    The leases of an `Enforcer`. While some are held, a timer returns those that are over, whether charges come or not.

    Args:
        book: What is held.
        execute: Carries out an order.
        hooks: Get what is taken, spent and returned.
    """

    def __init__(self, book: LeaseBook, execute: Callable[[Order], Answer], hooks: Hooks) -> None:
        self._book, self._execute, self._hooks = book, execute, hooks
        self.observe = book.observe
        """Note what the store told of the limits of a charge that it decided."""
        self.spend = book.spend
        """Spend leased units; return None if there are not enough."""
        renew_after_fork(self)
        self.renew()

    def renew(self) -> None:
        """Start without a timer; a forked child holds nothing."""
        self._is_timed = False

    def consume(self, prepared: PreparedCharge, owner: Entitlements, scope: str | None) -> Decision | None:
        """Take units and spend them; return None for a charge that the store must decide."""
        book, decision = self._book, None
        while decision is None and (wanted := book.wanted(prepared, owner, scope)) is not None:
            with wanted.meter.lock:  # others wait, for no longer than a call of their own would take
                if wanted.meter.lease is None and not self._take(wanted):
                    break
                decision = book.spend(prepared, owner, scope)
        self.return_ended()  # before the store decides: a lease of another plan ends here
        return decision

    def return_ended(self) -> None:
        """Return the units of leases that are over; what the store does not take stays counted."""
        book = self._book
        if not book.is_due:
            return
        for lease, decision, order in book.ended():
            try:
                with suppress(StoreError):
                    answer = self._execute(order)
                    if answer:
                        self._hooks.record(order, answer, decision)
            finally:
                book.settle(lease)

    def give_up(self, account: str | None = None, limit: str | None = None) -> None:
        """Return what is held of a limit of an account, or all that is held."""
        self._book.give_up(account, limit)
        self.return_ended()

    def told(self, usages: dict[str, Usage], account: str, scope: str | None) -> dict[str, Usage]:
        """Return usages with the units that are leased here."""
        return leased_usages(usages, self._book.held(account, scope))

    def _take(self, wanted: Wanted) -> bool:
        book, answer = self._book, None
        charge, sent = book.begin(wanted)
        try:
            answer = self._execute(charge)
        finally:
            granted = book.take(wanted, charge, sent, answer)
        if granted is not None:
            self._hooks.leased(granted, answer)
            self._start_timer()
        return granted is not None

    def _start_timer(self) -> None:
        if not self._is_timed:
            with suppress(RuntimeError):  # no thread can be started: the next charge returns what is over
                start_timer(self._return_in_time)
                self._is_timed = True

    def _return_in_time(self) -> None:
        self._is_timed = False
        self.return_ended()
        if self._book.is_used:
            self._start_timer()
