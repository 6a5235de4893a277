"""`entitlements transitions`: the open steps of recommended moves, and those that are late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.loading import accounts_path, open_accounts, open_policy, parse_instant
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption, StoreOption
from entitlements.cli.usage_source import UsageColumnOption, UsageOption, open_usage
from entitlements.model.instants import to_datetime
from entitlements.model.problem import Severity
from entitlements.presentation.formatting import align_columns, first_lines, format_time
from entitlements.tiering.numbers import as_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from entitlements.cli.directory import Directory
    from entitlements.cli.usage_source import UsageSource
    from entitlements.policy import Policy
    from entitlements.tiering.case_steps import CaseStep
    from entitlements.tiering.transition_cases import TransitionCase

SHOWN = 10


def transitions(
    cases: Annotated[
        str,
        typer.Argument(
            metavar="CASES", help="A CSV file, or the URL of a database: sqlite:///cases.db.", show_default=False
        ),
    ],
    *,
    review: Annotated[
        bool, typer.Option("--review", help="Review all accounts first, and open a case for each recommended move.")
    ] = False,
    done: Annotated[
        list[str] | None,
        typer.Option("--done", metavar="ACCOUNT=STEP", help="A step that is done now; may be repeated."),
    ] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only steps of this account.")] = None,
    role: Annotated[str | None, typer.Option("--role", metavar="ROLE", help="Only steps of this role.")] = None,
    late: Annotated[bool, typer.Option("--late", help="Only steps that are late.")] = False,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    usage: UsageOption = None,
    usage_column: UsageColumnOption = None,
    store: StoreOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    List the open steps of recommended moves: step, owner, due time, and whether it is late.

    Cases are kept in a file or a database. --review opens a case for each upgrade, downgrade or closing that
    a review recommends, unless the account has an open one. Exits with 1 if a step is late, or
    if a row of the cases or an account cannot be read; cases with such rows are not changed.
    """
    from entitlements.cli.console import CliConsole, warn
    from entitlements.cli.transitions.kept_steps import open_steps_of
    from entitlements.tiering.case_steps import new_steps, open_steps

    now = parse_instant(at)
    moment = to_datetime(now)
    kept = open_steps_of(cases)
    steps, problems = kept.read()
    if (review or done) and problems:
        raise CommandError(f"{problems[0]}; correct the cases before some are added or done", ExitCode.UNREADABLE)
    if review:
        loaded, path = open_policy(policy), accounts_path(accounts)
        source = open_usage(loaded, now, usage=usage, store=store, columns=usage_column)
        found, more = _recommended(loaded, open_accounts(path, loaded, id=id), source, now)
        problems += more
        kept.add(new_steps(steps, found))
        steps, _ = kept.read()
    if done:
        kept.finish([_done(steps, pair, moment) for pair in done])
        steps, _ = kept.read()
    shown = list(open_steps(steps, moment, account=account, role=role, late=late))
    late_ones = sum(each.is_late(moment) for each in shown)
    CliConsole().write_answer(
        lambda: {
            "steps": [each.to_dict() | {"late": each.is_late(moment)} for each in shown],
            "late": late_ones,
            "problems": problems,
        },
        _lines(shown, moment, late_ones),
        as_json=as_json,
    )
    warn(*first_lines(problems, SHOWN, "… and {:,} more problems: --json tells all"), style="red")
    return ExitCode.NO if late_ones or problems else ExitCode.YES


def _done(steps: Sequence[CaseStep], pair: str, now: datetime) -> CaseStep:
    """Return the step that `--done` names, done."""
    from entitlements.tiering.case_steps import done_step

    name, equals, text = pair.rpartition("=")
    number = as_whole(text) if equals else None
    if number is None:
        raise CommandError(f"--done {pair!r} names no step; write --done ACCOUNT=1")
    with usage_errors("--done: "):
        return done_step(steps, name, number, now)


def _recommended(
    policy: Policy, accounts: Directory, source: UsageSource | None, now: int
) -> tuple[list[TransitionCase], list[str]]:
    """Return the cases that a review of all accounts opens, and the problems of the accounts."""
    from entitlements.cli.review import BaseReviewer
    from entitlements.tiering.transition_cases import case_of

    reviewer = BaseReviewer(policy, source, now)
    reviewer.problems += [str(problem) for problem in accounts.problems if problem.severity is Severity.ERROR]
    if source is not None and source.file is not None:
        reviewer.problems += map(str, source.file.problems)
    reviews = [review for account in accounts if (review := reviewer.review(account)) is not None]
    found = (case_of(policy, review, now, ZoneInfo) for review in reviews)
    return [case for case in found if case is not None and case.steps], reviewer.problems


def _lines(shown: Sequence[CaseStep], now: datetime, late: int) -> Iterator[str]:
    accounts = len({each.account for each in shown})
    yield f"{len(shown):,} open steps of {accounts:,} accounts, {late:,} late"
    rows = [("due", "", "account", "move", "takes effect", "step", "", "owner")]
    for each in shown:
        move = f"{each.from_tier} to {each.to}" if each.to else f"{each.from_tier}: {each.action}"
        due = "" if each.due is None else format_time(each.due)
        mark = "late" if each.is_late(now) else ""
        cells = (due, mark, each.account, move, f"{each.effective:%Y-%m-%d}", str(each.number), each.text, each.owner)
        rows.append(cells)
    if shown:
        yield from align_columns(rows)
