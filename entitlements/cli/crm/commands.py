"""`entitlements crm`: its subcommands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from entitlements.cli.crm.assign import assign
from entitlements.cli.crm.formula import formula

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


def crm_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the subcommands of `crm`."""
    app = typer.Typer(
        help="Tiers for a CRM's export, and the rule as a CRM formula.",
        no_args_is_help=True,
        add_completion=False,
    )
    for command in (assign, formula):
        app.command(epilog=epilog(f"crm {command.__name__}"))(command)
    return app
