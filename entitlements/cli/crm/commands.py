"""`entitlements crm`: the round trip with a CRM."""

from __future__ import annotations

import typer

from entitlements.cli.crm.assign import assign
from entitlements.cli.crm.formula import formula


def crm_commands(*, epilog: str) -> typer.Typer:
    """Return the commands below `crm`."""
    app = typer.Typer(
        help="Put tiers into a CRM's export, and the rule into the CRM.", no_args_is_help=True, add_completion=False
    )
    for command in (assign, formula):
        app.command(epilog=epilog)(command)
    return app
