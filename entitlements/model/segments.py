"""What a policy says about dividing a base of accounts into segments, one for each tier."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from entitlements.model.criteria import Rule


@dataclass(frozen=True, slots=True)
class Cut:
    """
    Accounts whose share of the total begins below a percentage belong in *tier*.

    Args:
        tier: The tier's id.
        below: The percentage; None for the last cut, which takes the rest.
    """

    tier: str
    below: Decimal | None


@dataclass(frozen=True, slots=True)
class ShareSegmentation:
    """
    Accounts by their share of a total: the largest first, until so much of it is reached.

    Args:
        name: Its name in the policy.
        about: One sentence for people.
        criterion: What is added up; a criterion of numbers.
        cuts: In order, ascending.
    """

    name: str
    about: str
    criterion: str
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class RuleSegmentation:
    """
    Accounts by ordered rules over any criteria; the first that fits decides.

    Args:
        name: Its name in the policy.
        about: One sentence for people.
        rules: In order.
    """

    name: str
    about: str
    rules: tuple[Rule, ...]


Segmentation = ShareSegmentation | RuleSegmentation
