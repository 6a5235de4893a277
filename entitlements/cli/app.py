"""The program: which commands there are, and how each run ends."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.assign import assign
from entitlements.cli.can import can
from entitlements.cli.crm.commands import crm_commands
from entitlements.cli.diff import diff
from entitlements.cli.doctor.command import doctor
from entitlements.cli.exit_codes import MEANINGS, CommandError, ending
from entitlements.cli.explain import explain
from entitlements.cli.health import health
from entitlements.cli.preview import preview
from entitlements.cli.review import review
from entitlements.cli.schema import schema
from entitlements.cli.services import services
from entitlements.cli.sla import sla
from entitlements.cli.tiers import tiers
from entitlements.cli.usage import usage
from entitlements.cli.validate import validate
from entitlements.cli.value import value
from entitlements.errors import EntitlementsError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    validate,
    tiers,
    can,
    explain,
    value,
    usage,
    assign,
    preview,
    review,
    services,
    sla,
    health,
    diff,
    doctor,
    schema,
)


def run(argv: Sequence[str] | None) -> int:
    """Run a command; every way out of it is an exit code."""
    _let_every_sign_pass()
    try:
        code = _called(argv)
    except CommandError as why:
        code = _told(why)
    except EntitlementsError as error:
        code = _told(ending(error))
    _flush()
    return code


def _called(argv: Sequence[str] | None) -> int:
    try:
        _app(fancy=_is_fancy())(args=argv, prog_name="entitlements")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    return 0


def _app(*, fancy: bool) -> typer.Typer:
    """Return the program, its help in boxes where it is *fancy*."""
    app = typer.Typer(
        help="What the tiers of a policy include, and what an account may do.",
        epilog=_epilog(fancy=fancy),
        rich_markup_mode="rich" if fancy else None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"]},
        result_callback=_end,
    )
    app.callback()(_program)
    for command in COMMANDS:
        app.command(epilog=_epilog(fancy=fancy))(command)
    app.add_typer(crm_commands(epilog=_epilog(fancy=fancy)), name="crm")
    return app


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if asked:
        from importlib.metadata import version

        sys.stdout.write(f"entitlements {version('entitlements')}\n")
        raise typer.Exit


def _program(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Take the options that stand before the command."""


def _end(code: int, **_options: object) -> None:
    raise typer.Exit(code)


def _epilog(*, fancy: bool) -> str:
    lines = ["Exit codes:", *(f"  {code.value}  {meaning}" for code, meaning in MEANINGS.items())]
    return "\n".join(lines if fancy else ["\b", *lines])  # \b keeps click from joining the lines


def _is_fancy() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _let_every_sign_pass() -> None:
    """Spell out what a stream cannot encode; a name is no reason to break down."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _told(why: CommandError) -> int:
    from rich.text import Text

    from entitlements.cli.console import CliConsole

    line = " ".join(str(why).splitlines())
    CliConsole(stderr=True).show(Text.assemble(("entitlements:", "bold red"), " ", line))
    return why.code


def _flush() -> None:
    """Write what is buffered now, while a reader that is gone can still be overlooked."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            from entitlements.cli.console import silence

            silence(stream)
