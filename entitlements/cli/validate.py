"""`entitlements validate`: every problem of a policy."""

from __future__ import annotations

import os
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.loading import open_accounts, policy_path
from entitlements.cli.options import IdOption, JsonOption, StrictOption
from entitlements.errors import PolicyError
from entitlements.model.problem import Severity
from entitlements.presentation.formatting import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence, Sized

    from rich.text import Text

    from entitlements.model.problem import Problem
    from entitlements.policy import Policy


def validate(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            envvar="ENTITLEMENTS_POLICY",
            help="A policy file, or a folder of them. Default: policies/customer-tiers, if it exists.",
        ),
    ] = None,
    *,
    policy: Annotated[str | None, typer.Option("--policy", metavar="PATH", help="The same as PATH.")] = None,
    accounts: Annotated[
        str | None, typer.Option("--accounts", metavar="CSV", help="Also check a file of accounts under the policy.")
    ] = None,
    id: IdOption = "id",
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> int:
    """
    Show every problem of a policy.

    Each problem is one line, `file:line: path: problem; cure`, and the last lines count
    those of the policy and of the accounts. Exits with 1 if there are any; warnings count with --strict only.
    """
    from entitlements.cli.console import CliConsole

    path = policy_path(policy or path)
    loaded, of_policy, of_accounts = _check(path, accounts, id)
    problems = (*of_policy, *of_accounts)
    errors, warnings = _counts(problems)
    is_valid = not errors and not (strict and warnings)
    console = CliConsole()
    report = {"path": path, "valid": is_valid, "errors": errors, "warnings": warnings}
    console.write_answer(
        lambda: report | {"problems": [asdict(each) for each in problems]},
        (
            *_problem_lines(problems, is_spaced=console.is_terminal),
            _total(path, of_policy, loaded, strict=strict),
            *([_total(accounts, of_accounts, strict=strict)] if accounts and loaded else []),
        ),
        as_json=as_json,
    )
    if loaded is None and not os.access(path, os.R_OK):
        return ExitCode.UNREADABLE
    return ExitCode.YES if is_valid else ExitCode.NO


def _check(path: str, accounts: str | None, id: str) -> tuple[Policy | None, tuple[Problem, ...], tuple[Problem, ...]]:
    """Return the policy, None if it is invalid, its errors and warnings, and those of the accounts."""
    from entitlements.policy import Policy

    try:
        loaded = Policy.load(path)
    except PolicyError as error:
        return None, error.problems, ()
    rows = open_accounts(accounts, loaded, id=id).problems if accounts else ()
    return loaded, tuple(loaded.warnings), tuple(rows)


def _problem_lines(problems: Sequence[Problem], *, is_spaced: bool) -> Iterator[str | Text]:
    """Yield a line for each problem; if *is_spaced*, an empty one after those of each file."""
    for _, of_file in groupby(problems, key=lambda each: each.file):
        yield from map(_problem_line, of_file)
        if is_spaced:
            yield ""


def _problem_line(problem: Problem) -> Text:
    """Return `str(problem)` in colours."""
    from rich.text import Text

    is_error = problem.severity is Severity.ERROR
    parts = [(f"{problem.file}:{problem.line}" if problem.line else problem.file, "cyan"), (": ", "")]
    parts += [] if is_error else [("warning", "bold yellow"), (": ", "")]
    parts += [(problem.path, "bold"), (": ", "")] if problem.path else []
    parts += [(problem.problem, "red" if is_error else "yellow"), ("; ", ""), (problem.cure, "green")]
    return Text.assemble(*parts)


def _counts(problems: Sequence[Problem]) -> tuple[int, int]:
    """Return the number of errors, and of warnings."""
    errors = sum(each.severity is Severity.ERROR for each in problems)
    return errors, len(problems) - errors


def _total(path: str, problems: Sequence[Problem], loaded: Policy | None = None, *, strict: bool) -> Text:
    """Return the counts of the problems of *path*; of a valid policy, also of its parts."""
    from rich.text import Text

    errors, warnings = _counts(problems)
    is_valid = not errors and not (strict and warnings)
    counts = [format_count(number, noun) for number, noun in ((errors, "error"), (warnings, "warning")) if number]
    text = ", ".join(counts) or "fine"
    if loaded is not None and is_valid:
        names: dict[str, Sized] = {
            "tier": loaded.tiers,
            "feature": loaded.features,
            "limit": loaded.limits,
            "add-on": loaded.add_ons,
            "value": loaded.keys,
        }
        text += f"; {', '.join(format_count(len(each), noun) for noun, each in names.items())}"
    return Text.assemble((path, "bold"), ": ", (text, "bold green" if is_valid else "bold red"))
