"""Commands that show usage by month, export entries and close months."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.files import write_atomically
from entitlements.cli.ledger.context import LedgerOption, SomeAccountArgument, opened_ledger
from entitlements.cli.loading import parse_datetime
from entitlements.cli.options import JsonOption
from entitlements.presentation.formatting import align_columns

if TYPE_CHECKING:
    from entitlements.ledger import MonthlyUsage

_HEADINGS = ("account", "limit", "scope", "units", "peak", "held")
MonthOption = Annotated[
    str | None, typer.Option("--month", metavar="MONTH", help="A calendar month in UTC, such as 2026-11. Default: now.")
]


def usage(
    account: SomeAccountArgument = None,
    *,
    month: MonthOption = None,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the usage of a calendar month by account and limit."""
    from entitlements.cli.console import CliConsole

    with opened_ledger(ledger) as opened:
        found = opened.usage(month, account=account)
    rows = [_HEADINGS, *map(_row, found)]
    lines = align_columns(rows) if found else ["no usage"]
    CliConsole().write_answer(lambda: [each.to_dict() for each in found], lines, as_json=as_json)
    return ExitCode.YES


def _row(each: MonthlyUsage) -> tuple[str, ...]:
    cells = (each.units, each.peak, each.held)
    return each.account, each.limit, each.scope or "", *("" if cell is None else f"{cell:,}" for cell in cells)


def export(
    *,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="The time of the first entries.")],
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="The first time left out.")] = None,
    format: Annotated[  # noqa: A002 - the name of the option
        str, typer.Option("--format", metavar="FORMAT", help="cloudevents, csv or parquet.")
    ] = "cloudevents",
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write. Default: stdout.")
    ] = None,
    ledger: LedgerOption = None,
) -> int:
    """Write the entries as CloudEvents, CSV or Parquet."""
    from entitlements.cli.console import CliConsole

    if format == "parquet" and output is None:
        raise CommandError("--format parquet is not text; name a file: -o entries.parquet")
    start, end = parse_datetime(since, "--since"), parse_datetime(until, "--until")
    if start is None:
        raise CommandError("--since is empty; write a time such as 2026-11-01")
    with opened_ledger(ledger) as opened:
        pieces = opened.export(start, format, until=end)
        if output is not None:
            write_atomically(output, (each if isinstance(each, bytes) else each.encode() for each in pieces))
        else:
            console = CliConsole()
            for each in pieces:
                console.write(each)
    return ExitCode.YES


def close_months(
    *,
    before: Annotated[
        str | None, typer.Option("--before", metavar="MONTH", help="Default: the month before the present one.")
    ] = None,
    ledger: LedgerOption = None,
    as_json: JsonOption = False,
) -> int:
    """Keep earlier months as their usage and balance, and delete their entries. Export them before."""
    from entitlements.cli.console import CliConsole

    with opened_ledger(ledger) as opened:
        deleted = opened.close_months(before)
    CliConsole().write_answer(lambda: {"deleted": deleted}, [f"{deleted:,} entries deleted"], as_json=as_json)
    return ExitCode.YES
