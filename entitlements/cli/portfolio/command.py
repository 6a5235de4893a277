"""`entitlements portfolio`: the base of accounts as one page of HTML."""

from __future__ import annotations

from typing import Annotated

import typer

from entitlements.cli.base.loading import ColumnOption, load_base
from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.options import AccountsOption, AtOption, IdOption, PolicyOption, StoreOption
from entitlements.cli.usage_source import UsageColumnOption, UsageOption, open_usage


def portfolio(
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="HTML", help="The page to write.")
    ] = "portfolio.html",
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    usage: UsageOption = None,
    usage_column: UsageColumnOption = None,
    store: StoreOption = None,
    column: ColumnOption = None,
    at: AtOption = None,
) -> int:
    """
    Write the base of accounts as one page: what is due, moves, capacity, money, risks.

    The page needs no network and prints on A4. Exits with 1 if something cannot be read,
    which the page lists; it is written all the same.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.files import write_atomically
    from entitlements.cli.portfolio.findings import find
    from entitlements.cli.portfolio.page import to_page
    from entitlements.tiering.base.health import measure_names

    is_file = usage is not None and "://" not in usage
    loaded = load_base(
        policy,
        accounts,
        id=id,
        at=at,
        columns=column,
        usage=usage if is_file else None,
        usage_columns=usage_column,
        measures=measure_names,
    )
    source = open_usage(loaded.policy, loaded.now, usage=usage, store=store, columns=usage_column)
    found = find(loaded, source, id=id)
    write_atomically(output, [to_page(found).encode()])
    CliConsole().write(f"written: {output}")
    loaded.report()
    return ExitCode.NO if loaded.problems else ExitCode.YES
