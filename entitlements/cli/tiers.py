"""`entitlements tiers`: the tiers of a policy side by side."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.cli.matrix.comparison import Matrix


class Format(StrEnum):
    """How a comparison is written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


def tiers(
    *,
    policy: PolicyOption = None,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.TABLE,
    section: Annotated[
        list[str] | None,
        typer.Option(
            "--section",
            metavar="NAME",
            help="Show this section only: limits, features, add-ons, or the first word of some values,"
            " such as support. Can be given several times.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """
    Compare the tiers of a policy.

    Shows limits, features, values and add-ons side by side, the highest tier first.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.exit_codes import ExitCode
    from entitlements.cli.loading import open_policy
    from entitlements.cli.matrix.comparison import matrix_of

    loaded = open_policy(policy)
    matrix = _chosen(matrix_of(loaded), section or ())
    screen = CliConsole()
    if as_json or form is Format.JSON:
        from entitlements.cli.matrix.to_json import plain

        screen.put_json(plain(loaded, matrix.sections))
    elif form is Format.MARKDOWN:
        from entitlements.cli.matrix.to_markdown import markdown

        screen.put(markdown(matrix))
    elif form is Format.HTML:
        from entitlements.cli.matrix.to_html import page

        screen.put(page(matrix))
    else:
        from entitlements.cli.matrix.to_text import show

        show(screen, matrix)
    return ExitCode.YES


def _chosen(matrix: Matrix, names: Sequence[str]) -> Matrix:
    """Return the sections of these names, all of them if there are no names."""
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.model.names import nearest

    known = [section.name for section in matrix.sections]
    for name in names:
        if name not in known:
            cure = f"{nearest(name, known)}; the sections are {', '.join(known) or 'none'}"
            raise CommandError(f"--section {name!r} is not in policy {matrix.version}{cure}", ExitCode.USAGE)
    return replace(matrix, sections=tuple(each for each in matrix.sections if not names or each.name in names))
