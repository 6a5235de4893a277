"""How what accounts have reads for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from entitlements.model.display import in_words
from entitlements.model.limits import NOT_INCLUDED, Quota, Rate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.limits import Limit
    from entitlements.model.policy import Policy

ENDS = ("from", "to", "below", "above")
"""The words of a range between which no comma stands."""

NOT_INCLUDED_WORDS = "not included"


def sized(limit: Limit, size: object) -> str:
    """Return what an account has of a limit: `60 per minute, at most 5 at once`, `10 GB`, `not included`."""
    if not isinstance(size, int) or isinstance(size, bool):
        return NOT_INCLUDED_WORDS if size is NOT_INCLUDED else in_words(size)
    at_once = limit.capacity(size)
    burst = "" if at_once == size else f", at most {in_words(at_once)} at once"
    return f"{more_of(limit, size)}{burst}"


def more_of(limit: Limit, number: int) -> str:
    """Return so many units as the limit counts them: `60 per minute`, `10 GB`."""
    return f"{amount(limit, number)}{_per(limit)}"


def amount(limit: Limit, number: int) -> str:
    """Return so many units of a limit: `1,000`, `10 GB`."""
    return _bytes(number) if limit.unit == "byte" else f"{number:,}"


def of_name(policy: Policy, name: str, value: object) -> str:
    """Return what a source says of *name*, whatever kind of name it is."""
    limit = policy.limits.get(name)
    if limit is not None:
        return sized(limit, value)
    return NOT_INCLUDED_WORDS if value is NOT_INCLUDED else in_words(value)


def promised(label: object) -> str:
    """Return what stands for a commitment that is not made."""
    return f"no commitment: {label}" if label else "no commitment"


def moment(value: datetime) -> str:
    """Return an instant to the minute, or to the second where it has one."""
    return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + " UTC"


def ranged(values: Mapping[str, object]) -> str:
    """Return a range and what else is said of it: `from 5 to 10, open-ended`."""
    ends = [f"{word} {in_words(value)}" for word, value in values.items() if word in ENDS]
    rest = [
        word if value is True else f"{word} {in_words(value)}" for word, value in values.items() if word not in ENDS
    ]
    return ", ".join(filter(None, (" ".join(ends), *rest)))


def counted(number: int, noun: str) -> str:
    """Return `1 tier`, `2 tiers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lasting(duration: int) -> str:
    """Return a duration of microseconds in words."""
    return in_words(timedelta(microseconds=duration))


def _per(limit: Limit) -> str:
    if isinstance(limit, Quota):
        return f" per {limit.period}"
    if not isinstance(limit, Rate) or not limit.window:
        return ""
    from entitlements.policy.quantities import window_in_words

    return f" per {window_in_words(limit.window)}"


def _bytes(size: int) -> str:
    """Return bytes in the largest unit that writes them exactly, to two decimals."""
    from entitlements.policy.quantities import BYTE_UNITS

    units = [(length, unit) for unit, length in BYTE_UNITS.items() if length > 1 and size >= length]
    for length, unit in sorted(units, reverse=True):
        if size * 100 % length == 0:
            return f"{size / length:,.2f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{size:,} bytes"
