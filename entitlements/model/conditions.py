"""
Conditions over the criteria of an account, as data: a policy file holds no code.

A leaf tests one criterion; `All`, `AnyOf` and `Not` combine conditions.
`entitlements.tiering.conditions` evaluates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

CriterionValue = Decimal | int | str | bool
"""A known value of one criterion: an amount, a count, a word or a flag."""


@dataclass(frozen=True, slots=True)
class Between:
    """
    Holds for a number between two bounds.

    Args:
        criterion: The criterion's name.
        low: The lower bound; None for no bound.
        high: The upper bound; None for no bound.
        above: True if *low* itself is outside.
        below: True if *high* itself is outside.
    """

    criterion: str
    low: Decimal | None = None
    high: Decimal | None = None
    above: bool = False
    below: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """Holds for a value that is one of several."""

    criterion: str
    values: tuple[CriterionValue, ...]


@dataclass(frozen=True, slots=True)
class IsKnown:
    """Holds if a value of the criterion is known, or with *known* False, if none is."""

    criterion: str
    known: bool


@dataclass(frozen=True, slots=True)
class All:
    """Holds if every part holds; without parts, always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds if at least one part holds; without parts, never."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Holds if the part does not hold."""

    part: Condition


Condition = Between | OneOf | IsKnown | All | AnyOf | Not

ALWAYS = All(())
"""A condition that holds for every account."""
