"""Dates as spreadsheets write them; the order of day and month is that of the whole column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime

_NUMBERS = re.compile(r"(\d{1,4})([-/.])(\d{1,2})\2(\d{1,4})(?:[T ]\d{1,2}:\d{2}.*)?")
_WORDED = re.compile(r"(?:(\d{1,2})\.?[ -]([a-z]{3,9})|([a-z]{3,9})\.? (\d{1,2}),?)(?:[ -](\d{2,4}))?", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LEAP_YEAR = 2000


def date_fault(text: str) -> str | None:
    """
    Return the fault of a date; None for a possible date.

    The forms are `2017-01-31`, `1/31/2017`, `31.1.2017` and `31 January 2017`. A date is possible
    if it exists in any order of day and month, because a file does not say which is meant.
    """
    days = _candidates(text.strip())
    if not days:
        return f"{text.strip()[:40]!r} is not a date"
    return None if any(_day(each) for each in days) else f"{text.strip()!r} does not exist"


def is_day_first(texts: Iterable[str]) -> bool | None:
    """Return the order of the dates in a column: True for `31/1/2017`; None if no date shows it, or two differ."""
    found = set()
    for text in texts:
        days = [_day(each) for each in _candidates(text.strip())]
        if len(days) == 2 and (days[0] is None) != (days[1] is None):
            found.add(days[0] is None)
    return found.pop() if len(found) == 1 else None


def read_date(value: object, *, day_first: bool | None = None) -> date:
    """
    Return the date in a cell.

    Args:
        value: The cell: a text, or a date.
        day_first: The order of the column; None if it is not known. Dates with dots have the day first.

    Raises:
        ValueError: With `problem; cure`, for anything but a date that exists, and a date with an unknown order.
    """
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    text = str(value)
    if fault := date_fault(text):
        raise ValueError(f"{fault}; write a date such as 2027-01-31, or leave the cell empty")
    found = [_day(each) for each in _candidates(text.strip())]
    days = dict.fromkeys(day for day in found if day is not None)
    if len(days) > 1:
        if "." in text:
            day_first = True
        if day_first is None:
            raise ValueError(f"{text.strip()!r} may be {' or '.join(map(str, days))}; write 2027-01-31")
        return list(days)[day_first]
    return next(iter(days))


def _candidates(text: str) -> list[tuple[int, int, int]]:
    """Return the possible years, months and days of a text; the order with the month first comes first."""
    if found := _NUMBERS.fullmatch(text):
        first, second, third = int(found[1]), int(found[3]), int(found[4])
        if len(found[1]) == 4:
            return [(first, second, third)]
        return [(_year(found[4]), first, second), (_year(found[4]), second, first)] if len(found[1]) < 3 else []
    if found := _WORDED.fullmatch(text):
        month = (found[2] or found[3])[:3].lower()
        year = _LEAP_YEAR if found[5] is None else _year(found[5])
        return [(year, _MONTHS.index(month) + 1, int(found[1] or found[4]))] if month in _MONTHS else []
    return []


def _year(text: str) -> int:
    return int(text) + (2000 if len(text) == 2 else 0)


def _day(day: tuple[int, int, int]) -> date | None:
    try:
        return date(*day)
    except ValueError:
        return None
