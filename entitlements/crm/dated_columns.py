"""
Columns of dates in CSV files: an account's start and renewal, histories of tiers, and what was done.

Nothing is dropped: a cell that cannot be read is a problem with its row and field, and the
rest of its row counts. A column that is missing is reported with the option that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from entitlements.accounts.csv.table import read_table
from entitlements.errors import AccountError
from entitlements.model.names import nearest_or_all
from entitlements.model.policy import PolicyData
from entitlements.model.problem import Problem
from entitlements.tiering.criterion_values import attribute_name
from entitlements.tiering.dates import is_day_first, read_date
from entitlements.tiering.engagements import ATTRIBUTES, Engagement, TierSpan

HISTORY_COLUMNS = {"account": ("account", "account-id", "id"), "tier": ("tier",), "since": ("since", "from"),
                   "until": ("until", "to")}  # fmt: skip
DONE_COLUMNS = {"account": ("account", "account-id", "id"), "item": ("item", "name"), "due": ("due", "date"),
                "done": ("done", "done-on")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DatedRow:
    """
    One row of a file.

    Args:
        line: Its line.
        cells: The text of each known column.
        dates: The date of each column of dates whose cell holds one.
    """

    line: int
    cells: Mapping[str, str]
    dates: Mapping[str, date]


@dataclass(slots=True)
class DatedTable:
    """
    The rows of a file, with its problems.

    Args:
        file: The file.
        rows: Its rows.
        headings: The heading of each known column that the file has.
        problems: The problems, by row and field.
    """

    file: str
    rows: list[DatedRow] = field(default_factory=list)
    headings: Mapping[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, line: int, column: str, problem: str, cure: str) -> None:
        """Add a problem of a row."""
        self.problems.append(Problem(self.file, line, self.headings.get(column, column), problem, cure))


def read_dated(
    path: str,
    columns: Mapping[str, tuple[str, ...]],
    dates: tuple[str, ...],
    *,
    needed: tuple[str, ...],
    given: Mapping[str, str] | None = None,
    prefix: str = "",
) -> DatedTable:
    """
    Return the rows of a CSV file.

    Args:
        path: The file.
        columns: Headings of each column, as `attribute_name` returns them.
        dates: The columns that hold dates.
        needed: The columns without which the file cannot be read.
        given: The heading of a column, by its name; from the option `--column`.
        prefix: Precedes the names in *given*, such as `done.`.

    Raises:
        AccountError: For a file that cannot be read, or without a needed column, naming the option.
    """
    data = _bytes_of(path)
    table = read_table(path, data, ())
    headings = [attribute_name(heading) for heading in table.headings]
    places: dict[str, int] = {}
    for name, known in columns.items():
        chosen = (given or {}).get(f"{prefix}{name}")
        names = known if chosen is None else (attribute_name(chosen),)
        found = [at for at, heading in enumerate(headings) if heading in names]
        if found:
            places[name] = found[0]
        elif name in needed or chosen is not None:
            option = f"--column {prefix}{name}=HEADING"
            missing = f"no column {chosen!r}" if chosen else f"no column {name!r} ({', '.join(known)})"
            raise AccountError(f"{path}:1: {missing}; name its heading: {option}; it has {', '.join(table.headings)}")
    result = DatedTable(path, headings={name: table.headings[at] for name, at in places.items()})
    cells = [(line, {name: row[at].strip() if at < len(row) else "" for name, at in places.items()})
             for line, row in table.rows]  # fmt: skip
    orders = {name: is_day_first(row.get(name, "") for _, row in cells) for name in dates}
    for line, row in cells:
        read: dict[str, date] = {}
        for name in dates:
            if text := row.get(name):
                try:
                    read[name] = read_date(text, day_first=orders[name])
                except ValueError as error:
                    problem, _, cure = str(error).partition("; ")
                    result.add(line, name, problem, cure)
        result.rows.append(DatedRow(line, row, read))
    return result


def read_engagements(
    path: str,
    policy: PolicyData,
    *,
    id: str = "id",
    history: str | None = None,
    given: Mapping[str, str] | None = None,
) -> tuple[dict[str, Engagement], list[Problem], list[str]]:
    """
    Return the engagement of each account of a file.

    Args:
        path: The file of accounts.
        policy: The policy of the tiers.
        id: The heading of the accounts' ids.
        history: A file of the tiers that they had: `account`, `tier`, `since`, `until`.
        given: The heading of a column, by its name: `start`, `renewal`, `history.since` …

    Returns:
        Engagements by id, the problems by row and field, and one sentence for each missing column.

    Raises:
        AccountError: For a file that cannot be read, or without a needed column.
    """
    columns = {"id": (attribute_name(id),), **ATTRIBUTES}
    table = read_dated(path, columns, tuple(ATTRIBUTES), needed=("id",), given=given)
    spans, problems = _histories(history, policy, given) if history else ({}, [])
    engagements: dict[str, Engagement] = {}
    for row in table.rows:
        account, start, renewal = row.cells["id"], row.dates.get("start"), row.dates.get("renewal")
        own = spans.pop(account, [])
        try:
            engagements[account] = Engagement(start, renewal, tuple(span for _, span in own))
        except ValueError as error:
            problem, _, cure = str(error).partition("; ")
            problem = f"account {account!r}: {problem}, so its history is not used"
            problems.append(Problem(history or "", max(line for line, _ in own), "since", problem, cure))
            engagements[account] = Engagement(start, renewal)
    for account, own in spans.items():
        cure = nearest_or_all(account, engagements).removeprefix("; ") if len(engagements) < _LISTED else "correct it"
        problems.append(Problem(history or "", own[0][0], "account", f"{account!r} is not in {path}", cure))
    missing = [f"{path}: {_LACKING[name]}" for name in ATTRIBUTES if name not in table.headings]
    return engagements, [*table.problems, *problems], missing


_LISTED = 20
_LACKING = {
    "start": "no column holds the start (start, customer-since …), so what recurs is counted from the renewal, and no"
    " onboarding is due; name it: --column start=HEADING",
    "renewal": "no column holds the renewal (renewal, renewal-date …), so no renewal and no notice is due; name it:"
    " --column renewal=HEADING",
}


def _histories(
    path: str, policy: PolicyData, given: Mapping[str, str] | None
) -> tuple[dict[str, list[tuple[int, TierSpan]]], list[Problem]]:
    """Return the spans of each account with their lines, and the problems of the file."""
    needed = ("account", "tier", "since")
    table = read_dated(path, HISTORY_COLUMNS, ("since", "until"), needed=needed, given=given, prefix="history.")
    bad = {(problem.line, problem.path) for problem in table.problems}
    spans: dict[str, list[tuple[int, TierSpan]]] = {}
    for row in table.rows:
        tier, since = row.cells["tier"], row.dates.get("since")
        if policy.tier(tier) is None:
            table.add(row.line, "tier", f"{tier!r} is not in policy {policy.version}", _cure(tier, policy))
        elif since is None:
            if (row.line, table.headings["since"]) not in bad:
                table.add(row.line, "since", "the first day is missing", "write a date such as 2027-01-31")
        elif (row.line, table.headings.get("until", "")) not in bad:
            try:
                span = TierSpan(tier, since, row.dates.get("until"))
            except ValueError as error:
                problem, _, cure = str(error).partition("; ")
                table.add(row.line, "until", problem, cure)
            else:
                spans.setdefault(row.cells["account"], []).append((row.line, span))
    return spans, table.problems


def _cure(tier: str, policy: PolicyData) -> str:
    return nearest_or_all(tier, policy.ids).removeprefix("; ")


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise AccountError(f"{path}: {error.strerror or error}; name a CSV file") from None
