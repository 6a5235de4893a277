"""Meters as they stand: how much is used, where a quota is heading, and what happens when nothing is left. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.model.facts import Facts, Remedy
from entitlements.model.instants import to_instant
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Algorithm, Mode, Quota, Rate

if TYPE_CHECKING:
    from datetime import datetime

    from entitlements.model.limits import Limit, LimitValue
    from entitlements.model.usage import Usage

EARLY = 100
"""Before one part in so many of a period is over, where it is heading cannot be said."""


@dataclass(frozen=True, slots=True)
class UsageMeter:
    """
    One limit of an account.

    Args:
        limit: Its definition.
        usage: What the store counted.
        projected: Of a quota: what will be used when the period ends, if it goes on as it has since the
            period began; None for other limits, and early in a period.
        remedy: The lowest tier and the first add-on that have more, or None.
        more: What the account would have of the limit on that tier; None where no tier is named.
        size: What the account has of the limit; `usage.limit` is what can be spent at once.
    """

    limit: Limit
    usage: Usage
    projected: int | None = None
    remedy: Remedy | None = None
    more: LimitValue | None = None
    size: LimitValue | None = None

    @property
    def share(self) -> float | None:
        """Used of the limit, 1.0 when nothing is left; None where there is nothing to divide by."""
        size, used = self.usage.limit, self.usage.used
        if isinstance(size, int) and size and used is not None:
            return used / size
        return None


def meter_of(facts: Facts, usage: Usage, start: datetime | None, now: int) -> UsageMeter:
    """
    Return the meter of one limit.

    Args:
        facts: What the resolution says of it.
        usage: What the store counted.
        start: Of a quota's running period, where the store knows one.
        now: Microseconds since 1970.
    """
    assert facts.limit is not None
    remedy, more = _remedy(facts, usage)
    return UsageMeter(facts.limit, usage, _projected(usage, start, now), remedy, more, facts.size)


def _projected(usage: Usage, start: datetime | None, now: int) -> int | None:
    """Return the straight line through the period's start and now, at the period's end; rounded to the nearest unit."""
    if start is None or usage.resets_at is None or usage.used is None:
        return None
    length, gone = to_instant(usage.resets_at) - to_instant(start), now - to_instant(start)
    if not length <= gone * EARLY <= length * EARLY:
        return None
    return (usage.used * length + gone // 2) // gone


def _remedy(facts: Facts, usage: Usage) -> tuple[Remedy | None, LimitValue | None]:
    """Return who has more than both the limit and what is used; where an override has the last word, nobody."""
    if facts.is_final or usage.limit is UNLIMITED:
        return None, None
    least = max(usage.limit if isinstance(usage.limit, int) else 0, usage.used or 0)
    tiers, add_ons = (
        [(name, size) for name, size in ways if size is not NOT_INCLUDED and size > least]
        for ways in (facts.tiers, facts.add_ons)
    )
    if not tiers and not add_ons:
        return None, None
    return Remedy(tiers[0][0] if tiers else None, add_ons[0][0] if add_ons else None), tiers[0][1] if tiers else None


def when_full(meter: UsageMeter) -> str:
    """Return what happens to a charge for which nothing is left, in words."""
    limit, size = meter.limit, meter.usage.limit
    if size is UNLIMITED:
        return "never refused"
    if limit.mode is Mode.SHADOW:
        return "goes on (shadow mode: measured, never refused)"
    if not size:
        return "always refused"
    if isinstance(limit, Quota):
        return "refused until the period ends"
    if not isinstance(limit, Rate):
        return "nothing more until some is released"
    return {
        Algorithm.SLIDING: "refused until earlier units are a window old",
        Algorithm.FIXED: "refused until the window ends",
        Algorithm.TOKEN_BUCKET: "refused until tokens drip in",
    }[limit.algorithm]
