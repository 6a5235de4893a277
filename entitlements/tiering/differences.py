"""What one table of answers has that another has not: of two tiers, or of one account at two times."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from entitlements.model.display import in_json
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.policy import NO_LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.entitlements import Entitlements
    from entitlements.model.policy import Policy, Tier


class EntitlementKind(StrEnum):
    """What a name stands for."""

    FEATURE = "feature"
    LEVEL = "level"
    LIMIT = "limit"
    VALUE = "value"


class ChangeDirection(StrEnum):
    """Whether there is more of it, or less; a value that is another one is neither."""

    GAINED = "gained"
    LOST = "lost"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One name of which there is more, less or something else.

    Args:
        name: A feature, a limit or a value key.
        kind: What it stands for.
        before: What there was: True, a level, a size, a value, or `NOT_INCLUDED`.
        after: What there is then.
        direction: Which of the two is more.
    """

    name: str
    kind: EntitlementKind
    before: object
    after: object
    direction: ChangeDirection

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "name": self.name, "kind": self.kind.value, "direction": self.direction.value,
            "before": in_json(self.before), "after": in_json(self.after),
        }  # fmt: skip


def of_tiers(before: tuple[Policy, Tier], after: tuple[Policy, Tier]) -> tuple[Difference, ...]:
    """Return how two tiers differ, sorted by kind and name; each stands beside its policy."""
    return _differences(after[0], _of_tier(*before), _of_tier(*after))


def of_entitlements(before: Entitlements, after: Entitlements) -> tuple[Difference, ...]:
    """Return how two snapshots differ, sorted by kind and name; one that is refused everything has nothing."""
    return _differences(after.policy, _of_snapshot(before), _of_snapshot(after))


def _of_tier(policy: Policy, tier: Tier) -> dict[tuple[EntitlementKind, str], object]:
    switches = {name: True for name in tier.features if not policy.features[name].levels}
    return _table(switches, tier.levels, tier.limits, tier.values)


def _of_snapshot(entitlements: Entitlements) -> dict[tuple[EntitlementKind, str], object]:
    if entitlements.refusal is not None:
        return {}
    switches = {
        name: True
        for name, feature in entitlements.policy.features.items()
        if not feature.levels and entitlements.answers.get(name)
    }
    return _table(switches, entitlements.levels, entitlements.limits, entitlements.values)


def _table(
    switches: Mapping[str, object],
    levels: Mapping[str, object],
    limits: Mapping[str, object],
    values: Mapping[str, object],
) -> dict[tuple[EntitlementKind, str], object]:
    by_kind = {
        EntitlementKind.FEATURE: switches,
        EntitlementKind.LEVEL: levels,
        EntitlementKind.LIMIT: limits,
        EntitlementKind.VALUE: values,
    }
    return {(kind, name): value for kind, table in by_kind.items() for name, value in table.items()}


def _differences(
    policy: Policy,
    before: Mapping[tuple[EntitlementKind, str], object],
    after: Mapping[tuple[EntitlementKind, str], object],
) -> tuple[Difference, ...]:
    order = list(EntitlementKind)
    names = sorted({*before, *after}, key=lambda each: (order.index(each[0]), each[1]))
    found = ((*each, before.get(each, NOT_INCLUDED), after.get(each, NOT_INCLUDED)) for each in names)
    return tuple(
        Difference(name, kind, was, is_, _direction(policy, kind, name, was, is_))
        for kind, name, was, is_ in found
        if was != is_ or type(was) is not type(is_)
    )


def _direction(policy: Policy, kind: EntitlementKind, name: str, before: object, after: object) -> ChangeDirection:
    if kind is EntitlementKind.VALUE:
        if before is NOT_INCLUDED:
            return ChangeDirection.GAINED
        return ChangeDirection.LOST if after is NOT_INCLUDED else ChangeDirection.CHANGED
    amounts = [_amount(policy, kind, name, each) for each in (before, after)]
    if amounts[0] == amounts[1]:
        return ChangeDirection.CHANGED
    return ChangeDirection.GAINED if amounts[1] > amounts[0] else ChangeDirection.LOST


def _amount(policy: Policy, kind: EntitlementKind, name: str, value: object) -> float:
    """Return how much of a name a value is, in an order of its own kind."""
    if value is NOT_INCLUDED or value is False:
        return -1
    if kind is EntitlementKind.LIMIT:
        return float(value) if isinstance(value, int) else float("inf")
    feature = policy.features.get(name)
    if kind is EntitlementKind.FEATURE or feature is None or value not in feature.levels:
        return 0
    return -1 if value == NO_LEVEL else feature.levels.index(str(value))
