"""The options that the commands on a CRM's export share, and the file that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.errors import AccountError

if TYPE_CHECKING:
    from entitlements.crm import Layout
    from entitlements.model.criteria import AssignmentRules
    from entitlements.policy import Policy

ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="A segmentation of the policy; left out, its assignment rules."),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="CRITERION=HEADING",
        help="Where a criterion stands, such as annual-value=ACV or annual-value=#3; may be repeated.",
    ),
]
EncodingOption = Annotated[
    str | None, typer.Option("--encoding", metavar="NAME", help="Of the file, such as cp1250; left out, found out.")
]
SeparatorOption = Annotated[
    str | None,
    typer.Option("--separator", metavar="SIGN", help="Of the file: comma, semicolon or tab; left out, found out."),
]

_SIGNS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t"}


def rules_of(policy: Policy) -> AssignmentRules:
    """Return the criteria and rules of a policy that has them."""
    if policy.assignment is None:
        message = f"policy {policy.version} has no assignment rules; write a section `assignment`"
        raise CommandError(message, ExitCode.USAGE)
    return policy.assignment


def open_layout(path: str, rules: AssignmentRules, *, encoding: str | None, separator: str | None) -> Layout:
    """
    Return the layout of a file.

    Raises:
        AccountError: For a file that is no CSV.
    """
    from entitlements.crm import read_layout
    from entitlements.crm.columns import expected_headings

    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{path}: the file cannot be read ({why}); name a CSV file", ExitCode.UNREADABLE) from None
    sign = None if separator is None else _SIGNS.get(separator, separator)
    try:
        return read_layout(path, data, encoding=encoding, separator=sign, wanted=expected_headings(rules))
    except AccountError:
        raise
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None


def given_columns(options: list[str] | None) -> dict[str, str]:
    """Return what `--column` says: the heading of each criterion."""
    given: dict[str, str] = {}
    for option in options or ():
        criterion, equals, heading = (part.strip() for part in option.partition("="))
        if not equals or not criterion or not heading:
            raise CommandError(f"--column {option!r} is not a criterion and a heading; write arr=ACV", ExitCode.USAGE)
        given[criterion] = heading
    return given
