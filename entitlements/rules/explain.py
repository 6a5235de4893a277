"""What a decision shows beside its verdict: the source that won, the trace, what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from entitlements.model.facts import Considered, Facts, Reason, Verdict
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue
from entitlements.rules.sources import raised_limit, tier_value

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements, TierSource
    from entitlements.model.policy import AddOn, Tier


def facts(entitlements: Entitlements, name: str) -> Facts:
    """
    Return what does not change between two questions for *name*, compiled once.

    Args:
        entitlements: The resolved snapshot.
        name: A feature, a `feature:level` or a limit.

    Raises:
        UnknownFeature: For a name that the policy does not know.
    """
    found = entitlements.compiled.get(name)
    if found is None:
        found = entitlements.compiled[name] = _compile(entitlements, name)
    return found


def _compile(entitlements: Entitlements, name: str) -> Facts:
    included = entitlements.can(name)  # knows which names there are
    policy, base = entitlements.policy, name.partition(":")[0]
    winner, beside = entitlements.touched.get(base, (None, ()))
    limit = policy.limits.get(name)
    return Facts(
        account=entitlements.account,
        policy=policy.version,
        feature=name,
        tier=entitlements.tier,
        source=winner or _tier_source(entitlements),
        trace=(*beside, *_of_tiers(entitlements, base, winner)),
        reason=entitlements.standing or (Reason.INCLUDED if included else _why_not(entitlements, name)),
        limit=limit,
        size=entitlements.limits.get(name, NOT_INCLUDED) if limit else None,
        valid_until=entitlements.expires,
        tiers=() if _is_final(winner) else tuple(_tiers_with(entitlements, name)),
        add_ons=() if _is_final(winner) else tuple(_add_ons_with(entitlements, name)),
    )


def _tier_source(entitlements: Entitlements) -> str:
    return f"tier:{entitlements.tier}" if entitlements.tier else "policy:unknown-account"


def _of_tiers(entitlements: Entitlements, name: str, winner: str | None) -> list[Considered]:
    """Return what each tier says of *name*; of an unknown account, why it has none."""
    if entitlements.in_force is None:
        return [Considered(_tier_source(entitlements), NOT_INCLUDED, Verdict.WON, entitlements.note)]
    return [_of_tier(entitlements, each, name, winner) for each in entitlements.tiers]


def _of_tier(entitlements: Entitlements, considered: TierSource, name: str, winner: str | None) -> Considered:
    """Return what one tier says of *name*, where it has that from, and what became of it."""
    policy, tier = entitlements.policy, considered.tier
    origin = tier.origins.get(name, tier.id)
    inherited = "" if origin == tier.id else f"inherited from {origin}"
    note = ", ".join(filter(None, (considered.note, inherited)))
    value = tier_value(policy, tier, name)
    verdict = considered.verdict
    if verdict is Verdict.WON and winner is not None:
        verdict = Verdict.LOST if winner.startswith("override:") else Verdict.BASE
    return Considered(considered.source, NOT_INCLUDED if value is False else value, verdict, note)


def _why_not(entitlements: Entitlements, name: str) -> Reason:
    """Tell a level that is too low from what is not included at all."""
    base, colon, _ = name.partition(":")
    return Reason.LEVEL_TOO_LOW if colon and entitlements.answers[base] else Reason.NOT_INCLUDED


def _tiers_with(entitlements: Entitlements, name: str) -> list[tuple[str, LimitValue]]:
    """
    Return the higher tiers that have *name*, lowest first, with how much could be used at once.

    Grants would raise them too. Trial plans are nothing to move to.
    """
    policy, own = entitlements.policy, entitlements.in_force
    higher = [
        tier
        for tier in sorted(policy.tiers.values(), key=lambda each: each.rank)
        if not tier.trial and (own is None or tier.rank > own.rank) and policy.answers[tier.id][name]
    ]
    return [(tier.id, _size(entitlements, tier, name)) for tier in higher]


def _is_final(winner: str | None) -> bool:
    """Say whether an override has the last word, so that no tier and no add-on changes it."""
    return winner is not None and winner.startswith("override:")


def _size(entitlements: Entitlements, tier: Tier, name: str) -> LimitValue:
    """Return what the account could use at once of a limit on *tier*; a feature has no size."""
    limit = entitlements.policy.limits.get(name)
    if limit is None:
        return UNLIMITED
    size = tier.limits.get(name, NOT_INCLUDED)
    _, beside = entitlements.touched.get(name, (None, ()))
    for each in beside:
        if each.source.startswith("grant:") and each.verdict in (Verdict.WON, Verdict.RAISED):
            size = raised_limit(size, cast("int", each.value))
    return size if size is NOT_INCLUDED else limit.capacity(size)


def _add_ons_with(entitlements: Entitlements, name: str) -> list[tuple[str, LimitValue]]:
    """Return the add-ons that the account could buy, with how much of *name* it would then have."""
    tier = entitlements.in_force
    if tier is None:
        return []
    offered = [each for each in entitlements.policy.add_ons.values() if each.offered_to(tier.id)]
    found = [(each.name, _with_add_on(entitlements, each, name)) for each in offered]
    return [(add_on, size) for add_on, size in found if size is not None]


def _with_add_on(entitlements: Entitlements, add_on: AddOn, name: str) -> LimitValue | None:
    base, _, level = name.partition(":")
    if name in add_on.limits:
        size = raised_limit(entitlements.limits.get(name, NOT_INCLUDED), add_on.limits[name])
        return size if size is NOT_INCLUDED else entitlements.policy.limits[name].capacity(size)
    if base in add_on.features:
        return UNLIMITED
    if base in add_on.levels:
        levels = entitlements.policy.features[base].levels
        return UNLIMITED if not level or levels.index(add_on.levels[base]) >= levels.index(level) else None
    return None
