"""`entitlements crm`: its subcommands."""

from __future__ import annotations

import typer

from entitlements.cli.crm.assign import assign
from entitlements.cli.crm.formula import formula


def crm_commands(*, epilog: str) -> typer.Typer:
    """Return the subcommands of `crm`."""
    app = typer.Typer(
        help="Tiers for a CRM's export, and the rule as a CRM formula.",
        no_args_is_help=True,
        add_completion=False,
    )
    for command in (assign, formula):
        app.command(epilog=epilog)(command)
    return app
