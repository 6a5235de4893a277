"""`entitlements can`: yes or no."""

from __future__ import annotations

from typing import Annotated

import typer

from entitlements.cli.options import AccountArgument, AccountsOption, AtOption, JsonOption, PolicyOption, TierOption


def can(
    account: AccountArgument,
    feature: Annotated[str, typer.Argument(metavar="FEATURE", help="A feature, a feature:level, or a limit.")],
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Say whether an account has a feature.

    Answers in one sentence: yes or no, why, and which tier or add-on has it. Asks what
    the account has, never how much of it is used. Exits with 0 for yes and 1 for no.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.context import ask, check_feature
    from entitlements.cli.exit_codes import ExitCode
    from entitlements.cli.sentences import answer

    asked = ask(account, policy=policy, accounts=accounts, tier=tier, at=at)
    check_feature(asked.policy, feature, account)
    decision = asked.enforcer.decide(asked.account, feature)
    screen = CliConsole()
    if as_json:
        screen.put_json(decision.to_dict())
    else:
        screen.show(answer(decision, asked.enforcer.entitlements(asked.account)))
    return ExitCode.YES if decision.allowed else ExitCode.NO
