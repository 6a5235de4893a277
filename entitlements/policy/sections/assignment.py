"""The section `assignment`: criteria, rules and signals; rules must not overlap, be unreachable or leave a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from entitlements.model.conditions import ALWAYS, IsKnown
from entitlements.model.criteria import AssignmentRules, Band, Criterion, Rule
from entitlements.model.display import in_words
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.names import shown
from entitlements.policy.errors import InvalidValue, any_of
from entitlements.policy.report import Report
from entitlements.policy.schema_tiering import AssignmentShape, CriterionShape, RuleShape
from entitlements.policy.sections.conditions import JOINS, read_condition, read_known, read_test
from entitlements.policy.vocabulary import BuildContext
from entitlements.policy.yaml.tree import Path
from entitlements.tiering import coverage
from entitlements.tiering.criterion_values import attribute_name

SECTION = "assignment"


def read_assignment(context: BuildContext) -> AssignmentRules | None:
    """Return the valid parts of the section; None if the policy has no such section."""
    shape, report = context.document.assignment, context.report
    if shape is None:
        return None
    criteria = {
        name: criterion
        for name, each in shape.criteria.items()
        if (criterion := _criterion(name, each, report)) is not None
    }
    _check_attributes(criteria, report)
    _check_binding(shape, report)
    signals = {name: bands for name in shape.signals if (bands := _bands(name, shape, criteria, context)) is not None}
    rules = read_rules(shape.rules, (SECTION, "rules"), criteria, context)
    read = AssignmentRules(shape.binding or "", FrozenDict(criteria), rules, FrozenDict(signals))
    if rules and not any(path[:2] in {(SECTION, "rules"), (SECTION, "criteria")} for path in report.faulty):
        check_coverage(read, (SECTION, "rules"), report)
    return read


def _criterion(name: str, shape: CriterionShape, report: Report) -> Criterion | None:
    path = (SECTION, "criteria", name)
    if name in JOINS:
        report.error(path, f"{name!r} is a word that joins conditions", "give the criterion another name")
        return None
    if shape.kind is None:
        if (*path, "kind") not in report.faulty:
            report.missing((*path, "kind"), "kind is missing", "write kind: amount, count, word or flag")
        return None
    if shape.least is not None and shape.most is not None and shape.least > shape.most:
        report.error((*path, "least"), "least is above most", "exchange the two")
    attributes = tuple(dict.fromkeys(attribute_name(each) for each in (name, *shape.attributes)))
    criterion = Criterion(
        name, shape.kind, attributes, shape.least, shape.most, about=shape.about, decimal_comma=shape.decimal_comma
    )
    try:
        return criterion if shape.missing is None else replace(criterion, missing=read_known(shape.missing, criterion))
    except InvalidValue as error:
        report.add((*path, "missing"), error)
        return criterion


def _check_attributes(criteria: Mapping[str, Criterion], report: Report) -> None:
    """Report attributes that two criteria read."""
    owners: dict[str, str] = {}
    for name, criterion in criteria.items():
        for attribute in criterion.attributes:
            owner = owners.setdefault(attribute, name)
            if owner != name:
                problem = f"the attribute {attribute!r} is read for {owner!r} already"
                report.error((SECTION, "criteria", name, "attributes"), problem, "keep one of the two")


def _check_binding(shape: AssignmentShape, report: Report) -> None:
    path = (SECTION, "binding")
    if shape.binding is None:
        if path not in report.faulty:
            cure = f"write binding: {any_of(shape.criteria or ['<criterion>'])}"
            report.missing(path, "no criterion is binding", cure)
    elif shape.binding not in shape.criteria:
        report.missing(path, f"there is no criterion {shape.binding!r}", "define it under criteria")


def read_rules(
    shapes: Sequence[RuleShape], path: Path, criteria: Mapping[str, Criterion], context: BuildContext
) -> tuple[Rule, ...]:
    """Return the valid rules of the ordered list at *path*."""
    report = context.report
    if not shapes and path not in report.faulty:
        report.missing(path, "there is no rule", "write one: [{tier: <tier>, when: {<criterion>: {from: 0}}}]")
    if any(each[:-1] == path for each in report.faulty):
        return ()  # an item was removed, so the indices no longer match the lines
    rules: list[Rule] = []
    for at, each in enumerate(shapes):
        rule = _rule(each, (*path, at), criteria, context)
        if rule is not None:
            if any(rule.name == other.name for other in rules):
                problem = f"two rules are called {rule.name!r}"
                report.error((*path, at), problem, "give one of the two another name")
            rules.append(rule)
    return tuple(rules)


def _rule(shape: RuleShape, path: Path, criteria: Mapping[str, Criterion], context: BuildContext) -> Rule | None:
    if shape.tier is not None:
        context.check_sold_tier((*path, "tier"), shape.tier)
    elif (*path, "tier") not in context.report.faulty:
        context.report.missing((*path, "tier"), "the rule has no tier", "write tier: <the tier of those that fit>")
    when = ALWAYS if shape.when is None else read_condition(shape.when, (*path, "when"), criteria, context.report)
    if shape.tier is None or when is None:
        return None
    return Rule(shape.name or shape.tier, shape.tier, when, shape.precedence)


def _bands(
    name: str, shape: AssignmentShape, criteria: Mapping[str, Criterion], context: BuildContext
) -> tuple[Band, ...] | None:
    path, report = (SECTION, "signals", name), context.report
    criterion = criteria.get(name)
    if criterion is None:
        if name not in shape.criteria:
            report.missing(path, f"there is no criterion {name!r}", "define it under criteria")
        return None
    bands = [_band(tier, test, criterion, context) for tier, test in shape.signals[name].items()]
    sound = tuple(band for band in bands if band is not None)
    for band in sound:
        if coverage.is_empty_band(criterion, band):
            report.error((*path, band.tier), "no value lies in this band", "exchange the bounds, or mend them")
    for first, second, value in coverage.overlapping_bands(criterion, sound):
        problem = f"the band overlaps that of {first.tier!r}: {in_words(value)} lies in both"
        report.warn((*path, second.tier), problem, "let one lie within the other, or end where the other begins")
    return sound


def _band(tier: str, test: Any, criterion: Criterion, context: BuildContext) -> Band | None:
    path = (SECTION, "signals", criterion.name, tier)
    context.check_sold_tier(path, tier)
    read = read_test(test, path, criterion, context.report)
    if isinstance(read, IsKnown) and not read.known:
        cure = "write known: true where any value will do"
        context.report.error(path, "what is not known cannot vote", cure)
        return None
    return None if read is None else Band(tier, read)


def check_coverage(rules: AssignmentRules, at: Path, report: Report) -> None:
    """Report rules at the path *at* that overlap, are unreachable or leave a gap."""
    findings = coverage.find_flaws(rules)
    if findings is None:
        problem = f"the rules name too many values to try all their combinations ({coverage.MAX_EXAMPLES:,} at most)"
        report.warn(at, problem, "write fewer criteria into the rules, and let the others be signals")
    for finding in findings or ():
        add = report.warn if finding.flaw is coverage.Flaw.OVERLAP else report.error
        add(at if finding.rule is None else (*at, finding.rule), *_flaw(rules, finding))


def _flaw(rules: AssignmentRules, finding: coverage.CoverageFinding) -> tuple[str, str]:
    """Return problem and cure of a finding."""
    example = coverage.format_example(finding.example or {})
    own = "" if finding.rule is None else shown(rules.rules[finding.rule].name)
    other = "" if finding.other is None else shown(rules.rules[finding.other].name)
    match finding.flaw:
        case coverage.Flaw.NEVER:
            return f"rule {own} never matches: no account can fit it", "mend its condition, or remove it"
        case coverage.Flaw.SHADOWED:
            return (
                f"rule {own} never matches: an earlier one takes every account, for example {example} by {other}",
                "write it before that one, or remove it",
            )
        case coverage.Flaw.OVERLAP:
            return (
                f"rule {own} overlaps {other}, which comes first: an account with {example} fits both",
                "end one where the other begins, or write precedence: true where the first is meant to win",
            )
        case coverage.Flaw.GAP:
            return (
                f"no rule fits an account with {example}",
                "widen a rule, or add one without `when` at the end for all the rest",
            )
