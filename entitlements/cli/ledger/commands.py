"""`entitlements ledger`: its subcommands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from entitlements.cli.groups import command_group
from entitlements.cli.ledger import counters, entries

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


def ledger_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the subcommands of `ledger`."""
    commands: dict[str, Callable[..., int]] = {
        "rebuild": counters.rebuild,
        "drift": counters.drift,
        "writers": counters.writers,
        "usage": entries.usage,
        "export": entries.export,
        "close-months": entries.close_months,
    }
    about = "Show usage from a ledger, compare counters with it, and rebuild lost ones."
    return command_group("ledger", about, commands, epilog, no_args_is_help=True)
