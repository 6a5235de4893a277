"""The public values of meters and of periods, from a store's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.instants import NEVER, to_datetime
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue
from entitlements.model.overage import units_beyond
from entitlements.model.resolution import resolution_of
from entitlements.model.usage import Period, Usage

if TYPE_CHECKING:
    from datetime import datetime

    from entitlements.model.answers import Line, PeriodCount
    from entitlements.model.charge import Part
    from entitlements.model.entitlements import Entitlements


def usage_of(entitlements: Entitlements, part: Part, line: Line) -> Usage:
    """Return the public value of one meter."""
    limit: LimitValue = resolution_of(entitlements).limits.get(part.limit.name, NOT_INCLUDED)
    if limit is NOT_INCLUDED:
        return Usage(line.used, line.reserved, NOT_INCLUDED, 0, _moment(line.resets_at))
    size = part.limit.capacity(part.size)
    remaining = UNLIMITED if size is UNLIMITED else max(0, size - (line.used or 0))
    overage = units_beyond(limit, line.used)
    return Usage(line.used, line.reserved, size, remaining, _moment(line.resets_at), overage)


def period_of(count: PeriodCount) -> Period:
    """Return the public value of one period of a quota."""
    start, end, used, denied, size = count
    limit = int(size) if isinstance(size, int) else size
    ends = None if end == NEVER else to_datetime(end)
    return Period(to_datetime(start), ends, used, denied, limit, units_beyond(size, used))


def _moment(instant: int | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)
