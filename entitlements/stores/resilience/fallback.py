"""Fallback: decide orders without the store, and journal what the store must count later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.answers import Fallback, Outcome, Status
from entitlements.model.charge import Charge, Recall, Refund, Settle
from entitlements.model.instants import SECOND
from entitlements.rules.fallbacks import (
    fallback_outcome,
    mark_journalled,
    to_journal,
    undo_orders,
    without_journal,
)
from entitlements.stores.resilience.replay_queue import JournalEntry

if TYPE_CHECKING:
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.stores.resilience.local_limits import LocalLimits
    from entitlements.stores.resilience.replay_journal import ReplayJournal


class FallbackDecisions:
    """
    Decides charges as their limits' `on_outage` says, and refunds and settlements by the replay journal.

    Args:
        local_limits: Decides rates in this process.
        journal: Holds what is to be replayed.
    """

    def __init__(self, local_limits: LocalLimits, journal: ReplayJournal) -> None:
        self._local_limits, self._journal = local_limits, journal

    def decide(self, order: Order, pause: int, sent: int | None) -> Answer:
        """
        Return the answer to an order; None if only the store can give it.

        Args:
            order: The order.
            pause: Microseconds until the store is called again.
            sent: Monotonic microseconds, if the store may have carried the order out; else None.
        """
        match order:
            case Charge(keyed=True):
                with self._journal.lock:  # its caller may repeat it meanwhile
                    return self._charge(order, pause, sent)
            case Charge():
                return self._charge(order, pause, sent)
            case Recall():
                return self._journal.repeated(order.charge) or Outcome(Status.UNKNOWN, self._local_limits.now())
            case Refund() if order.operation is not None:
                return self._journal.refund(order)
            case Settle():
                return self._journal.settle(order, sent=sent is not None)
            case _:
                return None

    def _charge(self, order: Charge, pause: int, sent: int | None) -> Outcome:
        waiting = None if order.operation is None else self._journal.repeated(order)
        if waiting is not None:
            return waiting
        now, shared = self._local_limits.now(), self._local_limits.processes > 1
        fallbacks, local = self._local_limits.charge(order)
        outcome = fallback_outcome(order, fallbacks, local, now, now + max(SECOND, pause), shared=shared)
        if order.operation is None:  # rates are neither journalled nor undone
            return outcome
        counted = to_journal(order, outcome)
        if counted is not None:
            promised = mark_journalled(order, outcome)
            if self._journal.append(JournalEntry(counted, order, promised, sent)):
                return promised if Fallback.JOURNAL in promised.fallbacks else outcome
            return without_journal(outcome)
        if sent is not None and outcome.status is Status.REFUSED and (undoing := undo_orders(order)):
            self._journal.append(
                *(JournalEntry(each, sent=sent if isinstance(each, Charge) else None) for each in undoing)
            )
        return outcome
