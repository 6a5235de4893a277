"""Comparison of two exports: accounts whose tier changed, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from entitlements.crm.assignment import Assigned, RowResult, tier_finder
from entitlements.crm.columns import Columns
from entitlements.crm.layout import Layout
from entitlements.crm.sums import Attributes, combine_rows
from entitlements.errors import AccountError
from entitlements.model.conditions import CriterionValue
from entitlements.model.criteria import Criterion
from entitlements.model.display import fields_in_json, in_words
from entitlements.model.policy import PolicyData
from entitlements.tiering.criterion_values import read_attributes


@dataclass(frozen=True, slots=True)
class Move:
    """
    An account whose tier changed.

    Args:
        account: Its name.
        line: Its line in the new file.
        before: The former tier's id, or the text in its place; None where there was none.
        after: The tier's id now; None where there is none.
        up: Whether it moved to a higher tier; None where the two cannot be compared.
        value_before: The former value of the binding criterion; None where it was not known.
        value: The value of the binding criterion now.
        because: The reason of the present tier.
    """

    account: str
    line: int
    before: str | None
    after: str | None
    up: bool | None
    value_before: CriterionValue | None
    value: CriterionValue | None
    because: str

    def __str__(self) -> str:
        """Return one line of text."""
        way = f"{self.before or 'no tier'} -> {self.after or 'no tier'}"
        change = "" if self.value_before == self.value else f", was {_in_words(self.value_before)}"
        return f"{self.account}: {way} ({self.because}{change})"

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Moves:
    """
    The differences between two exports.

    Args:
        moved: The accounts whose tier changed, in the order of the new file.
        new: The names of the accounts that are only in the new file.
        gone: The names of the accounts that are only in the old file.
        same: The number of accounts whose tier is the same.
        doubtful: Names that occur more than once in either file; they are not compared.
    """

    moved: tuple[Move, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    same: int
    doubtful: tuple[str, ...]

    to_dict = fields_in_json


def compare(policy: PolicyData, old: Layout, columns: Columns, assigned: Assigned, measure: str) -> Moves:
    """
    Return the differences between *old* and *assigned*.

    Args:
        policy: The policy of the tiers.
        old: The old file, with its tiers.
        columns: The columns of the old file.
        assigned: The base now.
        measure: The binding criterion.

    Raises:
        AccountError: For files without a column that names the accounts, or an old one without tiers.
    """
    for layout, chosen in ((old, columns), (assigned.layout, assigned.columns)):
        if chosen.id is None:
            raise AccountError(f"{layout.file}: no column names the accounts; say which one does: --id HEADING")
    if columns.tier >= columns.width:
        raise AccountError(f"{old.file}: there is no column with tiers to compare with; name it: --tier-column HEADING")
    assert policy.assignment is not None
    criterion = policy.assignment.criteria[measure]
    before, doubled = _before(policy, old, columns, criterion, assigned.sums)
    now: dict[str, RowResult] = {}
    for result in assigned.results.values():
        if now.setdefault(result.account, result).segmented is not result.segmented:
            doubled.add(result.account)
    find_tier = tier_finder(policy)
    moved: list[Move] = []
    both = [name for name in now if name in before and name not in doubled]
    for name in both:
        was, value = before[name]
        if (move := _move(policy, now[name], find_tier(was) or was, value)) is not None:
            moved.append(move)
    return Moves(
        tuple(moved),
        tuple(name for name in now if name not in before and name not in doubled),
        tuple(name for name in before if name not in now and name not in doubled),
        len(both) - len(moved),
        tuple(sorted(doubled)),
    )


def _before(
    policy: PolicyData, old: Layout, columns: Columns, criterion: Criterion, sums: Mapping[str, Criterion]
) -> tuple[dict[str, tuple[str, CriterionValue | None]], set[str]]:
    """Return the former tier and value of each account, and the names that stand for several."""
    rows: dict[str, list[tuple[str, Attributes]]] = {}
    for record in old.records():
        if not record.is_blank:
            tier = old.cell(record, columns.tier).strip()
            rows.setdefault(old.cell(record, columns.id), []).append((tier, columns.attributes(old, record)))
    found: dict[str, tuple[str, CriterionValue | None]] = {}
    for name, each in rows.items():
        attributes = combine_rows(sums, [attributes for _, attributes in each], policy.currency)
        known, _ = read_attributes({criterion.name: criterion}, attributes, currency=policy.currency)
        found[name] = each[0][0], known.get(criterion.name)
    return found, {
        name for name, each in rows.items() if len(each) > 1 and not (sums and len({t for t, _ in each}) == 1)
    }


def _move(policy: PolicyData, result: RowResult, was: str, value: CriterionValue | None) -> Move | None:
    after = result.before if result.kept else result.tier
    if (was or None) == after:
        return None
    higher, lower = policy.tiers.get(after or ""), policy.tiers.get(was)
    up = None
    if higher is not None and lower is not None and (higher.is_above(lower) or lower.is_above(higher)):
        up = higher.is_above(lower)
    segmented = result.segmented
    return Move(result.account, result.line, was or None, after, up, value, segmented.value, result.reason)


def _in_words(value: CriterionValue | None) -> str:
    return "not known" if value is None else in_words(value)
