"""
Prepared charges of meters that exist: decided in one pass, by what is prepared once for all charges of the same units.

`ledger.charge` is the law. This is its common case, in a third of the time. Where anything is rare (a new meter or
period, a lapsed reservation, a full allocation, shadow mode) nothing has been written, and `charge` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from entitlements.model.answers import Line, Outcome, Status
from entitlements.model.instants import NEVER
from entitlements.model.limits import UNLIMITED, Mode, Quota, Rate
from entitlements.model.names import MAX_COUNT
from entitlements.rules.counted_meters import AllocationMeter, as_count, deny

if TYPE_CHECKING:
    from entitlements.model.charge import Charge, Ends
    from entitlements.model.limits import Size
    from entitlements.rules.counted_meters import QuotaMeter, QuotaPeriod
    from entitlements.rules.ledger import Ledger

_ADMITTED, _REFUSED = Status.ADMITTED, Status.REFUSED
_EMPTY, _UNUSED = Line(False, None), AllocationMeter()
_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much


class Takes(NamedTuple):
    """
    The units that a charge takes, by kind of meter; each with the position of its part, and True if it has a `per`.

    Args:
        length: The number of parts.
        quotas: Name, size, most units, cost and period ends.
        allocations: Name, size, most units, cost, and ends of the periods in which refusals are counted.
        rates: Definition, size and cost; of all rates but the last.
        last_rate: Those of the last rate, which is taken or refused in one step; None without rates.
        shadow: A limit only reports that it would have refused.
        is_scoped: Every part is kept for a scope.
    """

    length: int
    quotas: tuple[tuple[int, bool, str, Size, int, int, Ends], ...]
    allocations: tuple[tuple[int, bool, str, Size, int, int, Ends | None], ...]
    rates: tuple[tuple[int, bool, Rate, int, int], ...]
    last_rate: tuple[int, bool, Rate, int, int] | None
    shadow: bool
    is_scoped: bool


def takes_of(charge: Charge) -> Takes | tuple[()]:
    """Return the units that a charge takes; () for one that `charge_prepared` never carries out."""
    if charge.verb != "consume" or charge.made_at is not None or charge.holder is not None:
        return ()
    quotas, allocations, rates = [], [], []
    for at, (limit, size, cost, ends) in enumerate(charge.parts):
        most, scoped = as_count(size), limit.per is not None
        if isinstance(limit, Quota):
            assert ends is not None
            quotas.append((at, scoped, limit.name, size, most, cost, ends))
        elif not isinstance(limit, Rate):
            allocations.append((at, scoped, limit.name, size, most, cost, ends))
        elif size is UNLIMITED or size == 0:  # such a rate has no meter
            return ()
        else:
            rates.append((at, scoped, limit, most, cost))
    last_rate = rates.pop() if rates else None
    shadow = any(part.limit.mode is Mode.SHADOW for part in charge.parts)
    is_scoped = all(part.limit.per for part in charge.parts)
    return Takes(len(charge.parts), tuple(quotas), tuple(allocations), tuple(rates), last_rate, shadow, is_scoped)


def charge_prepared(homes: tuple[Ledger, Ledger], takes: Takes, now: int) -> Outcome | None:
    """
    Charge units of meters that exist, all or nothing; None if `charge` must decide, and nothing was written.

    Args:
        homes: The ledger of the account, and that of the scope; the same one twice where one does.
        takes: The units.
        now: The store's clock, in microseconds.
    """
    length, quotas, allocations, rates, last_rate, shadow, _ = takes
    lines: list[Line] = [_EMPTY] * length
    periods, held, meters, fits, is_new = [], [], [], True, False
    if (quotas or allocations) and now >= min(homes[0].lapses_at or NEVER, homes[1].lapses_at or NEVER):
        return None
    for at, scoped, name, size, most, cost, ends in quotas:
        period = _running(homes[scoped].quotas.get(name), ends, now)
        if period is None:
            return None
        within = cost <= most - period.used
        if not within and most == MAX_COUNT:
            return None
        fits = fits and within
        periods.append((at, period, size, most, cost, within, None if period.end == NEVER else period.end))
    for at, scoped, name, size, most, cost, months in allocations:
        meter = homes[scoped].allocations.get(name)
        if meter is None:
            meter, is_new = _UNUSED, True
        used, refusals = meter.anonymous + meter.reserved + len(meter.holders), None
        within = cost <= most - used
        if not within:
            refusals = months and _running(homes[scoped].quotas.get(name), months, now)
            if refusals is None or most == MAX_COUNT:
                return None
        fits = fits and within
        held.append((at, meter, used, cost, size, refusals))
    for at, scoped, rate, units, cost in rates:
        counter = homes[scoped].rates.get(rate.meter_name)
        if counter is None or counter.rate is not rate:
            return None
        lines[at] = counter.peek(units, cost, now)
        fits = fits and lines[at].fits
        meters.append((at, counter, units, cost))
    if shadow if not fits else is_new:
        return None
    if last_rate is not None:
        at, scoped, rate, units, cost = last_rate
        counter = homes[scoped].rates.get(rate.meter_name)
        if counter is None or counter.rate is not rate:
            return None
        lines[at] = line = counter.try_take(units, cost, now) if fits else counter.peek(units, cost, now)
        fits = fits and line[0]
        if not fits and shadow:
            return None
    if not fits:
        for at, period, size, most, cost, within, end in periods:
            start, used = period.start, period.used
            if not within:
                period.size = size
                deny(period, cost)
            retry_at = None if within or cost > most else end
            lines[at] = _new_tuple(Line, (within, used, period.reserved, retry_at, end, start, 0))
        for at, meter, used, cost, size, refusals in held:
            if refusals is not None:
                refusals.size = size
                deny(refusals, cost)
            lines[at] = _new_tuple(Line, (refusals is None, used, meter.reserved, None, None, 0, 0))
        return _new_tuple(Outcome, (_REFUSED, now, tuple(lines), 0, (), (), ""))
    for at, period, size, _, cost, _, end in periods:
        period.size, period.used = size, (used := period.used + cost)
        lines[at] = _new_tuple(Line, (True, used, period.reserved, None, end, period.start, cost))
    for at, meter, used, cost, _, _ in held:
        meter.anonymous += cost
        lines[at] = _new_tuple(Line, (True, used + cost, meter.reserved, None, None, 0, cost))
    for at, counter, units, cost in meters:
        lines[at] = counter.take(units, cost, now)
    return _new_tuple(Outcome, (_ADMITTED, now, tuple(lines), 0, (), (), ""))


def _running(quota: QuotaMeter | None, ends: Ends, now: int) -> QuotaPeriod | None:
    """Return the running period of a quota; None if another one begins, or its end has changed."""
    if quota is None or now < ends[0]:
        return None
    period = quota.periods[0]
    end = ends[1] if now < ends[1] else ends[2] if now < ends[2] else ends[3]
    return period if period.start <= now < period.end == end else None
