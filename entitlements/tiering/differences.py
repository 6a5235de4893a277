"""Differences between two tiers, or between two snapshots of an account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from entitlements.model.display import attributes_in_json
from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.overage import overage_of
from entitlements.model.policy import NO_LEVEL, PolicyData
from entitlements.model.resolution import Resolution, resolution_of
from entitlements.model.tier import Tier


class EntitlementKind(StrEnum):
    """The kind of a name in a policy."""

    FEATURE = "feature"
    LEVEL = "level"
    LIMIT = "limit"
    VALUE = "value"


class ChangeDirection(StrEnum):
    """The direction of a difference: more, less, or another value."""

    GAINED = "gained"
    LOST = "lost"
    CHANGED = "changed"


Entries = Mapping[tuple[EntitlementKind, str], object]
"""The values of a tier or a snapshot, by kind and name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """
    The difference of one name.

    Args:
        name: A feature, a limit or a value key.
        kind: The kind of name.
        before: The old value: True, a level, a size, a value, or `NOT_INCLUDED`.
        after: The new value.
        direction: More, less, or another value.
    """

    name: str
    kind: EntitlementKind
    before: object
    after: object
    direction: ChangeDirection

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        return attributes_in_json(self, ("name", "kind", "direction", "before", "after"))


def of_tiers(before: tuple[PolicyData, Tier], after: tuple[PolicyData, Tier]) -> tuple[Difference, ...]:
    """Return the differences between two tiers, each given with its policy, sorted by kind and name."""
    return _differences(after[0], _of_tier(*before), _of_tier(*after))


def of_entitlements(before: Entitlements, after: Entitlements) -> tuple[Difference, ...]:
    """Return the differences between two snapshots, sorted by kind and name; a refused account has nothing."""
    return _differences(after.policy, _of_snapshot(before), _of_snapshot(after))


def _of_tier(policy: PolicyData, tier: Tier) -> Entries:
    return _entries(tier, [name for name in tier.features if not policy.features[name].levels])


def _of_snapshot(entitlements: Entitlements) -> Entries:
    resolution = resolution_of(entitlements)
    if resolution.refusal is not None:
        return {}
    switches = [name for name, feature in entitlements.policy.features.items() if not feature.levels]
    return _entries(resolution, [name for name in switches if resolution.answers.get(name)])


def _entries(source: Tier | Resolution, switches: Iterable[str]) -> Entries:
    tables: dict[EntitlementKind, Mapping[str, object]] = {
        EntitlementKind.FEATURE: dict.fromkeys(switches, True),
        EntitlementKind.LEVEL: source.levels,
        EntitlementKind.LIMIT: source.limits,
        EntitlementKind.VALUE: source.values,
    }
    return {(kind, name): value for kind, table in tables.items() for name, value in table.items()}


def _differences(policy: PolicyData, before: Entries, after: Entries) -> tuple[Difference, ...]:
    order = list(EntitlementKind)
    names = sorted({*before, *after}, key=lambda each: (order.index(each[0]), each[1]))
    found = ((*each, before.get(each, NOT_INCLUDED), after.get(each, NOT_INCLUDED)) for each in names)
    return tuple(
        Difference(name, kind, was, is_, _direction(policy, kind, name, was, is_))
        for kind, name, was, is_ in found
        if was != is_ or type(was) is not type(is_)
    )


def _direction(policy: PolicyData, kind: EntitlementKind, name: str, before: object, after: object) -> ChangeDirection:
    amounts = [(_amount(policy, kind, name, each), overage_of(each)) for each in (before, after)]
    if amounts[0] == amounts[1]:
        return ChangeDirection.CHANGED
    return ChangeDirection.GAINED if amounts[1] > amounts[0] else ChangeDirection.LOST


def _amount(policy: PolicyData, kind: EntitlementKind, name: str, value: object) -> float:
    """Return the rank of a value among the values of its name."""
    if value is NOT_INCLUDED:
        return -1
    if kind is EntitlementKind.LIMIT:
        return float(value) if isinstance(value, int) else float("inf")
    feature = policy.features.get(name)
    if feature is None or value not in feature.levels:
        return 0
    return -1 if value == NO_LEVEL else feature.levels.index(str(value))
