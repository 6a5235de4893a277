"""The options that several commands share, and their words in `--help`."""

from __future__ import annotations

from typing import Annotated

import typer


def checked_store(given: str | None) -> str | None:
    """Return the URL of a store if it can be one."""
    from entitlements.cli.loading import check_store

    return check_store(given)


PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="PATH",
        envvar="ENTITLEMENTS_POLICY",
        show_envvar=True,
        help="A policy file, or a folder of them; policies/customer-tiers where that exists.",
    ),
]
AccountsOption = Annotated[
    str | None,
    typer.Option(
        "--accounts",
        metavar="CSV",
        envvar="ENTITLEMENTS_ACCOUNTS",
        show_envvar=True,
        help="The file that the account stands in; examples/accounts.csv where that exists.",
    ),
]
TierOption = Annotated[
    str | None,
    typer.Option("--tier", metavar="TIER", help="Ask about any account of this tier; no file of accounts is read."),
]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="Ask about another time than now, such as 2026-12-31T09:30Z."),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="ENTITLEMENTS_STORE",
        show_envvar=True,
        callback=checked_store,
        help="Where usage is counted, such as redis://localhost:6379.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON.")]
AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.", show_default=False)]
