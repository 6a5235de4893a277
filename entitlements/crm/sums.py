"""Sums of criteria over the rows of one account, such as one row for each of its contracts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext

from entitlements.model.criteria import AssignmentRules, Criterion, CriterionKind
from entitlements.model.names import nearest_or_all
from entitlements.tiering.criterion_values import attribute_name, read_attributes, split_heading
from entitlements.tiering.numbers import EXACT, as_number

Attributes = Mapping[str, object]


def summed_criteria(rules: AssignmentRules, names: Iterable[str]) -> dict[str, Criterion]:
    """
    Return the criteria *names*, whose values can be added up.

    Raises:
        ValueError: For an unknown criterion, and for one that is no amount and no count.
    """
    numeric = {
        name: each for name, each in rules.criteria.items() if each.kind in {CriterionKind.AMOUNT, CriterionKind.COUNT}
    }
    for name in names:
        if name not in numeric:
            what = f"a {rules.criteria[name].kind}" if name in rules.criteria else "no criterion"
            raise ValueError(f"--sum {name}: {name!r} is {what}{nearest_or_all(name, numeric)}")
    return {name: numeric[name] for name in names}


def combine_rows(criteria: Mapping[str, Criterion], rows: Iterable[Attributes], currency: str) -> Attributes:
    """
    Return the attributes of one account from its rows, with the sums of *criteria*.

    A row in which such a criterion has no valid value is returned as it is: the sum is not known.
    Other attributes that differ between rows are all kept, so that reading them tells of the contradiction.
    """
    combined: dict[str, object] = {}
    sums = dict.fromkeys(criteria, Decimal(0))
    for row in rows:
        known, misfits = read_attributes(criteria, row, currency=currency)
        if misfits or len(known) < len(criteria):
            return row
        with localcontext(EXACT):
            sums = {name: total + (as_number(known[name]) or 0) for name, total in sums.items()}
        for name, value in row.items():
            while combined.get(name, value) != value:
                name += " "  # noqa: PLW2901 - blanks keep two of one heading apart
            combined[name] = value
    added = {attribute for each in criteria.values() for attribute in each.attributes}
    others = {name: value for name, value in combined.items() if attribute_name(split_heading(name)[0]) not in added}
    return others | sums
