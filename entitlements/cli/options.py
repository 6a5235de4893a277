"""Options that several commands share, and their texts in `--help`."""

from __future__ import annotations

from typing import Annotated

import typer

from entitlements.cli.loading import check_store

PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="PATH",
        envvar="ENTITLEMENTS_POLICY",
        help="A policy file, or a folder of them. Default: policies/customer-tiers, if it exists.",
    ),
]
AccountsOption = Annotated[
    str | None,
    typer.Option(
        "--accounts",
        metavar="CSV|URL|MODULE:OBJECT",
        envvar="ENTITLEMENTS_ACCOUNTS",
        help="The accounts: a CSV, the URL of a database, or an object. Default: examples/accounts.csv, if it exists.",
    ),
]
TierOption = Annotated[
    str | None,
    typer.Option("--tier", metavar="TIER", help="Answer for any account of this tier; no file of accounts is read."),
]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="Answer for this time, such as 2026-12-31T09:30Z. Default: now."),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="ENTITLEMENTS_STORE",
        callback=check_store,
        help="The store that counts usage, such as redis://localhost:6379.",
    ),
]
IdOption = Annotated[
    str, typer.Option("--id", metavar="HEADING", help="The column of the file of accounts with their ids.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Count warnings as problems.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON.")]
AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.", show_default=False)]
