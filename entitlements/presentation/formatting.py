"""Formatting of limits, values, times and tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from entitlements.model.display import in_words
from entitlements.model.limits import NOT_INCLUDED, Limit, PeriodLength, Quota, Rate, Unlimited
from entitlements.model.overage import Included

if TYPE_CHECKING:
    from entitlements.model.policy import PolicyData

RANGE_WORDS = ("from", "to", "below", "above")
"""The words of a range; no comma stands between them."""

NOT_INCLUDED_TEXT = "not included"


def format_limit(limit: Limit, size: object) -> str:
    """Return the size of a limit: `60 per minute, at most 5 at once`, `10 GB`, `not included`."""
    if not isinstance(size, int) or isinstance(size, bool):
        return NOT_INCLUDED_TEXT if size is NOT_INCLUDED else in_words(size)
    if isinstance(size, Included):
        beyond = (
            "overage beyond"
            if isinstance(size.overage, Unlimited)
            else f"{format_amount(limit, size.overage)} more as overage"
        )
        return f"{format_rate(limit, int(size))} included, {beyond}"
    capacity = limit.capacity(size)
    burst = "" if capacity == size else f", at most {in_words(capacity)} at once"
    return f"{format_rate(limit, size)}{burst}"


def format_rate(limit: Limit, number: int) -> str:
    """Return a number of units with the window or period of the limit: `60 per minute`, `10 GB`."""
    return f"{format_amount(limit, number)}{_per(limit)}"


def format_amount(limit: Limit, number: int) -> str:
    """Return a number of units of a limit: `1,000`, `10 GB`."""
    return _format_bytes(number) if limit.unit == "byte" else f"{number:,}"


def format_named(policy: PolicyData, name: str, value: object) -> str:
    """Return the value of a feature, limit or configuration key."""
    limit = policy.limits.get(name)
    if limit is not None:
        return format_limit(limit, value)
    return NOT_INCLUDED_TEXT if value is NOT_INCLUDED else in_words(value)


def format_no_commitment(label: object) -> str:
    """Return the text of a missing commitment, with its label if it has one."""
    return f"no commitment: {label}" if label else "no commitment"


def format_time(value: datetime) -> str:
    """Return a time to the minute, or to the second if it has seconds."""
    return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + " UTC"


def format_range(values: Mapping[str, object]) -> str:
    """Return a range with its attributes: `from 5 to 10, open-ended`."""
    ends = [f"{word} {in_words(value)}" for word, value in values.items() if word in RANGE_WORDS]
    rest = [
        word if value is True else f"{word} {in_words(value)}"
        for word, value in values.items()
        if word not in RANGE_WORDS
    ]
    return ", ".join(filter(None, (" ".join(ends), *rest)))


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 tier`, `2 tiers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first_lines(lines: Sequence[str], limit: int, more: str) -> Iterator[str]:
    """Yield the first *limit* lines, and *more* with the number of the others."""
    yield from lines[:limit]
    if len(lines) > limit:
        yield more.format(len(lines) - limit)


def align_columns(rows: Sequence[Sequence[str]], *, right: bool = False) -> Iterator[str]:
    """
    Yield the lines of a table.

    Args:
        rows: Cells; the first row holds the headings.
        right: Align all columns but the first to the right, for figures.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = ["<", *(">" if right else "<" for _ in widths[1:])]
    for row in rows:
        cells = (f"{cell:{sign}{width}}" for cell, sign, width in zip(row, signs, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _per(limit: Limit) -> str:
    if isinstance(limit, Quota):
        return " in total" if limit.period == PeriodLength.LIFETIME else f" per {limit.period}"
    if not isinstance(limit, Rate) or not limit.window:
        return ""
    from entitlements.policy.quantities import window_in_words

    return f" per {window_in_words(limit.window)}"


def _format_bytes(size: int) -> str:
    """Return bytes in the largest unit that writes them exactly, to two decimals."""
    from entitlements.policy.quantities import BYTE_UNITS

    units = [(length, unit) for unit, length in BYTE_UNITS.items() if length > 1 and size >= length]
    for length, unit in sorted(units, reverse=True):
        if size * 100 % length == 0:
            return f"{size / length:,.2f}".rstrip("0").rstrip(".") + f" {unit}"
    return f"{size:,} bytes"
