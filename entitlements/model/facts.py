"""
What a decision is made of: its reason, what was considered, what would help.

`Facts` do not change between two calls for one name of one account and are compiled
once; a `Receipt` says how one call was answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from entitlements.model.display import in_words

if TYPE_CHECKING:
    from entitlements.model.charge import Part
    from entitlements.model.limits import Limit, LimitValue


class Reason(StrEnum):
    """Why, as a closed set: four that allow, nine that refuse."""

    INCLUDED = "included"
    WITHIN_LIMIT = "within-limit"
    UNLIMITED = "unlimited"
    OUTAGE_ALLOWED = "outage-allowed"
    NOT_INCLUDED = "not-included"
    LEVEL_TOO_LOW = "level-too-low"
    RATE_LIMITED = "rate-limited"
    QUOTA_EXCEEDED = "quota-exceeded"
    ALLOCATION_FULL = "allocation-full"
    NEVER_FITS = "never-fits"
    SUSPENDED = "suspended"
    UNKNOWN_ACCOUNT = "unknown-account"
    STORE_UNAVAILABLE = "store-unavailable"


class Verdict(StrEnum):
    """
    What became of a source that was considered.

    `WON` decided; `BASE` is the tier's value that the winner raised; `RAISED` raised it too.
    """

    WON = "won"
    BASE = "base"
    RAISED = "raised"
    LOST = "lost"
    EXPIRED = "expired"
    NOT_STARTED = "not-started"
    NOT_OFFERED = "not-offered"


@dataclass(frozen=True, slots=True)
class Considered:
    """
    One source of a value, and what became of it.

    Args:
        source: `tier:…`, `trial:…`, `add-on:…`, `grant:…` or `override:…`.
        value: What it says: a bool, a level, a size, a configuration value, or nothing.
        verdict: Whether it decided, raised, or why it did not.
        note: For people: who, why, until when.
    """

    source: str
    value: object
    verdict: Verdict
    note: str = ""

    def __str__(self) -> str:
        """Return one line for people."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.source} says {in_words(self.value)}: {self.verdict}{note}"


@dataclass(frozen=True, slots=True)
class Remedy:
    """
    What would have allowed the charge.

    Args:
        tier: The lowest higher tier that would have, or None.
        add_on: The first add-on offered to the account that would have, or None.
    """

    tier: str | None
    add_on: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """
    What does not change between two calls for one name of one account.

    Args:
        account: The account's id.
        policy: The policy's version.
        feature: The name that was asked.
        tier: The tier in force; None for an unknown account.
        source: What won.
        trace: Everything considered.
        reason: What the resolution alone says of the name.
        limit: The definition, where the name is a limit's.
        size: What the account has of the limit; None where the name is no limit's.
        valid_until: First instant at which any of this may change, or None.
        tiers: Higher tiers that have it, lowest first, with how much the account would have there.
        add_ons: Add-ons that give more, with what the account would then have.
        is_final: An override has the last word, so that no tier and no add-on changes it.
    """

    account: str
    policy: str
    feature: str
    tier: str | None
    source: str
    trace: tuple[Considered, ...]
    reason: Reason
    limit: Limit | None = None
    size: LimitValue | None = None
    valid_until: int | None = None
    tiers: tuple[tuple[str, LimitValue], ...] = ()
    add_ons: tuple[tuple[str, LimitValue], ...] = ()
    is_final: bool = False


class Receipt(NamedTuple):
    """
    How one charge was answered.

    Args:
        via: Which path answered: static, store, memory, deny-cache, local, journal.
        now: The clock that decided, in microseconds.
        cost: Units asked for.
        operation: The id that a refund names.
        part: What was asked of the store; None if it was not asked.
        scope: Whose meters for parts with a `per`.
        degraded: The store could not be asked.
        replayed: This is the first answer to a repeated key.
    """

    via: str
    now: int
    cost: int = 0
    operation: str | None = None
    part: Part | None = None
    scope: str | None = None
    degraded: bool = False
    replayed: bool = False


STATIC = Receipt("static", 0)
