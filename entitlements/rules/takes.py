"""
Charges that fit: taken in one pass from meters that exist, by what is prepared once for all charges of the same units.

`ledger.charge` is the law. This is its common case, in a third of the time: where a part does not fit, or anything is
new, nothing has been written, and `charge` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.model.answers import Line
from entitlements.model.limits import UNLIMITED, Quota, Rate
from entitlements.model.names import MAX_COUNT

if TYPE_CHECKING:
    from entitlements.model.charge import Charge, Ends
    from entitlements.model.limits import Size
    from entitlements.rules.ledger import Ledger

_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much


class Takes(NamedTuple):
    """
    The units that a charge takes, by kind of meter; each with the position of its part.

    Args:
        length: The number of parts.
        quotas: Name, size, most units, cost and period ends.
        allocations: Name, most units and cost.
        rates: Definition, size and cost; of all rates but the last.
        last_rate: Those of the last rate, which is taken or refused in one step; None without rates.
    """

    length: int
    quotas: tuple[tuple[int, str, Size, int, int, Ends], ...]
    allocations: tuple[tuple[int, str, int, int], ...]
    rates: tuple[tuple[int, Rate, int, int], ...]
    last_rate: tuple[int, Rate, int, int] | None


def takes_of(charge: Charge) -> Takes | tuple[()]:
    """Return the units that a charge takes; () for one that `take_if_fits` never carries out."""
    if charge.verb != "consume" or charge.scope is not None or charge.made_at is not None or charge.holder is not None:
        return ()
    quotas, allocations, rates = [], [], []
    for at, (limit, size, cost, ends) in enumerate(charge.parts):
        most = MAX_COUNT if size is UNLIMITED else size
        if isinstance(limit, Quota):
            assert ends is not None
            quotas.append((at, limit.name, size, most, cost, ends))
        elif not isinstance(limit, Rate):
            allocations.append((at, limit.name, most, cost))
        elif size is UNLIMITED or size == 0:  # such a rate has no meter
            return ()
        else:
            rates.append((at, limit, most, cost))
    last_rate = rates.pop() if rates else None
    return Takes(len(charge.parts), tuple(quotas), tuple(allocations), tuple(rates), last_rate)


def take_if_fits(ledger: Ledger, takes: Takes, now: int) -> tuple[Line, ...] | None:
    """Count a charge of which every part fits, and return its lines; None if `charge` must decide."""
    length, quotas, allocations, rates, last_rate = takes
    lines: list[Any] = [None] * length
    periods, held, meters = [], [], []
    if quotas or allocations:
        if ledger.lapses_at is not None and now >= ledger.lapses_at:
            return None
        for at, name, size, most, cost, ends in quotas:
            quota = ledger.quotas.get(name)
            if quota is None:
                return None
            period = quota.periods[0]
            start, end, used = period.start, period.end, period.used + cost
            if used > most or not start <= now < end or now < ends[0]:
                return None
            if end != (ends[1] if now < ends[1] else ends[2] if now < ends[2] else ends[3]):
                return None
            periods.append((period, size, used))
            lines[at] = _new_tuple(Line, (True, used, period.reserved, None, end, start, cost))
        for at, name, most, cost in allocations:
            meter = ledger.allocations.get(name)
            if meter is None:
                return None
            used = meter.anonymous + meter.reserved + len(meter.holders) + cost
            if used > most:
                return None
            held.append((meter, cost))
            lines[at] = _new_tuple(Line, (True, used, meter.reserved, None, None, 0, cost))
    for at, rate, units, cost in rates:
        counter = ledger.rates.get(rate.meter_name)
        if counter is None or counter.rate is not rate or not counter.peek(units, cost, now).fits:
            return None
        meters.append((at, counter, units, cost))
    if last_rate is not None:
        at, rate, units, cost = last_rate
        counter = ledger.rates.get(rate.meter_name)
        if counter is None or counter.rate is not rate:
            return None
        lines[at] = line = counter.try_take(units, cost, now)
        if not line[0]:
            return None
    for period, size, used in periods:
        period.used, period.size = used, size
    for meter, cost in held:
        meter.anonymous += cost
    for at, counter, units, cost in meters:
        lines[at] = counter.take(units, cost, now)
    return tuple(lines)
