"""
The parts of a decision: facts, sources considered, remedy, receipt.

`Facts` do not change between two calls for one name of one account; they are compiled
once. A `Receipt` has the details of one call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

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
    The cheapest ways that are sold to get a refused charge allowed.

    Args:
        tier: The lowest higher tier that would have allowed it, or None.
        add_on: The cheapest add-on offered to the account that would have allowed it, or None; the first of those
            without a price.
        quantity: The quantity of the add-on to buy.
        also: The add-ons that it requires and that the account does not have.
        tier_price: The price of the tier, as text; empty if the policy has none.
        add_on_price: The price of one unit of the add-on, likewise.
        cheaper: `tier` or `add_on`, the way that costs less in a year; None if that is not known.
        together: True if neither alone would have allowed it: the add-on is to be bought on that tier.
    """

    tier: str | None
    add_on: str | None
    quantity: int = 1
    also: tuple[str, ...] = ()
    tier_price: str = ""
    add_on_price: str = ""
    cheaper: Literal["tier", "add_on"] | None = None
    together: bool = False

    def ways(self, name: Callable[[str], str] = repr, *, prices: bool = False) -> list[str]:
        """
        Return the tier and the add-on in words, the cheaper one first; one way if both are needed.

        Args:
            name: Returns a name as it is to be shown.
            prices: Add the prices.
        """
        found = [f"tier {name(self.tier)}{_in_brackets(self.tier_price, shown=prices)}"] if self.tier else []
        if self.add_on:
            count = f"{self.quantity} of " if self.quantity > 1 else ""
            rest = f" with {' and '.join(map(name, self.also))}" if self.also else ""
            found.append(f"{count}add-on {name(self.add_on)}{rest}{_in_brackets(self.add_on_price, shown=prices)}")
        if self.together:
            return [" with ".join(found)]
        return found[::-1] if self.cheaper == "add_on" else found

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`; beyond tier and add-on it has what is known."""
        known: dict[str, object] = {"tier": self.tier, "add_on": self.add_on}
        known |= {"quantity": self.quantity} if self.quantity > 1 else {}
        rest: dict[str, object] = {
            "also": list(self.also),
            "tier_price": self.tier_price,
            "add_on_price": self.add_on_price,
        }
        rest |= {"cheaper": self.cheaper, "together": self.together}
        return known | {key: value for key, value in rest.items() if value}


def _in_brackets(price: str, *, shown: bool) -> str:
    return f" ({price})" if shown and price else ""


class Offer(NamedTuple):
    """
    A tier or an add-on that is sold to an account, and the units of one name that the account would then have.

    Args:
        name: The tier or the add-on.
        size: The units at once, with the least quantity; `UNLIMITED` for a feature.
        price: The price of one unit, as text; empty without one.
        yearly: The price of one unit in a year; None if it is not known.
        quantity: The least quantity to buy.
        adds: The units that each further one adds.
        step: The number of further ones that can be bought at a time.
        most: The largest quantity to buy; None for any.
        also: The add-ons to be bought with it.
        also_yearly: Their price in a year; None if it is not known.
    """

    name: str
    size: LimitValue
    price: str = ""
    yearly: Decimal | None = None
    quantity: int = 1
    adds: int = 0
    step: int = 1
    most: int | None = None
    also: tuple[str, ...] = ()
    also_yearly: Decimal | None = Decimal(0)


class JointOffer(NamedTuple):
    """A tier that is sold to an account, and the add-ons that it could buy there."""

    tier: Offer
    add_ons: tuple[Offer, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """
    The facts about one name that do not change between calls, alike for all accounts that share a `Resolution`.

    Args:
        policy: The policy's version.
        feature: The name that was asked.
        tier: The tier in force; None for an unknown account.
        source: The source that won.
        trace: Every source that was considered.
        reason: The reason by resolution alone, without a store.
        limit: The definition, if the name is a limit; else None.
        size: The account's size of the limit; None if the name is not a limit.
        valid_until: First instant at which any of this may change; None for never.
        tiers: Higher tiers that have it, lowest first.
        add_ons: Add-ons that give more.
        joint: Higher tiers with the add-ons that give more there, lowest first.
        is_final: True if an override decided, so that no tier and no add-on changes it.
    """

    policy: str
    feature: str
    tier: str | None
    source: str
    trace: tuple[Considered, ...]
    reason: Reason
    limit: Limit | None = None
    size: LimitValue | None = None
    valid_until: int | None = None
    tiers: tuple[Offer, ...] = ()
    add_ons: tuple[Offer, ...] = ()
    joint: tuple[JointOffer, ...] = ()
    is_final: bool = False


class Receipt(NamedTuple):
    """
    The details of one answered charge.

    Args:
        via: The path that answered: static, store, memory, lease, deny-cache, local, journal.
        now: The time of the deciding clock, in microseconds.
        cost: Units of the charge.
        operation: The operation id, which a refund names.
        part: The part of the order; None if no store was asked.
        scope: The scope of parts with a `per`.
        degraded: True if the store was unreachable.
        replayed: True if this is the stored first answer to a repeated key.
        account: The account's id.
    """

    via: str
    now: int
    cost: int = 0
    operation: str | None = None
    part: Part | None = None
    scope: str | None = None
    degraded: bool = False
    replayed: bool = False
    account: str = ""
