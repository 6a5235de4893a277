"""The columns of an export: criteria of the policy, the account's name, its tier, dates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from entitlements.accounts.csv.dialect import normalize_heading
from entitlements.crm.layout import Layout, Record
from entitlements.errors import AccountError
from entitlements.model.criteria import AssignmentRules, Criterion, CriterionKind
from entitlements.model.names import nearest_or_all
from entitlements.policy.errors import any_of
from entitlements.tiering.criterion_values import attribute_name, is_currency_of, split_heading
from entitlements.tiering.numbers import as_whole

IDS = (
    "id", "account_id", "record_id", "company_id", "account_name", "company_name", "account", "customer",
    "customer_name", "company", "name",
)  # fmt: skip
"""Headings of the account's name, the most specific first."""

REVENUE = "annual-revenue"
"""The attribute that CRMs have for a customer's own earnings; it is read only if a criterion or an option names it."""

TIER = "Tier"
REASON = "Tier Reason"


@dataclass(frozen=True, slots=True)
class Columns:
    """
    The indices of columns, from 0.

    Args:
        width: The number of columns with headings.
        id: The column of the account's name; None where there is none.
        tier: The column of the tier; *width* where it must be added.
        reason: The column of the reason; behind the tier where it must be added.
        criteria: The attribute in each column that a criterion is read from.
        fields: The heading that each criterion is read from, where there is one.
        dates: The columns of dates.
        ignored: The names of columns that a directory of the result is told to ignore.
    """

    width: int
    id: int | None
    tier: int
    reason: int
    criteria: Mapping[int, str]
    fields: Mapping[str, str]
    dates: tuple[int, ...]
    ignored: frozenset[str] = frozenset()

    def attributes(self, layout: Layout, record: Record) -> dict[str, object]:
        """Return the attributes of a row that the criteria need."""
        cells = record.cells
        return {name: layout.text(cells[at]) for at, name in self.criteria.items() if at < len(cells)}


def expected_headings(rules: AssignmentRules) -> list[str]:
    """Return headings that an export probably has, as `normalize_heading` returns them."""
    attributes = (name for criterion in rules.criteria.values() for name in criterion.attributes)
    return [normalize_heading(name) for name in (*attributes, *IDS, TIER)]


def choose_columns(
    layout: Layout,
    rules: AssignmentRules,
    measure: str,
    *,
    id: str | None = None,
    tier: str = TIER,
    reason: str = REASON,
    given: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
) -> Columns:
    """
    Find the columns of a file.

    Args:
        layout: The file.
        rules: The policy's criteria.
        measure: The required criterion: the one that binds, or is shared out.
        id: The heading of the accounts' names; None searches for one of `IDS`.
        tier: The heading of the tier.
        reason: The heading of the reason.
        given: The heading to read a criterion from, by criterion; `#3` is the third column.
        ignore: Headings of columns that a directory of the result is told to ignore.

    Raises:
        AccountError: For a column that is missing or ambiguous, with the option that names it.
        ValueError: For an unknown criterion.
    """
    finder = _ColumnFinder(layout)
    for name in given or {}:
        if name not in rules.criteria:
            cure = nearest_or_all(name, rules.criteria)
            raise ValueError(f"--column {name}=…: the policy has no criterion {name!r}{cure}")
    criteria: dict[int, str] = {}
    fields: dict[str, str] = {}
    for criterion in rules.criteria.values():
        for at in finder.criterion(criterion, (given or {}).get(criterion.name), needed=criterion.name == measure):
            fields.setdefault(criterion.name, layout.names[at].strip())
            name = criterion.name if criterion.name in (given or {}) else layout.names[at]
            if name == criterion.name and (currency := split_heading(layout.names[at])[1]):
                name = f"{name} ({currency})"
            criteria[at] = name + " " * list(criteria.values()).count(name)  # blanks keep two of one heading apart
    criteria |= _currencies(layout, rules, criteria, fields)
    width = len(layout.names)
    tiers, reasons = finder.named(tier), finder.named(reason)
    for heading, found, option in ((tier, tiers, "--tier-column"), (reason, reasons, "--reason-column")):
        if len(found) > 1:
            raise finder.error(f"there are {len(found)} columns {heading!r}; rename one, or name another: {option}")
    at_id = finder.id(id)
    at_tier = tiers[0] if tiers else width
    at_reason = reasons[0] if reasons else max(width, at_tier + 1) if not tiers else width
    finder.check_written({tier: at_tier, reason: at_reason}, criteria, at_id)
    dates = tuple(at for at, name in enumerate(layout.names) if "date" in normalize_heading(name).split("_"))
    ignored = frozenset(map(normalize_heading, ignore)) - {"tier"}
    return Columns(width, at_id, at_tier, at_reason, criteria, fields, dates, ignored)


def _currencies(
    layout: Layout, rules: AssignmentRules, criteria: Mapping[int, str], fields: Mapping[str, str]
) -> dict[int, str]:
    """Return the columns that name the currency of an amount, with the attribute that each is read as."""
    found: dict[int, str] = {}
    for criterion in rules.criteria.values():
        heading = attribute_name(fields.get(criterion.name, ""))
        if criterion.kind is CriterionKind.AMOUNT and heading:
            for at, name in enumerate(layout.names):
                if at not in criteria and is_currency_of(name, {heading}):
                    is_own = attribute_name(name) == f"{heading}-currency" and heading not in criterion.attributes
                    found[at] = f"{criterion.name} currency" if is_own else name
    return found


class _ColumnFinder:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._headings = [normalize_heading(name) for name in layout.names]

    def named(self, heading: str) -> list[int]:
        """Return the indices of the columns with that heading; `#3` is the third column."""
        number = as_whole(heading[1:]) if heading.startswith("#") else None
        if number is not None and 0 < number <= len(self._headings):
            return [number - 1]
        return [at for at, name in enumerate(self._headings) if name == normalize_heading(heading)]

    def criterion(self, criterion: Criterion, given: str | None, *, needed: bool) -> list[int]:
        """Return the indices of the columns that a criterion is read from."""
        if given is not None:
            return [self._one(given, f"--column {criterion.name}={given}")]
        names = {at: attribute_name(split_heading(name)[0]) for at, name in enumerate(self._layout.names)}
        found = [at for at, name in names.items() if name in criterion.attributes]
        revenue = [at for at in found if names[at] == REVENUE != criterion.name]
        if revenue and needed and len(found) == 1:
            option = f"--column {criterion.name}={self._layout.names[found[0]]!r}"
            problem = f"{self._layout.names[found[0]]!r} is what the customer earns in many CRMs, not what it pays"
            raise self.error(f"{problem}; if it is {criterion.name}, say so: {option}, else name another heading")
        found = [at for at in found if at not in revenue]
        if needed and len(found) > 1:
            several = " and ".join(f"{self._layout.names[at]!r} (#{at + 1})" for at in found)
            raise self.error(
                f"{several} may each be {criterion.name}; say which: --column {criterion.name}=#{found[0] + 1}"
            )
        if needed and not found:
            cure = f"name its heading: --column {criterion.name}=HEADING"
            raise self.error(
                f"no column holds {criterion.name} ({any_of(criterion.attributes)}); {cure}; {self._has()}"
            )
        return found

    def id(self, given: str | None) -> int | None:
        """Return the index of the column of the accounts' names, if there is one."""
        if given is not None:
            return self._one(given, f"--id {given}")
        places = (self._headings.index(name) for name in IDS if name in self._headings)
        return next(places, None)

    def check_written(self, written: Mapping[str, int], criteria: Mapping[int, str], id: int | None) -> None:
        """Refuse to write into a column that is read, and to write tier and reason into one column."""
        for heading, at in written.items():
            if at in criteria or at == id:
                what = criteria.get(at, "the accounts' name").strip()
                raise self.error(f"column {heading!r} is read for {what}; name another to write into")
        if len({normalize_heading(heading) for heading in written}) < 2:
            raise self.error("the tier and its reason cannot be written into one column; name two")

    def error(self, what: str) -> AccountError:
        """Return an error with the file and the line of the headings."""
        return AccountError(f"{self._layout.file}:{self._layout.headings.line}: {what}")

    def _one(self, heading: str, option: str) -> int:
        found = self.named(heading)
        if len(found) != 1:
            raise self.error(f"{option}: {'several columns' if found else 'no column'} of that heading; {self._has()}")
        return found[0]

    def _has(self) -> str:
        return f"the headings are {', '.join(repr(name) for name in self._layout.names if name.strip())}"
