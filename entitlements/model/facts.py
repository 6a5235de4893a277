"""
The parts of a decision: facts, sources considered, remedy, receipt.

`Facts` do not change between two calls for one name of one account; they are compiled
once. A `Receipt` has the details of one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from entitlements.model.charge import Part
from entitlements.model.display import in_words
from entitlements.model.immutable import ANSWER, immutable
from entitlements.model.limits import Limit, LimitValue
from entitlements.model.reasons import Reason, Verdict

__all__ = ["Considered", "Reason", "Remedy", "Verdict"]


@immutable(ANSWER)
@dataclass(frozen=True, slots=True)
class Considered:
    """
    One source of a value, with its verdict.

    Args:
        source: `tier:…`, `trial:…`, `add-on:…`, `grant:…` or `override:…`.
        value: Its value: a bool, a level, a size, a configuration value, or `NOT_INCLUDED`.
        verdict: The effect of the source, or the reason that it had none.
        note: For people: author, reason, time span.
    """

    source: str
    value: object
    verdict: Verdict
    note: str = ""

    def __str__(self) -> str:
        """Return one line for people: `tier:pro says 100: won`."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.source} says {in_words(self.value)}: {self.verdict}{note}"


@immutable(ANSWER)
@dataclass(frozen=True, slots=True)
class Remedy:
    """
    The cheapest ways to get a refused charge allowed.

    Args:
        tier: The lowest higher tier that would have allowed it, or None.
        add_on: The first add-on offered to the account that would have allowed it, or None.
    """

    tier: str | None
    add_on: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """
    The facts about one name of one account that do not change between calls.

    Args:
        account: The account's id.
        policy: The policy's version.
        feature: The name that was asked.
        tier: The tier in force; None for an unknown account.
        source: The source that won.
        trace: Every source that was considered.
        reason: The reason by resolution alone, without a store.
        limit: The definition, if the name is a limit; else None.
        size: The account's size of the limit; None if the name is not a limit.
        valid_until: First instant at which any of this may change; None for never.
        tiers: Higher tiers that have it, lowest first, each with the size the account would have there.
        add_ons: Add-ons that give more, each with the size the account would then have.
        is_final: True if an override decided, so that no tier and no add-on changes it.
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
    The details of one answered charge.

    Args:
        via: The path that answered: static, store, memory, deny-cache, local, journal.
        now: The time of the deciding clock, in microseconds.
        cost: Units of the charge.
        operation: The operation id, which a refund names.
        part: The part of the order; None if no store was asked.
        scope: The scope of parts with a `per`.
        degraded: True if the store was unreachable.
        replayed: True if this is the stored first answer to a repeated key.
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
