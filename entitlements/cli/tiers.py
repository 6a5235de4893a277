"""`entitlements tiers`: the tiers of a policy side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import open_policy
from entitlements.cli.options import JsonOption, PolicyOption
from entitlements.model.names import nearest, nearest_or_all

if TYPE_CHECKING:
    from entitlements.presentation.matrix.model import Matrix

FORMATS = ("table", "markdown", "html", "json")


def check_format(given: str) -> str:
    """Return the format of the output, if it is one."""
    if given not in FORMATS:
        raise CommandError(
            f"--format {given!r} is no format{nearest(given, FORMATS)}; write one of {', '.join(FORMATS)}"
        )
    return given


def tiers(
    *,
    policy: PolicyOption = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar=f"[{'|'.join(FORMATS)}]", callback=check_format, help="The format of the output."
        ),
    ] = "table",
    section: Annotated[
        list[str] | None,
        typer.Option(
            "--section",
            metavar="NAME",
            help="Show this section only: limits, features, add-ons, or the first word of some values,"
            " such as support; may be repeated.",
        ),
    ] = None,
    line: Annotated[
        str | None, typer.Option("--line", metavar="NAME", help="Show the tiers of this product line only.")
    ] = None,
    retired: Annotated[
        bool, typer.Option("--retired", help="Show also what is not sold any more, where a tier is retired.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """
    Compare the tiers of a policy.

    Shows limits, features, values and add-ons side by side, the highest tier first. Each product line has a table of
    its own. Retired tiers and add-ons are left out.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.matrix.to_html import to_html
    from entitlements.cli.matrix.to_json import to_json
    from entitlements.cli.matrix.to_markdown import to_markdown
    from entitlements.cli.matrix.to_text import to_text
    from entitlements.presentation.matrix.comparison import matrix_of, ranked_tiers

    loaded = open_policy(policy)
    lines = list(dict.fromkeys(tier.line for tier in loaded.tiers.values()))
    if line is not None and line not in lines:
        raise CommandError(
            f"--line {line!r} is no line of policy {loaded.version}{nearest_or_all(line, filter(None, lines))}"
        )
    compared = [ranked_tiers(loaded, line=each, retired=retired) for each in (lines if line is None else [line])]
    if not any(compared):
        raise CommandError(f"policy {loaded.version} sells none of these tiers any more; add --retired")
    matrices = _select([matrix_of(loaded, each) for each in compared if each], section or ())
    console = CliConsole()
    if as_json or form == "json":
        sections = [each for matrix in matrices for each in matrix.sections]
        console.write_json(to_json(loaded, sections, [tier for each in compared for tier in each]))
    elif form == "html":
        console.write(to_html(matrices))
    elif form == "markdown":
        console.write("\n".join(map(to_markdown, matrices)))
    else:
        for matrix in matrices:
            console.write_lines(to_text(matrix, console.wrap_width, is_ascii=console.is_ascii))
    return ExitCode.YES


def _select(matrices: Sequence[Matrix], names: Sequence[str]) -> list[Matrix]:
    """Return the comparisons with the sections of these names; with all of them if there are no names."""
    known = list(dict.fromkeys(section.name for matrix in matrices for section in matrix.sections))
    for name in names:
        if name not in known:
            cure = f"{nearest(name, known)}; the sections are {', '.join(known) or 'none'}"
            raise CommandError(f"--section {name!r} is not in policy {matrices[0].version}{cure}")
    return [
        replace(matrix, sections=tuple(each for each in matrix.sections if not names or each.name in names))
        for matrix in matrices
    ]
