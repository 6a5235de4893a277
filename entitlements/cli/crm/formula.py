"""`entitlements crm formula`: the binding rule, for a CRM that assigns tiers by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.crm.options import ByOption, ColumnOption, EncodingOption, SeparatorOption
from entitlements.cli.options import JsonOption, PolicyOption

if TYPE_CHECKING:
    from entitlements.policy import Policy
    from entitlements.tiering.formula import Formula


def formula(
    export: Annotated[
        str | None,
        typer.Argument(metavar="[CSV]", help="What the CRM exported, for a segmentation by share.", show_default=False),
    ] = None,
    *,
    policy: PolicyOption = None,
    by: ByOption = None,
    field: Annotated[
        str | None, typer.Option("--field", metavar="NAME", help="How the CRM calls the criterion, such as ARR__c.")
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="Write the tiers' names instead of their ids.")] = False,
    column: ColumnOption = None,
    encoding: EncodingOption = None,
    separator: SeparatorOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Print the binding rule as a CRM formula: nested IFs.

    Only rules over the binding criterion go into it; others are named. A segmentation by
    share has no fixed figures: give the export too, and those of its base are taken.
    """
    from rich.text import Text

    from entitlements.cli.console import CliConsole
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.cli.loading import open_policy
    from entitlements.tiering.segmentation import measure_of

    loaded = open_policy(policy)
    try:
        called = field or measure_of(loaded, by).replace("-", "_").upper()
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    names = {id: tier.name if labels else id for id, tier in loaded.tiers.items()}
    found = _formula(loaded, by, names, called, export, column=column, encoding=encoding, separator=separator)
    if as_json:
        CliConsole().put_json({"formula": found.text, "field": called, "left_out": list(found.left_out)})
    else:
        CliConsole().put(found.text)
        for rule in found.left_out:
            told = f"left out: rule {rule!r} asks for more than {called}"
            CliConsole(stderr=True).show(Text(told, "yellow"))
    return ExitCode.YES


def _formula(
    policy: Policy,
    by: str | None,
    names: dict[str, str],
    field: str,
    export: str | None,
    *,
    column: list[str] | None,
    encoding: str | None,
    separator: str | None,
) -> Formula:
    from dataclasses import replace

    from entitlements.cli.console import tracked
    from entitlements.cli.crm.options import given_columns, open_layout, rules_of
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.crm import assign_base, choose_columns
    from entitlements.model.segments import RuleSegmentation, ShareSegmentation
    from entitlements.tiering.formula import formula, formula_of_thresholds
    from entitlements.tiering.segmentation import thresholds

    rules = rules_of(policy)
    chosen = policy.segmentations.get(by or "")
    if isinstance(chosen, RuleSegmentation):
        rules = replace(rules, rules=chosen.rules)
    if not isinstance(chosen, ShareSegmentation):
        try:
            return formula(rules, names, field)
        except ValueError as error:
            raise CommandError(str(error), ExitCode.USAGE) from None
    if export is None:
        message = f"segmentation {by!r} is by share of a whole base; give the export too: crm formula accounts.csv"
        raise CommandError(message, ExitCode.USAGE)
    layout = open_layout(export, rules, encoding=encoding, separator=separator)
    columns = choose_columns(layout, rules, chosen.criterion, given=given_columns(column))
    assigned = assign_base(policy, layout, columns, by=by, progress=tracked)
    least = thresholds(policy, (each.segmented for each in assigned.results.values()))
    if not least:
        raise CommandError(f"{export}: no row has a usable {chosen.criterion}", ExitCode.UNREADABLE)
    return formula_of_thresholds(least, names, field)
