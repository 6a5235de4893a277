"""`entitlements usage scopes`: the scopes of an account that have a counter."""

from __future__ import annotations

from typing import Annotated

import typer

from entitlements.cli.context import open_context
from entitlements.cli.exit_codes import ExitCode, usage_errors
from entitlements.cli.loading import store_url
from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    IdOption,
    JsonOption,
    PolicyOption,
    StoreOption,
    TierOption,
)
from entitlements.rules.scopes import MAX_SCOPES


def scopes(
    account: AccountArgument,
    limit: Annotated[
        str | None, typer.Argument(metavar="[LIMIT]", help="Only scopes that hold units of this limit.")
    ] = None,
    *,
    after: Annotated[str | None, typer.Option("--after", help="The last scope of the page before.")] = None,
    size: Annotated[int, typer.Option("--size", help="Most scopes of the page.", min=1, max=MAX_SCOPES)] = MAX_SCOPES,
    store: StoreOption = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    tier: TierOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the scopes of an account (users, projects, addresses …) that have a counter, in pages."""
    from entitlements.cli.console import CliConsole

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, store=store_url(store), key=id)
    with context.enforcer as enforcer, usage_errors("--"):
        found = enforcer.scopes(context.account, limit, after=after, size=size)
    said = {"account": account, "limit": limit, "scopes": found}
    CliConsole().write_answer(lambda: said, found or ["no scope has a counter"], as_json=as_json)
    return ExitCode.YES
