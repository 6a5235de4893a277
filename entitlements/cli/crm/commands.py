"""`entitlements crm`: its subcommands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from entitlements.cli.crm.assign import assign
from entitlements.cli.crm.formula import formula
from entitlements.cli.groups import command_group

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


def crm_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the subcommands of `crm`."""
    commands = {each.__name__: each for each in (assign, formula)}
    about = "Tiers for a CRM's export, and the rule as a CRM formula."
    return command_group("crm", about, commands, epilog, no_args_is_help=True)
