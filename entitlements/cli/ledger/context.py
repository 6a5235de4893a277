"""The ledger of a command, and the options that name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors

if TYPE_CHECKING:
    from entitlements.ledger import SqlLedger

LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="URL",
        envvar="ENTITLEMENTS_LEDGER",
        help="The database of the ledger, such as postgresql://app@db/shop or sqlite:///ledger.db.",
    ),
]
SettleOption = Annotated[
    float,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        min=0,
        help="The time within which the entries of running processes reach the ledger; 0 while nothing is charged.",
    ),
]
SomeAccountArgument = Annotated[
    str | None, typer.Argument(metavar="ACCOUNT", help="One account. Default: all of the ledger.", show_default=False)
]


@contextmanager
def opened_ledger(given: str | None) -> Iterator[SqlLedger]:
    """Open the ledger of `--ledger`, and close it after the block."""
    if not given:
        raise CommandError("no ledger is given; add --ledger URL, or set ENTITLEMENTS_LEDGER")
    try:
        from entitlements.ledger import SqlLedger

        with usage_errors("--"):
            ledger = SqlLedger(given)
    except ModuleNotFoundError as error:
        raise CommandError(f"--{error}", ExitCode.USAGE) from None
    with ledger, usage_errors():
        yield ledger
