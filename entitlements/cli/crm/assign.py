"""`entitlements crm assign`: a CRM's export, with the tier of every account in it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.crm.options import ByOption, ColumnOption, EncodingOption, SeparatorOption
from entitlements.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from entitlements.crm import Assigned, Moves
    from entitlements.policy import Policy

SHOWN = 20
"""So many problems are told one by one; --json tells all."""


def assign(
    export: Annotated[str, typer.Argument(metavar="CSV", help="What the CRM exported.", show_default=False)],
    *,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="CSV", help="Where to write; left out, nothing is written.")
    ] = None,
    policy: PolicyOption = None,
    by: ByOption = None,
    labels: Annotated[bool, typer.Option("--labels", help="Write the tiers' names instead of their ids.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Write the reason into a column of its own.")] = False,
    sort: Annotated[bool, typer.Option("--sort", help="Write the accounts of a tier together, largest first.")] = False,
    old: Annotated[
        str | None, typer.Option("--diff", metavar="OLD", help="Say who moved since this file was written, and why.")
    ] = None,
    id: Annotated[str | None, typer.Option("--id", metavar="HEADING", help="Which column names the accounts.")] = None,
    tier_column: Annotated[str, typer.Option("--tier-column", metavar="HEADING", help="The tier's.")] = "Tier",
    reason_column: Annotated[
        str, typer.Option("--reason-column", metavar="HEADING", help="The reason's, with --explain.")
    ] = "Tier Reason",
    column: ColumnOption = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Assign a tier to every row of a CRM's export.

    Writes the file back with a Tier column; every other column stays byte for byte what it
    was, and no row is dropped. Gaps and bad values are told by line and field; such a row
    gets an empty tier. A tier that the policy does not know is kept and told. Exits with 1
    where there are problems; the file is written all the same.
    """
    from entitlements.cli.console import CliConsole, tracked
    from entitlements.cli.crm.options import given_columns, open_layout, rules_of
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.cli.loading import open_policy
    from entitlements.crm import WriteOptions, assign_base, choose_columns, compare, write
    from entitlements.errors import AccountError
    from entitlements.tiering.segmentation import measure_of

    loaded = open_policy(policy)
    rules, given = rules_of(loaded), given_columns(column)
    if output is not None and Path(output).exists() and os.path.samefile(output, export):  # noqa: PTH121 - exists
        raise CommandError(f"{output} is the file that is read; write to another one", ExitCode.USAGE)
    try:
        measure = measure_of(loaded, by)
        files = [open_layout(path, rules, encoding=encoding, separator=separator) for path in (export, old) if path]
        chosen = [
            choose_columns(file, rules, measure, id=id, tier=tier_column, reason=reason_column, given=given)
            for file in files
        ]
        assigned = assign_base(loaded, files[0], chosen[0], by=by, progress=tracked)
    except AccountError:
        raise
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    moves = compare(loaded, files[1], chosen[1], assigned, measure) if old else None
    if output is not None:
        options = WriteOptions(tier_column, reason_column, labels, explain, sort)
        _save(output, write(loaded, assigned, options, tracked))
    screen = CliConsole()
    if as_json:
        screen.put_json(_in_json(assigned, moves))
    else:
        for line in _lines(loaded, assigned, moves, measure):
            screen.put(line)
        if output is not None:
            screen.put(f"written: {output}")
        _put_problems(assigned)
    return ExitCode.NO if assigned.errors else ExitCode.YES


def _save(path: str, pieces: Iterable[bytes]) -> None:
    """Write a file whole or not at all: who reads it meanwhile sees the old one."""
    from entitlements.cli.exit_codes import CommandError, ExitCode

    target = Path(path)
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as new:
            try:
                for piece in pieces:
                    new.write(piece)
                new.close()
                Path(new.name).chmod(_mode())
                Path(new.name).replace(target)
            except BaseException:
                new.close()
                with suppress(OSError):
                    Path(new.name).unlink()
                raise
    except OSError as error:
        why = error.strerror or str(error)
        raise CommandError(
            f"{path}: the file cannot be written ({why}); name another one", ExitCode.UNREADABLE
        ) from None


def _mode() -> int:
    """Return the rights that a new file has here: a temporary one is nobody else's."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _lines(policy: Policy, assigned: Assigned, moves: Moves | None, measure: str) -> Iterator[str]:
    from entitlements.cli.tables import aligned
    from entitlements.model.display import in_words

    kept = sum(result.kept for result in assigned.results.values())
    rows: list[tuple[str, ...]] = [("tier", "accounts", f"total {measure}", "share", "least", "most")]
    for each in assigned.segments:
        figures = (in_words(each.total), "" if each.share is None else f"{each.share} %")
        ends = ("" if end is None else in_words(end) for end in (each.least, each.most))
        rows.append((each.tier or "(no tier)", in_words(each.accounts), *figures, *ends))
    yield from aligned(rows)
    if kept:
        yield f"{kept} of these keep a tier that policy {policy.version} does not know"
    if moves is not None:
        yield ""
        yield from _moved(moves)


def _moved(moves: Moves) -> Iterator[str]:
    counts = (len(moves.moved), moves.same, len(moves.new), len(moves.gone))
    yield "{} moved, {} stayed, {} new, {} gone".format(*counts)
    for word, up in (("up", True), ("down", False), ("other", None)):
        for move in moves.moved:
            if move.up is up:
                yield f"  {word:<5}  {move}"
    for word, names in (("new", moves.new), ("gone", moves.gone), ("twice", moves.doubtful)):
        for name in names[:SHOWN]:
            yield f"  {word:<5}  {name}"
        if len(names) > SHOWN:
            yield f"  {word:<5}  … and {len(names) - SHOWN:,} more"


def _put_problems(assigned: Assigned) -> None:
    from rich.text import Text

    from entitlements.cli.console import CliConsole
    from entitlements.model.problem import Severity

    screen = CliConsole(stderr=True)
    for problem in assigned.problems[:SHOWN]:
        screen.show(Text(str(problem), "red" if problem.severity is Severity.ERROR else "yellow"))
    if len(assigned.problems) > SHOWN:
        screen.show(Text(f"… and {len(assigned.problems) - SHOWN:,} more problems: --json tells all", "red"))


def _in_json(assigned: Assigned, moves: Moves | None) -> dict[str, object]:
    rows = [
        {"line": each.line, "account": each.account, "tier": each.tier, "kept": each.before if each.kept else None}
        | {"reason": each.reason}
        for each in assigned.results.values()
    ]
    problems = [
        {"line": each.line, "field": each.path, "problem": each.problem, "cure": each.cure, "severity": each.severity}
        for each in assigned.problems
    ]
    whole: dict[str, object] = {"segments": [each.to_dict() for each in assigned.segments]}
    whole |= {} if moves is None else {"moves": moves.to_dict()}
    return whole | {"rows": rows, "problems": problems}
