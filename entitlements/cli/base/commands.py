"""The commands of `entitlements base`."""

from __future__ import annotations

import typer

from entitlements.cli.base.abandoned import abandoned
from entitlements.cli.base.churn import churn
from entitlements.cli.base.compare import compare
from entitlements.cli.base.money import money
from entitlements.cli.base.questions import questions
from entitlements.cli.base.renewals import renewals


def base_commands(*, epilog: str) -> typer.Typer:
    """Return the group of the commands."""
    app = typer.Typer(
        help="Reports on all accounts: renewals, churn, money, questions, comparisons, abandonment.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (renewals, churn, money, questions, compare, abandoned):
        app.command(epilog=epilog)(command)
    return app
