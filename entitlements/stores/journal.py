"""
What must still be brought to the store: charges that were let through while it was away.

Bounded, kept in memory, by account, in order. An entry is taken out to be replayed and
put back when that fails; what is taken is in one hand only. Each order names its
operation, so that one which had reached the store after all counts once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.model.charge import Charge
from entitlements.model.instants import MINUTE

if TYPE_CHECKING:
    from entitlements.model.charge import Outcome, Refund, Settle

ROOM = 10_000
"""Entries that a journal holds; about a kilobyte each."""
REPEATABLE = 9 * MINUTE
"""How long after it was sent an order may be repeated: the store forgets its operation after ten minutes."""


@dataclass(slots=True, eq=False)
class Entry:
    """
    One order that waits for the store.

    Args:
        order: What to bring there.
        asked: The charge as it was asked; None of what is no charge.
        outcome: What its caller was told; None of what is no charge.
        sent: When it was first sent with an unknown outcome, on the monotonic clock; None if never.
    """

    order: Charge | Refund | Settle
    asked: Charge | None = None
    outcome: Outcome | None = None
    sent: int | None = None

    def is_too_old(self, now: int) -> bool:
        """Say whether the store may have carried it out and forgotten that."""
        keyed = isinstance(self.order, Charge) and self.order.keyed
        return self.sent is not None and now - self.sent > REPEATABLE and not keyed


class Journal:
    """
    Entries by account, those accounts first that have waited longest.

    Args:
        room: Most entries.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._waiting: OrderedDict[str, deque[Entry]] = OrderedDict()
        self._charges: dict[tuple[str, str], Entry] = {}
        self.count = 0
        """How many entries wait."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many entries wait."""
        return self.count

    def add(self, entry: Entry) -> bool:
        """Append an entry; False if there is no room."""
        with self._lock:
            if self.count >= self._room:
                return False
            self._append(entry)
            return True

    def find(self, account: str, operation: str | None) -> Entry | None:
        """Return the charge of that name that waits here, or None."""
        return None if operation is None else self._charges.get((account, operation))

    def drop(self, account: str, operation: str | None) -> bool:
        """Forget the charge of that name, and say whether it waited here."""
        with self._lock:
            entry = self._charges.pop((account, operation or ""), None)
            if entry is None:
                return False
            self.count -= 1
            waiting = self._waiting[account]
            waiting.remove(entry)
            if not waiting:
                del self._waiting[account]
            return True

    def take(self, account: str | None = None) -> Entry | None:
        """Take out the oldest entry of the account, or of the account that has waited longest; None if there is none."""
        with self._lock:
            whose = next(iter(self._waiting), None) if account is None else account
            entries = None if whose is None else self._waiting.get(whose)
            if whose is None or entries is None:
                return None
            entry = entries.popleft()
            if not entries:
                del self._waiting[whose]
            self.count -= 1
            self._charges.pop((whose, getattr(entry.order, "operation", None) or ""), None)
            return entry

    def put_back(self, entry: Entry) -> None:
        """Put an entry that was taken back to where it was, whatever the room."""
        with self._lock:
            self._append(entry, first=True)

    def renew(self) -> None:
        """Be empty, with a fresh lock: in a forked child, what waits is the parent's to bring."""
        self._lock = threading.Lock()
        self._waiting, self._charges, self.count = OrderedDict(), {}, 0

    def _append(self, entry: Entry, *, first: bool = False) -> None:
        order = entry.order
        waiting = self._waiting.setdefault(order.account, deque())
        if first:
            waiting.appendleft(entry)
            self._waiting.move_to_end(order.account, last=False)
        else:
            waiting.append(entry)
        if isinstance(order, Charge) and order.operation is not None:
            self._charges[order.account, order.operation] = entry
        self.count += 1
