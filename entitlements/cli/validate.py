"""`entitlements validate`: every problem of a policy."""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from entitlements.cli.console import CliConsole
    from entitlements.model.problem import Problem
    from entitlements.policy import Policy


def validate(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            envvar="ENTITLEMENTS_POLICY",
            help="A policy file, or a folder of them; policies/customer-tiers where that exists.",
        ),
    ] = None,
    *,
    policy: Annotated[str | None, typer.Option("--policy", metavar="PATH", help="The same as PATH.")] = None,
    accounts: Annotated[
        str | None, typer.Option("--accounts", metavar="CSV", help="Check a file of accounts under the policy, too.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings count as problems.")] = False,
    as_json: JsonOption = False,
) -> int:
    """
    Show every problem of a policy.

    Each is one line, `file:line: path: problem; cure`, and the last line counts them.
    Exits with 1 if there are any; warnings count with --strict only.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.exit_codes import ExitCode
    from entitlements.cli.loading import policy_path
    from entitlements.model.problem import Severity

    where = policy_path(policy or path)
    loaded, problems = _checked(where, accounts)
    errors = sum(each.severity is Severity.ERROR for each in problems)
    warnings = len(problems) - errors
    fine = not errors and not (strict and warnings)
    screen = CliConsole()
    if as_json:
        screen.put_json(
            {"path": where, "valid": fine, "errors": errors, "warnings": warnings, "problems": _plain(problems)}
        )
    else:
        _show(screen, problems)
        screen.show(_total(where, loaded, errors, warnings, fine=fine))
    if loaded is None and not os.access(where, os.R_OK):
        return ExitCode.UNREADABLE
    return ExitCode.YES if fine else ExitCode.NO


def _checked(where: str, accounts: str | None) -> tuple[Policy | None, tuple[Problem, ...]]:
    """Return the policy, if it can be used, and all that is wrong or odd."""
    from entitlements.cli.loading import open_accounts
    from entitlements.errors import PolicyError
    from entitlements.policy import Policy

    try:
        loaded = Policy.load(where)
    except PolicyError as error:
        return None, error.problems
    rows = open_accounts(accounts, loaded).problems if accounts else ()
    return loaded, (*loaded.warnings, *rows)


def _show(screen: CliConsole, problems: Sequence[Problem]) -> None:
    """Write a line for each problem, those of a file together."""
    for at, (_, of_file) in enumerate(groupby(problems, key=lambda each: each.file)):
        if at and screen.is_terminal:
            screen.print()
        for problem in of_file:
            screen.show(_line(problem))
    if problems and screen.is_terminal:
        screen.print()


def _line(problem: Problem) -> Text:
    """Return `str(problem)` in colours."""
    from rich.text import Text

    from entitlements.model.problem import Severity

    is_error = problem.severity is Severity.ERROR
    parts = [(f"{problem.file}:{problem.line}" if problem.line else problem.file, "cyan"), (": ", "")]
    parts += [] if is_error else [("warning", "bold yellow"), (": ", "")]
    parts += [(problem.path, "bold"), (": ", "")] if problem.path else []
    parts += [(problem.problem, "red" if is_error else "yellow"), ("; ", ""), (problem.cure, "green")]
    return Text.assemble(*parts)


def _total(where: str, loaded: Policy | None, errors: int, warnings: int, *, fine: bool) -> Text:
    from rich.text import Text

    from entitlements.cli.formatting import counted

    found = [counted(number, noun) for number, noun in ((errors, "error"), (warnings, "warning")) if number]
    text = ", ".join(found) or "fine"
    if loaded is not None and fine:
        things = {"tier": loaded.tiers, "feature": loaded.features, "limit": loaded.limits, "add-on": loaded.add_ons}
        text += f"; {', '.join(counted(len(each), noun) for noun, each in things.items())}"
        text += f", {counted(len(loaded.keys), 'value')}"
    return Text.assemble((where, "bold"), ": ", (text, "bold green" if fine else "bold red"))


def _plain(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [
        {
            "file": each.file,
            "line": each.line,
            "path": each.path,
            "problem": each.problem,
            "cure": each.cure,
            "severity": each.severity.value,
        }
        for each in problems
    ]
