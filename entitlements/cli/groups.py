"""Groups of commands: `entitlements account`, `entitlements usage` and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from entitlements.cli.examples import Epilog


def command_group(
    name: str, about: str, commands: Mapping[str, Callable[..., int]], epilog: Epilog, **options: Any
) -> typer.Typer:
    """
    Return a group.

    Args:
        name: Its name on the command line.
        about: Its help.
        commands: The commands by name.
        epilog: Returns the end of a command's help.
        options: Further options of typer for the group.
    """
    app = typer.Typer(help=about, add_completion=False, **options)
    app.callback()(lambda: None)  # also where it has one command
    for each, command in commands.items():
        app.command(each, epilog=epilog(f"{name} {each}"))(command)
    return app
