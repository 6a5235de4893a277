"""`entitlements base abandoned`: the accounts that have gone quiet, and the step at which they stopped."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.base.loading import ColumnOption, UsageFileOption, load_base
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.cli.usage_source import UsageColumnOption
from entitlements.presentation.formatting import align_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.tiering.base.abandonment import Abandonment


def abandoned(
    *,
    after: Annotated[
        int | None,
        typer.Option("--after", metavar="DAYS", help="Of every tier. Default: as the tier says.", min=1),
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(
            "--step", metavar="NAME", help="A column that is filled when the account takes a step; in order, repeated."
        ),
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    usage: UsageFileOption = None,
    usage_column: UsageColumnOption = None,
    column: ColumnOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    List the accounts that have gone quiet, and the step at which they stopped.

    Activity is a month with usage of a quota, or the date in the column `last-seen`. The time
    is the tier's value `activities.abandonment-after`. Exits with 1 if a cell cannot be read.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.base.abandonment import abandonment
    from entitlements.tiering.base.rows import LAST_SEEN
    from entitlements.tiering.criterion_values import attribute_name
    from entitlements.usage_files import last_active

    loaded = load_base(policy, accounts, id=id, at=at, columns=column, usage=usage, usage_columns=usage_column)
    base = loaded.base()
    if loaded.usage is None:
        cure = "activity is not known; name a file of usage too: --usage FILE"
        loaded.require(base, LAST_SEEN, (LAST_SEEN, "last-activity", "last-login"), cure)
    active = last_active(loaded.policy, loaded.usage, loaded.today) if loaded.usage is not None else {}
    steps = [attribute_name(each) for each in step or ()]
    for name in steps:
        loaded.require(base, name, (name,), "no account is known to have taken this step")
    time = None if after is None else timedelta(days=after)
    found = abandonment(loaded.policy, base, today=loaded.today, active=active, steps=steps, after=time)
    CliConsole().write_answer(lambda: found.to_dict() | loaded.told(), _lines(found), as_json=as_json)
    return loaded.report()


def _lines(found: Abandonment) -> Iterator[str]:
    yield f"{len(found.quiet):,} accounts have gone quiet"
    if found.quiet:
        rows = [("account", "name", "tier", "last active", "days", "stopped before")]
        for each in found.quiet:
            days = "" if each.days is None else str(each.days)
            rows.append((each.account, each.name, each.tier, str(each.last or "never"), days, each.step))
        yield from align_columns(rows)
    for step, count in found.steps.items():
        if step:
            yield f"{count:,} stopped before {step}"
    if found.unknown:
        yield f"the activity of {len(found.unknown):,} accounts is not known: --json tells all"
