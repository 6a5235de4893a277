"""`entitlements can`: the decision about a feature, in one sentence."""

from __future__ import annotations

from typing import Annotated

import typer

from entitlements.cli.context import check_feature, open_context
from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    AtOption,
    IdOption,
    JsonOption,
    PolicyOption,
    TierOption,
)


def can(
    account: AccountArgument,
    feature: Annotated[str, typer.Argument(metavar="FEATURE", help="A feature, a feature:level, or a limit.")],
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Say whether an account has a feature.

    The answer is one sentence: yes or no, the reason, and the tier or add-on that has it.
    Usage is not considered. Exits with 0 for yes and 1 for no.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.sentences import decision_sentence

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, at=at, key=id)
    check_feature(context.policy, feature, account)
    decision = context.enforcer.decide(context.account, feature)
    sentence = decision_sentence(decision, context.enforcer.entitlements(context.account))
    CliConsole().write_answer(decision.to_dict, [sentence], as_json=as_json)
    return ExitCode.YES if decision.allowed else ExitCode.NO
