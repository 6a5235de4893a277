"""Omissions: statements of a price list that a policy cannot make."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class OmissionKind(StrEnum):
    """The kind of an omission; the value is what the policy language lacks."""

    PERIOD = "limits of other periods"
    SCOPE = "limits inside an account"
    FRACTION = "fractions of a unit"
    CONDITION = "features under a condition"
    TAKES_AWAY = "add-ons that take away"
    ADDS_TO_VALUE = "add-ons that add to a value"
    RULE = "rules of add-ons that contradict or name nothing"
    PRICE = "prices that are computed"
    CURRENCY = "currencies without a code"
    VALUE = "values of another type than is declared"
    KEY = "keys that are not of the format"


class Omission(NamedTuple):
    """
    One statement of a price list that the policy does not make.

    Args:
        kind: Its kind.
        path: Its place in the file: `plans.PRO.usageLimits.seats`.
        text: What is not said, and what the policy says in its place.
    """

    kind: OmissionKind
    path: str
    text: str
