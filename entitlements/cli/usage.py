"""`entitlements usage`: the used part of each limit of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli.context import CommandContext, open_context
from entitlements.cli.exit_codes import ExitCode, usage_errors
from entitlements.cli.loading import store_url
from entitlements.cli.options import AccountArgument, AccountsOption, JsonOption, PolicyOption, StoreOption, TierOption
from entitlements.model.decision_fields import facts_of
from entitlements.model.display import in_json
from entitlements.model.limits import Quota

if TYPE_CHECKING:
    from entitlements.cli.usage_meters import UsageMeter
    from entitlements.model.entitlements import Entitlements


def usage(
    account: AccountArgument,
    *,
    store: StoreOption = None,
    scope: Annotated[
        str | None, typer.Option("--scope", help="Also show the limits kept for this scope (per ip, per user …).")
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    tier: TierOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show an account's meters as bars.

    Shows of each limit the used and reserved part, its reset, and the effect of reaching
    it. A quota is projected to the end of its period in a straight line from the period's
    start (not in the first hundredth of it). Nothing is spent.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.usage_bars import usage_lines

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, store=store_url(store))
    with context.enforcer, usage_errors("--"):
        meters = _meters(context, scope)
        entitlements = context.enforcer.entitlements(context.account)
    console = CliConsole()
    lines = usage_lines(console, entitlements, scope, meters)
    console.write_answer(lambda: _to_json(entitlements, scope, meters), lines, as_json=as_json)
    return ExitCode.YES


def _meters(context: CommandContext, scope: str | None) -> tuple[UsageMeter, ...]:
    """Return the meters in the order of the policy; takes one round trip, and one for each quota that is used."""
    from entitlements.cli.usage_meters import meter_of
    from entitlements.clock import system_clock

    enforcer, account = context.enforcer, context.account
    meters = []
    for name, each in enforcer.usage(account, scope=scope).items():
        start = None
        if isinstance(context.policy.limits[name], Quota) and each.used:
            newest = enforcer.history(account, name)[:1]
            start = newest[0].start if newest and newest[0].end == each.resets_at else None
        meters.append(meter_of(facts_of(enforcer.decide(account, name)), each, start, system_clock()))
    return tuple(meters)


def _to_json(entitlements: Entitlements, scope: str | None, meters: tuple[UsageMeter, ...]) -> dict[str, Any]:
    return {
        "account": entitlements.account,
        "tier": entitlements.tier,
        "policy": entitlements.policy.version,
        "scope": scope,
        "limits": {each.limit.name: _meter_json(each) for each in meters},
    }


def _meter_json(meter: UsageMeter) -> dict[str, Any]:
    from entitlements.cli.usage_meters import effect_of_full

    limit, remedy = meter.limit, meter.remedy
    return {
        "kind": type(limit).__name__.lower(),
        "unit": limit.unit,
        **meter.usage.to_dict(),
        "share": meter.share,
        "projected": meter.projected,
        "at_full": {
            "says": effect_of_full(meter),
            "mode": limit.mode.value,
            "on_outage": limit.on_outage.value,
            "remedy": remedy and {"tier": remedy.tier, "add_on": remedy.add_on, "limit": in_json(meter.more)},
        },
    }
