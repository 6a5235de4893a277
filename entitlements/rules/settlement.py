"""The orders after a charge, run on an account's ledger: settle, refund, release, set and read."""

from __future__ import annotations

from entitlements.model.answers import Line, Outcome, Outdated, Periods, Settled, SettledUnits, Status, Totalled
from entitlements.model.charge import Part, Read, ReadHistory, Refund, ResetRate, Settle, SetUsage
from entitlements.model.limits import UNLIMITED, Allocation, Quota, Rate
from entitlements.model.sequence import is_sequence
from entitlements.rules.counted_meters import AllocationMeter, QuotaMeter, quota_line
from entitlements.rules.ledger import (
    KEYED_OPERATION_TTL,
    OPERATION_TTL,
    Debit,
    Ledger,
    OpenReservation,
    Operation,
    charge,
    evaluate,
    ledger_of,
    open_booking,
    outdated_by,
    record,
    sweep,
    sweep_both,
)
from entitlements.rules.meters import meter_of
from entitlements.rules.settled_units import settle_units


def settle(ledger: Ledger, scoped: Ledger, order: Settle, now: int) -> Settled | Outdated:
    """
    Commit or cancel a reservation, once.

    A reservation that was settled before does not change. One that has lapsed is charged
    again with the order's `recharge`. Without `recharge`, or if that charge is refused, it is gone.
    """
    booking = open_booking(ledger, scoped, order.reservation, now)
    if booking is not None:
        operation = ledger.operation(order.reservation, now) if order.given_up else None
        if operation and operation.callers:
            operation.callers -= 1
            return Settled(done=True, excess="*", now=now)
        return _settle_open(ledger, scoped, order, booking, now)
    sweep_both(ledger, scoped, now)
    if ended := ledger.operation(f"ended:{order.reservation}", now):
        names = [each.limit for each in ended.debits]
        units = tuple(map(SettledUnits, names, [each.amount for each in ended.debits], ended.outcome.lines))
        return Settled(done=True, now=ended.outcome.now, units=units, replayed=True)
    if _commits_nothing(order):
        return Settled(done=True, now=now)
    if order.recharge is None or (order.recharge_until is not None and now >= order.recharge_until):
        return Settled(done=False, now=now)
    outcome = charge(ledger, scoped, order.recharge, now)
    if isinstance(outcome, Outdated):
        return outcome
    if outcome.status in (Status.ADMITTED, Status.REPLAYED):
        parts = zip(order.recharge.parts, outcome.lines, strict=True)
        units = tuple(SettledUnits(part.limit.name, part.cost, line) for part, line in parts)
        _record_settled(ledger, order.reservation, units, now, now)
        return Settled(done=True, now=now, units=units)
    return Settled(done=False, stale=outcome.status is Status.STALE, now=now)


def refund(ledger: Ledger, scoped: Ledger, order: Refund, now: int) -> bool:
    """
    Return the units of a charge, once, to the periods that they were taken from.

    A caller's key is free afterwards: the next charge with it counts.
    """
    sweep_both(ledger, scoped, now)
    if order.operation is None:
        units = [_refund_rate(ledger, scoped, part, line.taken, line.mark, now) for part, line in order.taken]
        return any(units)
    if is_sequence(order.operation):
        return _refund_sequence(ledger, scoped, order, now)
    operation = ledger.operation(order.operation, now)
    if operation is None or operation.ended or not operation.debits:
        return False
    if order.charged_at not in (None, operation.outcome.now):  # the key stands for a later charge
        return False
    debits = [each for each in operation.debits if each.amount and (each.kind is not Rate or order.rates)]
    returned = [_refund_debit(ledger, scoped, order, each, now) for each in debits]
    if debits and operation.keyed:
        ledger.drop(order.operation)
    operation.ended = bool(debits)
    return any(returned)


def _refund_sequence(ledger: Ledger, scoped: Ledger, order: Refund, now: int) -> bool:
    """Return what the receipt of a charge says that it took; a record says for ten minutes that this was done."""
    id = f"refunded:{order.operation}"
    is_old = order.charged_at is not None and now - order.charged_at >= OPERATION_TTL
    debits = [
        (part, line) for part, line in order.taken if line.taken and (order.rates or not isinstance(part.limit, Rate))
    ]
    if is_old or ledger.operation(id, now):
        return False
    returned = [_refund_part(ledger, scoped, order, part, line, now) for part, line in debits]
    if debits:
        record(ledger, id, Operation("", now + OPERATION_TTL, Outcome(Status.ADMITTED, now), ()), now)
    return any(returned)


def _refund_part(ledger: Ledger, scoped: Ledger, order: Refund, part: Part, line: Line, now: int) -> int:
    """Return the units that a part took; return their number, without those of a period no longer kept."""
    name, home = part.limit.name, ledger_of(part, ledger, scoped)
    if isinstance(part.limit, Quota):
        meter = home.quotas.get(name)
        if meter is None:
            return 0
        period = None if line.mark else meter.period_of(part, now, order.charged_at)  # promised without the store
        return meter.refund(period.start if period else line.mark, line.taken)
    if isinstance(part.limit, Allocation):
        return home.allocations[name].refund(line.taken) if name in home.allocations else 0
    return _refund_rate(ledger, scoped, part, line.taken, line.mark, now)


def release(ledger: Ledger, limit: str, amount: int, now: int) -> int:
    """Release up to *amount* anonymous units; return the number released."""
    sweep(ledger, now)
    meter = ledger.allocations.get(limit)
    return meter.refund(amount) if meter else 0


def unassign(ledger: Ledger, limit: str, holder: str, now: int) -> bool:
    """Release the unit of *holder*; return True if they held one."""
    sweep(ledger, now)
    return _remove_holder(ledger, limit, holder)


def set_usage(ledger: Ledger, order: SetUsage, now: int) -> Totalled:
    """Set the total of a quota's running period or of an allocation to *order.part.cost*."""
    sweep(ledger, now)
    part = order.part
    if isinstance(part.limit, Allocation):
        allocation = ledger.allocations.setdefault(part.limit.name, AllocationMeter())
        if part.cost < allocation.floor:
            return Totalled(None, least=allocation.floor, now=now)
        added = max(0, part.cost - allocation.used)
        allocation.anonymous = part.cost - allocation.floor
        return Totalled(allocation.peek(part, None)._replace(taken=added), now=now)
    assert part.ends is not None
    meter = ledger.quotas.get(part.limit.name) or QuotaMeter()
    period = meter.running(part.ends, part.size, now)
    if period is None:
        return Totalled(None, stale=True, now=now)
    if part.cost < period.reserved:
        return Totalled(None, least=period.reserved, now=now)
    added = max(0, part.cost - period.used)
    period.used = part.cost
    meter.write(period)
    ledger.quotas[part.limit.name] = meter
    return Totalled(quota_line(period, part)._replace(taken=added), now=now)


def reset_rate(ledger: Ledger, order: ResetRate) -> None:
    """Empty the meter of a rate."""
    assert isinstance(order.part.limit, Rate)
    ledger.rates.pop(order.part.limit.meter_name, None)


def read(ledger: Ledger, scoped: Ledger, order: Read, now: int) -> Outcome | Outdated:
    """Return the line of every part, without charging."""
    if (outdated := outdated_by(ledger, order, now)) is not None:
        return outdated
    sweep_both(ledger, scoped, now)
    lines = evaluate(ledger, scoped, order, now)
    return Outcome(Status.STALE, now) if lines is None else Outcome(Status.ADMITTED, now, lines)


def history(ledger: Ledger, order: ReadHistory, now: int) -> Periods:
    """Return the periods of a quota, or of an allocation's refusals, newest first, including the running one."""
    sweep(ledger, now)
    part = order.part
    assert part.ends is not None
    stored = ledger.quotas.get(part.limit.name) or QuotaMeter()
    period = stored.running(part.ends, part.size, now)
    if period is None:
        return Periods((), stale=True, now=now)
    stored.keep_end(period)
    meter = QuotaMeter(list(stored.periods))
    meter.write(period)
    return Periods(tuple(each.count() for each in meter.periods), now=now)


def holders(ledger: Ledger, limit: str) -> tuple[str, ...]:
    """Return the holders of an allocation, sorted."""
    meter = ledger.allocations.get(limit)
    return tuple(sorted(meter.holders)) if meter else ()


def _settle_open(ledger: Ledger, scoped: Ledger, order: Settle, booking: OpenReservation, now: int) -> Settled:
    amounts = _amounts(order, booking.debits)
    excess = next((name for name in amounts if all(name != each.limit for each in booking.debits)), None)
    if excess is not None:
        return Settled(done=False, excess=excess, now=now)
    for home in (ledger, scoped):
        kept = home.bookings.get(order.reservation)
        if kept is not None and now < kept.expires:  # a lapsed one is left to `sweep`, which returns its units
            del home.bookings[order.reservation]
    homes = [scoped if each.scoped else ledger for each in booking.debits]
    units = tuple(
        SettledUnits(each.limit, amounts[each.limit], settle_units(home, each, amounts[each.limit], now))
        for home, each in zip(homes, booking.debits, strict=True)
    )
    if order.amounts == ():  # cancelled: the key may reserve again
        ledger.drop(order.reservation)
        units = ()
    _record_settled(ledger, order.reservation, units, booking.expires, now)
    return Settled(done=True, now=now, units=units)


def _amounts(order: Settle, debits: tuple[Debit, ...]) -> dict[str, int]:
    """
    Return the units to commit by limit.

    A bare int is for the only limit, or for the only one that is no rate. A rate that is left out stays as it was
    taken, any other limit keeps nothing.
    """
    if order.amounts is None or order.amounts == ():
        return {each.limit: 0 if order.amounts == () else each.amount for each in debits}
    amounts = {each.limit: each.amount if each.kind is Rate else 0 for each in debits}
    if not isinstance(order.amounts, int):
        return amounts | dict(order.amounts)
    names = [each.limit for each in debits if each.kind is not Rate or len(debits) == 1]
    return amounts | {names[0] if len(names) == 1 else "*": order.amounts}


def _commits_nothing(order: Settle) -> bool:
    if isinstance(order.amounts, int):
        return order.amounts == 0
    return order.amounts is not None and not any(amount for _, amount in order.amounts)


def _record_settled(ledger: Ledger, id: str, units: tuple[SettledUnits, ...], lapses: int, now: int) -> None:
    """
    Store a record that a reservation is settled.

    The record outlives the reservation by ten minutes, so that a settled reservation is
    not charged again. For a caller's key it lives at least as long as the key.
    """
    expires = max(now, lapses) + OPERATION_TTL
    if id.startswith("k:"):
        expires = max(expires, now + KEYED_OPERATION_TTL)
    outcome = Outcome(Status.ADMITTED, now, tuple(each.line for each in units))
    debits = tuple(Debit(each.limit, Quota, each.kept, 0) for each in units)
    record(ledger, f"ended:{id}", Operation("", expires, outcome, debits), now)


def _refund_debit(ledger: Ledger, scoped: Ledger, order: Refund, debit: Debit, now: int) -> int:
    """Return a debit's units; return their number, without those released since or of a period no longer kept."""
    home = scoped if debit.scoped else ledger
    if debit.kind is Quota:
        meter = home.quotas.get(debit.limit)
        return meter.refund(debit.mark, debit.amount) if meter else 0
    if debit.kind is Allocation:
        if debit.holder is not None:
            return int(_remove_holder(home, debit.limit, debit.holder))
        return home.allocations[debit.limit].refund(debit.amount) if debit.limit in home.allocations else 0
    return sum(  # an unlimited rate, or a full one in shadow mode, took nothing
        _refund_rate(ledger, scoped, part, debit.amount, debit.mark, now)
        for part, _ in order.taken
        if part.limit.name == debit.limit
    )


def _remove_holder(ledger: Ledger, limit: str, holder: str) -> bool:
    """Remove a holder from an allocation; return True if they held a unit."""
    meter = ledger.allocations.get(limit)
    if meter is None or holder not in meter.holders:
        return False
    meter.holders.remove(holder)
    return True


def _refund_rate(ledger: Ledger, scoped: Ledger, part: Part, amount: int, mark: int, now: int) -> int:
    """Return units to the meter that counted them."""
    rate, size = part.limit, part.size
    if not amount or not isinstance(rate, Rate) or size is UNLIMITED:
        return 0
    return meter_of(ledger_of(part, ledger, scoped).rates, rate).refund(size, amount, mark, now)
