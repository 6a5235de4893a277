"""Uptime guarantee of a tier, and the credit for a month below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from entitlements.model.entitlements import Entitlements
from entitlements.model.immutable import ANSWER, immutable
from entitlements.model.names import shown
from entitlements.model.resolution import resolution_of
from entitlements.tiering.numbers import check_number
from entitlements.tiering.value_faults import (
    ValueFault,
    misspelt,
    percent_fault,
    require_readable,
    unknown_key,
    written_number,
)

__all__ = ["Credit", "Uptime", "uptime"]

CENT = Decimal("0.01")

NODE: Final = "uptime"
"""The node of the guarantee; a number or `no-commitment` of its own is a guarantee without credits."""

GUARANTEE: Final = "uptime.guarantee"
CREDITS: Final = "uptime.credits"
_EXAMPLES = {"below": "99.9", "credit": "10"}
_STEPS = "write a list of credits, such as [{below: 99.9, credit: 10}]"


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


@immutable(ANSWER)
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
    """
    Return the guarantee of the account's tier, from `uptime.guarantee` and `uptime.credits`.

    Raises:
        PolicyError: For values that cannot be read.
    """
    values = resolution_of(entitlements).values
    require_readable(entitlements, uptime_faults(values))
    label = values.get(f"{GUARANTEE if GUARANTEE in values else NODE}.label")
    return Uptime(
        written_number(values.get(GUARANTEE, values.get(NODE))), str(label or ""), tuple(sorted(_steps(values)))
    )


def uptime_faults(values: Mapping[str, Any]) -> Iterator[ValueFault]:
    """Yield the faults of the uptime guarantee in *values*."""
    faults = [fault for key, value in values.items() for fault in uptime_fault(key, value)]
    yield from faults
    if CREDITS not in values or any(fault.is_error for fault in faults):
        return
    guarantee = written_number(values.get(GUARANTEE, values.get(NODE)))
    seen: set[Decimal] = set()
    for index, (below, _) in enumerate(_steps(values)):
        at = (index, "below")
        if below in seen:
            yield ValueFault(CREDITS, f"two credits are for an uptime below {below}", "keep one of the two", at)
        if guarantee is not None and below > guarantee:
            problem = f"the credit below {below} is owed while the guarantee of {guarantee} is kept"
            yield ValueFault(CREDITS, problem, f"write {guarantee} or less, or guarantee more", at)
        seen.add(below)


def uptime_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield the faults of one value, if it is the node `uptime` or below it."""
    if key in {NODE, GUARANTEE}:
        if value is not None:
            for fault in percent_fault(key, value, "99.9"):
                yield replace(fault, cure=f"{fault.cure}, or {{no-commitment: text}}") if fault.is_error else fault
    elif key == CREDITS:
        if not isinstance(value, tuple):
            yield ValueFault(key, f"{shown(value)} is not a list of credits", _STEPS)
            return
        for index, step in enumerate(value):
            yield from _step_faults(index, step)
    elif key.startswith(f"{NODE}.") and key not in {f"{NODE}.label", f"{GUARANTEE}.label"}:
        if key.startswith(f"{CREDITS}."):
            yield ValueFault(key, "the credits are not a list", _STEPS)
        else:
            yield unknown_key(key, key.removeprefix(f"{NODE}."), ("guarantee", "credits"), "the uptime guarantee")


def _steps(values: Mapping[str, Any]) -> list[tuple[Decimal, Decimal]]:
    """Return the credits of values without faults, in the order of the file."""
    numbers = ([written_number(step[word]) for word in _EXAMPLES] for step in values.get(CREDITS, ()))
    return [(below, credit) for below, credit in numbers if below is not None and credit is not None]


def _step_faults(index: int, step: object) -> Iterator[ValueFault]:
    if not isinstance(step, Mapping):
        yield ValueFault(CREDITS, f"{shown(step)} is not a credit", _STEPS, (index,))
        return
    for word in step:
        if word not in _EXAMPLES:
            close = misspelt(word, _EXAMPLES)
            cure = f"did you mean {close!r}?" if close else "write below and credit"
            yield ValueFault(CREDITS, f"{word!r} is no part of a credit", cure, (index, word))
    for word, example in _EXAMPLES.items():
        if word in step:
            yield from percent_fault(CREDITS, step[word], example, at=(index, word))
        elif len(step.keys() & _EXAMPLES.keys()) == len(step):  # else the misspelt key is reported
            yield ValueFault(CREDITS, f"the credit has no {word!r}", f"write {word}: {example}", (index,))
