"""Features, levels, limits and values as feature flags: what each is, pure; `flag_source.py` gathers what it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from entitlements.model.display import in_json
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED
from entitlements.model.names import MAX_COUNT
from entitlements.model.resolution import resolution_of
from entitlements.rules.resolve import UNKNOWN

if TYPE_CHECKING:
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.policy import AddOn, PolicyData
    from entitlements.model.tier import Tier

Scalar = bool | str | int | float


class FlagKind(StrEnum):
    """The type that a caller asks for."""

    BOOLEAN = "boolean"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    OBJECT = "object"


class FlagReason(StrEnum):
    """The reasons of OpenFeature that are given."""

    STATIC = "STATIC"
    DEFAULT = "DEFAULT"
    TARGETING_MATCH = "TARGETING_MATCH"
    CACHED = "CACHED"
    DISABLED = "DISABLED"
    STALE = "STALE"


class FlagError(Exception):
    """A flag cannot be evaluated; *code* is an error code of OpenFeature."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class FlagEvaluation:
    """
    The answer about one flag.

    Args:
        value: bool, str, int, float, dict or list; None for the caller's own default.
        reason: The reason.
        variant: The tier in force; None for an unknown account.
        metadata: What the value came from, and for a limit what is used of it.
    """

    value: object
    reason: FlagReason
    variant: str | None
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


def decides(policy: PolicyData, key: str) -> bool:
    """Return True if `decide` answers the flag: a feature, a `feature:level` or a limit."""
    name, colon, level = key.partition(":")
    if colon:
        return name in policy.features and level in policy.features[name].levels
    return key in policy.features or key in policy.limits


def flag_keys(policy: PolicyData) -> list[str]:
    """Return the flags that a policy has: features, limits, and the keys of values."""
    return [*policy.features, *policy.limits, *sorted(policy.keys)]


def changed_flags(before: PolicyData, after: PolicyData) -> list[str]:
    """Return the flags that differ between two policies, sorted."""
    old, new = _fingerprints(before), _fingerprints(after)
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))


def _fingerprints(policy: PolicyData) -> dict[str, object]:
    """Return what decides each flag: its definition, and what each tier and add-on says about it."""
    bundles: list[tuple[str, Tier | AddOn]] = [*policy.tiers.items(), *policy.add_ons.items()]

    def said(key: str) -> object:
        return [
            (name, key in each.features, each.levels.get(key), each.limits.get(key), each.values.get(key))
            for name, each in bundles
        ]

    definitions = {**policy.features, **policy.limits}
    ranks = {name: tier.rank for name, tier in policy.tiers.items()}
    flags: dict[str, object] = {
        key: (definitions.get(key), ranks, said(key), policy.unknown_account) for key in flag_keys(policy)
    }
    levels = {f"{each.name}:{level}": flags[each.name] for each in policy.features.values() for level in each.levels}
    nodes: dict[str, object] = {
        node: [flag for key, flag in flags.items() if f"{key}.".startswith(f"{node}.")] for node in policy.nodes
    }
    return flags | levels | nodes


def evaluate(
    entitlements: Entitlements, key: str, kind: FlagKind | None, decision: Decision | None, *, is_stale: bool = False
) -> FlagEvaluation:
    """
    Return the answer about one flag.

    Args:
        entitlements: The account's snapshot.
        key: The flag.
        kind: The type that is asked for; None for the one that the flag has.
        decision: What `decide` or `peek` says about a feature or a limit; None for a value.
        is_stale: The account is served as it was last loaded.

    Raises:
        FlagError: For an unknown flag, or another type.
    """
    policy = entitlements.policy
    if key in policy.limits:
        value = _of_limit(entitlements, key, kind)
    elif decision is not None:
        value = _of_feature(entitlements, key, kind)
    elif key in policy.keys or key in policy.nodes:
        value = _of_value(entitlements, key, kind)
    else:
        raise FlagError("FLAG_NOT_FOUND", str(policy.unknown(key, asked="value" if "." in key else "can")))
    reason = _reason(entitlements, key, value, decision, is_stale=is_stale)
    shown = None if value is NOT_INCLUDED else value
    return FlagEvaluation(shown, reason, entitlements.tier, dict(_metadata(entitlements, key, decision)))


def _of_limit(entitlements: Entitlements, key: str, kind: FlagKind | None) -> object:
    """Return the size of a limit: 0 where nothing may be used, the largest count where all may be."""
    included = entitlements.can(key)
    if kind is FlagKind.BOOLEAN:
        return included
    _check(key, "limit", kind, FlagKind.INTEGER, FlagKind.FLOAT)
    size = entitlements.limit(key) if included else 0
    count = MAX_COUNT if size is UNLIMITED else int(size)
    return float(count) if kind is FlagKind.FLOAT else count


def _of_feature(entitlements: Entitlements, key: str, kind: FlagKind | None) -> object:
    """Return the answer of `can`; the name of the level if a string is asked for, or nothing of a feature with levels."""
    feature = entitlements.policy.features.get(key)
    if feature is not None and feature.levels and kind in (None, FlagKind.STRING):
        return NOT_INCLUDED if resolution_of(entitlements).refusal else entitlements.value(key)
    _check(key, "feature", kind, FlagKind.BOOLEAN)
    return entitlements.can(key)


def _of_value(entitlements: Entitlements, key: str, kind: FlagKind | None) -> object:
    """Return a configuration value, or those below a node, as the type that is asked for."""
    found = entitlements.value(key)
    if found is NOT_INCLUDED or found is None:
        return found
    natural = _kind_of(found)
    whole = natural is FlagKind.INTEGER
    _check(key, "value", kind, natural, *([FlagKind.FLOAT] if whole else []))
    value = in_json(found)
    return float(value) if kind is FlagKind.FLOAT else value  # type: ignore[arg-type]


def _kind_of(value: object) -> FlagKind:
    if isinstance(value, bool):
        return FlagKind.BOOLEAN
    if isinstance(value, str):
        return FlagKind.STRING
    if isinstance(value, Decimal | timedelta):
        return FlagKind.INTEGER if isinstance(in_json(value), int) else FlagKind.FLOAT
    return FlagKind.OBJECT


def _check(key: str, what: str, asked: FlagKind | None, *fits: FlagKind) -> None:
    if asked is not None and asked not in fits:
        kinds = " or ".join(fits)
        raise FlagError("TYPE_MISMATCH", f"{what} {key!r} is no {asked}; ask for {kinds}")


def _reason(
    entitlements: Entitlements, key: str, value: object, decision: Decision | None, *, is_stale: bool
) -> FlagReason:
    if is_stale or (decision is not None and decision.degraded):
        return FlagReason.STALE
    included = value is not NOT_INCLUDED if decision is None else entitlements.can(key)
    if not included:
        return FlagReason.DISABLED
    if decision is not None and decision.via == "deny-cache":
        return FlagReason.CACHED
    if value is None or _is_stranger(entitlements):
        return FlagReason.DEFAULT
    return FlagReason.STATIC if _source(entitlements, key).startswith("tier:") else FlagReason.TARGETING_MATCH


def _is_stranger(entitlements: Entitlements) -> bool:
    """Return True for an unknown account that the policy gives a tier."""
    tiers = resolution_of(entitlements).tiers
    return bool(tiers) and tiers[0].note.startswith(UNKNOWN)


def _source(entitlements: Entitlements, key: str) -> str:
    """Return the source that decided: `tier:…`, `add-on:…`, `grant:…` or `override:…`."""
    resolution = resolution_of(entitlements)
    name = key.partition(":")[0]
    for adjusted, (winner, _) in resolution.adjustments.items():
        if winner is not None and (adjusted == name or adjusted.startswith(f"{name}.")):
            return winner
    return resolution.tiers[0].source if resolution.tiers else "policy:unknown-account"


def _metadata(entitlements: Entitlements, key: str, decision: Decision | None) -> Iterator[tuple[str, Scalar]]:
    """Yield what the answer came from; names no account."""
    yield "policy_version", entitlements.policy.version
    yield "source", _source(entitlements, key)
    if entitlements.tier is not None:
        yield "tier", entitlements.tier
    if decision is None:
        return
    yield "reason", decision.reason.value
    if key in entitlements.policy.limits:
        for name, value in (
            ("limit", entitlements.limit(key)),
            ("used", decision.used),
            ("remaining", decision.remaining),
            ("reset_at", decision.resets_at),
        ):
            if value is not None:
                yield name, in_json(value)  # type: ignore[misc]  # of an int, a size or a time
