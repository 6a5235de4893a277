"""The explanation of a decision: the winning source, the trace and the remedies, compiled into `Facts`."""

from __future__ import annotations

from typing import cast

from entitlements.model.entitlements import Entitlements
from entitlements.model.facts import Considered, Facts
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue
from entitlements.model.overage import at_once
from entitlements.model.policy import AddOn, PolicyData
from entitlements.model.reasons import Reason, Verdict
from entitlements.model.resolution import TierSource, prepared_of, resolution_of
from entitlements.model.tier import Tier
from entitlements.rules.adjustments import raised_limit, tier_value


def facts(entitlements: Entitlements, name: str) -> Facts:
    """
    Return the facts about *name* that do not change between calls, compiled once.

    Args:
        entitlements: The resolved snapshot.
        name: A feature, a `feature:level` or a limit.

    Raises:
        UnknownFeature: For a name that the policy does not know.
    """
    try:
        found = prepared_of(entitlements).facts.get(name)
    except TypeError:  # a list, say, which is no key
        raise entitlements.policy.unknown(name, account=entitlements.account) from None
    if found is None:
        found = prepared_of(entitlements).facts[name] = _compile(entitlements, name)
    return found


def _compile(entitlements: Entitlements, name: str) -> Facts:
    included = entitlements.can(name)  # raises for an unknown name
    policy, base = entitlements.policy, name.partition(":")[0]
    resolution = resolution_of(entitlements)
    winner, considered = resolution.adjustments.get(base, (None, ()))
    limit = policy.limits.get(name)
    final = winner is not None and winner.startswith("override:")
    return Facts(
        account=entitlements.account,
        policy=policy.version,
        feature=str(name),  # a member of an enum too
        tier=entitlements.tier,
        source=winner or _tier_source(entitlements),
        trace=(*considered, *_considered_tiers(entitlements, base, winner)),
        reason=resolution.refusal or (Reason.INCLUDED if included else _refusal_reason(entitlements, name)),
        limit=limit,
        size=resolution.limits.get(name, NOT_INCLUDED) if limit else None,
        valid_until=resolution.expires,
        tiers=() if final else tuple(_higher_tiers_with(entitlements, name)),
        add_ons=() if final else tuple(_add_ons_with(entitlements, name)),
        is_final=final,
    )


def _tier_source(entitlements: Entitlements) -> str:
    return f"tier:{entitlements.tier}" if entitlements.tier else "policy:unknown-account"


def _considered_tiers(entitlements: Entitlements, name: str, winner: str | None) -> list[Considered]:
    """Return the value of *name* in each tier; for an unknown account, the reason that it has none."""
    resolution = resolution_of(entitlements)
    if resolution.in_force is None:
        return [Considered(_tier_source(entitlements), NOT_INCLUDED, Verdict.WON, resolution.note)]
    return [_considered_tier(entitlements, each, name, winner) for each in resolution.tiers]


def _considered_tier(entitlements: Entitlements, considered: TierSource, name: str, winner: str | None) -> Considered:
    """Return the value of *name* in one tier, with its origin and verdict."""
    policy, tier = entitlements.policy, considered.tier
    origin = tier.origins.get(name, tier.id)
    inherited = "" if origin == tier.id else f"inherited from {origin}"
    note = ", ".join(filter(None, (considered.note, inherited)))
    value = tier_value(policy, tier, name)
    verdict = considered.verdict
    if verdict is Verdict.WON and winner is not None:
        verdict = Verdict.LOST if winner.startswith("override:") else Verdict.BASE
    return Considered(considered.source, NOT_INCLUDED if value is False else value, verdict, note)


def _refusal_reason(entitlements: Entitlements, name: str) -> Reason:
    """Return `LEVEL_TOO_LOW` if the account has a lower level, else `NOT_INCLUDED`."""
    base, colon, _ = name.partition(":")
    return Reason.LEVEL_TOO_LOW if colon and resolution_of(entitlements).answers[base] else Reason.NOT_INCLUDED


def _higher_tiers_with(entitlements: Entitlements, name: str) -> list[tuple[str, LimitValue]]:
    """
    Return the higher tiers on which the account would have *name*, lowest first, with the units at once.

    The account's add-ons and grants raise the sizes. Trial plans are left out: no account can move to one.
    """
    policy, own = entitlements.policy, resolution_of(entitlements).in_force
    higher = [
        tier
        for tier in sorted(policy.tiers.values(), key=lambda each: each.rank)
        if not tier.trial and (own is None or tier.rank > own.rank)
    ]
    sizes = [(tier.id, _size(entitlements, tier, name)) for tier in higher]
    return [(tier, size) for tier, size in sizes if size]


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
    size = tier.limits.get(name, NOT_INCLUDED)
    for each in applied:
        size = raised_limit(size, cast("LimitValue", each.value))
    return size if size is NOT_INCLUDED else at_once(limit, size)


def _applies_on(policy: PolicyData, tier: Tier, considered: Considered) -> bool:
    """Return True if a source would also apply on *tier*: an add-on that is offered there, or a grant in force."""
    kind, _, name = considered.source.partition(":")
    if kind == "add-on":
        return policy.add_ons[name].offered_to(tier.id)
    return kind == "grant" and considered.verdict in (Verdict.WON, Verdict.RAISED)


def _add_ons_with(entitlements: Entitlements, name: str) -> list[tuple[str, LimitValue]]:
    """Return the add-ons that the account could buy, each with the size of *name* that it would then have."""
    tier = resolution_of(entitlements).in_force
    if tier is None:
        return []
    offered = [each for each in entitlements.policy.add_ons.values() if each.offered_to(tier.id)]
    found = [(each.name, _with_add_on(entitlements, each, name)) for each in offered]
    return [(add_on, size) for add_on, size in found if size is not None]


def _with_add_on(entitlements: Entitlements, add_on: AddOn, name: str) -> LimitValue | None:
    if name in add_on.limits:
        size = raised_limit(resolution_of(entitlements).limits.get(name, NOT_INCLUDED), add_on.limits[name])
        return size if size is NOT_INCLUDED else at_once(entitlements.policy.limits[name], size)
    return UNLIMITED if _includes(entitlements.policy, add_on, name) else None


def _includes(policy: PolicyData, add_on: AddOn, name: str) -> bool:
    """Return True if an add-on includes a feature or a `feature:level`."""
    base, _, level = name.partition(":")
    if base in add_on.features:
        return True
    if base not in add_on.levels:
        return False
    levels = policy.features[base].levels
    return not level or levels.index(add_on.levels[base]) >= levels.index(level)
