"""
Units of usage limits: `GB/user`, `email/day`, `document/user/month`.

The first part is what is counted. A further part is the period, if it names one, or else the scope inside an account.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from entitlements.policy.quantities import BYTE_UNITS

_PERIODS = {
    "s": "second", "sec": "second", "second": "second", "min": "minute", "minute": "minute", "h": "hour",
    "hour": "hour", "day": "day", "week": "week", "month": "month", "mo": "month", "year": "year",
}  # fmt: skip
_SEPARATOR = re.compile(r"\s*/\s*|\s+per\s+", re.IGNORECASE)


class Unit(NamedTuple):
    """
    A unit in parts.

    Args:
        counted: The unit of one, such as `email`; `unit` if none is written.
        period: `second`, `minute`, `hour`, `day`, `week`, `month` or `year`; None if none is written.
        scopes: What the limit is kept for inside an account, such as `user`.
    """

    counted: str
    period: str | None = None
    scopes: tuple[str, ...] = ()

    @property
    def is_bytes(self) -> bool:
        """True if it is a unit of bytes, such as GB."""
        return self.counted in BYTE_UNITS


def read_unit(text: str) -> Unit:
    """Return the parts of a unit."""
    counted, *rest = _SEPARATOR.split(text.strip()) if text.strip() else [""]
    words = [part.strip().lower() for part in rest if part.strip()]
    periods = [_PERIODS[word] for word in words if word in _PERIODS]
    scopes = tuple(word for word in words if word not in _PERIODS)
    return Unit(counted.strip() or "unit", periods[0] if periods else None, scopes)
