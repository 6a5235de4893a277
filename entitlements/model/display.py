"""Formatting of values: for people, and for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

from entitlements.model.overage import Included


@runtime_checkable
class HasDict(Protocol):
    """A value that `in_json` writes as a dict."""

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        ...


_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def in_words(value: object) -> str:
    """Return *value* as text for people: `14 days`, `10,000`, `yes`."""
    if value is None:
        return "no commitment"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Included):
        beyond = f"{value.overage:,} more as overage" if isinstance(value.overage, int) else "overage beyond"
        return f"{int(value):,} included, {beyond}"
    if isinstance(value, int | Decimal):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {in_words(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return "; ".join(in_words(item) for item in value)
    return str(value)


_PLAIN = frozenset({str, int, float, bool})


def in_json(value: object) -> object:
    """
    Return *value* as a type that `json.dumps` accepts.

    Times become ISO 8601 in UTC, durations seconds, whole decimals ints and other decimals
    floats. Sizes become ints, "unlimited" or "not-included".
    """
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date):
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
    return value.to_dict() if isinstance(value, HasDict) else value


def fields_in_json(record: Any) -> dict[str, object]:
    """Return a dict for `json.dumps` with every field of a dataclass."""
    return attributes_in_json(record, [each.name for each in fields(record)])


def attributes_in_json(record: object, names: Iterable[str]) -> dict[str, object]:
    """Return a dict for `json.dumps` with the attributes *names* of an object."""
    return {name: in_json(getattr(record, name)) for name in names}


def _duration(value: timedelta) -> str:
    """
    Return one unit if it is exact, else the two largest: `90 minutes`, `7 days 19 hours`.

    Up to three days are written in hours: 24 hours may run on a clock of business hours,
    where they last more than one day.
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
