"""Options of the commands that change accounts."""

from __future__ import annotations

from inspect import Parameter
from typing import Annotated

import typer

from entitlements.cli.options import JsonOption, PolicyOption, StoreOption

ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="The reason; stands in the audit.", show_default=False)
]
AuthorOption = Annotated[
    str,
    typer.Option(
        "--author",
        metavar="NAME",
        envvar="ENTITLEMENTS_AUTHOR",
        help="The person who decided it; stands in the audit.",
        show_default=False,
    ),
]
FromOption = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="When it begins, such as 2026-12-31T09:30Z. Default: now.")
]
PastOption = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="When it was done, for the audit. Default: now.")
]
UntilOption = Annotated[
    str | None, typer.Option("--expires", metavar="TIME", help="The first instant without it. Default: never.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check and show the change; store nothing.")]
EndOption = Annotated[bool, typer.Option("--end", help="Take it away.")]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--accounts",
        metavar="URL",
        envvar="ENTITLEMENTS_ACCOUNTS",
        help="The database of accounts, such as postgresql://user@host/db or sqlite:///accounts.db.",
    ),
]

CHANGE_OPTIONS = {
    "reason": (ReasonOption, Parameter.empty),
    "author": (AuthorOption, Parameter.empty),
    "at": (PastOption, None),
    "dry_run": (DryRunOption, False),
    "accounts": (DatabaseOption, None),
    "policy": (PolicyOption, None),
    "store": (StoreOption, None),
    "as_json": (JsonOption, False),
}
"""Options of every command that changes an account."""
