"""How values read: for people, and in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from itertools import pairwise

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def in_words(value: object) -> str:
    """Return *value* as a person would write it: `14 days`, `10 000` as `10,000`, `yes`."""
    if value is None:
        return "no commitment"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, int | Decimal):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {in_words(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return "; ".join(in_words(item) for item in value)
    return str(value)


def in_json(value: object) -> object:
    """
    Return *value* as `json.dumps` takes it.

    Times are ISO 8601 in UTC, durations seconds, whole decimals ints, other decimals
    floats, sizes ints or "unlimited" and "not-included".
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return int(seconds) if seconds.is_integer() else seconds
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {str(key): in_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [in_json(item) for item in value]
    return value


def _duration(value: timedelta) -> str:
    """
    Return one unit where one will do, else the two largest: `90 minutes`, `7 days 19 hours`.

    Up to three days stay hours: 24 hours may run on a clock of business hours, where
    they are more than one day.
    """
    seconds = value.total_seconds()
    for unit, length in _UNITS:
        readable = seconds > 3 * length if unit == "day" else length <= seconds < 100 * length
        if readable and seconds % length == 0:
            return _counted(int(seconds // length), unit)
    for (unit, length), (smaller, part) in pairwise(_UNITS):
        if seconds >= length:
            count, rest = divmod(int(seconds), length)
            return (
                f"{_counted(count, unit)} {_counted(rest // part, smaller)}" if rest // part else _counted(count, unit)
            )
    return f"{seconds:g} seconds"


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit}{'s' * (count != 1)}"
