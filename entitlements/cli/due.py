"""`entitlements due`: what is due for the accounts this week or month, and what is overdue."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import find_account
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.loading import accounts_path, open_accounts, open_policy, parse_instant
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.model.display import in_words
from entitlements.model.instants import to_datetime
from entitlements.model.problem import Severity
from entitlements.presentation.formatting import align_columns, format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from entitlements.model.account import Account
    from entitlements.model.problem import Problem
    from entitlements.policy import Policy
    from entitlements.tiering.due_lists import DueList, ItemKey
    from entitlements.tiering.schedule import DueItem

HEADINGS = ("account", "item", "due", "kind", "tier", "owner", "audience", "minutes", "format", "begins", "done")
OVERDUE_DAYS = 90

ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="NAME=HEADING", help="The column of start, renewal, done.due, history.since …"),
]


def due(
    *,
    week: Annotated[bool, typer.Option("--week", help="This week, from Monday on. The default.")] = False,
    month: Annotated[bool, typer.Option("--month", help="This month.")] = False,
    since: Annotated[str | None, typer.Option("--since", metavar="DATE", help="The first day.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help="The first day after the last.")] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")] = None,
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="Only items of this owner; may be repeated.")
    ] = None,
    done: Annotated[
        str | None,
        typer.Option("--done", metavar="CSV", help="What was done: account, item, due, done. Shows what is overdue."),
    ] = None,
    overdue_since: Annotated[
        str | None, typer.Option("--overdue-since", metavar="DATE", help="With --done. Default: 90 days earlier.")
    ] = None,
    history: Annotated[
        str | None, typer.Option("--history", metavar="CSV", help="Earlier tiers: account, tier, since, until.")
    ] = None,
    ics: Annotated[str | None, typer.Option("--ics", metavar="PATH", help="Write an iCalendar file.")] = None,
    csv_path: Annotated[
        str | None, typer.Option("--csv", metavar="PATH", help="Write a CSV file, with a column to fill in for --done.")
    ] = None,
    column: ColumnOption = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show what is due for the accounts, with its owner, audience and length.

    Dates follow from each account's start, renewal, trial and tiers. Exits with 1 if a file
    has problems; nothing is dropped because of them.
    """
    from entitlements.cli.console import CliConsole, warn
    from entitlements.crm.dated_columns import read_engagements
    from entitlements.policy.sections.readable_values import time_zone
    from entitlements.tiering.due_lists import due_list

    today = to_datetime(parse_instant(at)).date()
    first, last = _span(today, week=week, month=month, since=since, until=until)
    given = _columns(column)
    loaded, path = open_policy(policy), accounts_path(accounts)
    file = open_accounts(path, loaded, id=id)
    engagements, problems, missing = read_engagements(path, loaded, id=id, history=history, given=given)
    problems = [each for each in file.problems if each.severity is Severity.ERROR] + problems
    records, faults = _records(done, given) if done else ({}, [])
    chosen = list(file) if account is None else [find_account(account, path, file)]
    overdue = None if done is None else _date(overdue_since, "--overdue-since") or first - timedelta(days=OVERDUE_DAYS)
    usable, strangers = _known(loaded, chosen)
    with usage_errors():
        found = due_list(
            loaded,
            usable,
            first,
            last,
            zones=time_zone,
            engagements=engagements,
            done=records,
            overdue_since=overdue,
            roles=role or (),
        )
    stray = [] if account else [_unmatched(done or "", key) for key in found.unmatched]
    found, automated = (found, 0) if role else _by_people(found)
    told = [*map(str, problems + faults), *strangers, *stray]
    _write_files(found, ics, csv_path, parse_instant(at))
    CliConsole().write_answer(
        lambda: found.to_dict() | {"automated": automated, "problems": told, "missing": missing},
        _lines(found, automated),
        as_json=as_json,
    )
    warn(*missing)
    warn(*told, style="red")
    return ExitCode.NO if told else ExitCode.YES


def _span(today: date, *, week: bool, month: bool, since: str | None, until: str | None) -> tuple[date, date]:
    if ((since or until) and (week or month)) or (week and month):
        raise CommandError("--week, --month and --since exclude each other; give one")
    if since or until:
        first = _date(since, "--since") or today
        last = _date(until, "--until") or first + timedelta(days=7)
        if last <= first:
            raise CommandError(f"--until {last} is not after {first}; exchange the two")
        return first, last
    if month:
        first = today.replace(day=1)
        return first, (first + timedelta(days=31)).replace(day=1)
    first = today - timedelta(days=today.weekday())
    return first, first + timedelta(days=7)


def _date(given: str | None, option: str) -> date | None:
    from entitlements.tiering.dates import read_date

    if given is None:
        return None
    with usage_errors(f"{option} "):
        return read_date(given)


def _columns(given: list[str] | None) -> dict[str, str]:
    from entitlements.crm.dated_columns import DONE_COLUMNS, HISTORY_COLUMNS
    from entitlements.model.names import nearest_or_all
    from entitlements.tiering.engagements import ATTRIBUTES

    known = [*ATTRIBUTES, *(f"history.{name}" for name in HISTORY_COLUMNS), *(f"done.{name}" for name in DONE_COLUMNS)]
    chosen: dict[str, str] = {}
    for each in given or ():
        name, sign, heading = each.partition("=")
        if not sign or not heading.strip() or name not in known:
            raise CommandError(f"--column {each}: write NAME=HEADING{nearest_or_all(name, known)}")
        chosen[name] = heading
    return chosen


def _records(path: str, given: dict[str, str]) -> tuple[dict[ItemKey, bool], list[Problem]]:
    """Return the records of a file of what was done, and the problems of its rows."""
    from entitlements.crm.dated_columns import DONE_COLUMNS, read_dated

    needed = ("account", "item", "due", "done")
    table = read_dated(path, DONE_COLUMNS, ("due", "done"), needed=needed, given=given, prefix="done.")
    records: dict[ItemKey, bool] = {}
    for row in table.rows:
        day = row.dates.get("due")
        if day is None and not row.cells["due"]:
            table.add(row.line, "due", "the due date is missing", "write a date such as 2027-01-31")
        elif day is not None:
            key = (row.cells["account"], row.cells["item"], day)
            records[key] = records.get(key, False) or "done" in row.dates
    return records, table.problems


def _known(policy: Policy, accounts: list[Account]) -> tuple[list[Account], list[str]]:
    """Return the accounts that the policy can read, and one line for each other."""
    from entitlements.errors import AccountError, UnknownAccount
    from entitlements.policy.accounts import bind
    from entitlements.tiering.preview import own_tier

    usable, problems = [], []
    for each in accounts:
        try:
            own_tier(policy, each, 0)
            usable.append(bind(policy, each))
        except (AccountError, UnknownAccount) as error:
            problems.append(str(error))
    return usable, problems


def _unmatched(path: str, key: ItemKey) -> str:
    return f"{path}: {key[1]!r} of account {key[0]!r} is not due on {key[2]}; correct the row"


def _by_people(found: DueList) -> tuple[DueList, int]:
    """Return the list without what is automated, and the number of such items."""
    from entitlements.tiering.recurrences import AUTOMATION

    items, overdue = (tuple(each for each in all_ if each.owner != AUTOMATION) for all_ in (found.items, found.overdue))
    count = len(found.items) + len(found.overdue) - len(items) - len(overdue)
    return replace(found, items=items, overdue=overdue), count


def _lines(found: DueList, automated: int) -> Iterator[str]:
    last = found.until - timedelta(days=1)
    done = f", {found.done} done" if found.done else ""
    yield f"{found.since:%A, %Y-%m-%d} to {last:%A, %Y-%m-%d}: {format_count(len(found.items), 'item')} due{done}"
    for heading, items in (("overdue", found.overdue), ("due", found.items)):
        if items:
            yield ""
            rows = [("date", "account", heading, "owner", "with", "length", "tier"), *map(_row, items)]
            yield from align_columns(rows)
    if automated:
        yield ""
        yield f"{format_count(automated, 'automated item')} not listed: --role automation"
    for fact, ids in found.unknown.items():
        yield ""
        yield f"{fact} of {format_count(len(ids), 'account')}: {', '.join(ids[:10])}{' …' if len(ids) > 10 else ''}"


def _row(item: DueItem) -> tuple[str, ...]:
    length = item.format or ("" if item.duration is None else in_words(item.duration))
    window = f" (from {item.begins})" if item.begins else ""
    return (
        f"{item.date:%a %Y-%m-%d}",
        item.account,
        f"{item.name}{window}",
        item.owner,
        item.audience or "",
        length,
        item.tier,
    )


def _write_files(found: DueList, ics: str | None, csv_path: str | None, now: int) -> None:
    items = [*found.overdue, *found.items]
    if csv_path:
        _write(csv_path, _csv(items).encode())
    if ics:
        try:
            from entitlements.integrations.icalendar import to_icalendar
        except ImportError as error:
            raise CommandError(str(error)) from None
        _write(ics, to_icalendar(items, stamp=to_datetime(now)))


def _csv(items: Iterable[DueItem]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADINGS)
    for each in items:
        minutes = "" if each.duration is None else int(each.duration.total_seconds() // 60)
        begins = each.begins or ""
        how = (each.kind.value, each.tier, each.owner, each.audience or "", minutes, each.format or "", begins, "")
        writer.writerow((each.account, each.name, each.date, *how))
    return text.getvalue()


def _write(path: str, data: bytes) -> None:
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}; name a file that can be written") from None
