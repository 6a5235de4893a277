"""`entitlements account`: its subcommands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from entitlements.cli.account import changes, views
from entitlements.cli.groups import command_group

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


def account_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the subcommands of `account`."""
    commands: dict[str, Callable[..., int]] = {
        "create": changes.create,
        "show": views.show,
        "list": views.list_accounts,
        "set-tier": changes.set_tier,
        "override": changes.override,
        "grant": changes.grant,
        "add-on": changes.add_on,
        "trial": changes.trial,
        "suspend": changes.suspend,
        "resume": changes.resume,
        "close": changes.close,
        "audit": views.audit,
        "migrate": views.migrate,
    }
    about = "Show accounts, and change those in a database: each change with a reason, an author and its audit row."
    return command_group("account", about, commands, epilog, no_args_is_help=True)
