"""The program: its commands, and the exit code of each run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from entitlements.cli.account.commands import account_commands
from entitlements.cli.assign import assign
from entitlements.cli.base.commands import base_commands
from entitlements.cli.can import can
from entitlements.cli.capacity import capacity
from entitlements.cli.codegen import codegen
from entitlements.cli.conversion import conversion
from entitlements.cli.crm.commands import crm_commands
from entitlements.cli.diff import diff
from entitlements.cli.directory import OPENED
from entitlements.cli.doctor.command import doctor
from entitlements.cli.due import due
from entitlements.cli.examples import epilogs
from entitlements.cli.exit_codes import MEANINGS, CommandError, exit_code_of
from entitlements.cli.explain import explain
from entitlements.cli.health import health
from entitlements.cli.import_commands import import_commands
from entitlements.cli.init import init
from entitlements.cli.invalidate import invalidate
from entitlements.cli.ledger.commands import ledger_commands
from entitlements.cli.policy_tests import run_policy_tests
from entitlements.cli.portfolio.command import portfolio
from entitlements.cli.preview import preview
from entitlements.cli.quote import quote
from entitlements.cli.review import review
from entitlements.cli.schema import schema
from entitlements.cli.serve import serve
from entitlements.cli.services import services
from entitlements.cli.sla import sla
from entitlements.cli.tiers import tiers
from entitlements.cli.transitions.command import transitions
from entitlements.cli.trials import trials
from entitlements.cli.uptime import uptime
from entitlements.cli.usage_commands import usage_commands
from entitlements.cli.validate import validate
from entitlements.cli.value import value
from entitlements.cli.web_console import console
from entitlements.errors import EntitlementsError

COMMANDS = (
    init,
    validate,
    tiers,
    can,
    explain,
    value,
    assign,
    preview,
    review,
    transitions,
    portfolio,
    services,
    due,
    capacity,
    quote,
    sla,
    uptime,
    health,
    trials,
    conversion,
    invalidate,
    diff,
    doctor,
    schema,
    codegen,
    serve,
    console,
)


def run(argv: Sequence[str] | None) -> int:
    """Run a command and return its exit code; no exception of a command leaves it."""
    _escape_unencodable()
    code = 0
    try:
        _program(is_styled=_is_styled())(args=argv, prog_name="entitlements")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except (CommandError, EntitlementsError) as error:
        _report(error)
        code = exit_code_of(error)
    finally:
        OPENED.close()
    _flush()
    return code


@cache
def _program(*, is_styled: bool) -> Any:
    """Return the program; its help is boxed and coloured if *is_styled*."""
    epilog = epilogs({code.value: meaning for code, meaning in MEANINGS.items()}, is_styled=is_styled)
    app = typer.Typer(
        help="Show what the tiers of a policy include, and what an account may do.",
        epilog=epilog(""),
        rich_markup_mode="rich" if is_styled else None,
        pretty_exceptions_enable=False,
        add_completion=True,
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"]},
        result_callback=_exit,
    )
    app.callback()(_root_options)
    for command in COMMANDS:
        app.command(epilog=epilog(command.__name__))(command)
    app.command(name="test", epilog=epilog("test"))(run_policy_tests)
    app.add_typer(base_commands(epilog=epilog), name="base")
    app.add_typer(account_commands(epilog=epilog), name="account")
    app.add_typer(usage_commands(epilog=epilog), name="usage")
    app.add_typer(ledger_commands(epilog=epilog), name="ledger")
    app.add_typer(crm_commands(epilog=epilog), name="crm")
    app.add_typer(import_commands(epilog=epilog), name="import")
    return get_command(app)


def _show_version(requested: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if requested:
        from importlib.metadata import version

        sys.stdout.write(f"entitlements {version('entitlements')}\n")
        raise typer.Exit


def _root_options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Accept the options that precede the command."""


def _exit(code: int, **_options: object) -> None:
    raise typer.Exit(code)


def _is_styled() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _escape_unencodable() -> None:
    """Write characters that a stream cannot encode as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _report(error: Exception) -> None:
    """Write an error to stderr in one line."""
    from rich.text import Text

    from entitlements.cli.console import CliConsole

    line = " ".join(str(error).splitlines())
    CliConsole(stderr=True).write(Text.assemble(("entitlements:", "bold red"), " ", line))


def _flush() -> None:
    """Flush both streams now, while a closed pipe can still be ignored."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            from entitlements.cli.console import silence

            silence(stream)
