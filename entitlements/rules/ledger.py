"""
The ledger of one account, and charges against it: evaluate every part, then write all or nothing.

A store keeps a `Ledger` per account (and one per scope) and runs these functions on it,
one at a time. A networked store runs a translation of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from entitlements.model.answers import Invalidated, Line, Outcome, Outdated, Status
from entitlements.model.charge import Charge, Part, Read, Verb
from entitlements.model.instants import DAY, MINUTE
from entitlements.model.limits import UNLIMITED, Allocation, Mode, Quota, Rate, Size
from entitlements.model.overage import recorded
from entitlements.model.sequence import is_sequence
from entitlements.model.versions import KEPT, NO_VERSION
from entitlements.rules.counted_meters import AllocationMeter, QuotaMeter, QuotaPeriod, deny, quota_line, take_quota
from entitlements.rules.meters import RateMeter, meter_of

OPERATION_TTL = 10 * MINUTE
KEYED_OPERATION_TTL = DAY
MAX_OPERATIONS = 4096
MAX_SWEPT_OPERATIONS = 4
"""Most expired operation ids of each kind that a charge drops when it adds one."""
MAX_SWEPT_AT_ONCE = 1024
"""Most open reservations of which one order ends all that have lapsed."""
MAX_SWEPT_RESERVATIONS = 64
"""Most lapsed reservations that one order ends of more open ones."""

MAX_CALLERS = 255
"""Most further callers of a reservation that are counted."""


@dataclass(slots=True)
class Debit:
    """The units that one part of an operation took, with the mark of their bucket, window or period."""

    limit: str
    kind: type
    amount: int
    mark: int
    holder: str | None = None
    scoped: bool = False
    """True if the ledger of the scope counts them."""
    part: Part | None = None
    """Of a reserved rate its part, whose meter is settled."""


@dataclass(slots=True)
class Operation:
    """The record of an admitted charge, for recognising a repeat and for refunds."""

    fingerprint: str
    expires: int
    outcome: Outcome
    debits: tuple[Debit, ...]
    sizes: tuple[Size, ...] = ()
    keyed: bool = False
    ended: bool = False
    """True once a refund has returned the units."""
    callers: int = 0
    """Callers that were given a reservation by its key, after the first."""


@dataclass(slots=True)
class OpenReservation:
    """An open reservation."""

    expires: int
    debits: tuple[Debit, ...]


@dataclass(slots=True)
class Ledger:
    """All counters and records of one account, or of one scope of it."""

    rates: dict[str, RateMeter] = field(default_factory=dict)
    """By `Rate.meter_name`."""
    quotas: dict[str, QuotaMeter] = field(default_factory=dict)
    """By name; the meter of an allocation's name counts its refusals."""
    allocations: dict[str, AllocationMeter] = field(default_factory=dict)
    bookings: dict[str, OpenReservation] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    keyed_operations: dict[str, Operation] = field(default_factory=dict)
    lapses_at: int | None = None
    """No open reservation lapses before this instant; None without open reservations."""
    version: int = NO_VERSION
    """The account's version; it counts for `KEPT` after the invalidation that it is the instant of."""

    @property
    def rates_only(self) -> bool:
        """True if every counter is of a rate, so that none outlives its window."""
        return not (self.quotas or self.allocations or self.bookings)

    def is_idle(self, now: int) -> bool:
        """Return True if nothing counts any more: rates as good as empty, periods over, nothing held or to be replayed."""
        operations = (*self.operations.values(), *self.keyed_operations.values())
        return (
            all(meter.idle_at() <= now for meter in self.rates.values())
            and all(quota.periods[0].end <= now for quota in self.quotas.values())
            and not any(held.anonymous or held.holders for held in self.allocations.values())
            and all(booking.expires <= now for booking in self.bookings.values())
            and all(operation.expires <= now for operation in operations)
            and not self.keeps_version(now)
        )

    def keeps_version(self, now: int) -> bool:
        """Return True if the account was invalidated so lately that older accounts may be in use."""
        return self.version != NO_VERSION and now < self.version + KEPT

    def operation(self, id: str, now: int) -> Operation | None:
        """Return the record of an operation; None if there is none or it has expired."""
        for kept in (self.operations, self.keyed_operations):
            found = kept.get(id)
            if found and now < found.expires:
                return found
        return None

    def drop(self, id: str) -> None:
        """Drop the record of an operation, so that its id can be used again."""
        self.operations.pop(id, None)
        self.keyed_operations.pop(id, None)


def charge(ledger: Ledger, scoped: Ledger, order: Charge, now: int) -> Outcome | Outdated:
    """
    Charge an account: admit all parts or none; a repeat returns the first outcome, whatever its version.

    Args:
        ledger: The account's ledger.
        scoped: The ledger of the order's scope; parts with a `per` are counted there.
        order: The charge.
        now: The store's clock, in microseconds.
    """
    if order.operation is not None:
        repeated = recall(ledger, scoped, order, now)
        if repeated.status is not Status.UNKNOWN:
            return repeated
    if (outdated := outdated_by(ledger, order, now)) is not None:
        return outdated
    counted = [part.limit for part in order.parts if not isinstance(part.limit, Rate)]
    if order.operation is not None or counted:
        sweep(ledger, now)  # rates hold nothing that a lapsed reservation returns
    if scoped is not ledger and any(limit.per for limit in counted):
        sweep(scoped, now)
    lines = evaluate(ledger, scoped, order, now)
    if lines is None:
        return Outcome(Status.STALE, now)
    admitted = all(line.fits or part.limit.mode is Mode.SHADOW for part, line in zip(order.parts, lines, strict=True))
    if order.verb is Verb.PEEK:
        return Outcome(Status.ADMITTED if admitted else Status.REFUSED, now, lines)
    if not admitted:
        if order.verb is not Verb.LEASE:
            _count_denied(ledger, scoped, order, lines, now)
        return Outcome(Status.REFUSED, now, lines)
    outcome = Outcome(Status.ADMITTED, now, tuple(_take(ledger, scoped, order, lines, now)))
    return _record_charge(ledger, scoped, order, outcome, now)


def outdated_by(ledger: Ledger, order: Charge | Read, now: int) -> Outdated | None:
    """Return the answer to an order of another version than the account's; None if it may be carried out."""
    if order.version is None or order.version == ledger.version or not ledger.keeps_version(now):
        return None
    return Outdated(ledger.version, now)


def invalidate(ledger: Ledger, now: int) -> Invalidated:
    """Give the account a new version."""
    ledger.version = max(now, ledger.version + 1)
    return Invalidated(ledger.version, now)


def recall(ledger: Ledger, scoped: Ledger, order: Charge, now: int) -> Outcome:
    """Return the first outcome of a repeated charge, `UNKNOWN` without a record, or `REUSED`."""
    if is_sequence(order.operation):  # in memory no outcome is ever unknown
        return Outcome(Status.UNKNOWN, now)
    found = ledger.operation(order.operation, now) if order.operation else None
    is_open = open_booking(ledger, scoped, order.operation or "", now) is not None
    if found is None:  # the record of a long reservation may have expired before the reservation
        return Outcome(Status.REUSED if is_open else Status.UNKNOWN, now)
    if found.fingerprint != order.fingerprint:
        return Outcome(Status.REUSED, now)
    if is_open:
        found.callers = min(found.callers + 1, MAX_CALLERS)
    return found.outcome._replace(status=Status.REPLAYED, sizes=found.sizes)


def evaluate(ledger: Ledger, scoped: Ledger, order: Charge | Read, now: int) -> tuple[Line, ...] | None:
    """Return the line of every part, charging nothing; None if the period ends of a part are stale."""
    holder, made_at = (order.holder, order.made_at) if isinstance(order, Charge) else (None, None)
    lines = []
    for part in order.parts:
        line = _evaluate_part(ledger_of(part, ledger, scoped), part, holder, now, made_at)
        if line is None:
            return None
        lines.append(line)
    return tuple(lines)


def sweep(ledger: Ledger, now: int) -> None:
    """End lapsed reservations: all of up to 1,024 open ones, else the earliest 64."""
    if ledger.lapses_at is None or now < ledger.lapses_at:
        return
    most = MAX_SWEPT_AT_ONCE if len(ledger.bookings) <= MAX_SWEPT_AT_ONCE else MAX_SWEPT_RESERVATIONS
    lapsed = sorted((booking.expires, id) for id, booking in ledger.bookings.items() if booking.expires <= now)
    for _, id in lapsed[:most]:
        end_booking(ledger, id)
    ledger.lapses_at = min((booking.expires for booking in ledger.bookings.values()), default=None)


def sweep_both(ledger: Ledger, scoped: Ledger, now: int) -> None:
    """End lapsed reservations of an account and of a scope of it."""
    sweep(ledger, now)
    if scoped is not ledger:
        sweep(scoped, now)


def end_booking(ledger: Ledger, id: str) -> None:
    """End the reservation *id*, which has lapsed: its units are returned, but those of rates, which leave with their window."""
    for debit in ledger.bookings.pop(id).debits:
        if debit.kind is Quota:
            ledger.quotas[debit.limit].settle(debit.mark, debit.amount, 0)
        elif debit.kind is Allocation:
            ledger.allocations[debit.limit].settle(debit.amount, 0)


def open_booking(ledger: Ledger, scoped: Ledger, id: str, now: int) -> OpenReservation | None:
    """Return an open reservation with its debits in both ledgers; None if there is none."""
    homes = (ledger,) if scoped is ledger else (ledger, scoped)
    found = [home.bookings[id] for home in homes if id in home.bookings and now < home.bookings[id].expires]
    if not found:
        return None
    return OpenReservation(found[0].expires, tuple(debit for each in found for debit in each.debits))


def record(ledger: Ledger, id: str, operation: Operation, now: int) -> int:
    """
    Store an operation, drop up to four expired ones of each kind, and enforce the cap.

    Returns:
        The number of ids dropped before they expired: the oldest without a caller's key
        first, then the oldest keyed ones; never the new one.
    """
    for kept in (ledger.operations, ledger.keyed_operations):
        _drop_expired(kept, now)
    records = ledger.keyed_operations if operation.keyed else ledger.operations
    records.pop(id, None)
    records[id] = operation
    forgotten = 0
    while len(ledger.operations) + len(ledger.keyed_operations) > MAX_OPERATIONS:
        unkeyed = len(ledger.operations) > (not operation.keyed)
        oldest = ledger.operations if unkeyed else ledger.keyed_operations
        oldest.pop(next(iter(oldest)))
        forgotten += 1
    return forgotten


def ledger_of(part: Part, ledger: Ledger, scoped: Ledger) -> Ledger:
    """Return the ledger that counts a part: the scope's for a limit with a `per`."""
    return scoped if part.limit.per else ledger


def _evaluate_part(ledger: Ledger, part: Part, holder: str | None, now: int, made_at: int | None) -> Line | None:
    limit = part.limit
    if isinstance(limit, Rate):
        if part.size is UNLIMITED or part.size == 0:
            return Line(part.size is UNLIMITED, None if part.size else 0)
        return meter_of(ledger.rates, limit).peek(part.size, part.cost, now)
    held = None
    if isinstance(limit, Allocation):
        held = (ledger.allocations.get(limit.name) or AllocationMeter()).peek(part, holder)
        if held.fits or part.ends is None:
            return held
    meter = ledger.quotas.get(limit.name) or QuotaMeter()
    period = meter.period_of(part, now, made_at)
    if period is None:
        return None
    if held is not None:
        return held
    meter.keep_end(period)
    return quota_line(period, part)


def _take(ledger: Ledger, scoped: Ledger, order: Charge, lines: tuple[Line, ...], now: int) -> Iterator[Line]:
    """Count every part, and yield its line after the charge."""
    reserve = order.verb is Verb.RESERVE
    for part, line in zip(order.parts, lines, strict=True):
        limit = part.limit
        target = ledger_of(part, ledger, scoped)
        if isinstance(limit, Rate):
            yield _take_rate(target, part, line, now)
        elif isinstance(limit, Quota):
            yield take_quota(_period(target, part, now, order.made_at), part, reserve=reserve)
        else:
            meter = target.allocations.setdefault(limit.name, AllocationMeter())
            if not line.fits and part.ends is not None:
                deny(_period(target, part, now, order.made_at), part.cost)
            yield meter.take(part, order.holder, reserve=reserve)


def _take_rate(ledger: Ledger, part: Part, line: Line, now: int) -> Line:
    """Count a rate if it fits; a refusal in shadow mode counts nothing."""
    rate, size = part.limit, part.size
    if not line.fits or size is UNLIMITED or size == 0:
        return line
    assert isinstance(rate, Rate)
    meter = ledger.rates[rate.meter_name] = meter_of(ledger.rates, rate)
    return meter.take(size, part.cost, now)


def _period(ledger: Ledger, part: Part, now: int, made_at: int | None) -> QuotaPeriod:
    """Return the period that counts a part or its refusal, after storing it in the ledger."""
    meter = ledger.quotas.setdefault(part.limit.name, QuotaMeter())
    period = meter.period_of(part, now, made_at)
    assert period is not None
    meter.write(period)
    return period


def _count_denied(ledger: Ledger, scoped: Ledger, order: Charge, lines: tuple[Line, ...], now: int) -> None:
    for part, line in zip(order.parts, lines, strict=True):
        if part.ends is not None and not line.fits:
            deny(_period(ledger_of(part, ledger, scoped), part, now, order.made_at), part.cost)


def _record_charge(ledger: Ledger, scoped: Ledger, order: Charge, outcome: Outcome, now: int) -> Outcome:
    """Store the record of an operation, and the booking if it is a reservation."""
    if order.operation is None or is_sequence(order.operation):
        return outcome
    debits = tuple(
        Debit(part.limit.name, type(part.limit), line.taken, line.mark, order.holder, bool(part.limit.per))
        for part, line in zip(order.parts, outcome.lines, strict=True)
    )
    if order.verb is Verb.ASSIGN and not outcome.lines[0].taken:
        return outcome
    if order.verb is Verb.RESERVE:
        expires = now + order.ttl
        ledger.drop(f"ended:{order.operation}")
        for home in (ledger,) if scoped is ledger else (ledger, scoped):
            booked = tuple(
                replace(debit, part=part) if debit.kind is Rate else debit
                for part, debit in zip(order.parts, debits, strict=True)
                if ledger_of(part, ledger, scoped) is home
            )
            _book(home, order.operation, OpenReservation(expires, booked))
        debits = ()
    expires = now + (KEYED_OPERATION_TTL if order.keyed else OPERATION_TTL)
    sizes = tuple(recorded(part.size) for part in order.parts)
    operation = Operation(order.fingerprint, expires, outcome, debits, sizes, order.keyed)
    return outcome._replace(forgotten=record(ledger, order.operation, operation, now))


def _book(ledger: Ledger, id: str, booking: OpenReservation) -> None:
    """Keep the part of a reservation that holds units of this ledger, in the place of an earlier one."""
    if id in ledger.bookings:
        end_booking(ledger, id)
    if booking.debits:
        ledger.bookings[id] = booking
        ledger.lapses_at = min(booking.expires, ledger.lapses_at or booking.expires)


def _drop_expired(kept: dict[str, Operation], now: int) -> None:
    for _ in range(MAX_SWEPT_OPERATIONS):
        oldest = next(iter(kept), None)
        if oldest is None or kept[oldest].expires > now:
            return
        del kept[oldest]
