"""What a change of tier would do, as values: the plan, and what changes of each limit and service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from entitlements.model.account import Account, Change
from entitlements.model.display import in_json
from entitlements.model.limits import LimitValue, NotIncluded
from entitlements.model.policy import Value


class MoveDirection(StrEnum):
    """Where a change leads."""

    UP = "upgrade"
    DOWN = "downgrade"
    SIDEWAYS = "sideways"
    NOWHERE = "none"


class UsageOutcome(StrEnum):
    """What becomes of what is used."""

    FITS = "fits"
    KEPT = "kept"  # an allocation: kept, and nothing can be added
    REFUSED = "refused"  # a quota: nothing more until the period ends
    ANEW = "anew"  # a quota: the period ends before the change comes
    SLOWER = "slower"  # a rate: the new size from the first call on


@dataclass(frozen=True, slots=True)
class LimitChange:
    """
    One limit, before and after.

    Args:
        limit: Its name.
        before: Its size the instant before.
        after: Its size from then on.
        used: What is used now; None where it is not counted.
        over: How much of it is over the new size, as of now.
        fate: What becomes of it.
        text: The same in one sentence.
    """

    limit: str
    before: LimitValue
    after: LimitValue
    used: int | None
    over: int
    fate: UsageOutcome
    text: str

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {name: in_json(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A service before and after; `NOT_INCLUDED` where there is none."""

    before: Value | NotIncluded
    after: Value | NotIncluded

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {"before": in_json(self.before), "after": in_json(self.after)}


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """
    What a change of tier would do.

    Args:
        account: The account's id.
        from_tier: Its own tier now.
        to_tier: The tier that was asked about.
        way: Up, down, sideways, or nowhere.
        notice: How long before it a change has to be announced.
        effective: When it takes effect (aware, UTC).
        process: The steps that the policy has for it, in order.
        features_lost: Features and `feature:level` that the account can use now and could not.
        features_gained: The other way round.
        limits: Every limit whose size changes, by name.
        services_lost: Value keys that stand for something now, and would for nothing.
        services_gained: The other way round.
        services_changed: Value keys that would stand for something else.
        replaces: The changes that were scheduled and would not come any more.
        scheduled: The account with the change in it: what a directory would hold.
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
    replaces: tuple[Change, ...]
    scheduled: Account

    @property
    def over(self) -> tuple[LimitChange, ...]:
        """The limits whose present usage is over the new size."""
        return tuple(change for change in self.limits.values() if change.over)

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        services = {
            name: {key: change.to_dict() for key, change in getattr(self, name).items()}
            for name in ("services_lost", "services_gained", "services_changed")
        }
        return {
            "account": self.account,
            "from_tier": self.from_tier,
            "to_tier": self.to_tier,
            "way": self.way.value,
            "notice": in_json(self.notice),
            "effective": in_json(self.effective),
            "process": list(self.process),
            "features_lost": list(self.features_lost),
            "features_gained": list(self.features_gained),
            "limits": {name: change.to_dict() for name, change in self.limits.items()},
            "over": [change.limit for change in self.over],
            **services,
            "replaces": [{"tier": change.tier, "at": in_json(change.at)} for change in self.replaces],
        }
