"""Tiers: features, levels, limits and configuration values of each, and the terms of trial plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from entitlements.model.immutable import FILES, immutable
from entitlements.model.limits import LimitValue

Value = bool | str | Decimal | timedelta | tuple["Value", ...] | Mapping[str, "Value"] | None
"""A configuration value; None is *no commitment*, with its text under `<key>.label`."""


@immutable(FILES)
@dataclass(frozen=True, slots=True)
class TrialTerms:
    """
    The terms of a trial plan; durations in microseconds.

    Args:
        default: The default length.
        shortest: The shortest length.
        longest: The longest length.
        then: The tier that remains when the trial ends.
    """

    default: int
    shortest: int
    longest: int
    then: str


@immutable(FILES)
@dataclass(frozen=True, slots=True)
class Tier:
    """
    One tier (plan), with inherited parts filled in.

    Args:
        id: Its name in the policy.
        rank: Its position: a higher rank is a higher tier.
        name: Its name for people.
        aliases: Other ids that accounts may carry.
        features: The switches that are on.
        levels: The level of each feature with levels.
        limits: The size of each limit; an absent one is not included.
        values: Configuration values by dotted key, leaves only.
        trial: The terms if it is a trial plan; else None.
        origins: The tier that defines each name, for explanations.
        line: The product line that it is part of; ranks compare tiers of one line only.
        retired: True if it is not sold any more: accounts in it keep it, and nothing recommends it.
    """

    id: str
    rank: int
    name: str
    aliases: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    levels: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, LimitValue] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    trial: TrialTerms | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    line: str = ""
    retired: bool = False

    @property
    def is_sold(self) -> bool:
        """True if an account can move to it: it is neither retired nor a trial plan."""
        return not self.retired and self.trial is None

    def is_above(self, other: Tier) -> bool:
        """Return True if it is a higher tier of the same product line."""
        return self.line == other.line and self.rank > other.rank

    def is_at_least(self, other: Tier) -> bool:
        """Return True if it is of the same or a higher rank in the same product line."""
        return self.line == other.line and self.rank >= other.rank
