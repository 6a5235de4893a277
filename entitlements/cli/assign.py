"""`entitlements assign`: the tier that an account belongs in, and why."""

from __future__ import annotations

from entitlements.cli.options import AccountArgument, AccountsOption, JsonOption, PolicyOption


def assign(
    account: AccountArgument,
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Say which tier an account belongs in.

    Answers with the rule that fits, what is known of the account, the tier that each
    signal votes for, and the opportunity or hint that follows. Whatever tier the account
    is in makes no difference. Exits with 1 where no tier can be assigned.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.context import ask_about_customer
    from entitlements.cli.exit_codes import ExitCode
    from entitlements.cli.loading import instant
    from entitlements.tiering.assignment import assign as assigned
    from entitlements.tiering.assignment import explain

    asked, known = ask_about_customer(account, policy=policy, accounts=accounts, now=instant(None))
    assignment = assigned(asked.policy, known)
    screen = CliConsole()
    if as_json:
        screen.put_json(assignment.to_dict())
    else:
        for line in explain(assignment):
            screen.put(line)
    return ExitCode.NO if assignment.gap else ExitCode.YES
