"""
Replay journal: charges and refunds that were decided while the store was away, and must reach it once it replies.

It holds the queue of what waits, and answers orders about that. Nothing here calls the store.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.model.answers import Outcome, Settled, Status
from entitlements.model.charge import Charge, Recall, Refund, Settle, Verb
from entitlements.model.events import Journalled
from entitlements.rules.fallbacks import uncapped
from entitlements.stores.errors import Overloaded
from entitlements.stores.resilience.replay_queue import JournalEntry, ReplayQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.events import Event
    from entitlements.stores.resilience.local_limits import LocalLimits
    from entitlements.stores.resilience.outage_log import OutageLog


class ReplayJournal:
    """
    The queue of one store, and the answers to orders about charges that wait in it.

    A charge is found by its operation: a repeat is answered as a replay, a refund drops it or is queued
    behind it, and a reservation is settled behind it.

    Args:
        store: Its name in errors; it must not show a password.
        local_limits: Knows the store's clock.
        outages: Counts what is lost.
        tell: Takes events.
        clock: Monotonic microseconds.
        server_of: Names the server of an account, where there are several.
    """

    def __init__(
        self,
        store: str,
        local_limits: LocalLimits,
        outages: OutageLog,
        tell: Callable[[Event], object],
        clock: Callable[[], int],
        server_of: Callable[[str], Hashable] | None = None,
    ) -> None:
        self.queue = ReplayQueue(server_of=server_of)
        self._store, self._local_limits, self._outages, self._tell, self._clock = (
            store, local_limits, outages, tell, clock,
        )  # fmt: skip
        self.lock = threading.RLock()
        """Held while an operation is looked up and entered; reentrant, because a hook may make a charge meanwhile."""
        self.reported = 0
        """Orders whose loss was logged when the store was closed."""

    def renew(self) -> None:
        """Empty the journal in a forked child: the parent replays what waits."""
        self.lock = threading.RLock()
        self.queue.renew()

    def append(self, *entries: JournalEntry) -> bool:
        """Queue entries, all or none, and tell how many wait; return False, and count the loss, if there is no room."""
        if self.queue.add(*entries):
            self._tell(Journalled(len(self.queue)))
            return True
        self._outages.record_overflow(len(self.queue))
        self._tell(Journalled(len(self.queue), lost=1))
        return False

    def answer(self, order: Order) -> Answer | None:
        """Return the answer to an order about a charge that waits here; None if it is about none."""
        match order:
            case Charge():
                return self.repeated(order)
            case Recall():
                return self.repeated(order.charge)
            case Refund():
                return self._refund_waiting(order)
            case Settle() if self.queue.find(order.account, order.reservation):
                return self.settle(order)
        return None

    def repeated(self, order: Charge) -> Outcome | None:
        """Return the first outcome of a charge that waits here under the same operation, as a replay."""
        entry = self.queue.find(order.account, order.operation)
        if entry is None or entry.asked is None or entry.outcome is None or entry.refunded or order.verb is Verb.PEEK:
            return None
        if entry.asked.fingerprint != order.fingerprint:
            return Outcome(Status.REUSED, self._local_limits.now())
        sizes = tuple(part.size for part in entry.asked.parts)
        return entry.outcome._replace(status=Status.REPLAYED, sizes=sizes)

    def refund(self, order: Refund) -> bool:
        """
        Refund a charge that waits here, or queue the refund of one that the store has counted.

        Raises:
            StoreError: If the journal is full.
        """
        with self.lock:
            refunded = self._refund_waiting(order)
            if refunded is not None:
                return refunded
            if self.queue.has_refund(order):
                return False
            if not self.append(JournalEntry(order, sent=self._clock())):
                raise self._full(order)
            return True

    def settle(self, order: Settle, *, sent: bool = False) -> Settled | None:
        """
        Queue the settling of a reservation if its result is certain, or the reservation waits here; else return None.

        Its units are charged above the limit, if need be, where the reservation has lapsed by then: however long
        ago, unless the store may have settled it before (*sent*).
        """
        if order.given_up and sent:  # one more caller would lose it
            return None
        certain = order.recharge is not None or order.amounts == ()
        if not certain and self.queue.find(order.account, order.reservation) is None:
            return None
        now = self._local_limits.now()
        if order.recharge is not None:
            until = order.recharge_until if sent else None
            order = replace(order, recharge=uncapped(order.recharge, now), recharge_until=until)
        return Settled(done=True, now=now, queued=True) if self.append(JournalEntry(order)) else None

    def _refund_waiting(self, order: Refund) -> bool | None:
        """
        Refund a charge that waits here: drop it, or queue the refund behind it; a caller's key is free afterwards.

        Returns None if neither the charge nor a refund of it waits here.
        """
        with self.lock:
            entry = self.queue.find(order.account, order.operation)
            if entry is None:
                return False if self.queue.has_refund(order) else None
            if entry.refunded:
                return False
            entry.refunded = self.queue.drop(entry) or self.append(JournalEntry(order))
        if not entry.refunded:
            raise self._full(order)
        return True

    def _full(self, order: Refund) -> Overloaded:
        return Overloaded(f"{self._store}: its journal is full; refund {order.operation} again in a moment")
