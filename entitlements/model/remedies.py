"""Remedies for a refused charge: the tier and the add-on that would have allowed it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from entitlements.model.decision_fields import facts_of, receipt_of
from entitlements.model.facts import Offer, Remedy
from entitlements.model.limits import NOT_INCLUDED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from entitlements.model.decision import Decision


class _Purchase(NamedTuple):
    """An add-on to buy, the quantity, and the price in a year; None if that is not known."""

    offer: Offer
    quantity: int
    yearly: Decimal | None


def remedy_of(parts: Sequence[Decision]) -> Remedy | None:
    """
    Return the lowest tier and the cheapest add-on under which every part would have been allowed, or the two together.

    Args:
        parts: The enforced parts of a refused decision.
    """
    refused = [part for part in parts if not part.allowed]
    some = facts_of(refused[0])
    tier = next((each for each in some.tiers if all(_fits_on(each.name, part) for part in parts)), None)
    needs = {part.feature: (facts_of(part).add_ons, _needed(part)) for part in refused}
    return cheapest(tier, some.add_ons, list(needs.values())) or _joint(parts)


def _joint(parts: Sequence[Decision]) -> Remedy | None:
    """Return the lowest tier on which an add-on allows every part; None if there is none."""
    tables = {part.feature: {each.tier.name: each for each in facts_of(part).joint} for part in parts}
    for each in facts_of(next(part for part in parts if not part.allowed)).joint:
        short = [part for part in parts if not _fits_on(each.tier.name, part)]
        offers = [tables[part.feature].get(each.tier.name) for part in short]
        needs = [(offer.add_ons, _needed(part)) for offer, part in zip(offers, short, strict=True) if offer is not None]
        if len(needs) == len(short) and (found := cheapest(None, each.add_ons, needs)):
            return replace(found, tier=each.tier.name, tier_price=each.tier.price, together=True)
    return None


def cheapest(
    tier: Offer | None, add_ons: Iterable[Offer], needs: Sequence[tuple[Sequence[Offer], int]]
) -> Remedy | None:
    """
    Return the remedy that names *tier*, and the cheapest of *add_ons*; None if there is neither.

    Args:
        tier: The tier to name, if any.
        add_ons: The add-ons to choose from.
        needs: For each limit, what each add-on gives of it, and the units that are needed.
    """
    bought = [found for each in add_ons if (found := _purchase(each, needs)) is not None]
    add_on = min(bought, key=lambda each: (each.yearly is None, each.yearly or 0), default=None)
    if add_on is None:
        return None if tier is None else Remedy(tier.name, None, tier_price=tier.price)
    offer = add_on.offer
    if tier is None:
        return Remedy(None, offer.name, add_on.quantity, offer.also, add_on_price=offer.price)
    known = tier.yearly is not None and add_on.yearly is not None
    cheaper = ("tier" if (tier.yearly or 0) <= (add_on.yearly or 0) else "add_on") if known else None
    return Remedy(tier.name, offer.name, add_on.quantity, offer.also, tier.price, offer.price, cheaper)  # type: ignore[arg-type]


def _purchase(add_on: Offer, needs: Sequence[tuple[Sequence[Offer], int]]) -> _Purchase | None:
    """Return the least purchase of an add-on that gives all that is needed; None if none does."""
    quantity = add_on.quantity
    for offers, needed in needs:
        offer = next((each for each in offers if each.name == add_on.name), None)
        enough = None if offer is None else _quantity(offer, needed)
        if enough is None:
            return None
        quantity = max(quantity, enough)
    rest = add_on.also_yearly
    yearly = None if add_on.yearly is None or rest is None else add_on.yearly * quantity + rest
    return _Purchase(add_on, quantity, yearly)


def _quantity(offer: Offer, needed: int) -> int | None:
    """Return the least quantity of an add-on with room for the units *needed*; None if there is none."""
    if offer.size is NOT_INCLUDED or (offer.size < needed and not offer.adds):
        return None
    if offer.size >= needed:
        return offer.quantity
    assert isinstance(offer.size, int)
    quantity = offer.quantity + -(-(needed - offer.size) // (offer.adds * offer.step)) * offer.step
    return quantity if offer.most is None or quantity <= offer.most else None


def _fits_on(tier: str, part: Decision) -> bool:
    """Return True if *tier* has room; an override decides whatever the tier."""
    if facts_of(part).is_final:
        return part.allowed
    sizes = [each.size for each in facts_of(part).tiers if each.name == tier]
    return any(size is not NOT_INCLUDED and size >= _needed(part) for size in sizes)


def _needed(part: Decision) -> int:
    """Return the units used plus the part's cost."""
    return (part.used or 0) + max(1, receipt_of(part).cost)
