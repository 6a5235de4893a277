"""`entitlements sla`: the promised response and resolution times of a ticket, and its deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import open_context
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.loading import parse_datetime
from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    AtOption,
    IdOption,
    JsonOption,
    PolicyOption,
    TierOption,
)
from entitlements.model.display import in_json, in_words
from entitlements.model.instants import to_datetime
from entitlements.presentation.formatting import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.tiering.sla import Commitment, Pause, Progress, ServiceLevel, Ticket

KINDS = ("response", "resolution")


def sla(
    account: AccountArgument,
    priority: Annotated[
        str, typer.Argument(metavar="PRIORITY", help="As the policy names it: P1.", show_default=False)
    ],
    *,
    opened: Annotated[
        str | None,
        typer.Option("--opened", metavar="TIME", help="When the ticket was opened, such as 2026-12-31T09:30Z."),
    ] = None,
    responded: Annotated[str | None, typer.Option("--responded", metavar="TIME", help="When it was answered.")] = None,
    resolved: Annotated[str | None, typer.Option("--resolved", metavar="TIME", help="When it was solved.")] = None,
    paused: Annotated[
        list[str] | None,
        typer.Option(
            "--paused",
            metavar="TIME/TIME",
            help="A time in which the clock stood still; without its end until now. May be repeated.",
        ),
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the response and resolution times that an account is promised.

    With --opened also the deadlines, on the clock of the tier's support, and the time that
    is left. Exits with 1 if a deadline is missed, or if no time is promised.
    """
    from entitlements.cli.console import CliConsole

    if opened is None and (responded or resolved or paused):
        raise CommandError("--responded, --resolved and --paused need --opened, from which the time runs")
    context = open_context(account, policy=policy, accounts=accounts, tier=tier, at=at, key=id)
    level = context.enforcer.sla(context.account, priority)
    start = parse_datetime(opened, "--opened")
    answered = parse_datetime(responded, "--responded")
    solved = parse_datetime(resolved, "--resolved")
    pauses = [_parse_pause(each) for each in paused or ()]
    with usage_errors():
        ticket = (
            level.ticket(start, now=to_datetime(context.now), responded=answered, resolved=solved, paused=pauses)
            if start
            else None
        )
    CliConsole().write_answer(
        lambda: {"account": account} | _to_json(level, ticket), _lines(account, level, ticket), as_json=as_json
    )
    is_promised = level.response.within is not None or level.resolution.within is not None
    return ExitCode.NO if not is_promised or (ticket and ticket.breached) else ExitCode.YES


def _parse_pause(text: str) -> Pause:
    """Return the start and end of `2026-11-20T15:00Z/2026-11-20T18:00Z`; no end if nothing follows the slash."""
    begins, slash, ends = text.partition("/")
    start, end = parse_datetime(begins, "--paused"), parse_datetime(ends or None, "--paused")
    if not slash or start is None:
        raise CommandError(f"--paused {text!r} has no end; write START/END, or START/ if the pause has not ended")
    return start, end


def _to_json(level: ServiceLevel, ticket: Ticket | None) -> dict[str, object]:
    whole = level.to_dict()
    if ticket:
        whole["breached"] = ticket.breached
        for kind in KINDS:
            progress: Progress = getattr(ticket, kind)
            fields = ("due", "done", "breached", "left", "left_open")
            whole[kind] = {**whole[kind], **{name: in_json(getattr(progress, name)) for name in fields}}  # type: ignore[dict-item]
    return whole


def _lines(account: str, level: ServiceLevel, ticket: Ticket | None) -> Iterator[str]:
    """Yield a heading, and a line for each commitment."""
    priority = ", ".join(filter(None, (level.priority, level.name, level.example)))
    yield f"{account}, on tier {level.tier or 'none'}: {priority}"
    for kind in KINDS:
        commitment: Commitment = getattr(level, kind)
        promise = str(commitment) if commitment.within is None else f"in less than {commitment}"
        yield f"  {kind:<10}  {promise}{_progress_text(commitment, getattr(ticket, kind, None))}"


def _progress_text(commitment: Commitment, progress: Progress | None) -> str:
    """Return the deadline, and the time that is left or late."""
    if progress is None or progress.due is None:
        return ""
    due = f", due {format_time(progress.due)}"
    if commitment.support_clock:
        due += f" ({progress.due.astimezone(commitment.support_clock.zone):%A %H:%M} {commitment.support_clock.zone})"
    if progress.left is None:
        return f"{due}: done {'too late' if progress.breached else 'in time'}"
    if progress.breached:
        return f"{due}: late by {in_words(-progress.left)}"
    is_open = progress.left_open == progress.left
    counts = "" if is_open else f", {in_words(progress.left_open)} of it in support hours"
    return f"{due}: {in_words(progress.left)} left{counts}"
