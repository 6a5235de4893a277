"""
Conditions over what is known of an account, as data: a policy's file holds no code.

A leaf speaks of one criterion; `All`, `AnyOf` and `Not` hold others. What they mean
stands in `entitlements.tiering.conditions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

CriterionValue = Decimal | int | str | bool
"""What is known of an account for one criterion: an amount, a count, a word, or yes and no."""


@dataclass(frozen=True, slots=True)
class Between:
    """
    A number between two bounds, each of which may be open-ended.

    Args:
        criterion: The criterion's name.
        low: The lower bound; None where there is none.
        high: The upper bound; None where there is none.
        above: *low* itself is outside.
        below: *high* itself is outside.
    """

    criterion: str
    low: Decimal | None = None
    high: Decimal | None = None
    above: bool = False
    below: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value that is one of several."""

    criterion: str
    values: tuple[CriterionValue, ...]


@dataclass(frozen=True, slots=True)
class IsKnown:
    """Whether anything is known for the criterion at all."""

    criterion: str
    known: bool


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; without parts, always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds; without parts, never."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition


Condition = Between | OneOf | IsKnown | All | AnyOf | Not

ALWAYS = All(())
"""Holds for every account."""
