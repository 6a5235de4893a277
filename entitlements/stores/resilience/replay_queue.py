"""
Replay queue: the orders that wait in a replay journal, bounded, in memory, in order by account.

Accounts are kept by server, so that what waits for one that is away holds up nothing for another. An entry is taken out to be replayed and put back if that fails. While it is out, later entries of its account
wait. Each order names its operation, so an order that reached the store after all counts once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakMethod

from entitlements.model.charge import Charge, Forget, Refund, Release, Settle, SetUsage, Unassign, Verb
from entitlements.model.instants import HOUR, MINUTE
from entitlements.model.sequence import is_sequence
from entitlements.stores.sequence import hold, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from entitlements.model.answers import Outcome
    from entitlements.model.charge import Order

CAPACITY = 10_000
"""Most entries in a journal; about a kilobyte each."""
REPEATABLE = 9 * MINUTE
"""Microseconds after it was sent for which an order may be repeated: the store forgets its operation after ten minutes."""
KEYED_REPEATABLE = 23 * HOUR
"""The same for a caller's key, which the store keeps for a day and which may then stand for another charge."""


@dataclass(slots=True, eq=False)
class JournalEntry:
    """
    One order that waits for replay.

    Args:
        order: The order to replay.
        asked: The charge as its caller made it; None for other orders.
        outcome: The outcome that its caller got; None for other orders.
        sent: When it was first sent with an unknown outcome, in monotonic microseconds; None if never. For a
            refund, when it was made: its charge was sent before.
        refunded: Whether what it takes is to be given back.
    """

    order: Charge | Refund | Settle
    asked: Charge | None = None
    outcome: Outcome | None = None
    sent: int | None = None
    refunded: bool = False

    def is_too_old(self, now: int) -> bool:
        """Return True if the store may have carried the order out and forgotten that."""
        operation = self.order.operation if isinstance(self.order, Charge | Refund) else None
        if is_sequence(operation):  # the store knows
            return False
        kept = KEYED_REPEATABLE if operation is not None and operation.startswith("k:") else REPEATABLE
        return self.sent is not None and now - self.sent > kept


class Turn(NamedTuple):
    """
    A wait, which a course yields, while another call replays an entry of its account.

    Args:
        ended: Completed when that entry is back, or replayed.
        until: When to wait no longer, on the policy's clock.
    """

    ended: Future[None]
    until: int


class ReplayQueue:
    """
    Entries by account; of each server, the account that has waited longest comes first.

    One entry of an account is out at a time.

    Args:
        capacity: Most entries.
        server_of: Names the server of an account; None if all are on one, which is None.
    """

    def __init__(self, capacity: int = CAPACITY, server_of: Callable[[str], Hashable] | None = None) -> None:
        self._capacity = capacity
        self._server_of = server_of or (lambda _: None)
        self._waiting: dict[str, deque[JournalEntry]] = {}
        self._accounts: dict[Hashable, OrderedDict[str, None]] = {}
        """The accounts of which entries wait, by server."""
        self._servers: dict[str, Hashable] = {}
        """The server under which each of them is kept."""
        self._named: dict[tuple[type, str, str | None], JournalEntry] = {}
        self._out: dict[str, JournalEntry] = {}
        self._turns: dict[str, list[Future[None]]] = {}
        self.count = 0
        """Entries that have not been replayed yet."""
        self._listeners: list[WeakMethod[Callable[[], object]]] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of entries that have not been replayed yet."""
        return self.count

    def listen(self, listener: Callable[[], object]) -> None:
        """Call a method after the queue has got its first entry, and after it has become empty; its object is not kept."""
        self._listeners.append(WeakMethod(listener))

    def add(self, *entries: JournalEntry) -> bool:
        """Append entries, all or none; return False if there is no room."""
        with self._lock:
            if self.count + len(entries) > self._capacity:
                return False
            for entry in entries:
                self._waiting_of(entry.order.account).append(entry)
                if isinstance(entry.order, Charge | Refund):
                    self._named[_name(entry.order)] = entry
                hold(entry.order)
                self.count += 1
            is_first = self.count == len(entries)
        if is_first:
            self._notify()
        return True

    def note_taken(self, order: Charge, outcome: Outcome) -> None:
        """Note in the refund that waits behind a charge what the charge took, now that the store has counted it."""
        refund = self._named.get((Refund, order.account, order.operation))
        if refund is not None and outcome.lines and isinstance(refund.order, Refund):
            taken = tuple(zip(order.parts, outcome.lines, strict=True))
            refund.order = replace(refund.order, taken=taken, charged_at=outcome.now)

    def find(self, account: str, operation: str | None) -> JournalEntry | None:
        """Return the charge of that operation that has not been replayed yet, or None."""
        return None if operation is None else self._named.get((Charge, account, operation))

    def has_refund(self, order: Refund) -> bool:
        """Return True if a refund of the same charge has not been replayed yet."""
        return _name(order) in self._named

    def drop(self, entry: JournalEntry) -> bool:
        """Remove an entry that cannot have reached the store; return False if it may have, or is out."""
        account = entry.order.account
        with self._lock:
            waiting = self._waiting.get(account, ())
            if entry.sent is not None or self._out.get(account) is entry or entry not in waiting:
                return False
            self._waiting[account].remove(entry)
            self._tidy(account)
            self._forget(entry)
        self._notify_if_empty()
        return True

    def take(self, account: str | None = None, server: Hashable = None) -> JournalEntry | None:
        """
        Take out the oldest entry of the account, or of the account of the server that has waited longest.

        Returns:
            The entry, for `done` or `put_back`; None if none may be taken now.
        """
        with self._lock:
            if account is None:
                account = self._next(server)
            if account is None or account not in self._waiting or account in self._out:
                return None
            entry = self._out[account] = self._waiting[account].popleft()
            self._tidy(account)
            return entry

    def servers(self) -> list[Hashable]:
        """Return the servers for which entries wait."""
        with self._lock:
            return list(self._accounts)

    def concerns(self, account: str) -> bool:
        """Return True if an entry of the account is here, or one waits for its server."""
        return account in self._out or account in self._waiting or self._server_of(account) in self._accounts

    def precedes(self, order: Order) -> bool:
        """
        Return True if an entry must reach the store before *order*.

        What takes back, or sets a total, follows all entries of its account: it would miss what they take. A charge
        follows refunds: of its key, which they free, and for an assignment all, as one may take the holder's unit.
        """
        with self._lock:
            match order:
                case Charge(keyed=True):
                    return (Refund, order.account, order.operation) in self._named
                case Charge(verb=Verb.ASSIGN):
                    return any(kind is Refund and account == order.account for kind, account, _ in self._named)
                case Settle() | Release() | Unassign() | SetUsage() | Forget():
                    return order.account in self._waiting or order.account in self._out
                case _:
                    return False

    def turn_of(self, account: str) -> Future[None] | None:
        """Return a future that is completed when the entry of the account that is out is back or done; None if none is."""
        turn: Future[None] = Future()
        with self._lock:
            if account not in self._out:
                return None
            self._turns.setdefault(account, []).append(turn)
        return turn

    def put_back(self, entry: JournalEntry) -> None:
        """Return an entry to the front of its account."""
        account = entry.order.account
        with self._lock:
            if self._out.pop(account, None) is entry:
                self._waiting_of(account).appendleft(entry)
                self._accounts[self._servers[account]].move_to_end(account, last=False)
            turns = self._turns.pop(account, ())
        _complete(turns)

    def done(self, entry: JournalEntry) -> None:
        """Remove an entry that was taken out."""
        with self._lock:
            if self._out.pop(entry.order.account, None) is entry:
                self._forget(entry)
            turns = self._turns.pop(entry.order.account, ())
        _complete(turns)
        self._notify_if_empty()

    def renew(self) -> None:
        """Empty the queue in a forked child: the parent replays what waits."""
        self._lock = threading.Lock()
        self._waiting, self._named, self._out, self._turns, self.count = {}, {}, {}, {}, 0
        self._accounts, self._servers = {}, {}
        self._notify()

    def _notify_if_empty(self) -> None:
        if not self.count:
            self._notify()

    def _notify(self) -> None:
        for each in self._listeners:
            if (listener := each()) is not None:
                listener()

    def _forget(self, entry: JournalEntry) -> None:
        if isinstance(entry.order, Charge | Refund) and self._named.get(name := _name(entry.order)) is entry:
            del self._named[name]
        settle(entry.order)
        self.count -= 1

    def _tidy(self, account: str) -> None:
        if not self._waiting[account]:
            del self._waiting[account]
            self._leave(account)

    def _waiting_of(self, account: str) -> deque[JournalEntry]:
        """Return the entries of an account, which from now on is one that waits."""
        if account not in self._waiting:
            self._waiting[account] = deque()
            self._enter(account)
        return self._waiting[account]

    def _next(self, server: Hashable) -> str | None:
        """Return the account of a server that has waited longest, of those that are not out."""
        while account := next((each for each in self._accounts.get(server, ()) if each not in self._out), None):
            if self._server_of(account) == server:
                return account
            self._leave(account)  # it has moved meanwhile
            self._enter(account)
        return None

    def _enter(self, account: str) -> None:
        server = self._servers[account] = self._server_of(account)
        self._accounts.setdefault(server, OrderedDict())[account] = None

    def _leave(self, account: str) -> None:
        server = self._servers.pop(account)
        del self._accounts[server][account]
        if not self._accounts[server]:
            del self._accounts[server]


def _complete(turns: Iterable[Future[None]]) -> None:
    for turn in turns:
        if turn.set_running_or_notify_cancel():
            turn.set_result(None)


def _name(order: Charge | Refund) -> tuple[type, str, str | None]:
    return type(order), order.account, order.operation
