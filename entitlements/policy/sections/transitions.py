"""The values below `transition`: types, target tiers and criteria."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from entitlements.model.criteria import AssignmentRules
from entitlements.model.tier import Tier
from entitlements.policy.context import BuildContext
from entitlements.policy.parts import TierPart
from entitlements.policy.sections.segmentations import check_number
from entitlements.policy.yaml.tree import Path
from entitlements.tiering.terms import ABOVE, NODE, term_problems

_UPGRADE = f"{NODE}.upgrade."
_DIRECTIONS = {f"{_UPGRADE}to": (1, "above"), f"{NODE}.downgrade-to": (-1, "below")}


def check_transitions(
    context: BuildContext, parts: Mapping[str, TierPart], tiers: Mapping[str, Tier], rules: AssignmentRules | None
) -> None:
    """Report errors in the values that say how accounts leave a tier."""
    criteria = rules.criteria if rules else {}
    for id, part in parts.items():
        own: dict[str, Any] = {key: part.values[key] for key in part.written if key.startswith(f"{NODE}.")}
        for key, problem, cure in term_problems(own):
            context.report.error(part.paths[key], problem, cure)
        for key, value in own.items():
            if key in _DIRECTIONS and isinstance(value, str):
                _check_target(context, part.paths[key], id, key, value, tiers)
            if key.startswith(_UPGRADE) and key.endswith(ABOVE) and isinstance(value, Decimal):
                name = key.removeprefix(_UPGRADE).removesuffix(ABOVE)
                check_number(name, criteria, part.paths[key], context.report, cure="compare numbers only")


def _check_target(context: BuildContext, path: Path, id: str, key: str, to: str, tiers: Mapping[str, Tier]) -> None:
    """Report *to* unless it is a tier in the direction of *key*, seen from the tier *id*."""
    sign, side = _DIRECTIONS[key]
    if error := context.vocabulary.unknown_tier(to):
        context.report.add(path, error)
    elif id in tiers and to in tiers and sign * (tiers[to].rank - tiers[id].rank) <= 0:
        cure = f"name a tier of a rank {side} {tiers[id].rank}"
        context.report.error(path, f"{to!r} is not {side} {id!r}", cure)
