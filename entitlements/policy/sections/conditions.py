"""
Parser of conditions: from the form of a policy file to values of `model.conditions`.

A condition is a mapping of criteria to tests, all of which must be true. `all` and `any`
contain a list of conditions, `not` contains one. A test is a value, a list of values, bounds
(`from`, `above`, `to`, `below`), or a word: `is`, `in`, `known`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from entitlements.model.conditions import All, AnyOf, Between, Condition, CriterionValue, IsKnown, Not, OneOf
from entitlements.model.criteria import Criterion, CriterionKind
from entitlements.model.names import did_you_mean, shown
from entitlements.policy.errors import InvalidValue
from entitlements.policy.report import Report
from entitlements.policy.yaml.tree import Path
from entitlements.tiering.criterion_values import attribute_name

JOINS: Final = ("all", "any", "not")
"""Words that join conditions; they are no names of criteria."""

TESTS: Final = ("is", "in", "from", "above", "to", "below", "known")
"""Keys of a test."""

NUMERIC_KINDS: Final = (CriterionKind.AMOUNT, CriterionKind.COUNT)
"""Kinds of criteria whose values are numbers."""

_FOREIGN = {">=": "from", "=>": "from", ">": "above", "<=": "to", "=<": "to", "<": "below", "==": "is", "=": "is"}
_FOREIGN |= {"gte": "from", "gt": "above", "lte": "to", "lt": "below", "eq": "is", "equals": "is"}
_FOREIGN |= {"min": "from", "max": "to", "at-least": "from", "at-most": "to", "one-of": "in"}
_EXAMPLES = {
    CriterionKind.AMOUNT: "a number, such as 25000",
    CriterionKind.COUNT: "a whole number, such as 10",
    CriterionKind.WORD: "a word, such as local-agency",
    CriterionKind.FLAG: "true or false",
}


def read_condition(data: Any, path: Path, criteria: Mapping[str, Criterion], report: Report) -> Condition | None:
    """Return the condition in *data*; None if it is not valid, which is reported."""
    if not isinstance(data, Mapping) or not data:
        cure = "write a criterion and its test: {agents: {from: 10}}"
        report.error(path, f"{shown(data)} is not a condition", cure)
        return None
    sound = _all_valid(_entry(str(key), value, (*path, str(key)), criteria, report) for key, value in data.items())
    if not sound:
        return None
    return sound[0] if len(sound) == 1 else All(sound)


def read_test(data: Any, path: Path, criterion: Criterion, report: Report) -> Between | OneOf | IsKnown | None:
    """Return the test of a criterion in *data*; None if it is not valid, which is reported."""
    try:
        return _test(data, criterion)
    except InvalidValue as error:
        report.add(path, error)
        return None


def read_known(data: Any, criterion: Criterion) -> CriterionValue:
    """
    Return *data* as a value of the criterion.

    Raises:
        InvalidValue: For a value that the criterion cannot have.
    """
    match criterion.kind, data:
        case CriterionKind.FLAG, bool():
            return data
        case CriterionKind.WORD, str() if data.strip():
            return attribute_name(data)
        case ((CriterionKind.AMOUNT | CriterionKind.COUNT), int() | Decimal()) if not isinstance(data, bool):
            number = Decimal(data)
            if criterion.kind is CriterionKind.AMOUNT or number == number.to_integral_value():
                return number if criterion.kind is CriterionKind.AMOUNT else int(number)
    raise InvalidValue(f"{shown(data)} is nothing that {criterion.name!r} can be", f"write {_EXAMPLES[criterion.kind]}")


def _entry(key: str, value: Any, path: Path, criteria: Mapping[str, Criterion], report: Report) -> Condition | None:
    if key == "not":
        part = read_condition(value, path, criteria, report)
        return None if part is None else Not(part)
    if key in JOINS:
        return _joined(key, value, path, criteria, report)
    if key not in criteria:
        report.error(path, *_unknown_criterion(key, criteria))
        return None
    return read_test(value, path, criteria[key], report)


def _joined(key: str, value: Any, path: Path, criteria: Mapping[str, Criterion], report: Report) -> Condition | None:
    if not isinstance(value, list) or not value:
        report.error(path, f"{shown(value)} is not a list of conditions", f"write {key}: [{{…}}, {{…}}]")
        return None
    sound = _all_valid(read_condition(part, (*path, at), criteria, report) for at, part in enumerate(value))
    if not sound:
        return None
    return All(sound) if key == "all" else AnyOf(sound)


def _all_valid(conditions: Iterable[Condition | None]) -> tuple[Condition, ...]:
    """Return the conditions; an empty tuple if one of them is not valid."""
    found = tuple(conditions)
    valid = tuple(condition for condition in found if condition is not None)
    return valid if len(valid) == len(found) else ()


def _unknown_criterion(key: str, criteria: Mapping[str, Criterion]) -> tuple[str, str]:
    """Return problem and cure of a *key* that is no criterion."""
    if key in TESTS or key in _FOREIGN:
        return f"{shown(key)} tests no criterion", f"write the criterion first: {{agents: {{{key}: 10}}}}"
    close = did_you_mean(key, [*criteria, *JOINS])
    known = f"write one of {', '.join([*criteria, *JOINS])}"
    return f"{shown(key)} is neither a criterion nor a word that joins conditions", close or known


def _test(data: Any, criterion: Criterion) -> Between | OneOf | IsKnown:
    if isinstance(data, list):
        return _one_of(data, criterion)
    if not isinstance(data, Mapping):
        return OneOf(criterion.name, (read_known(data, criterion),))
    for word in data:
        if word not in TESTS:
            raise _unknown_test(str(word))
    if not data:
        raise InvalidValue("nothing is tested", f"write one of {', '.join(TESTS)}")
    alone = [word for word in ("is", "in", "known") if word in data]
    if alone and len(data) > 1:
        cure = "write it alone, or join conditions by all, any and not"
        raise InvalidValue(f"{alone[0]} stands beside other tests", cure)
    if "known" in data:
        return _is_known(data["known"], criterion)
    if "in" in data:
        return _one_of(data["in"], criterion)
    if "is" in data:
        return OneOf(criterion.name, (read_known(data["is"], criterion),))
    return _between(data, criterion)


def _unknown_test(word: str) -> InvalidValue:
    meant = _FOREIGN.get(word)
    close = f"did you mean {meant!r}?" if meant else did_you_mean(word, TESTS)
    known = f"the tests are {', '.join(TESTS)}"
    return InvalidValue(f"{shown(word)} is not in the language of conditions", f"{close} {known}" if close else known)


def _is_known(data: Any, criterion: Criterion) -> IsKnown:
    if not isinstance(data, bool):
        raise InvalidValue(f"known: {shown(data)} is neither true nor false", "write known: true, or known: false")
    return IsKnown(criterion.name, data)


def _one_of(data: Any, criterion: Criterion) -> OneOf:
    if not isinstance(data, list) or not data:
        raise InvalidValue(f"{shown(data)} is not a list of values", "write [one, another]")
    return OneOf(criterion.name, tuple(dict.fromkeys(read_known(item, criterion) for item in data)))


def _between(data: Mapping[str, Any], criterion: Criterion) -> Between:
    if criterion.kind not in NUMERIC_KINDS:
        cure = f"write is or in, with {_EXAMPLES[criterion.kind]}"
        raise InvalidValue(f"{criterion.name!r} has no order to compare by", cure)
    for one, other in (("from", "above"), ("to", "below")):
        if one in data and other in data:
            raise InvalidValue(f"{one} and {other} bound the same end", "keep one of the two")
    bounds = {word: Decimal(read_known(value, criterion)) for word, value in data.items()}
    return Between(
        criterion.name,
        bounds.get("from", bounds.get("above")),
        bounds.get("to", bounds.get("below")),
        above="above" in bounds,
        below="below" in bounds,
    )
