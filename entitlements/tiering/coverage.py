"""
Coverage of an ordered list of rules: rules that overlap, that never match, and gaps.

The result of a condition changes only at the values that it names. The check tries every
combination of those values, of one value between each two neighbours, and of one value
beyond each end. These examples represent every possible account: the check is exhaustive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import combinations, islice, pairwise, product

from entitlements.model.conditions import Between, CriterionValue, IsKnown, OneOf
from entitlements.model.criteria import AssignmentRules, Band, Criterion, CriterionKind
from entitlements.model.display import in_words
from entitlements.tiering.conditions import holds, leaves

MAX_EXAMPLES = 50_000
"""Most example accounts for one list of rules."""

OTHER = "anything-else"
"""The word that represents every word that no rule names."""

Example = Mapping[str, CriterionValue]
_HALF = Decimal("0.5")


class Flaw(StrEnum):
    """The kind of flaw in a list of rules."""

    OVERLAP = "overlap"
    NEVER = "never"
    SHADOWED = "shadowed"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class CoverageFinding:
    """
    One flaw in a list of rules, with an example.

    Args:
        flaw: The kind of flaw.
        rule: The index of the rule, for an overlap the later one; None for a gap.
        other: For an overlap or a shadowed rule, the index of the earlier rule.
        example: An example account; None for a condition that holds for no account.
    """

    flaw: Flaw
    rule: int | None
    other: int | None
    example: Example | None


def find_flaws(rules: AssignmentRules) -> list[CoverageFinding] | None:
    """
    Return the flaws of the list of rules, each with an example account.

    Returns:
        None if the rules name so many values that all combinations would be more than
        `MAX_EXAMPLES` examples.
    """
    examples = list(islice(_examples(rules), MAX_EXAMPLES + 1))
    if len(examples) > MAX_EXAMPLES:
        return None
    fitting = [(example, [holds(rule.when, example) for rule in rules.rules]) for example in examples]
    return [*_unused_rules(rules, fitting), *_overlaps(rules, fitting), *_gaps(fitting)]


def overlapping_bands(criterion: Criterion, bands: tuple[Band, ...]) -> Iterator[tuple[Band, Band, CriterionValue]]:
    """
    Yield pairs of number bands that overlap without nesting, with a value in both.

    Lists of words may overlap: two tiers may name the same word.
    """
    ranged = [(band, band.when) for band in bands if isinstance(band.when, Between)]
    numbers = [value for value in _values(criterion, [test for _, test in ranged]) if not isinstance(value, str | bool)]
    inside = [(band, {value for value in numbers if holds(test, {criterion.name: value})}) for band, test in ranged]
    for (first, one), (second, two) in combinations(inside, 2):
        both = one & two
        if both and both not in (one, two):
            yield first, second, min(both)


def is_empty_band(criterion: Criterion, band: Band) -> bool:
    """Return True if the band contains no value."""
    tests = [] if isinstance(band.when, IsKnown) else [band.when]
    return not any(holds(band.when, {criterion.name: value}) for value in _values(criterion, tests))


def format_example(example: Example) -> str:
    """Return the text of an example account: `annual-value 25,000, evaluating no`."""
    return ", ".join(f"{name} {in_words(value)}" for name, value in example.items()) or "any"


def _examples(rules: AssignmentRules) -> Iterator[Example]:
    found = [leaf for rule in rules.rules for leaf in leaves(rule.when)]
    names = list(dict.fromkeys(leaf.criterion for leaf in found))
    asked = {name: [leaf for leaf in found if leaf.criterion == name] for name in names}
    values = [_answers(rules.criteria[name], asked[name]) for name in names]
    for combination in product(*values):
        yield {name: value for name, value in zip(names, combination, strict=True) if value is not None}


def _answers(criterion: Criterion, asked: list[Between | OneOf | IsKnown]) -> list[CriterionValue | None]:
    """Return the values to try, with None for an unknown value if a rule tests for one."""
    values = _values(criterion, [leaf for leaf in asked if isinstance(leaf, Between | OneOf)])
    may_lack = criterion.missing is None and any(isinstance(leaf, IsKnown) for leaf in asked)
    return [*values, None] if may_lack else [*values]


def _values(criterion: Criterion, tests: Sequence[Between | OneOf]) -> list[CriterionValue]:
    """Return values that represent every value of a criterion."""
    if criterion.kind is CriterionKind.FLAG:
        return [False, True]
    named = [value for test in tests if isinstance(test, OneOf) for value in test.values]
    if criterion.kind is CriterionKind.WORD:
        return [*dict.fromkeys(named), OTHER]
    bounds = [bound for test in tests if isinstance(test, Between) for bound in (test.low, test.high)]
    edges = sorted({Decimal(value) for value in (*named, *bounds) if value is not None})
    return _numbers(criterion, edges)


def _numbers(criterion: Criterion, edges: list[Decimal]) -> list[CriterionValue]:
    known = [bound for bound in (criterion.least, criterion.most) if bound is not None]
    points = sorted({*edges, *known}) or [Decimal(0)]
    inner = [middle for low, high in pairwise(points) for middle in _between(criterion, low, high)]
    tried = [points[0] - 1, *points, *inner, points[-1] + 1]
    whole = criterion.kind is CriterionKind.COUNT
    kept = [value for value in sorted(set(tried)) if _possible(criterion, value)]
    return [int(value) if whole else value for value in kept]


def _between(criterion: Criterion, low: Decimal, high: Decimal) -> list[Decimal]:
    if criterion.kind is CriterionKind.COUNT:
        return [low + 1] if high - low > 1 else []
    return [low + (high - low) * _HALF]


def _possible(criterion: Criterion, value: Decimal) -> bool:
    if criterion.kind is CriterionKind.COUNT and value != value.to_integral_value():
        return False
    return (criterion.least is None or value >= criterion.least) and (criterion.most is None or value <= criterion.most)


Fitting = list[tuple[Example, list[bool | None]]]


def _unused_rules(rules: AssignmentRules, fitting: Fitting) -> Iterator[CoverageFinding]:
    """Find rules that never decide: they fit no example, or an earlier rule always fits as well."""
    for at in range(len(rules.rules)):
        fits = [(example, answers) for example, answers in fitting if answers[at]]
        if not fits:
            yield CoverageFinding(Flaw.NEVER, at, None, None)
        elif all(True in answers[:at] for _, answers in fits):
            example, answers = fits[0]
            yield CoverageFinding(Flaw.SHADOWED, at, answers.index(True), example)


def _overlaps(rules: AssignmentRules, fitting: Fitting) -> Iterator[CoverageFinding]:
    """Find pairs of rules for different tiers that fit one example, unless the first has `precedence`."""
    shadowed = {finding.rule for finding in _unused_rules(rules, fitting)}
    for first, second in combinations(range(len(rules.rules)), 2):
        one, two = rules.rules[first], rules.rules[second]
        rest = second == len(rules.rules) - 1 and next(leaves(two.when), None) is None
        if one.precedence or rest or one.tier == two.tier or second in shadowed:
            continue
        both = next((example for example, answers in fitting if answers[first] and answers[second]), None)
        if both is not None:
            yield CoverageFinding(Flaw.OVERLAP, second, first, both)


def _gaps(fitting: Fitting) -> Iterator[CoverageFinding]:
    """Find an example that no rule fits and every rule can decide."""
    missed = next((example for example, answers in fitting if not {True, None}.intersection(answers)), None)
    if missed is not None:
        yield CoverageFinding(Flaw.GAP, None, None, missed)
