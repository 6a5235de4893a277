"""The present and past usage of a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from entitlements.model.display import fields_in_json
from entitlements.model.immutable import ANSWER, immutable
from entitlements.model.limits import LimitValue, Size, Unlimited


@immutable(ANSWER)
@dataclass(frozen=True, slots=True)
class Usage:
    """
    The present usage of one limit.

    Args:
        used: Units used, including reserved ones; None if they are not counted
            (an unlimited rate).
        reserved: Units reserved.
        limit: The account's size of the limit; with overage the included amount.
        remaining: max(0, limit - used); 0 if not included.
        resets_at: Aware UTC. For a rate, the instant at which everything is available again;
            for a quota, the end of the period; None for an allocation, and for a quota for a lifetime.
        overage: Units used beyond the limit, where it has overage; else 0.
        leased: Units among those used that this process has leased and not spent; those that other processes hold
            count as used too.
    """

    used: int | None
    reserved: int
    limit: LimitValue
    remaining: int | Unlimited
    resets_at: datetime | None
    overage: int = 0
    leased: int = 0

    to_dict = fields_in_json


def leased_usages(usages: dict[str, Usage], leased: Mapping[str, int]) -> dict[str, Usage]:
    """Return usages by limit with the units that are leased."""
    if not leased:
        return usages
    return {name: replace(usage, leased=leased.get(name, 0)) for name, usage in usages.items()}


@immutable(ANSWER)
@dataclass(frozen=True, slots=True)
class Period:
    """
    The usage of a quota in one period.

    Args:
        start: Aware UTC, the first instant.
        end: Aware UTC, the first instant after it; None for a lifetime, which begins in 1970.
        used: Units used, including reserved ones.
        denied: Units refused.
        limit: The limit at the last charge of the period; with overage the included amount.
        overage: Units used beyond the limit, where it had overage; else 0.
    """

    start: datetime
    end: datetime | None
    used: int
    denied: int
    limit: Size
    overage: int = 0

    to_dict = fields_in_json
