"""
Adjustments of what a tier gives: add-ons, grants and overrides.

An override in force is final. Otherwise the other sources raise the tier's value. Add-ons that
set a limit replace the tier's size by the largest that they set. A limit grows by each other
add-on (times its quantity) and each grant, a level becomes the highest one, a switch is turned
on, and a configuration value is replaced by the last add-on with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from entitlements.errors import AccountError
from entitlements.model.account import Account, Grant, Override
from entitlements.model.facts import Considered
from entitlements.model.limits import NOT_INCLUDED, LimitValue, Size
from entitlements.model.overage import Included, added_sizes, most_of, times
from entitlements.model.policy import AddOn, PolicyData
from entitlements.model.reasons import Verdict
from entitlements.model.tier import Tier
from entitlements.rules.validity import format_span, span_verdict


@dataclass(frozen=True, slots=True)
class Source:
    """
    One source of a value for a name, besides the tier.

    Args:
        source: `add-on:…`, `grant:…` or `override:…`.
        value: The value that it adds or sets.
        inactive: The verdict if it is not in force; None if it is.
        note: A note for people.
        replaces: True if an add-on sets a limit, in place of the tier.
    """

    source: str
    value: object
    inactive: Verdict | None
    note: str
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedName:
    """
    The resolved value of one name.

    Args:
        value: A bool, a level, a size or a configuration value; `NOT_INCLUDED` without one.
        winner: The source that decided; None if the tier did.
        trace: Every source besides the tiers.
    """

    value: object
    winner: str | None
    trace: tuple[Considered, ...]


def gather_sources(
    policy: PolicyData, account: Account, tier: Tier, now: int, edges: list[int]
) -> dict[str, list[Source]]:
    """Return the sources of each name: add-ons first, then grants, then overrides."""
    found: dict[str, list[Source]] = {}
    for add_on, quantity in account.add_ons.items():
        for name, source in _of_add_on(policy.add_ons[add_on], quantity, tier):
            found.setdefault(name, []).append(source)
    for grant in account.grants:
        source = _timed(f"grant:{grant.limit}", grant.amount, grant, grant.reason, now, edges)
        found.setdefault(grant.limit, []).append(source)
    for override in account.overrides:
        note = f"{override.reason}, by {override.author}"
        source = _timed(f"override:{override.name}", override.value, override, note, now, edges)
        found.setdefault(override.name, []).append(source)
    return found


def resolve_name(policy: PolicyData, tier: Tier, name: str, sources: list[Source]) -> ResolvedName:
    """
    Resolve *name* from its tier and its other sources.

    Raises:
        AccountError: For two overrides in force.
    """
    value, winner = raised_value(policy, tier, name, sources)
    finals = [each for each in sources if _is_final(each) and each.inactive is None]
    if len(finals) > 1:
        raise AccountError(f"two overrides of {name!r} are in force; keep one, or end one before the other begins")
    final = finals[0] if finals else None
    if final is not None:
        value, winner = _without_window(final.value), final.source
    base = _replacing(sources)
    trace = tuple(
        Considered(each.source, each.value, each.inactive or _verdict(each, final, winner, base), each.note)
        for each in sources
    )
    return ResolvedName(value, winner, trace)


def _without_window(value: object) -> object:
    """Return a size without the window that an override may have written with it."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool | Included) else value


def tier_value(policy: PolicyData, tier: Tier, name: str) -> object:
    """Return the value of a name in the tier alone."""
    if name in policy.limits:
        return tier.limits.get(name, NOT_INCLUDED)
    if name in policy.features:
        return tier.levels.get(name, name in tier.features)
    return tier.values.get(name, NOT_INCLUDED)


def raised_limit(base: LimitValue, amount: LimitValue) -> LimitValue:
    """Return *base* plus *amount*, with the overage of both."""
    return added_sizes(base, amount)


def _of_add_on(add_on: AddOn, quantity: int, tier: Tier) -> Iterator[tuple[str, Source]]:
    offered = add_on.offered_to(tier.id)
    inactive, note = (None, f"quantity {quantity}") if offered else (Verdict.NOT_OFFERED, f"not offered to {tier.id}")
    limits = {name: times(amount, quantity) for name, amount in add_on.limits.items()}
    bundle: dict[str, object] = {
        **dict.fromkeys(sorted(add_on.features), True),
        **add_on.levels,
        **limits,
        **add_on.values,
    }
    for name, value in bundle.items():
        yield name, Source(f"add-on:{add_on.name}", value, inactive, note)
    for name, size in add_on.sets.items():
        yield name, Source(f"add-on:{add_on.name}", size, inactive, f"{note}, in place of the tier's", replaces=True)


def _timed(source: str, value: object, timed: Grant | Override, note: str, now: int, edges: list[int]) -> Source:
    inactive = span_verdict(timed.starts, timed.expires, now, edges)
    return Source(source, value, inactive, ", ".join(filter(None, (note, format_span(timed.starts, timed.expires)))))


def raised_value(policy: PolicyData, tier: Tier, name: str, sources: list[Source]) -> tuple[object, str | None]:
    """Return the tier's value raised by the add-ons and grants in force, and the last source that raised it."""
    base = _replacing(sources)
    value, winner = (tier_value(policy, tier, name), None) if base is None else (base.value, base.source)
    for each in sources:
        if each.inactive is None and not each.replaces and not _is_final(each):
            higher = _higher(policy, name, value, each.value)
            value, winner = (value, winner) if higher == value else (higher, each.source)
    return value, winner


def _replacing(sources: list[Source]) -> Source | None:
    """Return the source that sets the largest size in place of the tier's; None if none sets it."""
    setting = [each for each in sources if each.replaces and each.inactive is None]
    return max(setting, key=lambda each: most_of(cast("Size", each.value)), default=None)


def _higher(policy: PolicyData, name: str, value: object, other: object) -> object:
    if name in policy.limits:
        return raised_limit(cast("LimitValue", value), cast("LimitValue", other))
    feature = policy.features.get(name)
    if feature is None or not feature.levels:
        return other
    levels = feature.levels
    return other if value not in levels or levels.index(other) > levels.index(value) else value


def _is_final(source: Source) -> bool:
    return source.source.startswith("override:")


def _verdict(each: Source, final: Source | None, winner: str | None, base: Source | None) -> Verdict:
    if each is final or (final is None and each.source == winner):
        return Verdict.WON
    is_used = each is base if each.replaces else each.source.startswith(("add-on:", "grant:"))
    return Verdict.RAISED if is_used and final is None else Verdict.LOST
