"""Everything resolved for one account at one instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from entitlements.model.instants import to_datetime
from entitlements.model.limits import NOT_INCLUDED, LimitValue, NotIncluded
from entitlements.model.policy import NO_LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from entitlements.model.facts import Considered, Facts, Reason, Verdict
    from entitlements.model.policy import Policy, Tier, Value


@dataclass(frozen=True, slots=True)
class TierSource:
    """A tier that was considered, and what became of it."""

    source: str
    tier: Tier
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Entitlements:
    """
    What one account may do, until `valid_until`; plain lookups, no I/O.

    Args:
        account: The account's id.
        policy: The policy that was resolved.
        in_force: The tier in force; None for an unknown account.
        refusal: Why everything is refused (suspended, unknown account), or None.
        expires: First instant at which any of this may change by the clock, in
            microseconds, or None.
        anchor: The day on which the account's quota periods begin, or None.
        answers: What `can` says, for every name and every `feature:level`.
        limits: The size of each limit; one that is absent is not included.
        levels: The level of each feature with levels.
        values: Configuration values by dotted key.
        tiers: The tiers that were considered.
        note: Why the account is unknown, where it is.
        adjustments: What was considered beside the tiers, by name, for the names that
            add-ons, grants and overrides speak of; and which of it won.
        compiled: What decisions show of each name, kept once it was asked for.
        ready: Steps that are the same at every call, kept likewise.
        drafts: What the plans of charges have in common, kept likewise for a few.
    """

    account: str
    policy: Policy
    in_force: Tier | None
    refusal: Reason | None
    expires: int | None
    anchor: int | None
    answers: Mapping[str, bool]
    limits: Mapping[str, LimitValue]
    levels: Mapping[str, str]
    values: Mapping[str, Value]
    tiers: tuple[TierSource, ...] = ()
    note: str = ""
    adjustments: Mapping[str, tuple[str | None, tuple[Considered, ...]]] = field(default_factory=dict)
    compiled: dict[str, Facts] = field(default_factory=dict, repr=False)
    ready: dict[str, Any] = field(default_factory=dict, repr=False)
    drafts: dict[tuple[object, ...], Any] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        """Return whose, and of which tier; the whole is pages long."""
        return f"<Entitlements of {self.account!r}: {self.tier or self.refusal}, policy {self.policy.version}>"

    @property
    def tier(self) -> str | None:
        """The id of the tier in force; None for an unknown account."""
        return self.in_force.id if self.in_force else None

    @property
    def valid_until(self) -> datetime | None:
        """First instant at which any of this may change by the clock (aware, UTC), or None."""
        return None if self.expires is None else to_datetime(self.expires)

    def can(self, feature: str) -> bool:
        """
        Say whether the account has a feature, a `feature:level`, or any of a limit.

        Raises:
            UnknownFeature: For a name that the policy does not know.
        """
        try:
            return self.answers[feature]
        except (KeyError, TypeError):
            raise self.policy.unknown(feature) from None

    def limit(self, name: str) -> LimitValue:
        """
        Return the size of a limit: an int, `UNLIMITED` or `NOT_INCLUDED`.

        Raises:
            UnknownFeature: For a name that is no limit of the policy.
        """
        if name not in self.policy.limits:
            raise self.policy.unknown(name, asked="limit")
        return self.limits.get(name, NOT_INCLUDED)

    def value(self, key: str) -> Value | NotIncluded:
        """
        Return a configuration value, the dict below an inner node, or a feature's level.

        Returns:
            bool, str, Decimal, timedelta, a tuple, a dict, None for *no commitment*
            (its text stands under `<key>.label`), or `NOT_INCLUDED`.

        Raises:
            UnknownFeature: For a key that no tier and no add-on of the policy has.
        """
        policy = self.policy
        if not isinstance(key, str):
            raise policy.unknown(key, asked="value")
        if key in self.values:
            return self.values[key]
        if key in policy.keys or key in policy.nodes:
            return self._below(key) or NOT_INCLUDED
        feature = policy.features.get(key)
        if feature is None or not feature.levels:
            raise policy.unknown(key, asked="value")
        return self.levels.get(key, NO_LEVEL if NO_LEVEL in feature.levels else NOT_INCLUDED)

    def _below(self, node: str) -> dict[str, Value]:
        """Return the values below an inner node as nested dicts."""
        whole: dict[str, Value] = {}
        for key in sorted(key for key in self.values if key.startswith(f"{node}.")):
            *path, leaf = key[len(node) + 1 :].split(".")
            _place(whole, path, leaf, self.values[key])
        return whole


def _place(whole: dict[str, Value], path: list[str], leaf: str, value: Value) -> None:
    """Put *value* into the nested dicts; what stands below a leaf keeps its dotted name."""
    for depth, word in enumerate(path):
        inner = whole.setdefault(word, {})
        if not isinstance(inner, dict):
            whole[".".join([*path[depth:], leaf])] = value
            return
        whole = inner
    whole[leaf] = value
