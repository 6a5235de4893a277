"""
Operation ids of charges, and the numbers of a producer: which of its charges are not settled.

Each enforcer is a producer, and a forked child is another one. A networked store keeps the numbers that it has
carried out, from the lowest unsettled one of the account on. So it recognises a repeat, refuses a message that comes
too late, and keeps no record of a charge that is settled. `docs/exactly-once.md` has the rules.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from struct import Struct
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from entitlements._fork import renew_after_fork
from entitlements.clock import system_clock
from entitlements.model.charge import Charge, Refund, SetUsage, numbered
from entitlements.model.names import MAX_COUNT
from entitlements.model.sequence import sequence_id, split_sequence

if TYPE_CHECKING:
    from entitlements.model.charge import Order

_HEADER = Struct(">8sqqBq")
_MOST_ATTEMPTS = 255


@runtime_checkable
class SequencedStore(Protocol):
    """A store that recognises charges by their sequence numbers."""

    recognises_sequences: bool


class Numbering(Protocol):
    """Gives charges their operation ids."""

    seen: int
    """The store's time in its latest answer; 0 before the first."""

    def open(self, charge: Charge, /) -> tuple[Charge, str]:
        """Return a charge as the store gets it, and its new operation id, which is not settled until `close`."""
        ...

    def hold(self, charge: Charge, /) -> None:
        """Keep a charge unsettled until one more `close`."""

    def close(self, charge: Charge, /) -> None:
        """Settle a charge, as far as its caller is concerned; the replay journal may hold it for longer."""


class RandomIds:
    """Random operation ids, for a store that keeps a record of each charge."""

    seen = 0

    def open(self, charge: Charge, /) -> tuple[Charge, str]:
        """Return a charge under a new operation id, and that."""
        operation = f"o:{secrets.token_hex(8)}"
        return numbered(charge, operation), operation

    def hold(self, charge: Charge, /) -> None:
        """Do nothing: the record says what was carried out."""

    close = hold


class SettledNumbers:
    """Numbers for a store in this process: no outcome is ever unknown, so each is settled once it is answered."""

    seen = 0

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Become another producer, as in a forked child."""
        self._id, self._numbers = secrets.token_hex(8), count(1)

    def open(self, charge: Charge, /) -> tuple[Charge, str]:
        """Return a charge as it is, and the next number for its refund: the store needs none."""
        return charge, sequence_id(self._id, next(self._numbers))

    def hold(self, charge: Charge, /) -> None:
        """Do nothing: it is settled."""

    close = hold


class OpenNumber:
    """A number of an account that is not settled: who holds it, its attempts, and the store's time at the first."""

    __slots__ = ("_account", "_id", "_number", "_numbers", "_producer", "attempts", "holders", "seen")

    def __init__(self, producer: Producer, account: str, numbers: dict[int, OpenNumber], number: int) -> None:
        self._producer, self._id, self._numbers, self._number = producer, producer.id, numbers, number
        self._account = account
        self.holders, self.attempts, self.seen = 1, 0, producer.seen or system_clock()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Leave it out of a pickled charge: it belongs to this process."""
        return (type(None), ())

    def header(self) -> bytes:
        """Return what travels with the next attempt: producer, number, floor, attempt, and the store's time seen."""
        producer, number = self._producer, self._number
        with producer.lock:
            if not self.holders:
                return _HEADER.pack(self._id, number, number, _MOST_ATTEMPTS, producer.seen)
            attempts = self.attempts + 1 if self.attempts < _MOST_ATTEMPTS else _MOST_ATTEMPTS
            self.attempts = attempts
            floor = next(iter(self._numbers))
        return _HEADER.pack(self._id, number, floor, attempts, self.seen)

    def hold(self) -> None:
        """Keep the number unsettled until one more `close`."""
        with self._producer.lock:
            self.holders += bool(self.holders)

    def close(self) -> None:
        """Settle the number, as far as one holder is concerned."""
        producer, numbers = self._producer, self._numbers
        with producer.lock:
            self.holders -= 1
            if not self.holders:
                del numbers[self._number]
                if not numbers and producer.accounts.get(self._account) is numbers:  # not those of a parent process
                    del producer.accounts[self._account]

    def refresh(self, now: int) -> bool:
        """Make the charge again as of the store's time *now*; return False if an earlier attempt may have been carried out."""
        with self._producer.lock:
            self._producer.seen = now
            if not self.holders or self.attempts != 1:
                return False
            self.seen, self.attempts = now, 0
            return True


class Producer:
    """The numbers of one producer; safe from any thread."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Become another producer, as in a forked child: the parent settles what it has sent."""
        self.lock = threading.Lock()
        self.accounts: dict[str, dict[int, OpenNumber]] = {}
        self._next = 1
        self.id = secrets.token_bytes(8)
        self._prefix = sequence_id(self.id.hex(), 0)[:-1]
        self.seen = 0

    def open(self, charge: Charge, /) -> tuple[Charge, str]:
        """Return a charge under the next number, which is not settled until `close`, and its operation id."""
        account = charge.account
        with self.lock:
            number = self._next
            self._next = number + 1
            numbers = self.accounts.get(account)
            if numbers is None:
                numbers = self.accounts[account] = {}
            opened = numbers[number] = OpenNumber(self, account, numbers, number)
        operation = f"{self._prefix}{number}"
        return numbered(charge, operation, opened), operation

    def names(self, count: int) -> tuple[str, int]:
        """Return *count* operation ids of their own, for the units of a lease: their beginning, and the first number."""
        with self.lock:
            number = self._next
            self._next = number + count
        return self._prefix, number

    def open_total(self, order: SetUsage, /) -> SetUsage:
        """Return an order under the next number, which is not settled until its `sequence` is closed."""
        charge, _ = self.open(Charge(order.account, (order.part,)))
        return replace(order, sequence=charge.sequence)

    def hold(self, charge: Charge, /) -> None:
        """Keep a charge unsettled until one more `close`."""
        charge.sequence.hold()

    def close(self, charge: Charge, /) -> None:
        """Settle a charge, as far as its caller is concerned; the replay journal may hold it for longer."""
        charge.sequence.close()


@contextmanager
def numbered_total(numbers: Numbering, order: SetUsage) -> Iterator[SetUsage]:
    """Number an order that sets a total, for the time of a block: what arrives later is not carried out."""
    if not isinstance(numbers, Producer):
        yield order
        return
    opened = numbers.open_total(order)
    try:
        yield opened
    finally:
        opened.sequence.close()


def header_of(charge: Charge) -> bytes:
    """
    Return the sequence of a charge as it travels: producer, number, floor, attempt, and the store's time seen.

    A charge that no producer of this process has open is its own floor, and never late.
    """
    if charge.sequence is not None:
        return charge.sequence.header()  # type: ignore[no-any-return]
    assert charge.operation is not None
    producer, number = split_sequence(charge.operation)
    return _HEADER.pack(bytes.fromhex(producer), number, number, 1, MAX_COUNT)


def hold(order: Order) -> None:
    """Keep a charge with a sequence unsettled while the replay journal holds it."""
    if (opened := _opened(order)) is not None:
        opened.hold()


def settle(order: Order) -> None:
    """Settle a charge with a sequence that the replay journal has held."""
    if (opened := _opened(order)) is not None:
        opened.close()


def refresh(order: Order, now: int) -> bool:
    """Return True if an order that came too late cannot have been carried out, so that it may be sent again."""
    opened = _opened(order)
    return opened is not None and opened.refresh(now)


def _opened(order: Order) -> OpenNumber | None:
    return order.sequence if isinstance(order, Charge | Refund | SetUsage) else None
