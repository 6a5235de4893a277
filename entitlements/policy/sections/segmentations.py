"""The section `segmentations`: shares with ascending cuts, and rules that leave no gap."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from entitlements.model.criteria import AssignmentRules, CriterionKind
from entitlements.model.display import in_words
from entitlements.model.names import nearest
from entitlements.model.segments import Cut, RuleSegmentation, Segmentation, ShareSegmentation
from entitlements.policy.errors import Absent, Misread
from entitlements.policy.sections.assignment import check_coverage, read_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.criteria import Criterion
    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import Document
    from entitlements.policy.schema_tiering import CutShape, SegmentationShape
    from entitlements.policy.vocabulary import Vocabulary
    from entitlements.policy.yaml.tree import Path

SECTION = "segmentations"
NUMBERS = (CriterionKind.AMOUNT, CriterionKind.COUNT)


def read_segmentations(
    document: Document, vocabulary: Vocabulary, assignment: AssignmentRules | None, *, report: Report
) -> Mapping[str, Segmentation]:
    """Return the segmentations of the policy, as far as they are sound."""
    read: dict[str, Segmentation] = {}
    for name, shape in document.segmentations.items():
        path = (SECTION, name)
        if bool(shape.cuts or shape.share_of) == bool(shape.rules):
            what = Misread(
                "it is neither by share nor by rules, or both", "write share-of and cuts, or rules, and not both"
            )
            report.error(path, what)
        elif assignment is None:
            report.error(path, Absent("there are no criteria to divide by", "define them under assignment.criteria"))
        elif shape.rules:
            read[name] = _by_rules(name, shape, vocabulary, assignment, report)
        else:
            read[name] = _by_share(name, shape, vocabulary, assignment, report)
    return MappingProxyType(read)


def check_number(name: str, criteria: Mapping[str, Criterion], path: Path, report: Report) -> None:
    """Report a criterion that there is not, or that is no number."""
    criterion = criteria.get(name)
    if criterion is None:
        close = nearest(name, criteria).removeprefix("; ")
        report.error(path, Absent(f"there is no criterion {name!r}", close or "define it under assignment.criteria"))
    elif criterion.kind not in NUMBERS:
        report.error(path, Misread(f"{name!r} is a {criterion.kind}", "name a criterion of numbers"))


def _by_rules(
    name: str, shape: SegmentationShape, vocabulary: Vocabulary, assignment: AssignmentRules, report: Report
) -> RuleSegmentation:
    path = (SECTION, name, "rules")
    rules = read_rules(shape.rules, path, assignment.criteria, vocabulary, report)
    if rules and not any(each[: len(path)] == path for each in report.faulty):
        check_coverage(AssignmentRules(assignment.binding, assignment.criteria, rules), path, report)
    return RuleSegmentation(name, shape.about, rules)


def _by_share(
    name: str, shape: SegmentationShape, vocabulary: Vocabulary, assignment: AssignmentRules, report: Report
) -> ShareSegmentation:
    path = (SECTION, name)
    if shape.share_of is None:
        report.error(path, Absent("nothing is shared out", "write share-of: <a criterion of numbers>"))
    else:
        check_number(shape.share_of, assignment.criteria, (*path, "share-of"), report)
    if not shape.cuts:
        report.error(path, Absent("there are no cuts", "write cuts: [{tier: <tier>, below: 15}, {tier: <tier>}]"))
    cuts = [_cut(at, each, shape, vocabulary, report, path) for at, each in enumerate(shape.cuts)]
    _check_order(shape, path, report)
    return ShareSegmentation(name, shape.about, shape.share_of or "", tuple(cuts))


def _cut(at: int, cut: CutShape, shape: SegmentationShape, vocabulary: Vocabulary, report: Report, path: Path) -> Cut:
    where = (*path, "cuts", at)
    if cut.tier is None:
        report.error((*where, "tier"), Absent("the cut has no tier", "write tier: <the tier of those in it>"))
    elif what := vocabulary.unknown_tier(cut.tier):
        report.error((*where, "tier"), what)
    elif any(other.tier == cut.tier for other in shape.cuts[:at]):
        report.error((*where, "tier"), Misread(f"{cut.tier!r} has a cut already", "give each tier one cut"))
    last = at == len(shape.cuts) - 1
    if last and cut.below is not None:
        report.error((*where, "below"), Misread("the last cut ends", "leave below out: it takes the rest"))
    if not last and cut.below is None:
        report.error(where, Absent("the cut does not end", "write below: <a percentage>"))
    if cut.below is not None and not 0 < cut.below <= 100:
        report.error((*where, "below"), Misread(f"{in_words(cut.below)} is no percentage", "write one up to 100"))
    return Cut(cut.tier or "", cut.below)


def _check_order(shape: SegmentationShape, path: Path, report: Report) -> None:
    before = Decimal(0)
    for at, cut in enumerate(shape.cuts):
        if cut.below is not None:
            if cut.below <= before and cut.below > 0:
                what = Misread(
                    f"{in_words(cut.below)} is not above {in_words(before)}, where the cut before ends",
                    "write the cuts in order, from the largest accounts down",
                )
                report.error((*path, "cuts", at, "below"), what)
            before = cut.below
