"""`entitlements invalidate`: lets every process load an account again."""

from __future__ import annotations

from entitlements.cli.exit_codes import ExitCode, usage_errors
from entitlements.cli.loading import open_policy, store_url
from entitlements.cli.options import AccountArgument, JsonOption, PolicyOption, StoreOption


def invalidate(
    account: AccountArgument,
    *,
    policy: PolicyOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Let every process that shares a store load an account again.

    For accounts that were changed at their source by another program.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.enforcer import Enforcer

    with Enforcer(open_policy(policy), accounts={}, store=store_url(store)) as enforcer, usage_errors():
        enforcer.invalidate(account)
    CliConsole().write_answer(
        lambda: {"account": account, "invalidated": True}, [f"{account}: invalidated"], as_json=as_json
    )
    return ExitCode.YES
