"""`entitlements sla`: what an account is owed for a ticket, by when, and whether that is late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import AccountArgument, AccountsOption, AtOption, JsonOption, PolicyOption, TierOption

if TYPE_CHECKING:
    from entitlements.tiering.sla import Commitment, Progress, ServiceLevel, Ticket


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
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show in what time an account is owed an answer and a solution.

    With --opened also by when, on the clock of the tier's support, and how much time is
    left. Exits with 1 where it is late, or nothing is promised at all.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.context import ask
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.cli.loading import instant
    from entitlements.model.instants import to_datetime

    if opened is None and (responded or resolved):
        raise CommandError("--responded and --resolved need --opened, from which the time runs", ExitCode.USAGE)
    asked = ask(account, policy=policy, accounts=accounts, tier=tier, at=at)
    level = asked.enforcer.sla(asked.account, priority)
    moments = {
        option: None if given is None else to_datetime(instant(given, option))
        for option, given in (("--opened", opened), ("--responded", responded), ("--resolved", resolved))
    }
    ticket = None
    if moments["--opened"] is not None:
        now = to_datetime(instant(at))
        try:
            ticket = level.ticket(
                moments["--opened"], now=now, responded=moments["--responded"], resolved=moments["--resolved"]
            )
        except ValueError as error:
            raise CommandError(str(error), ExitCode.USAGE) from None
    screen = CliConsole()
    if as_json:
        screen.put_json({"account": account} | _in_json(level, ticket))
    else:
        screen.put("\n".join(_lines(account, level, ticket)))
    promised = level.response.within is not None or level.resolution.within is not None
    return ExitCode.NO if not promised or (ticket and ticket.breached) else ExitCode.YES


def _in_json(level: ServiceLevel, ticket: Ticket | None) -> dict[str, object]:
    from entitlements.model.display import in_json

    whole = level.to_dict()
    if ticket:
        whole["breached"] = ticket.breached
        for kind, progress in (("response", ticket.response), ("resolution", ticket.resolution)):
            stands = {
                name: in_json(getattr(progress, name)) for name in ("due", "done", "breached", "left", "left_open")
            }
            whole[kind] = {**whole[kind], **stands}  # type: ignore[dict-item]
    return whole


def _lines(account: str, level: ServiceLevel, ticket: Ticket | None) -> list[str]:
    """Return whose, and a line for each commitment."""
    told = ", ".join(filter(None, (level.priority, level.name, level.example)))
    lines = [f"{account}, on tier {level.tier or 'none'}: {told}"]
    for kind in ("response", "resolution"):
        commitment: Commitment = getattr(level, kind)
        promise = str(commitment) if commitment.within is None else f"in less than {commitment}"
        lines.append(f"  {kind:<10}  {promise}{_stands(commitment, getattr(ticket, kind, None))}")
    return lines


def _stands(commitment: Commitment, progress: Progress | None) -> str:
    """Return by when, and how that stands."""
    from entitlements.cli.formatting import moment
    from entitlements.model.display import in_words

    if progress is None or progress.due is None:
        return ""
    due = f", due {moment(progress.due)}"
    if commitment.support_clock:
        due += f" ({progress.due.astimezone(commitment.support_clock.zone):%A %H:%M} {commitment.support_clock.zone})"
    if progress.left is None:
        return f"{due}: done {'too late' if progress.breached else 'in time'}"
    if progress.breached:
        return f"{due}: late by {in_words(-progress.left)}"
    counts = "" if progress.left_open == progress.left else f", {in_words(progress.left_open)} of it in support hours"
    return f"{due}: {in_words(progress.left)} left{counts}"
