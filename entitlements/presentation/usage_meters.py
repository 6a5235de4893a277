"""Usage meters: the used part of a limit, the projection of a quota, and the effect of reaching the limit. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from entitlements.model.entitlements import Entitlements
from entitlements.model.facts import Facts, Remedy
from entitlements.model.instants import to_instant
from entitlements.model.limits import (
    NOT_INCLUDED,
    UNLIMITED,
    Algorithm,
    Limit,
    LimitValue,
    Mode,
    PeriodLength,
    Quota,
    Rate,
)
from entitlements.model.overage import overage_of
from entitlements.model.reasons import Reason
from entitlements.model.remedies import cheapest
from entitlements.model.resolution import resolution_of
from entitlements.model.usage import Usage

EARLY = 100
"""No projection is made before one part in so many of a period is over."""


@dataclass(frozen=True, slots=True)
class UsageMeter:
    """
    The usage of one limit of an account.

    Args:
        limit: The definition of the limit.
        usage: The counts of the store.
        projected: Usage of a quota at the end of the period, if it continues at the average rate since the
            period's start; None for other limits, and early in a period.
        remedy: The lowest tier and the first add-on that have more, or None.
        more: Size of the limit on that tier; None if no tier is named.
        size: Size of the account's limit; `usage.limit` is the part that can be spent at once.
    """

    limit: Limit
    usage: Usage
    projected: int | None = None
    remedy: Remedy | None = None
    more: LimitValue | None = None
    size: LimitValue | None = None

    @property
    def share(self) -> float | None:
        """The used share of the limit, 1.0 if nothing is left; None if usage or size is not a number."""
        size, used = self.usage.limit, self.usage.used
        if isinstance(size, int) and size and used is not None:
            return used / size
        return None


def meter_of(facts: Facts, usage: Usage, start: datetime | None, now: int) -> UsageMeter:
    """
    Return the meter of one limit.

    Args:
        facts: The resolved limit.
        usage: The counts of the store.
        start: Start of a quota's running period, if the store knows one.
        now: In microseconds since 1970.
    """
    assert facts.limit is not None
    remedy, more = _remedy(facts, usage)
    return UsageMeter(facts.limit, usage, _projected(usage, start, now), remedy, more, facts.size)


def _projected(usage: Usage, start: datetime | None, now: int) -> int | None:
    """Return usage at the period's end: a straight line from the period's start, rounded to the nearest unit."""
    if start is None or usage.resets_at is None or usage.used is None:
        return None
    length, elapsed = to_instant(usage.resets_at) - to_instant(start), now - to_instant(start)
    if not length <= elapsed * EARLY <= length * EARLY:
        return None
    return (usage.used * length + elapsed // 2) // elapsed


def _remedy(facts: Facts, usage: Usage) -> tuple[Remedy | None, LimitValue | None]:
    """Return the tier and add-on that have more than both limit and usage; none if an override is final."""
    if facts.is_final or usage.limit is UNLIMITED:
        return None, None
    least = max(usage.limit if isinstance(usage.limit, int) else 0, usage.used or 0)
    tier = next((each for each in facts.tiers if each.size is not NOT_INCLUDED and each.size > least), None)
    return cheapest(tier, facts.add_ons, [(facts.add_ons, least + 1)]), tier and tier.size


def is_suspended(entitlements: Entitlements) -> bool:
    """Return True if every charge of the account is refused, whatever its limits."""
    return resolution_of(entitlements).refusal is Reason.SUSPENDED


def per_scope(entitlements: Entitlements, scope: str | None) -> dict[str, str]:
    """Return the limits of the account that no scope is given for, and the `per` of each."""
    if scope is not None:
        return {}
    limits = entitlements.policy.limits
    return {name: limit.per for name, limit in limits.items() if limit.per and entitlements.limit(name)}


def effect_of_full(meter: UsageMeter) -> str:
    """Return the effect on a charge when nothing of the limit is left."""
    limit, size = meter.limit, meter.usage.limit
    if size is UNLIMITED:
        return "never refused"
    if limit.mode is Mode.SHADOW:
        return "goes on (shadow mode: measured, never refused)"
    if overage := overage_of(meter.size):
        more = "any number more" if overage is UNLIMITED else f"{overage:,} more"
        return f"{more} as overage"
    if not size:
        return "always refused"
    if isinstance(limit, Quota):
        return "refused for good" if limit.period == PeriodLength.LIFETIME else "refused until the period ends"
    if not isinstance(limit, Rate):
        return "nothing more until some is released"
    return {
        Algorithm.SLIDING: "refused until earlier units are a window old",
        Algorithm.FIXED: "refused until the window ends",
        Algorithm.TOKEN_BUCKET: "refused until tokens drip in",
    }[limit.algorithm]
