"""The values that `Entitlements` are made of: for this package; users have their methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

from entitlements.model.calendars import Calendar
from entitlements.model.facts import Considered
from entitlements.model.limits import LimitValue
from entitlements.model.prepared import AccountCharges, Prepared
from entitlements.model.reasons import Reason, Verdict
from entitlements.model.tier import Tier, Value

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements


@dataclass(frozen=True, slots=True)
class TierSource:
    """A tier that was considered, with its verdict."""

    source: str
    tier: Tier
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Resolution:
    """
    The resolved tables of one account at one instant; accounts that differ in nothing but their ids share them.

    Args:
        in_force: The tier in force; None for an unknown account.
        refusal: The reason if everything is refused (suspended, unknown account); else None.
        expires: First instant at which any of this may change by the clock, in
            microseconds; None for never.
        calendar: The calendar by which the account's periods begin.
        answers: The answer of `can` for every name and every `feature:level`; a plain dict,
            which CPython reads faster than a subclass.
        limits: The size of each limit; an absent one is not included.
        levels: The level of each feature with levels.
        values: Configuration values by dotted key.
        tiers: The tiers that were considered.
        note: For an unknown account, the reason that it is unknown.
        adjustments: The add-ons, grants and overrides that were considered for a name, and
            the source that won; only for names that they mention.
        prepared: What `rules/` has derived from these values so far, for every account that shares them.
        add_ons: The quantity of each add-on of the account.
    """

    in_force: Tier | None
    refusal: Reason | None
    expires: int | None
    calendar: Calendar
    answers: Mapping[str, bool]
    limits: Mapping[str, LimitValue]
    levels: Mapping[str, str]
    values: Mapping[str, Value]
    tiers: tuple[TierSource, ...] = ()
    note: str = ""
    adjustments: Mapping[str, tuple[str | None, tuple[Considered, ...]]] = field(default_factory=dict)
    prepared: Prepared = field(default_factory=Prepared, repr=False)
    add_ons: Mapping[str, int] = field(default_factory=dict)


resolution_of: Callable[[Entitlements], Resolution] = attrgetter("_resolution")
"""Return the values of entitlements; costs no Python call."""

prepared_of: Callable[[Entitlements], Prepared] = attrgetter("_resolution.prepared")
"""Return what `rules/` has derived from entitlements; costs no Python call."""

charges_of: Callable[[Entitlements], AccountCharges] = attrgetter("_charges")
"""Return the charges of the account alone; costs no Python call."""
