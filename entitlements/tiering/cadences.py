"""
Cadences: texts such as `bi-weekly`, read as a number of days or months between two occurrences.

Two of them are ambiguous. Bi-weekly is every two weeks; bi-annually is twice a year, as
semi-annually is.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from entitlements.model.names import nearest_or_all

MONTH_1 = "month 1"
"""The first 30 days after the start."""

MONTH_1_DAYS = 30
AS_NEEDED = "as needed"
"""Never due by itself."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """
    The time between two occurrences; both 0 for what is never due by itself.

    Args:
        days: Days between them.
        months: Months between them; the day of the month is the first one's, or the last of a shorter month.
    """

    days: int = 0
    months: int = 0

    def dates(self, start: date, since: date, until: date) -> Iterator[date]:
        """Yield the occurrences in [since, until), in order; the first of all is one interval after *start*."""
        count = max(1, self._before(start, since))
        while (self.days or self.months) and (due := self.nth(start, count)) < until:
            if due >= since:
                yield due
            count += 1

    def nth(self, start: date, count: int) -> date:
        """Return the occurrence *count* intervals after *start*."""
        return start + timedelta(days=self.days * count) if self.days else add_months(start, self.months * count)

    def _before(self, start: date, since: date) -> int:
        """Return a number of intervals that does not reach *since*, close to it."""
        if self.days:
            return (since - start).days // self.days
        months = (since.year - start.year) * 12 + since.month - start.month
        return (months - 1) // self.months if self.months else 0


CADENCES = {
    "daily": Cadence(days=1),
    "weekly": Cadence(days=7),
    "bi-weekly": Cadence(days=14),
    "monthly": Cadence(months=1),
    "quarterly": Cadence(months=3),
    "semi-annually": Cadence(months=6),
    "bi-annually": Cadence(months=6),
    "annually": Cadence(months=12),
    AS_NEEDED: Cadence(),
}
"""Every cadence that is read, by its text."""


def cadence_of(text: str) -> Cadence:
    """
    Return the cadence that a text means.

    Raises:
        ValueError: For a text that is no cadence, with the nearest one.
    """
    found = CADENCES.get(text)
    if found is None:
        raise ValueError(f"{text!r} is no cadence{nearest_or_all(text, CADENCES)}")
    return found


def add_months(day: date, months: int) -> date:
    """Return the same day of the month *months* later, or the last day of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
