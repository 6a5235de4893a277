"""
Scales of health measures: a measured figure, such as CSAT or log-ins, as a score from 0 to 100.

`health.scales.<component>.<measure>` of a tier has the figure that scores 0 (`zero`) and the one that
scores 100 (`full`); figures beyond them score the same. The scale may fall, as that of days of late
payment does. A component is the mean of its known measures by their `weight`, 1 by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from entitlements.model.display import fields_in_json
from entitlements.model.names import shown
from entitlements.tiering.value_faults import ValueFault, number_fault, unknown_key, written_number

SCALES = "health.scales."
"""The node of the scales."""

_WORDS = ("zero", "full", "weight")
_ONE, _HUNDRED = Decimal(1), Decimal(100)


@dataclass(frozen=True, slots=True)
class Scale:
    """
    The scale of a measure.

    Args:
        component: The component of health.
        measure: The measure's name.
        zero: The figure that scores 0.
        full: The figure that scores 100.
        weight: Its weight among the measures of the component.
    """

    component: str
    measure: str
    zero: Decimal
    full: Decimal
    weight: Decimal = _ONE

    def score(self, figure: Decimal) -> Decimal:
        """Return the score of a figure, 0 to 100, to one decimal."""
        share = (figure - self.zero) / (self.full - self.zero)
        return round(min(max(share * 100, Decimal(0)), _HUNDRED), 1)


@dataclass(frozen=True, slots=True)
class MeasureScore:
    """The score of one measure: its figure, and 0 to 100; both None if it is not known."""

    component: str
    measure: str
    figure: Decimal | None
    score: Decimal | None

    to_dict = fields_in_json


def scales_of(values: Mapping[str, Any]) -> tuple[Scale, ...]:
    """Return the scales of a tier's values, which have no faults."""
    tables: dict[tuple[str, str], dict[str, Decimal]] = {}
    for key, value in values.items():
        if key.startswith(SCALES) and (number := written_number(value)) is not None:
            component, measure, word = _parts(key)
            tables.setdefault((component, measure), {})[word] = number
    return tuple(
        Scale(component, measure, table["zero"], table["full"], table.get("weight", _ONE))
        for (component, measure), table in tables.items()
        if {"zero", "full"} <= table.keys()
    )


def scale_scores(scales: tuple[Scale, ...], figures: Mapping[str, Decimal]) -> tuple[MeasureScore, ...]:
    """Return the score of each measure of *scales*."""
    return tuple(
        MeasureScore(each.component, each.measure, figure, None if figure is None else each.score(figure))
        for each in scales
        for figure in (figures.get(each.measure),)
    )


def component_scores(scales: tuple[Scale, ...], scored: tuple[MeasureScore, ...]) -> dict[str, Decimal]:
    """Return the score of each component that has a known measure, to one decimal."""
    weights = {(each.component, each.measure): each.weight for each in scales}
    sums: dict[str, list[Decimal]] = {}
    for each in scored:
        if each.score is not None and (weight := weights[each.component, each.measure]):
            total = sums.setdefault(each.component, [Decimal(0), Decimal(0)])
            total[0] += weight * each.score
            total[1] += weight
    return {component: round(total / weight, 1) for component, (total, weight) in sums.items()}


def scale_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield the faults of one value below `health.scales`."""
    *_, word = _parts(key)
    if word not in _WORDS or key.count(".") != 4:
        yield unknown_key(key, word, _WORDS, "a scale")
        return
    number = written_number(value)
    yield from number_fault(key, value, "5") if not isinstance(value, Decimal) else ()
    if word == "weight" and number is not None and number < 0:
        yield ValueFault(key, f"a weight of {number} is below 0", "write a number from 0 up")


def scale_faults(values: Mapping[str, Any]) -> Iterator[ValueFault]:
    """Yield the faults of the scales in *values*, taken together; each value has none."""
    names = dict.fromkeys(key.rpartition(".")[0] for key in values if key.startswith(SCALES))
    for name in names:
        zero, full = (written_number(values.get(f"{name}.{word}")) for word in ("zero", "full"))
        for word, number in (("zero", zero), ("full", full)):
            if number is None:
                key = next(each for each in values if each.startswith(f"{name}."))
                yield ValueFault(key, f"the scale {shown(name.removeprefix(SCALES))} has no {word}", f"write {word}: 0")
        if zero is not None and zero == full:
            yield ValueFault(f"{name}.full", f"zero and full are both {shown(zero)}", "write two figures")


def _parts(key: str) -> tuple[str, str, str]:
    component, _, rest = key.removeprefix(SCALES).partition(".")
    measure, _, word = rest.partition(".")
    return component, measure, word
