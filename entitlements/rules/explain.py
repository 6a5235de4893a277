"""The explanation of a decision: the winning source, the trace and the remedies, compiled into `Facts`."""

from __future__ import annotations

from entitlements.model.entitlements import Entitlements
from entitlements.model.facts import Considered, Facts
from entitlements.model.limits import NOT_INCLUDED
from entitlements.model.reasons import Reason, Verdict
from entitlements.model.resolution import TierSource, prepared_of, resolution_of
from entitlements.rules.adjustments import tier_value
from entitlements.rules.offers import add_on_offers, joint_offers, tier_offers


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
    winner, trace = considered(entitlements, base)
    limit = policy.limits.get(name)
    final = winner is not None and winner.startswith("override:")
    return Facts(
        policy=policy.version,
        feature=str(name),  # a member of an enum too
        tier=entitlements.tier,
        source=winner or _tier_source(entitlements),
        trace=trace,
        reason=resolution.refusal or (Reason.INCLUDED if included else _refusal_reason(entitlements, name)),
        limit=limit,
        size=resolution.limits.get(name, NOT_INCLUDED) if limit else None,
        valid_until=resolution.expires,
        tiers=() if final else tuple(tier_offers(entitlements, name)),
        add_ons=() if final else tuple(add_on_offers(entitlements, name)),
        joint=() if final else tuple(joint_offers(entitlements, name)),
        is_final=final,
    )


def considered(entitlements: Entitlements, name: str) -> tuple[str | None, tuple[Considered, ...]]:
    """
    Return the override, grant or add-on that decides about *name*, if one does, and every source that was considered.

    Args:
        entitlements: The resolved snapshot.
        name: A feature, a limit or a value key.
    """
    winner, found = resolution_of(entitlements).adjustments.get(name, (None, ()))
    return winner, (*found, *_considered_tiers(entitlements, name, winner))


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
