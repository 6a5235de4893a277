"""The section `assignment`: read, and checked for rules that overlap, never match or leave a gap."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from entitlements.model.conditions import ALWAYS, IsKnown
from entitlements.model.criteria import AssignmentRules, Band, Criterion, Rule
from entitlements.model.display import in_words
from entitlements.policy.errors import Absent, Misread, any_of, shown
from entitlements.policy.sections.conditions import JOINS, read_condition, read_known, read_test
from entitlements.tiering.attributes import attribute_name
from entitlements.tiering.coverage import (
    MAX_EXAMPLES,
    CoverageFinding,
    Flaw,
    find_flaws,
    format_example,
    is_empty_band,
    overlapping_bands,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from entitlements.policy.report import Report
    from entitlements.policy.schema_models import Document
    from entitlements.policy.schema_tiering import AssignmentShape, CriterionShape, RuleShape
    from entitlements.policy.vocabulary import Vocabulary
    from entitlements.policy.yaml.tree import Path

SECTION = "assignment"


def read_assignment(document: Document, vocabulary: Vocabulary, *, report: Report) -> AssignmentRules | None:
    """Return the rules of the policy, as far as they are sound; None where it has none."""
    shape = document.assignment
    if shape is None:
        return None
    criteria = {
        name: criterion
        for name, each in shape.criteria.items()
        if (criterion := _criterion(name, each, report)) is not None
    }
    _check_attributes(criteria, report)
    _check_binding(shape, report)
    signals = {
        name: bands
        for name in shape.signals
        if (bands := _bands(name, shape, criteria, vocabulary, report)) is not None
    }
    rules = read_rules(shape.rules, (SECTION, "rules"), criteria, vocabulary, report)
    read = AssignmentRules(shape.binding or "", MappingProxyType(criteria), rules, MappingProxyType(signals))
    if rules and not any(path[:2] in {(SECTION, "rules"), (SECTION, "criteria")} for path in report.faulty):
        check_coverage(read, (SECTION, "rules"), report)
    return read


def _criterion(name: str, shape: CriterionShape, report: Report) -> Criterion | None:
    path = (SECTION, "criteria", name)
    if name in JOINS:
        report.error(path, Misread(f"{name!r} is a word that joins conditions", "give the criterion another name"))
        return None
    if shape.kind is None:
        if (*path, "kind") not in report.faulty:
            report.error((*path, "kind"), Absent("kind is missing", "write kind: amount, count, word or flag"))
        return None
    if shape.least is not None and shape.most is not None and shape.least > shape.most:
        report.error((*path, "least"), Misread("least is above most", "exchange the two"))
    attributes = tuple(dict.fromkeys(attribute_name(each) for each in (name, *shape.attributes)))
    criterion = Criterion(name, shape.kind, attributes, shape.least, shape.most, about=shape.about)
    try:
        missing = None if shape.missing is None else read_known(shape.missing, criterion)
    except Misread as what:
        report.error((*path, "missing"), what)
        missing = None
    return Criterion(name, shape.kind, attributes, shape.least, shape.most, missing, shape.about)


def _check_attributes(criteria: Mapping[str, Criterion], report: Report) -> None:
    """Let each attribute be read for one criterion."""
    owners: dict[str, str] = {}
    for name, criterion in criteria.items():
        for attribute in criterion.attributes:
            owner = owners.setdefault(attribute, name)
            if owner != name:
                what = Misread(f"the attribute {attribute!r} is read for {owner!r} already", "keep one of the two")
                report.error((SECTION, "criteria", name, "attributes"), what)


def _check_binding(shape: AssignmentShape, report: Report) -> None:
    path = (SECTION, "binding")
    if shape.binding is None:
        if path not in report.faulty:
            what = Absent("no criterion is binding", f"write binding: {any_of(shape.criteria or ['<criterion>'])}")
            report.error(path, what)
    elif shape.binding not in shape.criteria:
        report.error(path, Absent(f"there is no criterion {shape.binding!r}", "define it under criteria"))


def read_rules(
    shapes: Sequence[RuleShape], path: Path, criteria: Mapping[str, Criterion], vocabulary: Vocabulary, report: Report
) -> tuple[Rule, ...]:
    """Return the ordered rules that stand at *path*, as far as they are sound."""
    if not shapes and path not in report.faulty:
        report.error(path, Absent("there is no rule", "write one: [{tier: <tier>, when: {<criterion>: {from: 0}}}]"))
    if any(each[:-1] == path for each in report.faulty):
        return ()  # something that is no mapping was left out, and nobody can tell which line is which
    rules: list[Rule] = []
    for at, each in enumerate(shapes):
        rule = _rule(each, (*path, at), criteria, vocabulary, report)
        if rule is not None:
            if any(rule.name == other.name for other in rules):
                what = Misread(f"two rules are called {rule.name!r}", "give one of the two another name")
                report.error((*path, at), what)
            rules.append(rule)
    return tuple(rules)


def _rule(
    shape: RuleShape, path: Path, criteria: Mapping[str, Criterion], vocabulary: Vocabulary, report: Report
) -> Rule | None:
    if shape.tier is None:
        if (*path, "tier") not in report.faulty:
            report.error((*path, "tier"), Absent("the rule has no tier", "write tier: <the tier of those that fit>"))
    elif what := vocabulary.unknown_tier(shape.tier):
        report.error((*path, "tier"), what)
    when = ALWAYS if shape.when is None else read_condition(shape.when, (*path, "when"), criteria, report)
    if shape.tier is None or when is None:
        return None
    return Rule(shape.name or shape.tier, shape.tier, when, shape.precedence)


def _bands(
    name: str, shape: AssignmentShape, criteria: Mapping[str, Criterion], vocabulary: Vocabulary, report: Report
) -> tuple[Band, ...] | None:
    path = (SECTION, "signals", name)
    criterion = criteria.get(name)
    if criterion is None:
        if name not in shape.criteria:
            report.error(path, Absent(f"there is no criterion {name!r}", "define it under criteria"))
        return None
    bands = [_band(tier, test, criterion, vocabulary, report) for tier, test in shape.signals[name].items()]
    sound = tuple(band for band in bands if band is not None)
    for band in sound:
        if is_empty_band(criterion, band):
            report.error((*path, band.tier), Misread("no value lies in this band", "exchange the bounds, or mend them"))
    for first, second, value in overlapping_bands(criterion, sound):
        what = Misread(
            f"the band overlaps that of {first.tier!r}: {in_words(value)} lies in both",
            "let one lie within the other, or end where the other begins",
        )
        report.warn((*path, second.tier), what)
    return sound


def _band(tier: str, test: Any, criterion: Criterion, vocabulary: Vocabulary, report: Report) -> Band | None:
    path = (SECTION, "signals", criterion.name, tier)
    if what := vocabulary.unknown_tier(tier):
        report.error(path, what)
    read = read_test(test, path, criterion, report)
    if isinstance(read, IsKnown) and not read.known:
        report.error(path, Misread("what is not known cannot vote", "write known: true where any value will do"))
        return None
    return None if read is None else Band(tier, read)


def check_coverage(rules: AssignmentRules, at: Path, report: Report) -> None:
    """Report rules at the path *at* that overlap, never match or leave a gap."""
    findings = find_flaws(rules)
    if findings is None:
        what = Misread(
            f"the rules name too many values to try all their combinations ({MAX_EXAMPLES:,} at most)",
            "write fewer criteria into the rules, and let the others be signals",
        )
        report.warn(at, what)
    for finding in findings or ():
        path = at if finding.rule is None else (*at, finding.rule)
        what = _flaw(rules, finding)
        if finding.flaw is Flaw.OVERLAP:
            report.warn(path, what)
        else:
            report.error(path, what)


def _flaw(rules: AssignmentRules, finding: CoverageFinding) -> Misread:
    example = format_example(finding.example or {})
    own = "" if finding.rule is None else shown(rules.rules[finding.rule].name)
    other = "" if finding.other is None else shown(rules.rules[finding.other].name)
    match finding.flaw:
        case Flaw.NEVER:
            return Misread(f"rule {own} never matches: no account can fit it", "mend its condition, or remove it")
        case Flaw.SHADOWED:
            return Misread(
                f"rule {own} never matches: an earlier one takes every account, for example {example} by {other}",
                "write it before that one, or remove it",
            )
        case Flaw.OVERLAP:
            return Misread(
                f"rule {own} overlaps {other}, which comes first: an account with {example} fits both",
                "end one where the other begins, or write precedence: true where the first is meant to win",
            )
        case Flaw.GAP:
            return Misread(
                f"no rule fits an account with {example}",
                "widen a rule, or add one without `when` at the end for all the rest",
            )
