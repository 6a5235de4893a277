"""`entitlements usage`: shows meters, and its subcommands correct them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from entitlements.cli.groups import command_group
from entitlements.cli.usage import usage
from entitlements.cli.usage_changes import release, reset, set_usage
from entitlements.cli.usage_scopes import scopes

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


class _UsageGroup(TyperGroup):
    """A group whose command `show` may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `show` in front of arguments that name no subcommand."""
        return super().parse_args(ctx, args if args and args[0] in self.commands else ["show", *args])


def usage_commands(*, epilog: Epilog) -> typer.Typer:
    """Return the subcommands of `usage`."""
    commands: dict[str, Callable[..., int]] = {
        "show": usage,
        "scopes": scopes,
        "set": set_usage,
        "reset": reset,
        "release": release,
    }
    about = "Show the meters of an account or its scopes, or correct them (set, reset, release)."
    return command_group("usage", about, commands, epilog, cls=_UsageGroup)
