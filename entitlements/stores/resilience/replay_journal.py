"""
What must still be brought to the store: charges that were let through while it was away, and what was given back.

Bounded, kept in memory, by account, in order. An entry is taken out to be replayed and
put back when that fails; what is taken is in one hand only, and holds back what came after
it for the same account. Each order names its operation, so that one which had reached the
store after all counts once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.model.charge import Charge, Refund
from entitlements.model.instants import HOUR, MINUTE

if TYPE_CHECKING:
    from entitlements.model.answers import Outcome
    from entitlements.model.charge import Settle

ROOM = 10_000
"""Entries that a journal holds; about a kilobyte each."""
REPEATABLE = 9 * MINUTE
"""How long after it was sent an order may be repeated: the store forgets its operation after ten minutes."""
KEYED_REPEATABLE = 23 * HOUR
"""The same where the operation is a caller's key: that is kept for a day, and may then stand for another charge."""


@dataclass(slots=True, eq=False)
class Entry:
    """
    One order that waits for the store.

    Args:
        order: What to bring there.
        asked: The charge as it was asked; None of what is no charge.
        outcome: What its caller was told; None of what is no charge.
        sent: When it was first sent with an unknown outcome, on the monotonic clock; None if never. Of a refund,
            when it was asked: its charge was sent before.
        refunded: Whether what it takes is to be given back.
    """

    order: Charge | Refund | Settle
    asked: Charge | None = None
    outcome: Outcome | None = None
    sent: int | None = None
    refunded: bool = False

    def is_too_old(self, now: int) -> bool:
        """Say whether the store may have carried it out and forgotten that."""
        operation = self.order.operation if isinstance(self.order, Charge | Refund) else None
        kept = KEYED_REPEATABLE if operation is not None and operation.startswith("k:") else REPEATABLE
        return self.sent is not None and now - self.sent > kept


class Journal:
    """
    Entries by account, those accounts first that have waited longest.

    Of one account, one entry at a time is in somebody's hand: what comes behind it waits.

    Args:
        room: Most entries.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._waiting: OrderedDict[str, deque[Entry]] = OrderedDict()
        self._named: dict[tuple[type, str, str | None], Entry] = {}
        self._in_hand: dict[str, Entry] = {}
        self.count = 0
        """How many entries have not been brought yet."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many entries have not been brought yet."""
        return self.count

    def add(self, *entries: Entry) -> bool:
        """Append entries, all or none; False if there is no room."""
        with self._lock:
            if self.count + len(entries) > self._room:
                return False
            for entry in entries:
                self._waiting.setdefault(entry.order.account, deque()).append(entry)
                if isinstance(entry.order, Charge | Refund):
                    self._named[_name(entry.order)] = entry
                self.count += 1
            return True

    def find(self, account: str, operation: str | None) -> Entry | None:
        """Return the charge of that name that has not been brought yet, or None."""
        return None if operation is None else self._named.get((Charge, account, operation))

    def owes(self, order: Refund) -> bool:
        """Say whether a refund of the same charge has not been brought yet."""
        return _name(order) in self._named

    def drop(self, entry: Entry) -> bool:
        """Forget an entry that cannot have reached the store; False where it may have, or is on its way."""
        account = entry.order.account
        with self._lock:
            if entry.sent is not None or self._in_hand.get(account) is entry:
                return False
            waiting = self._waiting.get(account, ())
            if entry not in waiting:
                return False
            self._waiting[account].remove(entry)
            self._tidy(account)
            self._forget(entry)
            return True

    def take(self, account: str | None = None) -> Entry | None:
        """
        Take out the oldest entry of the account, or of the account that has waited longest.

        Returns:
            The entry, for `done` or `put_back`; None if there is none whose turn it is.
        """
        with self._lock:
            if account is None:
                account = next((each for each in self._waiting if each not in self._in_hand), None)
            if account is None or account not in self._waiting or account in self._in_hand:
                return None
            entry = self._in_hand[account] = self._waiting[account].popleft()
            self._tidy(account)
            return entry

    def put_back(self, entry: Entry) -> None:
        """Put an entry that was taken back to where it was."""
        account = entry.order.account
        with self._lock:
            if self._in_hand.pop(account, None) is entry:
                self._waiting.setdefault(account, deque()).appendleft(entry)
                self._waiting.move_to_end(account, last=False)

    def done(self, entry: Entry) -> None:
        """Forget an entry that was taken."""
        with self._lock:
            if self._in_hand.pop(entry.order.account, None) is entry:
                self._forget(entry)

    def renew(self) -> None:
        """Be empty, with a fresh lock: in a forked child, what waits is the parent's to bring."""
        self._lock = threading.Lock()
        self._waiting, self._named, self._in_hand, self.count = OrderedDict(), {}, {}, 0

    def _forget(self, entry: Entry) -> None:
        if isinstance(entry.order, Charge | Refund):
            self._named.pop(_name(entry.order), None)
        self.count -= 1

    def _tidy(self, account: str) -> None:
        if not self._waiting[account]:
            del self._waiting[account]


def _name(order: Charge | Refund) -> tuple[type, str, str | None]:
    return type(order), order.account, order.operation
