"""The resolved entitlements of one account at one instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar, overload

from entitlements.model.immutable import ANSWER, immutable
from entitlements.model.instants import to_datetime
from entitlements.model.limits import NOT_INCLUDED, LimitValue, NotIncluded, Unlimited
from entitlements.model.overage import included_of, overage_of
from entitlements.model.policy import NO_LEVEL, PolicyData
from entitlements.model.prepared import AccountCharges
from entitlements.model.resolution import Resolution
from entitlements.model.tier import Value
from entitlements.model.typed_values import as_kind

T = TypeVar("T")
D = TypeVar("D")


@immutable(ANSWER)
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Entitlements:
    """
    A snapshot of an account's entitlements, valid until `valid_until`; plain lookups, no I/O.

    Args:
        account: The account's id.
        policy: The policy that was resolved.
        _resolution: The resolved tables.
        _charges: The charges of the account.
    """

    account: str
    policy: PolicyData
    _resolution: Resolution
    _charges: AccountCharges = field(default_factory=AccountCharges)

    def __repr__(self) -> str:
        """Return the account, its tier and the policy version; the full snapshot is pages long."""
        return (
            f"<Entitlements of {self.account!r}: {self.tier or self._resolution.refusal}, policy {self.policy.version}>"
        )

    @property
    def tier(self) -> str | None:
        """The id of the tier in force; None for an unknown account."""
        in_force = self._resolution.in_force
        return in_force.id if in_force else None

    @property
    def valid_until(self) -> datetime | None:
        """The first instant at which any of this may change by the clock (aware, UTC); None for never."""
        expires = self._resolution.expires
        return None if expires is None else to_datetime(expires)

    def can(self, feature: str) -> bool:
        """
        Return True if the account has a feature, a `feature:level`, or any units of a limit.

        Raises:
            UnknownFeature: For a name that the policy does not know.
        """
        try:
            return self._resolution.answers[feature]
        except (KeyError, TypeError):
            raise self.policy.unknown(feature, account=self.account) from None

    def limit(self, name: str) -> LimitValue:
        """
        Return the size of a limit: an int, `UNLIMITED` or `NOT_INCLUDED`; with overage the included amount.

        Raises:
            UnknownFeature: For a name that is not a limit of the policy.
        """
        if name not in self.policy.limits:
            raise self.policy.unknown(name, asked="limit", account=self.account)
        return included_of(self._resolution.limits.get(name, NOT_INCLUDED))

    def overage(self, name: str) -> int | Unlimited:
        """
        Return the units of a limit that are allowed beyond the included ones; 0 without overage.

        Raises:
            UnknownFeature: For a name that is not a limit of the policy.
        """
        self.limit(name)
        return overage_of(self._resolution.limits.get(name))

    @overload
    def value(self, key: str) -> Value | NotIncluded: ...
    @overload
    def value(self, key: str, kind: type[T]) -> T | None: ...
    @overload
    def value(self, key: str, kind: type[T], *, default: D) -> T | D: ...
    def value(
        self, key: str, kind: type[T] | None = None, *, default: D | None = None
    ) -> Value | NotIncluded | T | D | None:
        """
        Return a configuration value, the dict below an inner node, or a feature's level.

        Args:
            key: A key, an inner node, or a feature with levels.
            kind: bool, str, int (whole numbers), float, Decimal, timedelta, tuple or dict: the only type that may come.
            default: With *kind*, returned for *no commitment*, and where the value is not included.

        Returns:
            With *kind*, a value of that type, or *default*. Without it bool, str, Decimal, timedelta, a tuple,
            a dict, None for *no commitment* (its text is under `<key>.label`), or `NOT_INCLUDED`.

        Raises:
            UnknownFeature: For a key that no tier and no add-on of the policy has.
            TypeError: For a value that is not of *kind*.
        """
        found = self._value(key)
        if kind is None:
            return found
        typed = as_kind(key, found, kind)
        return default if typed is None else typed

    def _value(self, key: str) -> Value | NotIncluded:
        policy = self.policy
        if not isinstance(key, str):
            raise policy.unknown(key, asked="value", account=self.account)
        if key in self._resolution.values:
            return self._resolution.values[key]
        if key in policy.keys or key in policy.nodes:
            return self._below(key) or NOT_INCLUDED
        feature = policy.features.get(key)
        if feature is None or not feature.levels:
            raise policy.unknown(key, asked="value", account=self.account)
        return self._resolution.levels.get(key, NO_LEVEL if NO_LEVEL in feature.levels else NOT_INCLUDED)

    def _below(self, node: str) -> dict[str, Value]:
        """Return the values below an inner node as nested dicts."""
        nested: dict[str, Value] = {}
        for key in sorted(key for key in self._resolution.values if key.startswith(f"{node}.")):
            *path, leaf = key[len(node) + 1 :].split(".")
            _insert(nested, path, leaf, self._resolution.values[key])
        return nested


def _insert(nested: dict[str, Value], path: list[str], leaf: str, value: Value) -> None:
    """Insert *value* into nested dicts; a key below a leaf keeps its dotted name."""
    for depth, word in enumerate(path):
        inner = nested.setdefault(word, {})
        if not isinstance(inner, dict):
            nested[".".join([*path[depth:], leaf])] = value
            return
        nested = inner
    nested[leaf] = value
