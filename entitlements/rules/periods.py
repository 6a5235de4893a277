"""
Period boundaries of quotas.

A boundary is 00:00 UTC on the anchor day of a month, or on the last day of a shorter
month. Every boundary is computed from the anchor and its month, never from the previous
boundary: chaining would turn the 31st into the 28th permanently.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from functools import lru_cache

from entitlements.model.charge import Ends
from entitlements.model.instants import DAY

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def month_ends(anchor: int | None, now: int) -> Ends:
    """
    Return the four boundaries around *now*, oldest first.

    Args:
        anchor: Day of the month, 1 to 31; None means the first.
        now: Microseconds since 1970.

    Returns:
        The last two boundaries at or before *now* and the two after it, in
        microseconds: the start of the period before this one, the start of this
        one, its end, and the end of the next.
    """
    return _ends_on(anchor or 1, now // DAY)


@lru_cache(maxsize=4096)
def _ends_on(anchor: int, day: int) -> Ends:
    today = date.fromordinal(_EPOCH_DAY + day)
    month = today.year * 12 + today.month - 1
    if _boundary(anchor, month) > day * DAY:
        month -= 1
    before, start, end, after = (_boundary(anchor, month + step) for step in (-1, 0, 1, 2))
    return before, start, end, after


def _boundary(anchor: int, month: int) -> int:
    """Return the boundary in the *month* counted from year 0, in microseconds."""
    year, month = divmod(month, 12)
    day = min(anchor, monthrange(year, month + 1)[1])
    return (date(year, month + 1, day).toordinal() - _EPOCH_DAY) * DAY
