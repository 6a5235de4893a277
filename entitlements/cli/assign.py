"""`entitlements assign`: the tier that an account belongs in, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.cli.context import open_context
from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    AtOption,
    IdOption,
    JsonOption,
    PolicyOption,
    StoreOption,
)
from entitlements.cli.usage_source import UsageColumnOption, UsageOption, open_usage

if TYPE_CHECKING:
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData
    from entitlements.tiering.triggers import MeasuredUsage


def assign(
    account: AccountArgument,
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    usage: UsageOption = None,
    usage_column: UsageColumnOption = None,
    store: StoreOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the tier that an account belongs in.

    Shows the rule that matches, the known attributes of the account, the tier that each
    signal votes for, and the opportunity or hint that follows. The account's present tier
    is not considered. A signal with the name of a limit, such as agents, is the newest
    usage if the account has no such attribute. Exits with 1 if no tier can be assigned.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.styles import HEADING, PROBLEM, headed
    from entitlements.tiering.assignment import assign as assigned
    from entitlements.tiering.assignment import explain
    from entitlements.tiering.contracts import Contracts

    context = open_context(account, policy=policy, accounts=accounts, at=at, key=id)
    customer = context.customer()
    source = open_usage(context.policy, context.now, usage=usage, store=store, columns=usage_column)
    if source is not None:
        customer = with_usage(
            context.policy, customer, source.measured(customer, Contracts(context.policy, context.now).of(customer))
        )
    assignment = assigned(context.policy, customer)
    lines = headed(explain(assignment), PROBLEM if assignment.gap else HEADING)
    CliConsole().write_answer(assignment.to_dict, lines, as_json=as_json)
    return ExitCode.NO if assignment.gap else ExitCode.YES


def with_usage(policy: PolicyData, account: Account, measured: MeasuredUsage) -> Account:
    """Return the account with its newest usage in place of the signals that it has no attribute of."""
    from dataclasses import replace

    from entitlements.tiering.criterion_values import attribute_name

    rules = policy.assignment
    if rules is None:
        return account
    written = {attribute_name(name) for name, value in account.attributes.items() if value not in {None, ""}}
    used = {
        name: _newest(measured, name)
        for name in rules.signals
        if name in policy.limits and not written.intersection(rules.criteria[name].attributes)
    }
    missing = {name: value for name, value in used.items() if value is not None}
    return replace(account, attributes={**account.attributes, **missing}) if missing else account


def _newest(measured: MeasuredUsage, limit: str) -> int | None:
    """Return the units of the last period of a quota, or those of an allocation in use; None if not known."""
    periods, meter = measured.history.get(limit), measured.usage.get(limit)
    if periods and (meter is None or meter.resets_at is not None):
        return periods[0].used
    return meter.used if meter is not None else None
