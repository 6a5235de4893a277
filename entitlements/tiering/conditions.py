"""
Evaluation of conditions, with three results because criteria can be unknown.

A leaf over an unknown criterion is neither true nor false. `all` is false as soon as one
part is false, and `any` is true as soon as one part is true, even if other parts are
unknown (Kleene's strong three-valued logic). `known` is never unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from entitlements.model.conditions import All, AnyOf, Between, Condition, CriterionValue, IsKnown, Not, OneOf
from entitlements.model.display import in_words


def holds(condition: Condition, values: Mapping[str, CriterionValue]) -> bool | None:
    """
    Return True if *condition* holds for *values*, False if it does not; None if that is unknown.

    Args:
        condition: The condition.
        values: The known values, by criterion.
    """
    match condition:
        case All(parts):
            answers = [holds(part, values) for part in parts]
            return False if False in answers else None if None in answers else True
        case AnyOf(parts):
            answers = [holds(part, values) for part in parts]
            return True if True in answers else None if None in answers else False
        case Not(part):
            answer = holds(part, values)
            return None if answer is None else not answer
        case IsKnown(criterion, known):
            return (criterion in values) is known
        case Between() | OneOf():
            value = values.get(condition.criterion)
            return None if value is None else _fits(condition, value)


def criteria_of(condition: Condition) -> tuple[str, ...]:
    """Return the criteria that *condition* tests, each once, in its order."""
    return tuple(dict.fromkeys(leaf.criterion for leaf in leaves(condition)))


def leaves(condition: Condition) -> Iterator[Between | OneOf | IsKnown]:
    """Yield the leaves of *condition*, in its order."""
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield condition


def describe(condition: Condition) -> str:
    """Return *condition* as text for people: `annual-value from 25,000 and below 100,000`."""
    match condition:
        case All(()):
            return "always"
        case AnyOf(()):
            return "never"
        case All(parts):
            return " and ".join(_grouped(part) for part in parts)
        case AnyOf(parts):
            return " or ".join(_grouped(part) for part in parts)
        case Not(part):
            return f"not {_grouped(part)}"
        case _:
            return f"{condition.criterion} {describe_test(condition)}"


def describe_test(test: Condition) -> str:
    """Return the text of a leaf without its criterion: `from 10 to 99`, `carrier or broker`."""
    match test:
        case Between():
            low = "" if test.low is None else f"{'above' if test.above else 'from'} {in_words(test.low)}"
            high = "" if test.high is None else f"{'below' if test.below else 'to'} {in_words(test.high)}"
            return f"{low} {high}".strip() or "any number"
        case OneOf(_, values):
            return " or ".join(in_words(value) for value in values)
        case IsKnown(_, known):
            return "known, whatever it is" if known else "not known"
        case _:
            return describe(test)


def _fits(test: Between | OneOf, value: CriterionValue) -> bool:
    if isinstance(test, OneOf):
        return value in test.values
    if isinstance(value, str | bool):
        return False
    low = test.low is None or (value > test.low if test.above else value >= test.low)
    high = test.high is None or (value < test.high if test.below else value <= test.high)
    return low and high


def _grouped(part: Condition) -> str:
    many = isinstance(part, All | AnyOf) and len(part.parts) > 1
    return f"({describe(part)})" if many else describe(part)
