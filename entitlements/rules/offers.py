"""Offers: the tiers and add-ons that are sold, under which an account would have more of one name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import cast

from entitlements.model.entitlements import Entitlements
from entitlements.model.facts import Considered, JointOffer, Offer
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue
from entitlements.model.overage import added_sizes, at_once, times
from entitlements.model.policy import AddOn, PolicyData
from entitlements.model.reasons import Verdict
from entitlements.model.resolution import resolution_of
from entitlements.model.tier import Tier
from entitlements.rules.add_ons import exclude_each_other, next_quantity
from entitlements.rules.adjustments import Source, raised_value
from entitlements.rules.prices import Price, add_on_price, tier_price

_DEAREST = Decimal("Infinity")


def tier_offers(entitlements: Entitlements, name: str) -> Iterator[Offer]:
    """
    Yield the tiers to which the account could move up and have *name*, lowest first, with the units at once.

    They are of the account's product line, and the cheapest of one rank comes first. The account's add-ons and grants
    raise the sizes.
    """
    for tier, price in _tiers_above(entitlements):
        if size := _size(entitlements, tier, name):
            yield Offer(tier.id, size, price.text, price.yearly)


def add_on_offers(entitlements: Entitlements, name: str) -> Iterator[Offer]:
    """Yield the add-ons that the account could buy, or buy more of, with the units of *name* at once."""
    tier = resolution_of(entitlements).in_force
    if tier is not None:
        yield from _add_on_offers(entitlements, tier, _giving(entitlements.policy, name), name)


def joint_offers(entitlements: Entitlements, name: str) -> Iterator[JointOffer]:
    """Yield the tiers of `tier_offers`, also those without *name*, each with the add-ons that give some of it there."""
    add_ons = _giving(entitlements.policy, name)
    for tier, price in _tiers_above(entitlements) if add_ons else ():
        if offers := tuple(_add_on_offers(entitlements, tier, add_ons, name)):
            yield JointOffer(Offer(tier.id, _size(entitlements, tier, name), price.text, price.yearly), offers)


def _tiers_above(entitlements: Entitlements) -> list[tuple[Tier, Price]]:
    """Return the tiers to which the account could move up, with their prices: the lowest and cheapest first."""
    own = resolution_of(entitlements).in_force
    above = [
        (tier, tier_price(tier))
        for tier in entitlements.policy.tiers.values()
        if tier.is_sold and (own is None or tier.is_above(own))
    ]
    return sorted(above, key=lambda each: (each[0].rank, _DEAREST if each[1].yearly is None else each[1].yearly))


def _giving(policy: PolicyData, name: str) -> list[AddOn]:
    """Return the add-ons that give something of *name*."""
    return [
        each
        for each in policy.add_ons.values()
        if name in each.limits or name in each.sets or _includes(policy, each, name)
    ]


def _add_on_offers(entitlements: Entitlements, tier: Tier, add_ons: list[AddOn], name: str) -> Iterator[Offer]:
    """Yield the add-ons that the account could buy on *tier*."""
    policy = entitlements.policy
    for add_on in add_ons:
        also = _also_needed(entitlements, tier, add_on)
        first = next_quantity(add_on, resolution_of(entitlements).add_ons.get(add_on.name, 0) + 1)
        offer = None if also is None or first is None else _add_on_offer(entitlements, tier, add_on, also, name, first)
        if offer is not None:
            price = add_on_price(add_on, tier)
            rest = [
                (add_on_price(policy.add_ons[each], tier).yearly, policy.add_ons[each].at_least) for each in offer.also
            ]
            yield offer._replace(price=price.text, yearly=price.yearly, also_yearly=_sum(rest))


def _sum(prices: list[tuple[Decimal | None, int]]) -> Decimal | None:
    """Return the sum of prices, each times its quantity; None if one is not known."""
    known = [price * quantity for price, quantity in prices if price is not None]
    return sum(known, Decimal(0)) if len(known) == len(prices) else None


def _add_on_offer(
    entitlements: Entitlements, tier: Tier, add_on: AddOn, also: tuple[str, ...], name: str, total: int
) -> Offer | None:
    """Return the offer of so many of an add-on in all, with those that it requires; None if it gives nothing of *name*."""
    had = resolution_of(entitlements).add_ons.get(add_on.name, 0)
    bought = total - had
    most = None if add_on.at_most is None else add_on.at_most - had
    if name not in entitlements.policy.limits:
        return None if had else Offer(add_on.name, UNLIMITED, quantity=bought, also=also)
    rest = {each: entitlements.policy.add_ons[each].at_least for each in also}
    size = _with_add_ons(entitlements, tier, {add_on.name: bought, **rest}, name)
    if size is NOT_INCLUDED or (name in add_on.sets and had):
        return None
    limit, more = entitlements.policy.limits[name], added_sizes(size, add_on.limits.get(name, 0))
    now, then = at_once(limit, size), NOT_INCLUDED if more is NOT_INCLUDED else at_once(limit, more)
    adds = then - now if isinstance(now, int) and isinstance(then, int) else 0
    return Offer(add_on.name, now, quantity=bought, adds=adds, step=add_on.step, most=most, also=also)


def _also_needed(entitlements: Entitlements, tier: Tier, add_on: AddOn) -> tuple[str, ...] | None:
    """Return the further add-ons that the account would have to buy on *tier*; None if it cannot buy them all."""
    policy, resolution = entitlements.policy, resolution_of(entitlements)
    wanted, names = {add_on.name: None}, [add_on.name]
    for each in names:
        needed = policy.add_ons[each]
        if needed.retired or not needed.offered_to(tier.id):
            return None
        names += (other for other in needed.requires if other not in wanted and other not in resolution.add_ons)
        wanted |= dict.fromkeys(names)
    others = [*wanted, *(each for each in resolution.add_ons if each not in wanted)]
    if any(exclude_each_other(policy, each, other) for each in wanted for other in others if each != other):
        return None
    return tuple(each for each in wanted if each != add_on.name)


def _size(entitlements: Entitlements, tier: Tier, name: str) -> LimitValue:
    """Return the units of a limit that the account could use at once on *tier*; `UNLIMITED` for a feature it has there."""
    policy, base = entitlements.policy, name.partition(":")[0]
    _, considered = resolution_of(entitlements).adjustments.get(base, (None, ()))
    applied = [each for each in considered if _applies_on(policy, tier, each)]
    limit = policy.limits.get(name)
    if limit is None:
        bought = [policy.add_ons[each.source.partition(":")[2]] for each in applied]
        has = policy.answers[tier.id][name] or any(_includes(policy, add_on, name) for add_on in bought)
        return UNLIMITED if has else NOT_INCLUDED
    size = _raised(policy, tier, name, applied)
    return size if size is NOT_INCLUDED else at_once(limit, size)


def _raised(policy: PolicyData, tier: Tier, name: str, applied: list[Considered], *more: Source) -> LimitValue:
    """Return the size of a limit on *tier* with the add-ons and grants that apply there."""
    sources = [
        Source(each.source, each.value, None, each.note, replaces=_replaces(policy, each, name)) for each in applied
    ]
    return cast("LimitValue", raised_value(policy, tier, name, [*sources, *more])[0])


def _replaces(policy: PolicyData, considered: Considered, name: str) -> bool:
    kind, _, source = considered.source.partition(":")
    return kind == "add-on" and name in policy.add_ons[source].sets


def _applies_on(policy: PolicyData, tier: Tier, considered: Considered) -> bool:
    """Return True if a source would also apply on *tier*: an add-on that is offered there, or a grant in force."""
    kind, _, name = considered.source.partition(":")
    if kind == "add-on":
        return policy.add_ons[name].offered_to(tier.id)
    return kind == "grant" and considered.verdict in (Verdict.WON, Verdict.RAISED)


def _with_add_ons(entitlements: Entitlements, tier: Tier, bought: Mapping[str, int], name: str) -> LimitValue:
    """Return the size of a limit on *tier* if the account bought so many more of some add-ons."""
    policy = entitlements.policy
    _, considered = resolution_of(entitlements).adjustments.get(name, (None, ()))
    applied = [each for each in considered if _applies_on(policy, tier, each)]
    more = []
    for each, quantity in bought.items():
        add_on = policy.add_ons[each]
        if name in add_on.sets:
            more.append(Source(f"add-on:{each}", add_on.sets[name], None, "", replaces=True))
        elif name in add_on.limits:
            more.append(Source(f"add-on:{each}", times(add_on.limits[name], quantity), None, ""))
    return _raised(policy, tier, name, applied, *more)


def _includes(policy: PolicyData, add_on: AddOn, name: str) -> bool:
    """Return True if an add-on includes a feature or a `feature:level`."""
    base, _, level = name.partition(":")
    if base in add_on.features:
        return True
    if base not in add_on.levels:
        return False
    levels = policy.features[base].levels
    return not level or levels.index(add_on.levels[base]) >= levels.index(level)
