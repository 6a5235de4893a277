"""`entitlements uptime`: the uptime guarantee of an account, and the credit for a measured month."""

from __future__ import annotations

from typing import Annotated

import typer

from entitlements.cli.context import open_context
from entitlements.cli.exit_codes import ExitCode, usage_errors
from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    AtOption,
    IdOption,
    JsonOption,
    PolicyOption,
    TierOption,
)
from entitlements.model.display import in_json, in_words
from entitlements.presentation.formatting import format_no_commitment


def uptime(
    account: AccountArgument,
    measured: Annotated[
        str | None,
        typer.Argument(metavar="[PERCENT]", help="The measured uptime, such as 99.2.", show_default=False),
    ] = None,
    *,
    fee: Annotated[
        str | None, typer.Option("--fee", metavar="AMOUNT", help="The fee for the measured time, such as 8333.33.")
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    tier: TierOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the uptime that an account is promised, and the credit for a measured one.

    Exits with 1 if the guarantee is missed, or if there is none.
    """
    from entitlements.cli.console import CliConsole

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, at=at, key=id)
    found = context.enforcer.uptime(context.account)
    with usage_errors():
        credit = None if measured is None else found.credit(measured, fee or 0)
    promise = format_no_commitment(found.label) if found.guarantee is None else f"{found.guarantee} % uptime"
    lines = [f"{account}: {promise}"]
    lines += [f"  below {below} %: {percent} % of the fee" for below, percent in found.credits]
    if credit is not None:
        amount = f", {in_words(credit.amount)}" if fee is not None else ""
        kept = "no credit" if not credit.percent else f"a credit of {credit.percent} % of the fee{amount}"
        lines.append(f"measured {measured} %: {kept}")
    CliConsole().write_answer(
        lambda: {
            "account": account,
            "guarantee": in_json(found.guarantee),
            "label": found.label,
            "credits": [{"below": in_json(below), "credit": in_json(percent)} for below, percent in found.credits],
            "credit": credit and {"percent": in_json(credit.percent), "amount": in_json(credit.amount)},
        },
        lines,
        as_json=as_json,
    )
    is_missed = credit is not None and bool(credit.percent)
    return ExitCode.NO if found.guarantee is None or is_missed else ExitCode.YES
