"""The assignment rules of a policy: criteria, ordered rules and signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from entitlements.model.conditions import Between, Condition, CriterionValue, IsKnown, OneOf
from entitlements.model.prepared import Memo


class CriterionKind(StrEnum):
    """The type of a criterion's values: money, whole numbers, words, or yes and no."""

    AMOUNT = "amount"
    COUNT = "count"
    WORD = "word"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Criterion:
    """
    One property of accounts that rules can test.

    Args:
        name: Its name in the policy.
        kind: The type of its values.
        attributes: The account attributes that hold it; lower case, words joined by `-`.
        least: The smallest valid number; None for no bound.
        most: The largest valid number; None for no bound.
        missing: The default for an account without a value; None leaves it unknown.
        decimal_comma: Texts of numbers have a decimal comma, and points between thousands: `50.000,00`.
        about: One sentence for people.
    """

    name: str
    kind: CriterionKind
    attributes: tuple[str, ...]
    least: Decimal | None = None
    most: Decimal | None = None
    missing: CriterionValue | None = None
    about: str = ""
    decimal_comma: bool = False

    def __hash__(self) -> int:
        """Hash the name; a policy has one criterion of a name, and its values are looked up by it."""
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One rule of the ordered list: accounts that fit *when* belong in *tier*.

    Args:
        name: Its name; by default the tier's id.
        tier: The tier's id.
        when: The condition.
        precedence: True if the rule intentionally takes accounts that later rules also fit.
    """

    name: str
    tier: str
    when: Condition
    precedence: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """
    A range of values of one criterion that votes for a tier.

    A band of any value (`IsKnown`) belongs to a tier that takes every account. The accounts of
    that tier get no hint to move, and no other account gets a hint to move there.
    """

    tier: str
    when: Between | OneOf | IsKnown


@dataclass(frozen=True, slots=True)
class AssignmentRules:
    """
    The rules that assign a tier to an account.

    Args:
        binding: The criterion that decides; the others are signals.
        criteria: By name, in the order of the files.
        rules: Ordered; the first that fits decides.
        signals: The bands of each criterion that votes, in the order of the files.
        derived: What `tiering` has derived of the rules and bands so far.
    """

    binding: str
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    signals: Mapping[str, tuple[Band, ...]] = field(default_factory=dict)
    derived: Memo = field(default_factory=Memo, init=False, repr=False, compare=False)
