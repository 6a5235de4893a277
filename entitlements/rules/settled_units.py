"""
Settling of reserved units: how many stay used of what a reservation took, down or up.

What was committed counts, all of it: the work is done. So a commit of more than was reserved counts above the limit
if need be, in the period in which it was reserved. A rate's units were taken when they were reserved; a commit of less
returns the rest to the bucket or window of the reservation, a commit of more takes the rest now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.answers import Line
from entitlements.model.limits import UNLIMITED, Allocation, Quota, Rate
from entitlements.model.names import MAX_RATE
from entitlements.rules.meters import meter_of

if TYPE_CHECKING:
    from entitlements.rules.ledger import Debit, Ledger


def settle_units(ledger: Ledger, debit: Debit, kept: int, now: int) -> Line:
    """Settle what a reservation took of one limit; *kept* units stay used. Return the line, with the units taken now."""
    if debit.kind is Rate:
        return _settle_rate(ledger, debit, kept, now)
    extra = max(0, kept - debit.amount)
    if debit.kind is Allocation:
        meter = ledger.allocations[debit.limit]
        meter.settle(debit.amount, kept)
        return Line(True, meter.used, meter.reserved, taken=extra)
    assert debit.kind is Quota
    period = ledger.quotas[debit.limit].settle(debit.mark, debit.amount, kept)
    if period is None:
        return Line(True, None)
    return Line(True, period.used, period.reserved, None, period.end, period.start, extra)


def _settle_rate(ledger: Ledger, debit: Debit, kept: int, now: int) -> Line:
    assert debit.part is not None
    rate, size, extra = debit.part.limit, debit.part.size, 0
    assert isinstance(rate, Rate)
    if size is UNLIMITED or size == 0:  # it has no meter
        return Line(True, None)
    meter = meter_of(ledger.rates, rate)
    if kept < debit.amount:
        meter.refund(size, debit.amount - kept, debit.mark, now)
    else:
        extra = min(kept - debit.amount, max(0, MAX_RATE - (meter.peek(size, 1, now).used or 0)))
        if extra:
            meter.take(size, extra, now)
            ledger.rates[rate.meter_name] = meter
    return meter.peek(size, 1, now)._replace(fits=True, retry_at=None, taken=extra)
