"""Which column of an export holds what: the criteria of the policy, the account's name, its tier, dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.accounts.csv.dialect import spelt
from entitlements.errors import AccountError
from entitlements.model.names import nearest
from entitlements.policy.errors import any_of
from entitlements.tiering.attributes import attribute_name

if TYPE_CHECKING:
    from entitlements.crm.layout import Layout, Record
    from entitlements.model.criteria import AssignmentRules, Criterion

IDS = ("id", "account_id", "account_name", "account", "customer", "customer_name", "company", "name")
"""Headings that name accounts, the surest first."""

TIER = "Tier"
REASON = "Tier Reason"


@dataclass(frozen=True, slots=True)
class Columns:
    """
    The places of columns, from 0.

    Args:
        width: How many columns have headings.
        id: Of the account's name; None where there is none.
        tier: Of the tier; *width* where it is yet to be added.
        reason: Of the reason; behind the tier where it is yet to be added.
        criteria: For each column that a criterion is read from, the attribute that it is.
        fields: The heading that each criterion is read from, where there is one.
        dates: Of dates.
    """

    width: int
    id: int | None
    tier: int
    reason: int
    criteria: Mapping[int, str]
    fields: Mapping[str, str]
    dates: tuple[int, ...]

    def attributes(self, layout: Layout, record: Record) -> dict[str, object]:
        """Return what a row says of its account, as far as criteria ask."""
        cells = record.cells
        return {name: layout.text(cells[at]) for at, name in self.criteria.items() if at < len(cells)}


def wanted(rules: AssignmentRules) -> list[str]:
    """Return headings that an export probably has, as `spelt`."""
    attributes = (name for criterion in rules.criteria.values() for name in criterion.attributes)
    return [spelt(name) for name in (*attributes, *IDS, TIER)]


def choose_columns(
    layout: Layout,
    rules: AssignmentRules,
    measure: str,
    *,
    id: str | None = None,
    tier: str = TIER,
    reason: str = REASON,
    given: Mapping[str, str] | None = None,
) -> Columns:
    """
    Find the columns of a file.

    Args:
        layout: The file.
        rules: The policy's criteria.
        measure: The criterion that must be there: the one that binds, or is shared out.
        id: The heading of the accounts' names; None looks for one of `IDS`.
        tier: The heading of the tier.
        reason: The heading of the reason.
        given: For criteria, the heading to read each from; `#3` is the third column.

    Raises:
        AccountError: For a column that is not there, or that may be one of several, with the option that says which.
        ValueError: For a criterion that there is not.
    """
    finding = _Finding(layout)
    for name in given or {}:
        if name not in rules.criteria:
            cure = nearest(name, rules.criteria) or f"; there are {', '.join(rules.criteria)}"
            raise ValueError(f"--column {name}=…: the policy has no criterion {name!r}{cure}")
    criteria: dict[int, str] = {}
    fields: dict[str, str] = {}
    for criterion in rules.criteria.values():
        for at in finding.criterion(criterion, (given or {}).get(criterion.name), needed=criterion.name == measure):
            fields.setdefault(criterion.name, layout.names[at].strip())
            name = criterion.name if criterion.name in (given or {}) else layout.names[at]
            criteria[at] = name + " " * list(criteria.values()).count(name)  # blanks keep two of one heading apart
    width = len(layout.names)
    tiers, reasons = finding.named(tier), finding.named(reason)
    for heading, found, option in ((tier, tiers, "--tier-column"), (reason, reasons, "--reason-column")):
        if len(found) > 1:
            raise finding.error(f"there are {len(found)} columns {heading!r}; rename one, or name another: {option}")
    at_id = finding.id(id)
    at_tier = tiers[0] if tiers else width
    at_reason = reasons[0] if reasons else max(width, at_tier + 1) if not tiers else width
    finding.check_written({tier: at_tier, reason: at_reason}, criteria, at_id)
    dates = tuple(at for at, name in enumerate(layout.names) if "date" in spelt(name).split("_"))
    return Columns(width, at_id, at_tier, at_reason, criteria, fields, dates)


class _Finding:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._spelt = [spelt(name) for name in layout.names]

    def named(self, heading: str) -> list[int]:
        """Return the places of the columns of that heading; `#3` is the third."""
        if heading.startswith("#") and heading[1:].isdecimal() and 0 < int(heading[1:]) <= len(self._spelt):
            return [int(heading[1:]) - 1]
        return [at for at, name in enumerate(self._spelt) if name == spelt(heading)]

    def criterion(self, criterion: Criterion, given: str | None, *, needed: bool) -> list[int]:
        """Return the places of the columns that a criterion is read from."""
        if given is not None:
            found = self.named(given)
            if len(found) == 1:
                return found
            problem = "several columns" if found else "no column"
            raise self.error(f"--column {criterion.name}={given}: {problem} of that heading; {self._has()}")
        found = [at for at, name in enumerate(self._layout.names) if attribute_name(name) in criterion.attributes]
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
        """Return the place of the accounts' names."""
        if given is not None:
            found = self.named(given)
            if len(found) != 1:
                problem = "several columns" if found else "no column"
                raise self.error(f"--id {given}: {problem} of that heading; {self._has()}")
            return found[0]
        places = (self._spelt.index(name) for name in IDS if name in self._spelt)
        return next(places, None)

    def check_written(self, written: Mapping[str, int], criteria: Mapping[int, str], id: int | None) -> None:
        """Refuse to write over a column that is read, or two things into one."""
        for heading, at in written.items():
            if at in criteria or at == id:
                what = criteria.get(at, "the accounts' name").strip()
                raise self.error(f"column {heading!r} is read for {what}; name another to write into")
        if len({spelt(heading) for heading in written}) < 2:
            raise self.error("the tier and its reason cannot be written into one column; name two")

    def error(self, what: str) -> AccountError:
        return AccountError(f"{self._layout.file}:{self._layout.headings.line}: {what}")

    def _has(self) -> str:
        return f"the headings are {', '.join(map(repr, self._shown()))}"

    def _shown(self) -> Iterator[str]:
        return (name for name in self._layout.names if name.strip())
