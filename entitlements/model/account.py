"""
The customer account: its tier, trial, overrides, grants, add-ons and scheduled changes.

These classes check what an account alone can show. What needs a policy (an unknown
tier, a trial that is too long) is checked where the account is read under a policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from entitlements.errors import AccountError
from entitlements.model.calendars import checked_anchor
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.immutable import COPY, immutable
from entitlements.model.instants import check_moment
from entitlements.model.names import NAME, NAME_CURE, check_count, check_id, shown

OverrideValue = object
"""A value as a policy writes it: True, "standard", 50, "20000 per hour", UNLIMITED, …"""


class AccountStatus(StrEnum):
    """The status of an account: a suspended one is refused everything."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@immutable(COPY)
@dataclass(frozen=True, slots=True)
class Trial:
    """
    A trial: replaces the account's own tier from *starts* until *ends*.

    Args:
        tier: The tier, or one of its aliases; never of a lower rank than the account's own.
        starts: An aware datetime; None if the trial already runs.
        ends: An aware datetime, the first instant after the trial.

    Raises:
        AccountError: For an instant that is naive, a missing end, or a start that is not before the end.
    """

    tier: str
    starts: datetime | None
    ends: datetime

    def __post_init__(self) -> None:
        _check_tier(self.tier, "trial tier")
        _check_span(self.starts, self.ends, f"trial of {self.tier!r}", end="ends", needed=True)


@immutable(COPY)
@dataclass(frozen=True, slots=True)
class Override:
    """
    A final value for one name: replaces what the tier, add-ons and grants give.

    Args:
        name: A feature, a limit or a value key.
        value: A value as a policy writes it: `True`, `"standard"`, `50`, `"20000 per hour"`,
            `UNLIMITED`, `NOT_INCLUDED`.
        reason: The reason; shown in every trace.
        author: The person who decided it; shown in every trace.
        starts: An aware datetime, the first instant in force; None means always.
        expires: An aware datetime, the first instant no longer in force; None means never.

    Raises:
        AccountError: For an empty reason or author, or an invalid time span.
    """

    name: str
    value: OverrideValue
    reason: str = field(kw_only=True)
    author: str = field(kw_only=True)
    starts: datetime | None = field(default=None, kw_only=True)
    expires: datetime | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_name(self.name, "override")
        for what, text in (("reason", self.reason), ("author", self.author)):
            if not isinstance(text, str) or not text.strip():
                raise AccountError(f"override of {self.name!r}: {what} {text!r} is empty; say it")
        _check_span(self.starts, self.expires, f"override of {self.name!r}")


@immutable(COPY)
@dataclass(frozen=True, slots=True)
class Grant:
    """
    Additional units of one limit while the grant is in force.

    Args:
        limit: The limit's name.
        amount: Units added, at least 1.
        starts: An aware datetime, the first instant in force; None means always.
        expires: An aware datetime, the first instant no longer in force; None means never.
        reason: The reason; shown in every trace.

    Raises:
        AccountError: For an amount that is not a positive int, or an invalid time span.
    """

    limit: str
    amount: int
    starts: datetime | None = field(default=None, kw_only=True)
    expires: datetime | None = field(default=None, kw_only=True)
    reason: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        _check_name(self.limit, "grant")
        _checked(check_count, self.amount, f"grant of {self.limit!r}: amount")
        _check_span(self.starts, self.expires, f"grant of {self.limit!r}")


@immutable(COPY)
@dataclass(frozen=True, slots=True)
class Change:
    """
    A scheduled change of the account's own tier.

    Args:
        tier: The tier from then on, or one of its aliases.
        at: An aware datetime, the first instant of the new tier.

    Raises:
        AccountError: For a naive instant.
    """

    tier: str
    at: datetime = field(kw_only=True)

    def __post_init__(self) -> None:
        _check_tier(self.tier, "change: tier")
        _checked(check_moment, self.at, f"change to {self.tier!r}: at")


@immutable(COPY)
@dataclass(frozen=True, slots=True)
class Account:
    """
    One customer account.

    Args:
        id: 1 to 256 characters without control characters; opaque, never normalised.
        tier: The tier that remains when everything temporary has ended.
        trial: Replaces the tier while it runs.
        anchor: Beginning of the months and years of quotas: a day of the month, 1 to 31 (at midnight; for a
            year in January), or an aware datetime, which counts to the second. A month that is too short begins
            on its last day. None means those of the calendar.
        time_zone: IANA name of the time zone whose midnight counts; None means the policy's.
        add_ons: Bought bundles of the policy, name to quantity.
        overrides: Final values for single names; at most one in force per name.
        grants: Raised limits.
        changes: Scheduled changes of tier.
        attributes: Facts about the customer (annual value, agents …).
        status: `suspended` refuses everything.

    Raises:
        AccountError: For an argument that breaks a rule above.
    """

    id: str
    tier: str
    trial: Trial | None = field(default=None, kw_only=True)
    anchor: int | datetime | None = field(default=None, kw_only=True)
    time_zone: str | None = field(default=None, kw_only=True)
    add_ons: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    overrides: Sequence[Override] = field(default=(), kw_only=True)
    grants: Sequence[Grant] = field(default=(), kw_only=True)
    changes: Sequence[Change] = field(default=(), kw_only=True)
    attributes: Mapping[str, object] = field(default_factory=dict, kw_only=True)
    status: AccountStatus | Literal["active", "suspended"] = field(default=AccountStatus.ACTIVE, kw_only=True)

    def __post_init__(self) -> None:
        _checked(check_id, self.id, "account id")
        at = f"account {self.id!r}: "
        _check_tier(self.tier, f"{at}tier")
        if self.trial is not None:
            _check_kind(self.trial, Trial, f"{at}trial")
        if self.anchor is not None:
            object.__setattr__(self, "anchor", checked_anchor(self.anchor, f"{at}anchor"))
        if self.time_zone is not None and (not isinstance(self.time_zone, str) or not self.time_zone):
            cure = "write its IANA name, such as 'Europe/Berlin'"
            raise AccountError(f"{at}time_zone {shown(self.time_zone)} is not the name of a time zone; {cure}")
        object.__setattr__(self, "add_ons", _frozen_mapping(self.add_ons, f"{at}add_ons"))
        for name, quantity in self.add_ons.items():
            _check_name(name, f"{at}add-on")
            _checked(check_count, quantity, f"{at}quantity of add-on {name!r}")
        for attribute, kind in (("overrides", Override), ("grants", Grant), ("changes", Change)):
            object.__setattr__(self, attribute, _tuple_of(getattr(self, attribute), kind, f"{at}{attribute}"))
        if len({change.at for change in self.changes}) < len(self.changes):
            raise AccountError(f"{at}two changes of tier at the same instant; keep one")
        object.__setattr__(self, "attributes", _frozen_mapping(self.attributes, f"{at}attributes"))
        try:
            object.__setattr__(self, "status", AccountStatus(self.status))
        except ValueError:
            raise AccountError(f"{at}status {self.status!r} must be 'active' or 'suspended'") from None

    def __hash__(self) -> int:
        """Hash the id and the tier; the mappings are not hashable."""
        return hash((self.id, self.tier))


_EMPTY: Mapping[str, object] = FrozenDict({})


def _checked(check: object, value: object, what: str) -> None:
    """Run a check of `names` or `instants`; raise its `ValueError` as an `AccountError`."""
    try:
        check(value, what)  # type: ignore[operator]
    except ValueError as error:
        raise AccountError(str(error)) from None


def _check_name(value: object, what: str) -> None:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise AccountError(f"{what} {value!r} is not a name; {NAME_CURE}")


def _check_tier(value: object, what: str) -> None:
    """Check for a non-empty str; only the policy knows the valid names."""
    if not isinstance(value, str) or not value:
        raise AccountError(f"{what} {value!r} is not a tier's name; pass a str")


def _check_kind(value: object, kind: type, what: str) -> None:
    if not isinstance(value, kind):
        raise AccountError(f"{what} {shown(value)} is not a {kind.__name__}; write {kind.__name__}(...)")


def _tuple_of(values: object, kind: type, what: str) -> tuple[object, ...]:
    if type(values) is tuple and not values:
        return values
    if not isinstance(values, Iterable) or isinstance(values, str | Mapping):
        cure = f"write {what.rpartition(': ')[2]}=[{kind.__name__}(...)]"
        raise AccountError(f"{what} {shown(values)} must be a sequence of {kind.__name__}; {cure}")
    items = tuple(values)
    for item in items:
        _check_kind(item, kind, what)
    return items


def _frozen_mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise AccountError(f"{what} {shown(value)} must be a mapping; write {{name: value}}")
    return FrozenDict(dict(value)) if value else _EMPTY


def _check_span(starts: object, ends: object, what: str, *, end: str = "expires", needed: bool = False) -> None:
    """Check a half-open span of aware datetimes; either end may be None."""
    if starts is not None:
        _checked(check_moment, starts, f"{what}: starts")
    if ends is not None:
        _checked(check_moment, ends, f"{what}: {end}")
    elif needed:
        raise AccountError(f"{what} has no end; give {end}=")
    if isinstance(starts, datetime) and isinstance(ends, datetime) and starts >= ends:
        raise AccountError(f"{what}: starts {starts} is not before {end} {ends}")
