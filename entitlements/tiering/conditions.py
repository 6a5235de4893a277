"""
What conditions mean: three answers, because not everything is known of every account.

A leaf over a criterion of which nothing is known is neither true nor false. `all` is
false as soon as one part is, `any` true as soon as one part is, whatever is unknown
beside it (Kleene's strong logic of three values); `known` is never unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from entitlements.model.conditions import All, AnyOf, Between, Condition, CriterionValue, IsKnown, Not, OneOf
from entitlements.model.display import in_words


def holds(condition: Condition, values: Mapping[str, CriterionValue]) -> bool | None:
    """
    Say whether *condition* holds for what is known; None where that cannot be told.

    Args:
        condition: The condition.
        values: What is known, by criterion; unknown ones are left out.
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
    """Return the criteria that *condition* speaks of, each once, in its order."""
    return tuple(dict.fromkeys(leaf.criterion for leaf in leaves(condition)))


def leaves(condition: Condition) -> Iterator[Between | OneOf | IsKnown]:
    """Return the leaves of *condition*, in its order."""
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield condition


def describe(condition: Condition) -> str:
    """Return *condition* for people: `annual-value from 25,000 and below 100,000`."""
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
    """Return a leaf without its criterion: `from 10 to 99`, `carrier or broker`."""
    match test:
        case Between():
            return " ".join(_bounds(test)) or "any number"
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


def _bounds(test: Between) -> Iterator[str]:
    if test.low is not None:
        yield f"{'above' if test.above else 'from'} {_number(test.low)}"
    if test.high is not None:
        yield f"{'below' if test.below else 'to'} {_number(test.high)}"


def _number(value: Decimal) -> str:
    return f"{value:,}"
