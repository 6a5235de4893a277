"""The calendar of an account: the time zone of its midnights, and the point in a month or year at which periods begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from entitlements.errors import AccountError
from entitlements.model.instants import SECOND
from entitlements.model.names import shown

ZoneFinder = Callable[[str], tzinfo]
"""Returns a time zone by its IANA name; raises ValueError for a name that is none."""

Anchor = int | datetime
"""Day of the month, 1 to 31, or the instant (aware) at which a period of the account began."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """
    The calendar by which an account's periods begin.

    Args:
        zone: The time zone in which days, months and years are counted.
        month: Month of the beginning of a year, 1 to 12.
        day: Day of the beginning of a month and a year, 1 to 31; the last day of a shorter month.
        time: Time of day of the beginning of a month and a year, in microseconds after midnight.
    """

    zone: tzinfo = UTC
    month: int = 1
    day: int = 1
    time: int = 0


UTC_CALENDAR = Calendar()


@lru_cache(maxsize=4096)
def anchored(anchor: Anchor | None, zone: tzinfo) -> Calendar:
    """Return the calendar of an account: its anchor as the clocks of its time zone show it, to the second."""
    if isinstance(anchor, datetime):
        local = anchor.astimezone(zone)
        time = ((local.hour * 60 + local.minute) * 60 + local.second) * SECOND
        return Calendar(zone, local.month, local.day, time)
    return Calendar(zone, day=anchor or 1)


def checked_anchor(value: object, what: str) -> Anchor:
    """
    Return an anchor; an instant to the second.

    Raises:
        AccountError: For anything but a day of the month and an aware datetime.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            cure = "write an aware one, such as datetime(2026, 1, 31, 12, tzinfo=UTC)"
            raise AccountError(f"{what} {value!r} is a naive datetime; {cure}")
        if not 1 < value.year < 9999:
            raise AccountError(f"{what} {value!r} is too far away; write the beginning of one of its periods")
        return value.replace(microsecond=0)
    if type(value) is int and 1 <= value <= 31:
        return value
    raise AccountError(f"{what} {shown(value)} must be a day of the month, 1 to 31, or an aware datetime")


def utc_only(name: str) -> tzinfo:
    """
    Return UTC by its name: the finder of a policy that was not read from files.

    Raises:
        ValueError: For any other name.
    """
    if name == "UTC":
        return UTC
    raise ValueError(f"{shown(name)} is not a time zone that this policy knows; load the policy with Policy.load()")
