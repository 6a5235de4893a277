"""`entitlements crm assign`: a CRM's export with the tier of each account."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.crm.options import (
    ByOption,
    ColumnOption,
    EncodingOption,
    LabelsOption,
    SeparatorOption,
    assignment_rules,
    file_options,
)
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.loading import open_policy
from entitlements.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from collections.abc import Iterable


def assign(
    export: Annotated[str, typer.Argument(metavar="CSV", help="The CRM's export.", show_default=False)],
    *,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="CSV", help="The file to write. Default: none is written.")
    ] = None,
    policy: PolicyOption = None,
    by: ByOption = None,
    labels: LabelsOption = False,
    explain: Annotated[bool, typer.Option("--explain", help="Write the reason into a column of its own.")] = False,
    sort: Annotated[bool, typer.Option("--sort", help="Group the accounts by tier, the largest first.")] = False,
    old: Annotated[
        str | None,
        typer.Option("--diff", metavar="OLD", help="List the accounts that moved since this file was written."),
    ] = None,
    id: Annotated[str | None, typer.Option("--id", metavar="HEADING", help="The column of the accounts' ids.")] = None,
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

    Writes the file with a Tier column. Every other column stays the same, byte for byte, and
    no row is dropped. A gap or an invalid value is reported by line and field, and its row
    gets an empty tier. A tier that the policy does not know is kept and reported. Exits with
    1 if there are problems; the file is written all the same.
    """
    from entitlements.cli.console import CliConsole, with_progress
    from entitlements.cli.crm.report import report_json, report_lines, warn_of_problems
    from entitlements.crm import WriteOptions, assign_base, choose_columns, compare, write
    from entitlements.tiering.segmentation import measure_of

    loaded = open_policy(policy)
    rules, options = assignment_rules(loaded), file_options(column, encoding, separator)
    if output is not None and Path(output).exists() and os.path.samefile(output, export):  # noqa: PTH121 - exists
        raise CommandError(f"{output} is the file that is read; write to another one")
    with usage_errors():
        measure = measure_of(loaded, by)
        layouts = [options.open(path, rules) for path in (export, old) if path]
        columns = [
            choose_columns(
                layout, rules, measure, id=id, tier=tier_column, reason=reason_column, given=options.headings
            )
            for layout in layouts
        ]
        assigned = assign_base(loaded, layouts[0], columns[0], by=by, progress=with_progress)
    moves = compare(loaded, layouts[1], columns[1], assigned, measure) if old else None
    if output is not None:
        choices = WriteOptions(tier_column, reason_column, labels, explain, sort)
        _write_atomically(output, write(loaded, assigned, choices, with_progress))
    lines = report_lines(loaded, assigned, moves, measure, output)
    CliConsole().write_answer(lambda: report_json(assigned, moves), lines, as_json=as_json)
    if not as_json:
        warn_of_problems(assigned)
    return ExitCode.NO if assigned.errors else ExitCode.YES


def _write_atomically(path: str, pieces: Iterable[bytes]) -> None:
    """Write a whole file or nothing; a reader sees the old file until the new one is complete."""
    target = Path(path)
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as new:
            try:
                for piece in pieces:
                    new.write(piece)
                new.close()
                Path(new.name).chmod(_default_mode())
                Path(new.name).replace(target)
            except BaseException:
                new.close()
                with suppress(OSError):
                    Path(new.name).unlink()
                raise
    except OSError as error:
        cause = error.strerror or str(error)
        message = f"{path}: the file cannot be written ({cause}); name another one"
        raise CommandError(message, ExitCode.UNREADABLE) from None


def _default_mode() -> int:
    """Return the permissions of new files; those of a temporary file exclude all other users."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
