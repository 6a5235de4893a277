"""Health score of an account: the weighted mean of measured components, with the weights of its tier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from entitlements.errors import AccountError
from entitlements.model.display import attributes_in_json, fields_in_json
from entitlements.model.entitlements import Entitlements
from entitlements.model.immutable import ANSWER, immutable
from entitlements.model.names import nearest, shown
from entitlements.model.resolution import resolution_of
from entitlements.tiering.criterion_values import attribute_name
from entitlements.tiering.health_scales import SCALES, scale_fault, scale_faults
from entitlements.tiering.numbers import check_number
from entitlements.tiering.value_faults import (
    ValueFault,
    number_fault,
    require_readable,
    text_list_fault,
    unknown_key,
    written_number,
)

__all__ = ["Component", "Health", "health"]

_WEIGHTS = "health.weights."
_MEASURES = "health.measures."
KPI_MEASURES = "kpi-measures."
"""Begins the values that name the columns of a KPI: `kpi-measures.<kpi>.column`, `.ratio` and `.times`."""
_MOST = Decimal(100)
_NUMBERS = frozenset({"health.trend-months", "health.risk.high-below", "health.risk.medium-below", "health.risk.fall"})


@dataclass(frozen=True, slots=True)
class Component:
    """
    One component of a health score.

    Args:
        name: Its name, such as `engagement`.
        weight: Its weight, in percent of all weights.
        score: The measured score, 0 to 100; None if not measured.
        measures: The measures that the policy lists for it.
    """

    name: str
    weight: Decimal
    score: Decimal | None
    measures: tuple[str, ...]

    to_dict = fields_in_json


@immutable(ANSWER)
@dataclass(frozen=True, slots=True)
class Health:
    """
    The health of one account.

    Args:
        account: Its id.
        tier: The tier with the weights; None for an unknown account.
        score: 0 to 100, to one decimal; None if a component is missing or the tier has none.
        components: The components, heaviest first.
        kpis: Other figures that the tier tracks.
    """

    account: str
    tier: str | None
    score: Decimal | None
    components: tuple[Component, ...]
    kpis: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The components that were not measured; with any, there is no score."""
        return tuple(each.name for each in self.components if each.score is None)

    @property
    def so_far(self) -> Decimal | None:
        """The score over the measured components by their weights; None without any."""
        return _mean([each for each in self.components if each.score is not None])

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        return attributes_in_json(self, ("account", "tier", "score", "so_far", "missing", "components", "kpis"))


def health(entitlements: Entitlements, measured: Mapping[str, object]) -> Health:
    """
    Return the health of the account.

    Args:
        entitlements: The account's entitlements; the weights are under `health.weights`.
        measured: Scores from 0 to 100 by component; None is the same as absent.

    Raises:
        AccountError: For a score that is not a number from 0 to 100, or a component that no tier has.
        PolicyError: For weights or measures that cannot be read.
    """
    _check_names(entitlements, measured)
    require_readable(entitlements, health_faults(resolution_of(entitlements).values))
    weights = _weights(resolution_of(entitlements).values)
    components = tuple(
        Component(
            name,
            weight,
            _score(entitlements.account, name, measured.get(name)),
            _texts(entitlements, f"{_MEASURES}{name}"),
        )
        for name, weight in sorted(weights.items(), key=lambda each: (-each[1], each[0]))
    )
    complete = bool(components) and all(each.score is not None for each in components)
    return Health(
        entitlements.account,
        entitlements.tier,
        _mean(components) if complete else None,
        components,
        _texts(entitlements, "kpis"),
    )


def health_faults(values: Mapping[str, Any]) -> Iterator[ValueFault]:
    """Yield the faults of the weights, measures and KPIs in *values*."""
    faults = [fault for key, value in values.items() for fault in health_fault(key, value)]
    yield from faults
    if any(fault.is_error for fault in faults):
        return
    yield from scale_faults(values)
    weights = _weights(values)
    if weights and not any(weights.values()):
        yield ValueFault(f"{_WEIGHTS}{next(iter(weights))}", "the weights are all 0: there is no score", "raise one")
    for key in values:
        name = key.removeprefix(_MEASURES) if key.startswith(_MEASURES) else key.removeprefix(SCALES).partition(".")[0]
        if key.startswith((_MEASURES, SCALES)) and name not in weights:
            yield unknown_key(key, name, weights, "the tier's health.weights")


def _weights(values: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return the weights of values without faults, by component."""
    written = {
        key.removeprefix(_WEIGHTS): written_number(value) for key, value in values.items() if key.startswith(_WEIGHTS)
    }
    return {name: weight for name, weight in written.items() if weight is not None}


def health_fault(key: str, value: object) -> Iterator[ValueFault]:
    """Yield the faults of one value, if it is `kpis` or below the node `health`."""
    if key.startswith(_WEIGHTS):
        yield from number_fault(key, value, "30")
        if (weight := written_number(value)) is not None and weight < 0:
            yield ValueFault(key, f"a weight of {weight} is below 0", "write a number from 0 up")
    elif key == "kpis" or key.startswith(_MEASURES):
        yield from text_list_fault(key, value)
    elif key.startswith(KPI_MEASURES):
        yield from _kpi_fault(key, value)
    elif key in {"health.weights", "health.measures"}:
        cure = f"write components below it, such as {{engagement: {'30' if key.endswith('weights') else '[Logins]'}}}"
        yield ValueFault(key, f"{shown(value)} names no component", cure)
    elif key.startswith(SCALES):
        yield from scale_fault(key, value)
    elif key in _NUMBERS:
        yield from number_fault(key, value, "50")
    elif key.startswith("health."):
        word = key.removeprefix("health.").partition(".")[0]
        yield unknown_key(key, word, ("weights", "measures", "scales", "risk", "trend-months"), "the health score")


def _kpi_fault(key: str, value: object) -> Iterator[ValueFault]:
    word = key.rpartition(".")[2]
    if word == "ratio" and not (isinstance(value, tuple) and len(value) == 2 and all(map(_is_text, value))):
        yield ValueFault(key, f"{shown(value)} is not two columns", "write two, such as [converted-leads, leads]")
    elif word == "times":
        yield from number_fault(key, value, "100")
    elif word == "column" and not _is_text(value):
        yield ValueFault(key, f"{shown(value)} is not a column", "write its name, such as conversion-rate")
    elif word not in {"ratio", "times", "column"}:
        yield unknown_key(key, word, ("column", "ratio", "times"), "the measure of a KPI")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def scores_in(entitlements: Entitlements, attributes: Mapping[str, object]) -> dict[str, object]:
    """Return the scores among an account's attributes, under the names of the components, without empty cells."""
    written = {attribute_name(name): value for name, value in attributes.items()}
    scores = {name: written.get(attribute_name(name)) for name in component_names(entitlements)}
    return {name: score for name, score in scores.items() if score not in {None, ""}}


def component_names(entitlements: Entitlements) -> tuple[str, ...]:
    """Return the components with a weight in any tier of the policy, sorted."""
    return tuple(sorted(key.removeprefix(_WEIGHTS) for key in entitlements.policy.keys if key.startswith(_WEIGHTS)))


def _check_names(entitlements: Entitlements, measured: Mapping[str, object]) -> None:
    known = component_names(entitlements)
    if not isinstance(measured, Mapping):
        raise AccountError(f"measured {shown(measured)} is no mapping; write {{component: score}}")
    for name in measured:
        if name not in known:
            there_are = f"; there are {', '.join(known)}" if known else "; the policy weighs none under health.weights"
            cure = nearest(str(name), known) or there_are
            raise AccountError(f"account {entitlements.account!r}: {shown(name)} is no component of health{cure}")


def _score(account: str, name: str, value: object) -> Decimal | None:
    if value is None:
        return None
    try:
        return check_number(value, f"account {account!r}: {name}", most=_MOST)
    except ValueError as error:
        raise AccountError(str(error)) from None


def _texts(entitlements: Entitlements, key: str) -> tuple[str, ...]:
    found = resolution_of(entitlements).values.get(key)
    return tuple(map(str, found)) if isinstance(found, tuple) else ()


def _mean(components: tuple[Component, ...] | list[Component]) -> Decimal | None:
    total = sum((each.weight for each in components), Decimal(0))
    if not total:
        return None
    weighted = sum((each.weight * (each.score or 0) for each in components), Decimal(0))
    return round(weighted / total, 1)
