"""Parts of a balance: periods of quotas, units of allocations, open reservations, units by month."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from entitlements.model.instants import SECOND
from entitlements.model.names import MAX_COUNT

Key = tuple[str, str]
"""A limit and its scope; the scope is empty for a limit of the account."""


@dataclass(slots=True)
class PeriodBalance:
    """One period of a quota; *used* includes *reserved*."""

    start: int
    end: int
    used: int = 0
    reserved: int = 0
    size: str | None = None


@dataclass(slots=True)
class HeldBalance:
    """The units of an allocation."""

    anonymous: int = 0
    reserved: int = 0
    holders: list[str] = field(default_factory=list)

    @property
    def used(self) -> int:
        """All held units."""
        return min(MAX_COUNT, self.anonymous + self.reserved + len(self.holders))


@dataclass(slots=True)
class Held:
    """Units that a reservation holds of one limit; *start* is that of the quota's period, None for an allocation."""

    key: Key
    units: int
    start: int | None


@dataclass(slots=True)
class Booking:
    """A reservation: open, or lapsed and waiting for a late commit."""

    expires: int
    parts: list[Held]


@dataclass(slots=True)
class MonthBalance:
    """The units of a limit in a calendar month (UTC); for an allocation the highest total, and the last one."""

    limit_kind: str
    units: int = 0
    peak: int = 0
    held: int = 0


def month_of(at: int) -> str:
    """Return the calendar month (UTC) of an instant, such as `2026-11`."""
    return datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m")
