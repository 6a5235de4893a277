"""What an account gets back when the service was up less than its tier guarantees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING

from entitlements.model.limits import NOT_INCLUDED

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Credit:
    """
    What is owed for one measured month.

    Args:
        percent: Of the fee; 0 where the guarantee was kept.
        amount: In the policy's currency, to the cent, half up.
        below: The threshold that the measured uptime is under; None where it is under none.
    """

    percent: Decimal
    amount: Decimal
    below: Decimal | None


@dataclass(frozen=True, slots=True)
class Uptime:
    """
    What a tier says of being up.

    Args:
        guarantee: Percent of the time; None promises nothing.
        label: What is said instead of a promise; else empty.
        credits: Cumulative steps as (below this percentage, credit in percent), lowest first.
    """

    guarantee: Decimal | None
    label: str
    credits: tuple[tuple[Decimal, Decimal], ...]

    def credit(self, measured: Decimal | float | str, fee: Decimal | float | str) -> Credit:
        """
        Return what is owed: of the steps that *measured* is under, the lowest threshold gives the credit.

        Args:
            measured: Percent of the time that the service was up, 0 to 100.
            fee: What was paid for that time, 0 or more.

        Raises:
            ValueError: For anything else.
        """
        up, paid = _number(measured, "measured uptime", most=Decimal(100)), _number(fee, "fee")
        below, percent = next(((below, credit) for below, credit in self.credits if up < below), (None, Decimal(0)))
        return Credit(percent, (paid * percent / 100).quantize(CENT, ROUND_HALF_UP), below)


def uptime(entitlements: Entitlements) -> Uptime:
    """Return what the account's tier says under `uptime.guarantee` and `uptime.credits`."""
    guarantee = entitlements.values.get("uptime.guarantee", NOT_INCLUDED)
    steps = entitlements.values.get("uptime.credits", ())
    found = [_step(step) for step in steps] if isinstance(steps, tuple) else []
    label = entitlements.values.get("uptime.guarantee.label")
    return Uptime(
        guarantee if isinstance(guarantee, Decimal) else None,
        str(label or ""),
        tuple(sorted(step for step in found if step)),
    )


def _step(step: object) -> tuple[Decimal, Decimal] | None:
    below, credit = (step.get("below"), step.get("credit")) if isinstance(step, Mapping) else (None, None)
    return (below, credit) if isinstance(below, Decimal) and isinstance(credit, Decimal) else None


def _number(value: object, what: str, *, most: Decimal | None = None) -> Decimal:
    """Return a finite number of at least 0 exactly as it is written."""
    try:
        number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or number < 0 or (most is not None and number > most):
        raise ValueError(f"{what} {value!r} must be a number from 0{f' to {most}' if most is not None else ' up'}")
    return number
