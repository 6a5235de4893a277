"""
Producer of a producer: numbers for its charges, and which of them are not settled.

Each enforcer is a producer, and a forked child is another one. A networked store keeps the numbers that it has
carried out, from the lowest unsettled one of the account on. So it recognises a repeat, refuses a message that comes
too late, and keeps no record of a charge that is settled. `docs/exactly-once.md` has the rules.
"""

from __future__ import annotations

import secrets
import threading
from struct import Struct
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from weakref import WeakValueDictionary

from entitlements._fork import renew_after_fork
from entitlements.clock import system_clock
from entitlements.model.charge import Charge
from entitlements.model.names import MAX_COUNT
from entitlements.model.sequence import is_sequence, sequence_id, split_sequence

if TYPE_CHECKING:
    from entitlements.model.charge import Order

_HEADER = Struct(">8sqqBq")
_MOST_ATTEMPTS = 255


@runtime_checkable
class SequencedStore(Protocol):
    """A store that recognises charges by their sequence numbers, or that never leaves an outcome unknown."""

    recognises_sequences: bool


class _OpenNumber:
    """A number that is not settled: how many hold it, its attempts, and the store's time at the first of them."""

    __slots__ = ("attempts", "holders", "seen")

    def __init__(self, seen: int) -> None:
        self.holders, self.attempts, self.seen = 1, 0, seen


class Producer:
    """The numbers of one producer; safe from any thread."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Become another producer, as in a forked child: the parent settles what it has sent."""
        self._lock = threading.Lock()
        self._open: dict[str, dict[int, _OpenNumber]] = {}
        self._next = 1
        self._id = secrets.token_hex(8)
        self.seen = 0
        """The store's time in its latest answer; 0 before the first."""
        _PRODUCERS[self._id] = self

    def open(self, account: str) -> str:
        """Return the operation id of a new charge of *account*, which is unsettled until `close`."""
        with self._lock:
            number = self._next
            self._next = number + 1
            opened = _OpenNumber(self.seen or system_clock())
            numbers = self._open.get(account)
            if numbers is None:
                self._open[account] = {number: opened}
            else:
                numbers[number] = opened
            return sequence_id(self._id, number)

    def close(self, account: str, operation: str) -> None:
        """Settle a charge, as far as its caller is concerned; the replay journal may hold it for longer."""
        self._change(account, operation, -1)

    def hold(self, account: str, operation: str) -> None:
        """Keep a charge unsettled until one more `close`."""
        self._change(account, operation, 1)

    def header(self, account: str, number: int) -> bytes:
        """Return what travels with the next attempt of a charge."""
        with self._lock:
            numbers = self._open.get(account) or {}
            opened = numbers.get(number)
            if opened is None:
                return _HEADER.pack(bytes.fromhex(self._id), number, number, _MOST_ATTEMPTS, self.seen)
            opened.attempts = min(opened.attempts + 1, _MOST_ATTEMPTS)
            floor = next(iter(numbers))
            return _HEADER.pack(bytes.fromhex(self._id), number, floor, opened.attempts, opened.seen)

    def refresh(self, account: str, number: int, now: int) -> bool:
        """Make a charge again as of the store's time *now*; return False if an earlier attempt may have been carried out."""
        with self._lock:
            self.seen = now
            opened = self._open.get(account, {}).get(number)
            if opened is None or opened.attempts != 1:
                return False
            opened.seen, opened.attempts = now, 0
            return True

    def _change(self, account: str, operation: str, holders: int) -> None:
        producer, number = split_sequence(operation)
        with self._lock:
            opened = self._open.get(account, {}).get(number) if producer == self._id else None
            if opened is None:
                return
            opened.holders += holders
            if not opened.holders:
                numbers = self._open[account]
                del numbers[number]
                if not numbers:
                    del self._open[account]


_PRODUCERS: WeakValueDictionary[str, Producer] = WeakValueDictionary()


def header_of(order: Charge) -> bytes:
    """
    Return the sequence of a charge as it travels: producer, number, floor, attempt, and the store's time seen.

    A charge that no producer of this process has open is its own floor, and never late.
    """
    assert order.operation is not None
    producer, number = split_sequence(order.operation)
    sequence = _PRODUCERS.get(producer)
    if sequence is None:
        return _HEADER.pack(bytes.fromhex(producer), number, number, 1, MAX_COUNT)
    return sequence.header(order.account, number)


def hold(order: Order) -> None:
    """Keep a charge with a sequence unsettled while the replay journal holds it."""
    if (producer := _producer_of(order)) is not None:
        producer.hold(order.account, order.operation)  # type: ignore[union-attr, arg-type]


def settle(order: Order) -> None:
    """Settle a charge with a sequence that the replay journal has held."""
    if (producer := _producer_of(order)) is not None:
        producer.close(order.account, order.operation)  # type: ignore[union-attr, arg-type]


def refresh(order: Order, now: int) -> bool:
    """Return True if a charge that came too late cannot have been carried out, so that it may be sent again."""
    producer = _producer_of(order)
    return producer is not None and producer.refresh(order.account, split_sequence(order.operation)[1], now)  # type: ignore[union-attr, arg-type]


def _producer_of(order: Order) -> Producer | None:
    operation = order.operation if isinstance(order, Charge) else None
    return _PRODUCERS.get(split_sequence(operation)[0]) if operation is not None and is_sequence(operation) else None
