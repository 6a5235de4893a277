"""The values below `transition`, checked: types, and tiers and criteria that there are."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from entitlements.model.criteria import CriterionKind
from entitlements.policy.errors import Absent, Misread
from entitlements.tiering.terms import ABOVE, NODE, term_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.criteria import AssignmentRules
    from entitlements.model.policy import Tier
    from entitlements.policy.parts import Part
    from entitlements.policy.report import Report
    from entitlements.policy.vocabulary import Vocabulary

_UP = f"{NODE}.upgrade."
_WAYS = {f"{_UP}to": (1, "above"), f"{NODE}.downgrade-to": (-1, "below")}


def check_leaving(
    parts: Mapping[str, Part],
    tiers: Mapping[str, Tier],
    vocabulary: Vocabulary,
    rules: AssignmentRules | None,
    *,
    report: Report,
) -> None:
    """Report what is wrong with how accounts leave each tier, where it is written."""
    for id, part in parts.items():
        own: dict[str, Any] = {key: part.values[key] for key in part.written if key.startswith(f"{NODE}.")}
        for key, problem, cure in term_problems(own):
            report.error(part.paths[key], Misread(problem, cure))
        for key, value in own.items():
            if key in _WAYS and isinstance(value, str) and (what := _wrong_way(id, key, value, tiers, vocabulary)):
                report.error(part.paths[key], what)
            if key.startswith(_UP) and key.endswith(ABOVE) and isinstance(value, Decimal):
                _check_criterion(key, part, rules, report)


def _wrong_way(id: str, key: str, to: str, tiers: Mapping[str, Tier], vocabulary: Vocabulary) -> Misread | None:
    """Return why a way does not lead to a tier that there is, up or down as it says."""
    if what := vocabulary.unknown_tier(to):
        return what
    sign, side = _WAYS[key]
    if id not in tiers or to not in tiers:  # what is wrong with them is reported where they stand
        return None
    if sign * (tiers[to].rank - tiers[id].rank) > 0:
        return None
    return Misread(f"{to!r} is not {side} {id!r}", f"name a tier of a rank {side} {tiers[id].rank}")


def _check_criterion(key: str, part: Part, rules: AssignmentRules | None, report: Report) -> None:
    name = key.removeprefix(_UP).removesuffix(ABOVE)
    criterion = rules.criteria.get(name) if rules else None
    if criterion is None:
        what: Misread = Absent(f"there is no criterion {name!r}", "define it under assignment.criteria")
        report.error(part.paths[key], what)
    elif criterion.kind not in {CriterionKind.AMOUNT, CriterionKind.COUNT}:
        report.error(part.paths[key], Misread(f"{name!r} is a {criterion.kind}", "compare numbers only"))
