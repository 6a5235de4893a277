"""`entitlements capacity`: the people that the accounts of each tier need, now and after planned moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.base.loading import ColumnOption, UsageFileOption, load_base
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.options import AccountsOption, AtOption, IdOption, JsonOption, PolicyOption
from entitlements.cli.usage_source import UsageColumnOption, open_usage
from entitlements.presentation.formatting import align_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.cli.base.loading import LoadedBase
    from entitlements.cli.usage_source import UsageSource
    from entitlements.tiering.capacity import Capacity

MOVES = "moves"
"""The value of `--if` for the moves that a review recommends."""


def capacity(
    *,
    planned: Annotated[
        str | None,
        typer.Option(
            "--if",
            metavar="moves|CSV",
            help="After the moves that a review recommends, or those of a file: account, tier.",
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
    Show how many people the accounts of each tier need.

    Customer success managers by the tier's ratio, technical account managers, executive
    sponsors, onboarding specialists and hours of meetings; and planned customer counts against
    actual ones. With --if moves, --usage counts in the review. Exits with 1 if a tier is beyond its plan, or a file has problems.
    """
    from entitlements.cli.console import CliConsole, warn
    from entitlements.crm.dated_columns import read_engagements
    from entitlements.tiering.capacity import capacity as needed

    if usage is not None and planned != MOVES:
        raise CommandError("--usage is about the moves of a review; add --if moves")
    loaded = load_base(policy, accounts, id=id, at=at, columns=column)
    engagements, faults, _ = read_engagements(loaded.path, loaded.policy, id=id, given=loaded.columns)
    loaded.problems += map(str, faults)
    source = open_usage(loaded.policy, loaded.now, usage=usage, store=None, columns=usage_column)
    moves = {} if planned is None else _reviewed(loaded, source) if planned == MOVES else _moves(planned, loaded)
    with usage_errors("--if: " if planned else ""):
        now = needed(loaded.policy, loaded.accounts, now=loaded.now, engagements=engagements)
        then = needed(loaded.policy, loaded.accounts, now=loaded.now, engagements=engagements, moves=moves)
    answer = now.to_dict() | ({"moves": moves, "then": then.to_dict()} if planned else {})
    CliConsole().write_answer(lambda: answer | loaded.told(), _lines(now, then if planned else None), as_json=as_json)
    warn(*then.warnings)
    return ExitCode.NO if loaded.report() or then.warnings else ExitCode.YES


def _reviewed(loaded: LoadedBase, source: UsageSource | None) -> dict[str, str]:
    """Return the tier that a review recommends for each account that should move."""
    from entitlements.cli.review import BaseReviewer

    reviewer = BaseReviewer(loaded.policy, source, loaded.now, loaded.problems)
    if source is not None and source.file is not None:
        loaded.problems += map(str, source.file.problems)
        loaded.remarks += source.file.columns.lacking
    reviews = (reviewer.review(account) for account in loaded.accounts)
    return {each.account: each.to for each in reviews if each is not None and each.to is not None}


def _moves(planned: str, loaded: LoadedBase) -> dict[str, str]:
    """Return the tier of each account that moves, by a file."""
    from entitlements.crm.dated_columns import read_dated

    columns = {"account": ("account", "account-id", "id"), "tier": ("tier", "to")}
    rows = read_dated(planned, columns, (), needed=("account", "tier"), given=loaded.columns, prefix="moves.").rows
    for row in rows:
        if loaded.policy.tier(row.cells["tier"]) is None:
            cure = f"write one of {', '.join(loaded.policy.tiers)}"
            raise CommandError(f"{planned}:{row.line}: tier: {row.cells['tier']!r} is not in the policy; {cure}")
    return {row.cells["account"]: row.cells["tier"] for row in rows}


def _lines(now: Capacity, then: Capacity | None) -> Iterator[str]:
    yield from _table(now)
    if then is not None:
        yield ""
        yield "after the moves:"
        yield from _table(then)


def _table(found: Capacity) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [
        (
            "tier",
            "customers",
            "planned",
            "per CSM",
            "CSMs",
            "TAMs",
            "sponsors",
            "onboarding",
            "specialists",
            "hours a year",
        )
    ]
    for each in found.tiers:
        onboarding = "?" if each.onboarding is None else str(each.onboarding)
        people = (each.csms, each.technical_account_managers, each.executive_sponsors)
        rows.append((
            each.tier, f"{each.customers:,}", _range(each.planned), str(each.per_csm or "-"), *map(str, people),
            onboarding, str(each.specialists), _hours(each.meeting_hours),
        ))  # fmt: skip
    customers = sum(each.customers for each in found.tiers)
    people = (found.csms, found.technical_account_managers, found.executive_sponsors)
    rows.append(
        ("all", f"{customers:,}", "", "", *map(str, people), "", str(found.specialists), _hours(found.meeting_hours))
    )
    yield from align_columns(rows, right=True)


def _range(planned: tuple[int | None, int | None]) -> str:
    least, most = planned
    return "-" if least is None and most is None else f"{least or 0}-{'' if most is None else most}"


def _hours(hours: object) -> str:
    return f"{hours:,.0f}"
