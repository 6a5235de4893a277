"""`entitlements account`: its subcommands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from entitlements.cli.account import changes, views

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


def account_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the subcommands of `account`."""
    app = typer.Typer(
        help="Show accounts, and change those in a database: each change with a reason, an author and its audit row.",
        no_args_is_help=True,
        add_completion=False,
    )
    for name, command in (
        ("create", changes.create),
        ("show", views.show),
        ("list", views.list_accounts),
        ("set-tier", changes.set_tier),
        ("override", changes.override),
        ("grant", changes.grant),
        ("add-on", changes.add_on),
        ("trial", changes.trial),
        ("suspend", changes.suspend),
        ("resume", changes.resume),
        ("close", changes.close),
        ("audit", views.audit),
        ("migrate", views.migrate),
    ):
        app.command(name, epilog=epilog(f"account {name}"))(command)
    return app
