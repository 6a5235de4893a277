"""`entitlements usage`: the used part of each limit of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli.context import CommandContext, open_context
from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.loading import accounts_path, open_accounts, open_policy, store_url
from entitlements.cli.options import AccountsOption, IdOption, JsonOption, PolicyOption, StoreOption, TierOption
from entitlements.model.decision_fields import facts_of
from entitlements.model.display import in_json
from entitlements.model.limits import Quota
from entitlements.model.problem import Severity

if TYPE_CHECKING:
    from entitlements.model.entitlements import Entitlements
    from entitlements.presentation.usage_meters import UsageMeter


def usage(
    account: Annotated[
        str | None, typer.Argument(metavar="ACCOUNT", help="The account's id; none with --all.", show_default=False)
    ] = None,
    *,
    is_base: Annotated[bool, typer.Option("--all", help="Show the limits of all accounts that are near.")] = False,
    near: Annotated[
        int, typer.Option("--near", metavar="PERCENT", min=0, max=100, help="With --all: from this used share on.")
    ] = 0,
    store: StoreOption = None,
    scope: Annotated[
        str | None, typer.Option("--scope", help="Also show the limits kept for this scope (per ip, per user …).")
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    tier: TierOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show an account's meters as bars; correct them with `usage set`, `usage reset` and `usage release`.

    Shows of each limit the used and reserved part, its reset, and the effect of reaching
    it. A quota is projected to the end of its period in a straight line from the period's
    start (not in the first hundredth of it). Nothing is spent. With --all, the limits of
    all accounts are listed from the used share --near on.
    """
    if (account is None) != is_base:
        raise CommandError("name an ACCOUNT, or all of them: --all")
    if account is None:
        return _usage_of_base(near, policy, accounts, id, store_url(store), as_json=as_json)
    from entitlements.cli.console import CliConsole
    from entitlements.cli.usage_bars import usage_lines

    context = open_context(account, policy=policy, accounts=accounts, tier=tier, store=store_url(store), key=id)
    with context.enforcer, usage_errors("--"):
        meters = _meters(context, scope)
        entitlements = context.enforcer.entitlements(context.account)
    console = CliConsole()
    lines = usage_lines(console, entitlements, scope, meters)
    console.write_answer(lambda: _to_json(entitlements, scope, meters), lines, as_json=as_json)
    return ExitCode.YES


def _usage_of_base(near: int, policy: str | None, accounts: str | None, id: str, store: str, *, as_json: bool) -> int:
    """List the limits of all accounts that are used for *near* percent or more."""
    from entitlements.cli.console import CliConsole, warn
    from entitlements.cli.usage_base import near_limits, near_lines
    from entitlements.enforcer import Enforcer

    loaded = open_policy(policy)
    directory = open_accounts(accounts_path(accounts), loaded, id=id)
    with Enforcer(loaded, accounts={}, store=store) as enforcer, usage_errors("--"):
        found = list(near_limits(enforcer, loaded, directory, near))
    problems = [str(each) for each in directory.problems if each.severity is Severity.ERROR]
    said = {"near": near, "limits": [each.to_dict() for each in found], "problems": problems}
    CliConsole().write_answer(lambda: said, near_lines(found), as_json=as_json)
    if not as_json:
        warn(*problems, style="red")
    return ExitCode.NO if problems else ExitCode.YES


def _meters(context: CommandContext, scope: str | None) -> tuple[UsageMeter, ...]:
    """Return the meters in the order of the policy; takes one round trip, and one for each quota that is used."""
    from entitlements.clock import system_clock
    from entitlements.presentation.usage_meters import meter_of

    enforcer, account = context.enforcer, context.account
    meters = []
    for name, each in enforcer.usage(account, scope=scope).items():
        start = None
        limit = context.policy.limits[name]
        if isinstance(limit, Quota) and each.used:
            newest = enforcer.history(account, name, scope=scope if limit.per else None)[:1]
            start = newest[0].start if newest and newest[0].end == each.resets_at else None
        meters.append(meter_of(facts_of(enforcer.decide(account, name)), each, start, system_clock()))
    return tuple(meters)


def _to_json(entitlements: Entitlements, scope: str | None, meters: tuple[UsageMeter, ...]) -> dict[str, Any]:
    from entitlements.presentation.usage_meters import is_suspended, per_scope

    return {
        "account": entitlements.account,
        "tier": entitlements.tier,
        "policy": entitlements.policy.version,
        "status": "suspended" if is_suspended(entitlements) else "active",
        "scope": scope,
        "per_scope": per_scope(entitlements, scope),
        "limits": {each.limit.name: _meter_json(each) for each in meters},
    }


def _meter_json(meter: UsageMeter) -> dict[str, Any]:
    from entitlements.presentation.usage_meters import effect_of_full

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
            "remedy": remedy and {**remedy.to_dict(), "limit": in_json(meter.more)},
        },
    }
