"""The section `segmentations`: by share with ascending cuts, or by rules without a gap."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from entitlements.model.criteria import AssignmentRules, Criterion
from entitlements.model.display import in_words
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.names import did_you_mean
from entitlements.model.segments import Cut, RuleSegmentation, Segmentation, ShareSegmentation
from entitlements.policy.report import Report
from entitlements.policy.schema_tiering import CutShape, SegmentationShape
from entitlements.policy.sections.assignment import check_coverage, read_rules
from entitlements.policy.sections.conditions import NUMERIC_KINDS
from entitlements.policy.vocabulary import BuildContext
from entitlements.policy.yaml.tree import Path

SECTION = "segmentations"


def read_segmentations(context: BuildContext, assignment: AssignmentRules | None) -> Mapping[str, Segmentation]:
    """Return the valid segmentations of the policy by name."""
    read: dict[str, Segmentation] = {}
    for name, shape in context.document.segmentations.items():
        path = (SECTION, name)
        if bool(shape.cuts or shape.share_of) == bool(shape.rules):
            cure = "write share-of and cuts, or rules, and not both"
            context.report.error(path, "it is neither by share nor by rules, or both", cure)
        elif assignment is None:
            cure = "define them under assignment.criteria"
            context.report.missing(path, "there are no criteria to divide by", cure)
        elif shape.rules:
            read[name] = _by_rules(name, shape, assignment, context)
        else:
            read[name] = _by_share(name, shape, assignment, context)
    return FrozenDict(read)


def check_number(
    name: str, criteria: Mapping[str, Criterion], path: Path, report: Report, cure: str = "name a criterion of numbers"
) -> None:
    """Report *name* at *path* unless it is a criterion whose values are numbers."""
    criterion = criteria.get(name)
    if criterion is None:
        cure = did_you_mean(name, criteria) or "define it under assignment.criteria"
        report.missing(path, f"there is no criterion {name!r}", cure)
    elif criterion.kind not in NUMERIC_KINDS:
        report.error(path, f"{name!r} is a {criterion.kind}", cure)


def _by_rules(
    name: str, shape: SegmentationShape, assignment: AssignmentRules, context: BuildContext
) -> RuleSegmentation:
    path = (SECTION, name, "rules")
    rules = read_rules(shape.rules, path, assignment.criteria, context)
    if rules and not any(each[: len(path)] == path for each in context.report.faulty):
        check_coverage(AssignmentRules(assignment.binding, assignment.criteria, rules), path, context.report)
    return RuleSegmentation(name, shape.about, rules)


def _by_share(
    name: str, shape: SegmentationShape, assignment: AssignmentRules, context: BuildContext
) -> ShareSegmentation:
    path, report = (SECTION, name), context.report
    if shape.share_of is None:
        report.missing(path, "nothing is shared out", "write share-of: <a criterion of numbers>")
    else:
        check_number(shape.share_of, assignment.criteria, (*path, "share-of"), report)
    if not shape.cuts:
        report.missing(path, "there are no cuts", "write cuts: [{tier: <tier>, below: 15}, {tier: <tier>}]")
    cuts = [_cut(at, each, shape, path, context) for at, each in enumerate(shape.cuts)]
    _check_order(shape, path, report)
    return ShareSegmentation(name, shape.about, shape.share_of or "", tuple(cuts))


def _cut(at: int, cut: CutShape, shape: SegmentationShape, segmentation: Path, context: BuildContext) -> Cut:
    path, report = (*segmentation, "cuts", at), context.report
    if cut.tier is None:
        report.missing((*path, "tier"), "the cut has no tier", "write tier: <the tier of those in it>")
    elif error := context.vocabulary.unknown_tier(cut.tier):
        report.add((*path, "tier"), error)
    elif any(other.tier == cut.tier for other in shape.cuts[:at]):
        report.error((*path, "tier"), f"{cut.tier!r} has a cut already", "give each tier one cut")
    last = at == len(shape.cuts) - 1
    if last and cut.below is not None:
        report.error((*path, "below"), "the last cut ends", "leave below out: it takes the rest")
    if not last and cut.below is None:
        report.missing(path, "the cut does not end", "write below: <a percentage>")
    if cut.below is not None and not 0 < cut.below <= 100:
        report.error((*path, "below"), f"{in_words(cut.below)} is no percentage", "write one up to 100")
    return Cut(cut.tier or "", cut.below)


def _check_order(shape: SegmentationShape, path: Path, report: Report) -> None:
    before = Decimal(0)
    for at, cut in enumerate(shape.cuts):
        if cut.below is not None:
            if 0 < cut.below <= before:
                problem = f"{in_words(cut.below)} is not above {in_words(before)}, where the cut before ends"
                cure = "write the cuts in order, from the largest accounts down"
                report.error((*path, "cuts", at, "below"), problem, cure)
            before = cut.below
