"""Uptime guarantee of a tier, and the credit for a month below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import NOT_INCLUDED
from entitlements.tiering.numbers import check_number

__all__ = ["Credit", "Uptime", "uptime"]

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Credit:
    """
    The credit for one measured month.

    Args:
        percent: The percentage of the fee; 0 if the guarantee was kept.
        amount: The amount in the policy's currency, rounded half up to the cent.
        below: The threshold that the measured uptime is below; None if it is below none.
    """

    percent: Decimal
    amount: Decimal
    below: Decimal | None


@dataclass(frozen=True, slots=True)
class Uptime:
    """
    The uptime guarantee of a tier.

    Args:
        guarantee: Percentage of the time; None for no guarantee.
        label: The text if there is no guarantee; else empty.
        credits: Steps as (below this percentage, credit in percent), lowest first.
    """

    guarantee: Decimal | None
    label: str
    credits: tuple[tuple[Decimal, Decimal], ...]

    def credit(self, measured: Decimal | float | str, fee: Decimal | float | str) -> Credit:
        """
        Return the credit: that of the lowest threshold above *measured*.

        Args:
            measured: The measured uptime in percent, 0 to 100.
            fee: The fee for that time, 0 or more.

        Raises:
            ValueError: For anything else.
        """
        up, paid = check_number(measured, "measured uptime", most=Decimal(100)), check_number(fee, "fee")
        below, percent = next(((below, credit) for below, credit in self.credits if up < below), (None, Decimal(0)))
        return Credit(percent, (paid * percent / 100).quantize(CENT, ROUND_HALF_UP), below)


def uptime(entitlements: Entitlements) -> Uptime:
    """Return the guarantee of the account's tier, from `uptime.guarantee` and `uptime.credits`."""
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
