"""`entitlements crm assign`: a CRM's export with the tier of each account."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.crm import options as shared
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.files import write_atomically
from entitlements.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.crm import Assigned, Moves
    from entitlements.policy import Policy


def assign(
    export: Annotated[str, typer.Argument(metavar="CSV", help="The CRM's export.", show_default=False)],
    *,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="CSV", help="The file to write. Default: none is written.")
    ] = None,
    policy: PolicyOption = None,
    by: shared.ByOption = None,
    labels: shared.LabelsOption = False,
    explain: Annotated[bool, typer.Option("--explain", help="Write the reason into a column of its own.")] = False,
    sort: Annotated[bool, typer.Option("--sort", help="Group the accounts by tier, the largest first.")] = False,
    old: Annotated[
        str | None,
        typer.Option("--diff", metavar="OLD", help="List the accounts that moved since this file was written."),
    ] = None,
    id: Annotated[str | None, typer.Option("--id", metavar="HEADING", help="The column of the accounts' ids.")] = None,
    tier_column: Annotated[
        str, typer.Option("--tier-column", metavar="HEADING", help="The tier's.")
    ] = shared.TIER_COLUMN,
    reason_column: Annotated[
        str, typer.Option("--reason-column", metavar="HEADING", help="The reason's, with --explain.")
    ] = shared.REASON_COLUMN,
    column: shared.ColumnOption = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="HEADING", help="A column that is not a part of an account, such as a CRM's Status."
        ),
    ] = None,
    sums: Annotated[
        list[str] | None,
        typer.Option(
            "--sum", metavar="CRITERION", help="Add up the rows of one account, such as arr; may be repeated."
        ),
    ] = None,
    decimal_comma: shared.DecimalCommaOption = False,
    encoding: shared.EncodingOption = None,
    separator: shared.SeparatorOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Assign a tier to every row of a CRM's export.

    Writes the file with a Tier column. Every other column stays the same, byte for byte, and
    no row is dropped. A gap or an invalid value is reported by line and field, and its row
    gets an empty tier. A tier that the policy does not know is kept and reported. Exits with
    1 if there are problems; the file is written all the same.
    """
    from entitlements.cli.console import with_progress
    from entitlements.cli.crm.report import write_report
    from entitlements.crm import WriteOptions, write

    loaded = shared.open_crm_policy(policy, decimal_comma=decimal_comma)
    options = shared.FileOptions(column, encoding, separator, id, tier_column, reason_column, ignore)
    if output is not None and Path(output).exists() and os.path.samefile(output, export):  # noqa: PTH121 - exists
        raise CommandError(f"{output} is the file that is read; write to another one")
    with usage_errors():
        assigned, moves, measure = _assign(loaded, by, options, sums or (), export, old)
    if output is not None:
        choices = WriteOptions(tier_column, reason_column, labels, explain, sort)
        write_atomically(output, write(loaded, assigned, choices, with_progress))
    write_report(loaded, assigned, moves, measure, output=output, as_json=as_json)
    return ExitCode.NO if assigned.errors else ExitCode.YES


def _assign(
    policy: Policy, by: str | None, options: shared.FileOptions, sums: Iterable[str], export: str, old: str | None
) -> tuple[Assigned, Moves | None, str]:
    """Return the rows with their tiers, the differences from an older file, and the criterion that is added up."""
    from entitlements.cli.console import with_progress
    from entitlements.crm import assign_base, compare
    from entitlements.tiering.segmentation import measure_of

    rules, measure = shared.assignment_rules(policy), measure_of(policy, by)
    layout, columns = options.read(export, rules, measure)
    before = options.read(old, rules, measure) if old else None
    assigned = assign_base(policy, layout, columns, by=by, sums=sums, progress=with_progress)
    return assigned, compare(policy, *before, assigned, measure) if before else None, measure
