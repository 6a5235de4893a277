"""The comparison as JSON: every name with its value in each tier."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from entitlements.model.display import in_json
from entitlements.model.instants import to_timedelta
from entitlements.model.limits import NOT_INCLUDED, Limit, Quota, Rate
from entitlements.model.policy import AddOn, Feature, PolicyData
from entitlements.model.tier import Tier
from entitlements.presentation.matrix.comparison import shown_add_ons
from entitlements.presentation.matrix.model import Section, SectionKind


def to_json(policy: PolicyData, sections: Collection[Section], tiers: Sequence[Tier]) -> dict[str, object]:
    """
    Return the comparison for `json.dumps`.

    Args:
        policy: The policy.
        sections: The sections of its matrix to include.
        tiers: The tiers to include.
    """
    tables: dict[SectionKind, object] = {
        SectionKind.LIMITS: {limit.name: _limit(limit, tiers) for limit in policy.limits.values()},
        SectionKind.FEATURES: {feature.name: _feature(feature, tiers) for feature in policy.features.values()},
        SectionKind.VALUES: _values(tiers, {word for section in sections for word in section.words}),
        SectionKind.ADD_ONS: {add_on.name: _add_on(add_on, tiers) for add_on in shown_add_ons(policy, tiers)},
    }
    kinds = {section.kind for section in sections}
    return {
        "policy": policy.version,
        "currency": policy.currency,
        "tiers": [_tier(tier) for tier in tiers],
        **{kind.value: table for kind, table in tables.items() if kind in kinds},
    }


def _tier(tier: Tier) -> dict[str, object]:
    terms = tier.trial
    trial = terms and {
        "of": in_json(to_timedelta(terms.default)),
        "from": in_json(to_timedelta(terms.shortest)),
        "to": in_json(to_timedelta(terms.longest)),
        "then": terms.then,
    }
    return {"id": tier.id, "name": tier.name, "rank": tier.rank, "aliases": list(tier.aliases), "trial": trial,
            "line": tier.line, "retired": tier.retired}  # fmt: skip


def _limit(limit: Limit, tiers: Sequence[Tier]) -> dict[str, object]:
    return {
        "kind": type(limit).__name__.lower(),
        "unit": limit.unit,
        "about": limit.about,
        "window": in_json(to_timedelta(limit.window)) if isinstance(limit, Rate) else None,
        "per": limit.per,
        "period": limit.period if isinstance(limit, Quota) else None,
        "mode": limit.mode.value,
        "tiers": {tier.id: in_json(tier.limits.get(limit.name, NOT_INCLUDED)) for tier in tiers},
    }


def _feature(feature: Feature, tiers: Sequence[Tier]) -> dict[str, object]:
    has: Mapping[str, object] = {tier.id: feature.name in tier.features for tier in tiers}
    if feature.levels:
        has = {tier.id: in_json(tier.levels.get(feature.name, NOT_INCLUDED)) for tier in tiers}
    return {"about": feature.about, "levels": list(feature.levels), "tiers": has}


def _values(tiers: Sequence[Tier], words: Collection[str]) -> dict[str, object]:
    """Return the values by key, for the keys whose first word is in *words*."""
    keys = dict.fromkeys(key for tier in tiers for key in tier.values if key.partition(".")[0] in words)
    return {key: {tier.id: in_json(tier.values.get(key, NOT_INCLUDED)) for tier in tiers} for key in keys}


def _add_on(add_on: AddOn, tiers: Sequence[Tier]) -> dict[str, object]:
    return {
        "about": add_on.about,
        "price": add_on.price,
        "features": sorted(add_on.features),
        "levels": dict(add_on.levels),
        "limits": in_json(add_on.limits),
        "sets": in_json(add_on.sets),
        "values": in_json(add_on.values),
        "requires": list(add_on.requires),
        "excludes": list(add_on.excludes),
        "quantity": {"at_least": add_on.at_least, "at_most": add_on.at_most, "step": add_on.step},
        "retired": add_on.retired,
        "tiers": {tier.id: add_on.offered_to(tier.id) for tier in tiers},
    }
