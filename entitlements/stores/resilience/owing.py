"""
What this process still owes a store that was away, and what orders get that concern it.

A charge that waits in the journal is found there by its name: repeated it replays, refunded
it is forgotten or given back behind itself, and a reservation is settled behind it. Nothing
here asks the store.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from entitlements.model.answers import Outcome, Settled, Status
from entitlements.model.charge import Charge, Recall, Refund, Settle, Verb
from entitlements.model.events import Journalled
from entitlements.stores.errors import Overloaded
from entitlements.stores.resilience.replay_journal import Entry, Journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.events import Event
    from entitlements.stores.resilience.local_limits import Shares
    from entitlements.stores.resilience.outage_log import Trouble


class Owing:
    """
    A journal, and what it answers.

    Args:
        store: What the store is called in errors; it must not show a password.
        shares: Know the store's clock.
        trouble: Counts what is lost.
        tell: Takes events.
        clock: Monotonic microseconds.
    """

    def __init__(
        self, store: str, shares: Shares, trouble: Trouble, tell: Callable[[Event], object], clock: Callable[[], int]
    ) -> None:
        self.journal = Journal()
        self._store, self._shares, self._trouble, self._tell, self._clock = store, shares, trouble, tell, clock
        self.naming = threading.RLock()
        """Held while a name is looked up and entered; a hook may come back to us meanwhile."""

    def renew(self) -> None:
        """Start anew in a forked child: what waits is the parent's to bring."""
        self.naming = threading.RLock()
        self.journal.renew()

    def enter(self, *entries: Entry) -> bool:
        """Put entries into the journal, all or none, or count that there was no room."""
        if self.journal.add(*entries):
            return True
        self._trouble.overflowed(len(self.journal))
        self._tell(Journalled(len(self.journal), lost=1))
        return False

    def answer(self, order: Order) -> Answer | None:
        """Return what an order gets that concerns a charge which waits here; None where it concerns none."""
        match order:
            case Charge():
                return self.recalled(order)
            case Recall():
                return self.recalled(order.charge)
            case Refund():
                return self._refunded(order)
            case Settle() if self.journal.find(order.account, order.reservation):
                return self.settled(order)
        return None

    def recalled(self, order: Charge) -> Outcome | None:
        """Return the first outcome of a charge that waits here under the same name, as a repeat gets it."""
        entry = self.journal.find(order.account, order.operation)
        if entry is None or entry.asked is None or entry.outcome is None or order.verb is Verb.PEEK:
            return None
        if entry.asked.fingerprint != order.fingerprint:
            return Outcome(Status.REUSED, self._shares.now())
        sizes = tuple(part.size for part in entry.asked.parts)
        return entry.outcome._replace(status=Status.REPLAYED, sizes=sizes)

    def given_back(self, order: Refund) -> bool:
        """
        Give back a charge, whether it waits here or the store has counted it, once the store is there again.

        Raises:
            StoreError: Where the journal is full.
        """
        with self.naming:
            given_back = self._refunded(order)
            if given_back is not None:
                return given_back
            if self.journal.owes(order):
                return False
            if not self.enter(Entry(order, sent=self._clock())):
                raise self._full(order)
            return True

    def settled(self, order: Settle) -> Settled | None:
        """Have a reservation settled once the store is back, where that is certain, or it waits here as well; else None."""
        certain = order.anew is not None or order.amounts == ()
        if not certain and self.journal.find(order.account, order.reservation) is None:
            return None
        return Settled(done=True, now=self._shares.now()) if self.enter(Entry(order)) else None

    def _refunded(self, order: Refund) -> bool | None:
        """
        Give back a charge that waits here: forget it, or have it given back once it is brought.

        One that its caller named is brought, so that its name stands for it there; but for want of room.
        None where none waits, nor a refund of it.
        """
        with self.naming:
            entry = self.journal.find(order.account, order.operation)
            if entry is None:
                return False if self.journal.owes(order) else None
            if entry.refunded:
                return False
            named = entry.asked is not None and entry.asked.keyed and self.journal.add(Entry(order))
            entry.refunded = named or self.journal.drop(entry) or self.enter(Entry(order))
        if not entry.refunded:
            raise self._full(order)
        return True

    def _full(self, order: Refund) -> Overloaded:
        return Overloaded(f"{self._store}: its journal is full; refund {order.operation} again in a moment")
