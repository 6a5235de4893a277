"""What the orders after a charge do to an account's record: settle, refund, release, set."""

from __future__ import annotations

from entitlements.model.answers import Outcome, Periods, Settled, Status, Totalled
from entitlements.model.charge import Part, Read, ReadHistory, Refund, Settle, SetUsage
from entitlements.model.limits import UNLIMITED, Allocation, Quota, Rate
from entitlements.rules.counts import AllocationMeter, QuotaMeter, quota_line
from entitlements.rules.ledger import (
    KEYED_OPERATION_TTL,
    OPERATION_TTL,
    Debit,
    Ledger,
    Operation,
    charge,
    end_booking,
    evaluate,
    ledger_of,
    record,
    sweep,
)
from entitlements.rules.meters import fits_law


def settle(ledger: Ledger, scoped: Ledger, order: Settle, now: int) -> Settled:
    """
    Commit or cancel a reservation, once.

    One that was settled before stays as it was. One that has lapsed is charged anew
    where the order says how; if that is refused, or nobody knows how, it is gone.
    """
    booking = ledger.bookings.get(order.reservation)
    if booking and now < booking.expires:
        return _settle_open(ledger, order, booking.expires, now)
    sweep(ledger, now)
    if _ended(ledger, order.reservation, now) or _gives_all_back(order):
        return Settled(done=True, now=now)
    if order.anew is None or (order.anew_until is not None and now >= order.anew_until):
        return Settled(done=False, now=now)
    outcome = charge(ledger, scoped, order.anew, now)
    if outcome.status in (Status.ADMITTED, Status.REPLAYED):
        _end(ledger, order.reservation, now, now)
        return Settled(done=True, now=now)
    return Settled(done=False, stale=outcome.status is Status.STALE, now=now)


def refund(ledger: Ledger, scoped: Ledger, order: Refund, now: int) -> bool:
    """Give back what a charge took, once, into the periods it took it from."""
    sweep(ledger, now)
    if order.operation is None:
        return _refund_rates(ledger, scoped, order, now)
    operation = ledger.operation(order.operation, now)
    if operation is None or operation.ended or not operation.taken:
        return False
    returns = [each for each in operation.taken if each.amount and (each.kind is not Rate or order.rates)]
    back = [_give_back(ledger, scoped, order, each, now) for each in returns]
    operation.ended = bool(returns)
    return any(back)


def release(ledger: Ledger, limit: str, amount: int, now: int) -> int:
    """Let go of up to *amount* anonymous units, and say how many."""
    sweep(ledger, now)
    held = ledger.allocations.get(limit)
    return held.refund(amount) if held else 0


def unassign(ledger: Ledger, limit: str, holder: str, now: int) -> bool:
    """Take the unit of *holder* back, and say whether they held one."""
    sweep(ledger, now)
    held = ledger.allocations.get(limit)
    if held is None or holder not in held.holders:
        return False
    held.holders.remove(holder)
    return True


def set_usage(ledger: Ledger, order: SetUsage, now: int) -> Totalled:
    """Make *order.part.cost* the total of a quota's running period or of an allocation."""
    sweep(ledger, now)
    part = order.part
    if isinstance(part.limit, Allocation):
        held = ledger.allocations.setdefault(part.limit.name, AllocationMeter())
        if part.cost < held.floor:
            return Totalled(None, least=held.floor, now=now)
        held.anonymous = part.cost - held.floor
        return Totalled(held.peek(part, None), now=now)
    assert part.ends is not None
    metered = ledger.quotas.get(part.limit.name) or QuotaMeter()
    period = metered.running(part.ends, part.size, now)
    if period is None:
        return Totalled(None, stale=True, now=now)
    if part.cost < period.reserved:
        return Totalled(None, least=period.reserved, now=now)
    period.used = part.cost
    metered.write(period)
    ledger.quotas[part.limit.name] = metered
    return Totalled(quota_line(period, part), now=now)


def read(ledger: Ledger, scoped: Ledger, order: Read, now: int) -> Outcome:
    """Say what stands on every meter."""
    sweep(ledger, now)
    lines = evaluate(ledger, scoped, order, now)
    return Outcome(Status.STALE, now) if lines is None else Outcome(Status.ADMITTED, now, lines)


def history(ledger: Ledger, order: ReadHistory, now: int) -> Periods:
    """Return a quota's periods, newest first, the running one included."""
    sweep(ledger, now)
    part = order.part
    assert part.ends is not None
    metered = QuotaMeter(list((ledger.quotas.get(part.limit.name) or QuotaMeter()).periods))
    period = metered.running(part.ends, part.size, now)
    if period is None:
        return Periods((), stale=True, now=now)
    metered.write(period)
    return Periods(tuple(each.count() for each in metered.periods), now=now)


def holders(ledger: Ledger, limit: str) -> tuple[str, ...]:
    """Return who holds a unit, sorted."""
    held = ledger.allocations.get(limit)
    return tuple(sorted(held.holders)) if held else ()


def _settle_open(ledger: Ledger, order: Settle, lapses: int, now: int) -> Settled:
    booked = {each.limit: each.amount for each in ledger.bookings[order.reservation].taken}
    amounts = _amounts(order, booked)
    excess = next((name for name, amount in amounts.items() if amount > booked.get(name, 0)), None)
    if excess is not None:
        return Settled(done=False, excess=excess, now=now)
    end_booking(ledger, order.reservation, amounts)
    if order.amounts == ():  # cancelled: nothing came of it, so its key may reserve again
        ledger.drop(order.reservation)
    _end(ledger, order.reservation, lapses, now)
    return Settled(done=True, now=now)


def _amounts(order: Settle, booked: dict[str, int]) -> dict[str, int]:
    """Return what to commit of each limit; a bare int means the only one that was reserved."""
    if order.amounts is None:
        return booked
    if isinstance(order.amounts, int):
        only = next(iter(booked)) if len(booked) == 1 else "*"
        return {only: order.amounts}
    return dict(order.amounts)


def _gives_all_back(order: Settle) -> bool:
    if isinstance(order.amounts, int):
        return order.amounts == 0
    return order.amounts is not None and not any(amount for _, amount in order.amounts)


def _ended(ledger: Ledger, id: str, now: int) -> bool:
    return ledger.operation(f"ended:{id}", now) is not None


def _end(ledger: Ledger, id: str, lapses: int, now: int) -> None:
    """
    Remember that a reservation is settled, by a record of its own.

    It lives ten minutes longer than the reservation would have, so that nobody charges
    anew what was settled; that of a caller's key as long as the key.
    """
    expires = max(now, lapses) + OPERATION_TTL
    if id.startswith("k:"):
        expires = max(expires, now + KEYED_OPERATION_TTL)
    record(ledger, f"ended:{id}", Operation("", expires, Outcome(Status.ADMITTED, now), ()), now)


def _refund_rates(ledger: Ledger, scoped: Ledger, order: Refund, now: int) -> bool:
    back = [
        _give_back_rate(ledger_of(part, ledger, scoped), part, line.taken, line.mark, now) for part, line in order.taken
    ]
    return any(back)


def _give_back(ledger: Ledger, scoped: Ledger, order: Refund, taken: Debit, now: int) -> int:
    """Return how many units came back: none of those that were released, or whose period is gone."""
    if taken.kind is Quota:
        return ledger.quotas[taken.limit].refund(taken.mark, taken.amount)
    if taken.kind is Allocation:
        held = ledger.allocations[taken.limit]
        if taken.holder is None:
            return held.refund(taken.amount)
        held_one = taken.holder in held.holders
        held.holders.discard(taken.holder)
        return int(held_one)
    return sum(  # an unlimited rate, or a shadow one that was full, took nothing
        _give_back_rate(ledger_of(part, ledger, scoped), part, taken.amount, taken.mark, now)
        for part, _ in order.taken
        if part.limit.name == taken.limit
    )


def _give_back_rate(home: Ledger, part: Part, amount: int, mark: int, now: int) -> int:
    """Give back to the meter that counted it, if that still counts by the same law."""
    meter, rate = home.rates.get(part.limit.name), part.limit
    if meter is None or not amount or not isinstance(rate, Rate) or part.size is UNLIMITED:
        return 0
    return meter.refund(part.size, amount, mark, now) if fits_law(meter, rate) else 0
