"""How well an account does: its tier's weights over components that somebody measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from entitlements.errors import AccountError
from entitlements.model.display import in_json
from entitlements.model.names import nearest, shown

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements

_WEIGHTS = "health.weights."
_MOST = Decimal(100)


@dataclass(frozen=True, slots=True)
class Component:
    """
    One part of a health score.

    Args:
        name: Such as `engagement`.
        weight: Its share, in percent of all weights.
        score: What was measured, 0 to 100; None where nobody did.
        measures: What the policy says belongs to it.
    """

    name: str
    weight: Decimal
    score: Decimal | None
    measures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """
    The health of one account.

    Args:
        account: Its id.
        tier: The tier whose weights count; None for an unknown account.
        score: 0 to 100, to one decimal; None where a component is missing, or the tier has no score.
        components: In the order of their weights, heaviest first.
        kpis: What the tier tracks beside it.
    """

    account: str
    tier: str | None
    score: Decimal | None
    components: tuple[Component, ...]
    kpis: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The components that nobody measured: without them there is no score."""
        return tuple(each.name for each in self.components if each.score is None)

    @property
    def so_far(self) -> Decimal | None:
        """The score over the components that are there, by their own weights; None where there are none."""
        return _mean([each for each in self.components if each.score is not None])

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "account": self.account,
            "tier": self.tier,
            "score": in_json(self.score),
            "so_far": in_json(self.so_far),
            "missing": list(self.missing),
            "components": [
                {
                    "name": each.name, "weight": in_json(each.weight), "score": in_json(each.score),
                    "measures": list(each.measures),
                }
                for each in self.components
            ],
            "kpis": list(self.kpis),
        }  # fmt: skip


def health(entitlements: Entitlements, measured: Mapping[str, object]) -> Health:
    """
    Return the account's health.

    Args:
        entitlements: What the account may do; its tier's weights stand under `health.weights`.
        measured: Scores from 0 to 100 by component; None is as good as absent.

    Raises:
        AccountError: For a score that is no number from 0 to 100, and for a component that no tier knows.
    """
    _check_names(entitlements, measured)
    weights = {
        key.removeprefix(_WEIGHTS): Decimal(weight)
        for key, weight in entitlements.values.items()
        if key.startswith(_WEIGHTS) and isinstance(weight, int | Decimal) and not isinstance(weight, bool)
    }
    components = tuple(
        Component(name, weight, _score(entitlements.account, name, measured.get(name)), _measures(entitlements, name))
        for name, weight in sorted(weights.items(), key=lambda each: (-each[1], each[0]))
    )
    complete = bool(components) and all(each.score is not None for each in components)
    kpis = entitlements.values.get("kpis")
    return Health(
        entitlements.account,
        entitlements.tier,
        _mean(components) if complete else None,
        components,
        tuple(map(str, kpis)) if isinstance(kpis, tuple) else (),
    )


def scores_in(entitlements: Entitlements, attributes: Mapping[str, object]) -> dict[str, object]:
    """Return the scores among an account's attributes, which bear the components' names; an empty cell is none."""
    return {name: attributes[name] for name in component_names(entitlements) if attributes.get(name) not in {None, ""}}


def component_names(entitlements: Entitlements) -> tuple[str, ...]:
    """Return the components that any tier of the policy weighs, sorted."""
    return tuple(sorted(key.removeprefix(_WEIGHTS) for key in entitlements.policy.keys if key.startswith(_WEIGHTS)))


def _check_names(entitlements: Entitlements, measured: Mapping[str, object]) -> None:
    known = component_names(entitlements)
    for name in measured:
        if name not in known:
            there_are = f"; there are {', '.join(known)}" if known else "; the policy weighs none under health.weights"
            cure = nearest(str(name), known) or there_are
            raise AccountError(f"account {entitlements.account!r}: {shown(name)} is no component of health{cure}")


def _score(account: str, name: str, value: object) -> Decimal | None:
    if value is None:
        return None
    try:
        score = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
    except InvalidOperation:
        score = Decimal("nan")
    if not score.is_finite() or not 0 <= score <= _MOST:
        raise AccountError(f"account {account!r}: {name} {value!r} must be a number from 0 to 100")
    return score


def _measures(entitlements: Entitlements, name: str) -> tuple[str, ...]:
    found = entitlements.values.get(f"health.measures.{name}")
    return tuple(map(str, found)) if isinstance(found, tuple) else ()


def _mean(components: tuple[Component, ...] | list[Component]) -> Decimal | None:
    total = sum((each.weight for each in components), Decimal(0))
    if not total:
        return None
    weighted = sum((each.weight * (each.score or 0) for each in components), Decimal(0))
    return round(weighted / total, 1)
