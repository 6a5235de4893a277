"""`entitlements crm formula`: the binding rule as a formula, for a CRM that assigns tiers itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.crm import options as shared
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from entitlements.model.segments import ShareSegmentation
    from entitlements.policy import Policy
    from entitlements.tiering.formula import Formula


def formula(
    export: Annotated[
        str | None,
        typer.Argument(metavar="[CSV]", help="The CRM's export, for a segmentation by share.", show_default=False),
    ] = None,
    *,
    policy: PolicyOption = None,
    by: shared.ByOption = None,
    field: Annotated[
        str | None, typer.Option("--field", metavar="NAME", help="The CRM's name of the criterion, such as ARR__c.")
    ] = None,
    labels: shared.LabelsOption = False,
    column: shared.ColumnOption = None,
    decimal_comma: shared.DecimalCommaOption = False,
    encoding: shared.EncodingOption = None,
    separator: shared.SeparatorOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Print the binding rule as a CRM formula: nested IFs.

    The formula has only rules over the binding criterion; others are listed. A segmentation
    by share has no fixed figures: they are taken from the export, which must be given.
    """
    from entitlements.cli.console import CliConsole, warn
    from entitlements.model.segments import ShareSegmentation
    from entitlements.tiering.formula import formula as formula_of_rules
    from entitlements.tiering.segmentation import measure_of

    loaded = shared.open_crm_policy(policy, decimal_comma=decimal_comma)
    segmentation = loaded.segmentations.get(by or "")
    names = {id: tier.name if labels else id for id, tier in loaded.tiers.items()}
    with usage_errors():
        field = field or measure_of(loaded, by).replace("-", "_").upper()
        if isinstance(segmentation, ShareSegmentation):
            options = shared.FileOptions(column, encoding, separator)
            found = _formula_of_shares(loaded, segmentation, export, options, names=names, field=field)
        else:
            rules = shared.assignment_rules(loaded)
            found = formula_of_rules(replace(rules, rules=segmentation.rules) if segmentation else rules, names, field)
    CliConsole().write_answer(
        lambda: {"formula": found.text, "field": field, "left_out": list(found.left_out)}, [found.text], as_json=as_json
    )
    if not as_json:
        warn(*(f"left out: rule {rule!r} asks for more than {field}" for rule in found.left_out))
    return ExitCode.YES


def _formula_of_shares(
    policy: Policy,
    segmentation: ShareSegmentation,
    export: str | None,
    options: shared.FileOptions,
    *,
    names: dict[str, str],
    field: str,
) -> Formula:
    """Return the formula of the thresholds that the shares amount to in an export."""
    from entitlements.cli.console import with_progress
    from entitlements.crm import assign_base
    from entitlements.tiering.formula import formula_of_thresholds
    from entitlements.tiering.segmentation import thresholds

    rules = shared.assignment_rules(policy)
    if export is None:
        message = "is by share of a whole base; give the export too: crm formula accounts.csv"
        raise CommandError(f"segmentation {segmentation.name!r} {message}")
    layout, columns = options.read(export, rules, segmentation.criterion)
    assigned = assign_base(policy, layout, columns, by=segmentation.name, progress=with_progress)
    least = thresholds(policy, (each.segmented for each in assigned.results.values()))
    if not least:
        raise CommandError(f"{export}: no row has a usable {segmentation.criterion}", ExitCode.UNREADABLE)
    return formula_of_thresholds(least, names, field)
