"""The preview of a change of tier, as values: its effect on features, limits and services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from entitlements.model.account import Account, Change
from entitlements.model.display import attributes_in_json, fields_in_json, in_json
from entitlements.model.immutable import ANSWER, immutable
from entitlements.model.limits import LimitValue, NotIncluded
from entitlements.model.tier import Value


class MoveDirection(StrEnum):
    """The direction of a change of tier."""

    UP = "upgrade"
    DOWN = "downgrade"
    SIDEWAYS = "sideways"
    NOWHERE = "none"


class UsageOutcome(StrEnum):
    """The effect of a change on the units in use."""

    FITS = "fits"
    KEPT = "kept"  # an allocation: units stay, and none can be added
    REFUSED = "refused"  # a quota: no more units until the period ends
    RESET = "anew"  # a quota: the period ends before the change takes effect
    SLOWER = "slower"  # a rate: the new size applies at once


@dataclass(frozen=True, slots=True)
class LimitChange:
    """
    A limit before and after the change.

    Args:
        limit: Its name.
        before: Its size the instant before the change.
        after: Its size from the change on.
        used: Units used now; None if they are not counted.
        over: Units used now above the new size and its overage.
        fate: The effect on the units in use.
        text: The same in one sentence.
    """

    limit: str
    before: LimitValue
    after: LimitValue
    used: int | None
    over: int
    fate: UsageOutcome
    text: str

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A value before and after the change; `NOT_INCLUDED` if there is none."""

    before: Value | NotIncluded
    after: Value | NotIncluded

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class CappingOverride:
    """
    An override that gives less than the new tier would.

    Args:
        name: The feature, limit or value key.
        value: The value that the override gives.
        instead_of: The value that the account would have without it.
        reason: Its reason.
        author: The person who decided it.
        expires: Its end; None for never.
    """

    name: str
    value: object
    instead_of: object
    reason: str
    author: str
    expires: datetime | None

    to_dict = fields_in_json


@immutable(ANSWER)
@dataclass(frozen=True, slots=True)
class ChangePreview:
    """
    The effects of a change of tier.

    Args:
        account: The account's id.
        from_tier: Its own tier now.
        to_tier: The new tier.
        way: The direction: up, down, sideways or none.
        notice: The notice period of the change.
        effective: The instant at which it takes effect (aware, UTC).
        process: The steps of the policy for it, in order.
        features_lost: Features and `feature:level` that the account would lose.
        features_gained: Features and `feature:level` that the account would gain.
        limits: Every limit whose size changes, by name.
        services_lost: Value keys that the account would lose.
        services_gained: Value keys that the account would gain.
        services_changed: Value keys with another value.
        capped: The overrides that give less than the new tier would, and stay in force.
        replaces: The scheduled changes that this one replaces; a change to the account's own tier cancels them.
        scheduled: The account with the change added, to store in the account source.
    """

    account: str
    from_tier: str
    to_tier: str
    way: MoveDirection
    notice: timedelta
    effective: datetime
    process: tuple[str, ...]
    features_lost: tuple[str, ...]
    features_gained: tuple[str, ...]
    limits: Mapping[str, LimitChange]
    services_lost: Mapping[str, ValueChange]
    services_gained: Mapping[str, ValueChange]
    services_changed: Mapping[str, ValueChange]
    capped: tuple[CappingOverride, ...]
    replaces: tuple[Change, ...]
    scheduled: Account

    @property
    def over(self) -> tuple[LimitChange, ...]:
        """The limits with a present usage above the new size."""
        return tuple(change for change in self.limits.values() if change.over)

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`."""
        return {
            **attributes_in_json(self, ("account", "from_tier", "to_tier", "way", "notice", "effective", "process")),
            **attributes_in_json(self, ("features_lost", "features_gained", "limits")),
            "over": [change.limit for change in self.over],
            **attributes_in_json(self, ("services_lost", "services_gained", "services_changed", "capped")),
            "replaces": [{"tier": change.tier, "at": in_json(change.at)} for change in self.replaces],
        }
