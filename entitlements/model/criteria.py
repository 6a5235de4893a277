"""What a policy says about who belongs in which tier: criteria, ordered rules, signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from entitlements.model.conditions import Between, Condition, CriterionValue, IsKnown, OneOf


class CriterionKind(StrEnum):
    """What a criterion's values are: money, whole numbers, words, or yes and no."""

    AMOUNT = "amount"
    COUNT = "count"
    WORD = "word"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Criterion:
    """
    One thing that is known about accounts.

    Args:
        name: Its name in the policy.
        kind: What its values are.
        attributes: The account's attributes that hold it; lower case, words joined by `-`.
        least: The least value that can be right, for numbers.
        most: The largest value that can be right, for numbers.
        missing: The value of an account that says nothing; None leaves it unknown.
        about: One sentence for people.
    """

    name: str
    kind: CriterionKind
    attributes: tuple[str, ...]
    least: Decimal | None = None
    most: Decimal | None = None
    missing: CriterionValue | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One line of the ordered list: accounts that fit *when* belong in *tier*.

    Args:
        name: Its name; the tier's id where it has none.
        tier: The tier's id.
        when: The condition.
        precedence: It is meant to take accounts that later rules fit as well.
    """

    name: str
    tier: str
    when: Condition
    precedence: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """
    The values of one criterion that speak for a tier.

    A band of any value at all (`IsKnown`) says that this tier takes everybody: its accounts are
    not told to move, and nobody is told to move to it.
    """

    tier: str
    when: Between | OneOf | IsKnown


@dataclass(frozen=True, slots=True)
class AssignmentRules:
    """
    Which tier an account belongs in.

    Args:
        binding: The criterion that decides; the others are signals.
        criteria: By name, in the order of the files.
        rules: In order: the first that fits decides.
        signals: The bands of each criterion that votes, in the order of the files.
    """

    binding: str
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    signals: Mapping[str, tuple[Band, ...]] = field(default_factory=dict)
