"""`entitlements assign`: the tier that an account belongs in, with the reason."""

from __future__ import annotations

from entitlements.cli.context import open_context
from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.options import AccountArgument, AccountsOption, JsonOption, PolicyOption


def assign(
    account: AccountArgument,
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the tier that an account belongs in.

    Shows the rule that matches, the known attributes of the account, the tier that each
    signal votes for, and the opportunity or hint that follows. The account's present tier
    is not considered. Exits with 1 if no tier can be assigned.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.tiering.assignment import assign as assigned
    from entitlements.tiering.assignment import explain

    context = open_context(account, policy=policy, accounts=accounts)
    assignment = assigned(context.policy, context.customer())
    CliConsole().write_answer(assignment.to_dict, explain(assignment), as_json=as_json)
    return ExitCode.NO if assignment.gap else ExitCode.YES
