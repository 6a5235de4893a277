"""`entitlements ledger`: its subcommands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from entitlements.cli.ledger import counters, entries

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


def ledger_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the subcommands of `ledger`."""
    app = typer.Typer(
        help="Show usage from a ledger, compare counters with it, and rebuild lost ones.",
        no_args_is_help=True,
        add_completion=False,
    )
    for name, command in (
        ("rebuild", counters.rebuild),
        ("drift", counters.drift),
        ("writers", counters.writers),
        ("usage", entries.usage),
        ("export", entries.export),
        ("close-months", entries.close_months),
    ):
        app.command(name, epilog=epilog(f"ledger {name}"))(command)
    return app
