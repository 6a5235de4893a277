"""
The loaded policy: every tier flattened, indexed and immutable.

The code knows no tier, feature or figure; all of them come from the files that
`entitlements.policy` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from operator import attrgetter

from entitlements.errors import UnknownFeature
from entitlements.model.calendars import ZoneFinder, utc_only
from entitlements.model.criteria import AssignmentRules
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.immutable import FILES, immutable
from entitlements.model.limits import NOT_INCLUDED, Limit, LimitValue, Rate
from entitlements.model.names import nearest, shown
from entitlements.model.prepared import Memo
from entitlements.model.problem import Problem
from entitlements.model.routes import Route
from entitlements.model.segments import Segmentation
from entitlements.model.services import Services
from entitlements.model.tier import Tier, Value

NO_LEVEL = "none"
"""The level that counts as not included."""

_LONGEST_SHOWN = 200


@immutable(FILES)
@dataclass(frozen=True, slots=True)
class Feature:
    """
    A feature: a switch, or a capability with ordered levels.

    Args:
        name: Its name in the policy.
        levels: From lowest to highest; empty for a switch.
        about: One sentence for people.
    """

    name: str
    levels: tuple[str, ...] = ()
    about: str = ""


@immutable(FILES)
@dataclass(frozen=True, slots=True)
class AddOn:
    """
    An add-on: a bundle that an account can buy on top of its tier.

    Args:
        name: Its name in the policy.
        tiers: The tiers that it is offered to; empty for every tier.
        features: Switches that it turns on.
        levels: Levels that it raises features to.
        limits: Units that it adds, times its quantity.
        values: Configuration values that replace the tier's.
        price: Its price, as text.
        about: One sentence for people.
        sets: Sizes that replace the tier's, whatever its quantity.
        requires: The add-ons that an account must have with it.
        excludes: The add-ons that an account must not have with it.
        at_least: The least quantity.
        at_most: The largest quantity; None for any.
        step: The number of which the quantity is a multiple.
        retired: True if it is not sold any more: accounts with it keep it, and nothing recommends it.
    """

    name: str
    tiers: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    levels: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, LimitValue] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    price: str = ""
    about: str = ""
    sets: Mapping[str, LimitValue] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    at_least: int = 1
    at_most: int | None = None
    step: int = 1
    retired: bool = False

    def offered_to(self, tier: str) -> bool:
        """Return True if accounts of *tier* can buy it."""
        return not self.tiers or tier in self.tiers


@immutable(FILES)
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PolicyData:
    """
    The loaded policy files as one immutable value.

    Args:
        version: Identifies this state of the files; every decision carries it.
        tiers: By id, in the order of the files.
        features: Switches and features with levels, by name.
        limits: Definitions by name.
        add_ons: By name, in the order of the files.
        unknown_account: `deny`, `raise`, or the id of the tier for unknown accounts.
        currency: The currency of every money value.
        time_zone: The time zone whose midnight counts, for accounts without one of their own.
        zones: Finds the time zones that accounts name.
        warnings: Warnings of the validator.
        assignment: The rules that assign tiers; None if the files have none.
        routes: The rules of API routes, in order; empty if the files have none.
        services: The services of the tiers; None if the files have none.
        segmentations: The ways to divide a base into segments, by name.
    """

    version: str
    tiers: Mapping[str, Tier]
    features: Mapping[str, Feature] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    add_ons: Mapping[str, AddOn] = field(default_factory=dict)
    unknown_account: str = "deny"
    currency: str = "USD"
    warnings: tuple[Problem, ...] = ()
    assignment: AssignmentRules | None = None
    routes: tuple[Route, ...] = ()
    services: Services | None = None
    segmentations: Mapping[str, Segmentation] = field(default_factory=dict)
    time_zone: tzinfo = UTC
    zones: ZoneFinder = utc_only
    keys: frozenset[str] = field(init=False, repr=False)
    nodes: frozenset[str] = field(init=False, repr=False)
    ids: Mapping[str, str] = field(init=False, repr=False)
    answers: Mapping[str, Mapping[str, bool]] = field(init=False, repr=False)
    _resolutions: Memo = field(default_factory=Memo, init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the indexes that every resolution uses."""
        written = [tier.values for tier in self.tiers.values()] + [each.values for each in self.add_ons.values()]
        keys = frozenset(key for values in written for key in values)
        ids = {tier: tier for tier in self.tiers}
        ids |= {alias: tier.id for tier in self.tiers.values() for alias in tier.aliases}
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "nodes", frozenset(node for key in keys for node in nodes_above(key)))
        object.__setattr__(self, "ids", FrozenDict(ids))
        object.__setattr__(self, "answers", FrozenDict({id: self._answers(tier) for id, tier in self.tiers.items()}))

    def __repr__(self) -> str:
        """Return the version and the tiers; the full policy is pages long."""
        return f"<{type(self).__name__} {self.version}: {', '.join(self.tiers)}>"

    def tier(self, name: str) -> Tier | None:
        """Return the tier with the id or alias *name*, or None."""
        return self.tiers.get(self.ids.get(name, ""))

    def unknown(self, name: str, *, asked: str = "can", account: str = "") -> UnknownFeature:
        """Return the error for a *name* that the verb *asked* cannot answer for *account*."""
        if not isinstance(name, str):
            return UnknownFeature(f"{shown(name)} is a {type(name).__name__}; the name of a feature or limit is a str")
        if len(name) > _LONGEST_SHOWN:
            return UnknownFeature(
                f"{name[:_LONGEST_SHOWN]!r}… ({len(name)} characters) is no name of policy {self.version}"
            )
        if asked != "value" and (name in self.keys or name in self.nodes):
            return UnknownFeature(f"{name!r} is a configuration value; ask value(account, {name!r})")
        base, colon, level = name.partition(":")
        if colon and base in self.features:
            return self._unknown_level(self.features[base], level)
        if name in self.limits:
            return UnknownFeature(f"{name!r} is a limit; ask usage(account), or entitlements(account).limit({name!r})")
        if name in self.features:
            return UnknownFeature(f"{name!r} is a feature; ask can(account, {name!r})")
        known = {"can": (*self.features, *self.limits), "limit": self.limits, "value": self.keys | self.nodes}
        cure = cure_of_order(self, account) or nearest(name, known[asked])
        return UnknownFeature(f"policy {self.version} knows no {_WORDS[asked]} {name!r}{cure}")

    def _unknown_level(self, feature: Feature, level: str) -> UnknownFeature:
        if not feature.levels:
            return UnknownFeature(f"{feature.name!r} is a switch without levels; ask {feature.name!r}")
        if level in feature.levels:
            asked = f"{feature.name}:{level}"
            return UnknownFeature(f"{asked!r} is a level of a feature; ask can(account, {asked!r})")
        cure = f"its levels are {', '.join(feature.levels)}{nearest(level, feature.levels)}"
        return UnknownFeature(f"{feature.name!r} has no level {level!r}; {cure}")

    def _answers(self, tier: Tier) -> dict[str, bool]:
        """Return the answer of `can` for every name, under *tier* alone."""
        answers = {name: bool(tier.limits.get(name, NOT_INCLUDED)) for name in self.limits}
        for feature in self.features.values():
            has = tier.levels.get(feature.name) if feature.levels else None
            answers |= level_answers(feature, has, switched_on=feature.name in tier.features)
        return answers


resolutions_of: Callable[[PolicyData], Memo] = attrgetter("_resolutions")
"""Return the tables of accounts that have nothing of their own but a tier, by what decides about them."""

_WORDS = {"can": "feature or limit", "limit": "limit", "value": "value key"}


def level_answers(feature: Feature, has: str | None, *, switched_on: bool = False) -> dict[str, bool]:
    """Return the answers of `can` for *feature* and each `feature:level` at the level *has*."""
    if not feature.levels:
        return {feature.name: switched_on}
    reached = feature.levels.index(has) if has not in (None, NO_LEVEL) else -1
    answers = {f"{feature.name}:{level}": at <= reached for at, level in enumerate(feature.levels)}
    return answers | {feature.name: reached >= 0}


def cure_of_order(policy: PolicyData, account: str) -> str:
    """Return the cure of arguments in the wrong order if *account* is a name of the policy, or ''."""
    if account in policy.features or account in policy.limits or account in policy.keys:
        return f"; {account!r}, given as the account, is a name of the policy: write the account first"
    return ""


def nodes_above(key: str) -> list[str]:
    """Return the inner nodes above a dotted key: `a.b.c` has `a` and `a.b`."""
    words = key.split(".")
    return [".".join(words[:depth]) for depth in range(1, len(words))]


def counted_limits(policy: PolicyData) -> list[str]:
    """Return the names of the account's own quotas and allocations, not of those that are kept per scope."""
    return [name for name, limit in policy.limits.items() if not isinstance(limit, Rate) and not limit.per]
