"""The segmentations of a policy: ways to divide a base of accounts into one segment per tier."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from entitlements.model.criteria import Rule


@dataclass(frozen=True, slots=True)
class Cut:
    """
    A boundary: accounts whose share of the total begins below a percentage belong in *tier*.

    Args:
        tier: The tier's id.
        below: The percentage; None for the last one, which takes the rest.
    """

    tier: str
    below: Decimal | None


@dataclass(frozen=True, slots=True)
class ShareSegmentation:
    """
    A segmentation by share of a total: the largest accounts first, until a percentage is reached.

    Args:
        name: Its name in the policy.
        about: One sentence for people.
        criterion: The criterion that is added up; its values are numbers.
        cuts: Ascending.
    """

    name: str
    about: str
    criterion: str
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class RuleSegmentation:
    """
    A segmentation by ordered rules over any criteria; the first that fits decides.

    Args:
        name: Its name in the policy.
        about: One sentence for people.
        rules: Ordered.
    """

    name: str
    about: str
    rules: tuple[Rule, ...]


Segmentation = ShareSegmentation | RuleSegmentation
