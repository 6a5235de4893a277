"""
The binding rules as a formula for a CRM or a spreadsheet: nested IFs, the first that fits decides.

A CRM with this formula keeps the tiers current by itself. The formula has only rules over
the binding criterion; a CRM may not have the other criteria.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from entitlements.model.conditions import All, AnyOf, Between, Condition, CriterionValue, IsKnown, Not, OneOf
from entitlements.model.criteria import AssignmentRules, Rule
from entitlements.tiering.conditions import criteria_of


@dataclass(frozen=True, slots=True)
class Formula:
    """
    A formula for a CRM.

    Args:
        text: The formula, on one line.
        left_out: The names of the rules that test other criteria than the binding one.
    """

    text: str
    left_out: tuple[str, ...]


def formula(rules: AssignmentRules, names: Mapping[str, str], field: str) -> Formula:
    """
    Return the binding rules as a formula; a missing or invalid value gives an empty text.

    Args:
        rules: The rules of the policy.
        names: The text for each tier.
        field: The CRM's name of the binding criterion.

    Raises:
        ValueError: If no rule tests the binding criterion alone.
    """
    fitting = [rule for rule in rules.rules if set(criteria_of(rule.when)) <= {rules.binding}]
    left_out = tuple(rule.name for rule in rules.rules if rule not in fitting)
    if not any(criteria_of(rule.when) for rule in fitting):
        raise ValueError(f"no rule asks for {rules.binding} alone, so there is nothing to write as a formula of it")
    criterion = rules.criteria[rules.binding]
    text = '""'
    for rule, when in reversed(list(_without_settled_bounds(fitting))):
        text = f"IF({_expression(when, field)}, {_text(names[rule.tier])}, {text})"
    bad = [f"ISBLANK({field})"]
    bad += [f"{field} < {_number(criterion.least)}"] if criterion.least is not None else []
    bad += [f"{field} > {_number(criterion.most)}"] if criterion.most is not None else []
    wrong = f"OR({', '.join(bad)})" if len(bad) > 1 else bad[0]
    return Formula(f'IF({wrong}, "", {text})', left_out)


def formula_of_thresholds(least: Mapping[str, Decimal], names: Mapping[str, str], field: str) -> Formula:
    """
    Return a formula by the smallest value of each tier, such as a segmentation by share yields for one base.

    Args:
        least: The smallest value by tier, higher tiers first; the last tier also takes smaller values.
        names: The text for each tier.
        field: The CRM's name of the criterion.
    """
    *higher, last = least
    text = _text(names[last])
    for tier in reversed(higher):
        text = f"IF({field} >= {_number(least[tier])}, {_text(names[tier])}, {text})"
    return Formula(f'IF(OR(ISBLANK({field}), {field} < 0), "", {text})', ())


def _without_settled_bounds(rules: Iterable[Rule]) -> Iterator[tuple[Rule, Condition]]:
    """Yield the rules without upper bounds that earlier rules make redundant."""
    settled: tuple[Decimal, bool] | None = None  # every value above it is decided; True: the value itself as well
    for rule in rules:
        when = rule.when
        if isinstance(when, Between) and (when.high is None or _is_settled(when.high, settled, below=when.below)):
            when = replace(when, high=None, below=False)
            if when.low is not None:
                settled = when.low, not when.above
        yield rule, when


def _is_settled(high: Decimal, settled: tuple[Decimal, bool] | None, *, below: bool) -> bool:
    """Return True if earlier rules decide every value beyond an upper bound."""
    return settled is not None and (settled[0] < high or (settled[0] == high and (settled[1] or not below)))


def _expression(condition: Condition, field: str) -> str:
    match condition:
        case All(()):
            return "TRUE"
        case AnyOf(()):
            return "FALSE"
        case All(parts):
            return f"AND({', '.join(_expression(part, field) for part in parts)})"
        case AnyOf(parts):
            return f"OR({', '.join(_expression(part, field) for part in parts)})"
        case Not(part):
            return f"NOT({_expression(part, field)})"
        case IsKnown(_, known):
            return f"NOT(ISBLANK({field}))" if known else f"ISBLANK({field})"
        case OneOf(_, values):
            tests = [f"{field} = {_value(value)}" for value in values]
            return tests[0] if len(tests) == 1 else f"OR({', '.join(tests)})"
        case Between():
            return _bounds(condition, field)


def _bounds(test: Between, field: str) -> str:
    parts = [] if test.low is None else [f"{field} {'>' if test.above else '>='} {_number(test.low)}"]
    parts += [] if test.high is None else [f"{field} {'<' if test.below else '<='} {_number(test.high)}"]
    return f"AND({', '.join(parts)})" if len(parts) > 1 else "".join(parts) or "TRUE"


def _value(value: CriterionValue) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return _text(value) if isinstance(value, str) else _number(value)


def _number(value: Decimal | int) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _text(text: str) -> str:
    """Return a text in quotes; quotes inside are doubled, as in spreadsheets."""
    return '"' + text.replace('"', '""') + '"'
