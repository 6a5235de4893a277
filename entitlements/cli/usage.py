"""`entitlements usage`: how much of its limits an account has used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    JsonOption,
    PolicyOption,
    StoreOption,
    TierOption,
)

if TYPE_CHECKING:
    from entitlements.cli.context import CommandContext
    from entitlements.cli.usage_meters import UsageMeter


def usage(
    account: AccountArgument,
    *,
    store: StoreOption = None,
    scope: Annotated[
        str | None, typer.Option("--scope", help="Show the limits kept for it (per ip, per user …), too.")
    ] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    tier: TierOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show an account's meters as bars.

    Of each limit: used, reserved, when it resets, and what happens when nothing is left. A
    quota is projected to the end of its period in a straight line: as if it went on as it
    has since the period began (not within the first hundredth of it). Nothing is spent.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.context import ask
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.cli.loading import store_url

    asked = ask(account, policy=policy, accounts=accounts, tier=tier, at=None, store=store_url(store))
    screen = CliConsole()
    with asked.enforcer:
        try:
            meters = _meters(asked, scope)
        except ValueError as error:
            raise CommandError(f"--{error}", ExitCode.USAGE) from None
    if as_json:
        screen.put_json(_plain(asked, scope, meters))
        return ExitCode.YES
    from rich.text import Text

    from entitlements.cli.usage_bars import show

    entitlements = asked.enforcer.entitlements(asked.account)
    on_tier = f"on tier {entitlements.tier}" if entitlements.tier else "has no tier that the policy knows"
    screen.show(Text.assemble((entitlements.account, "bold"), f": {on_tier}{f', scope {scope}' if scope else ''}"))
    show(screen, meters, asked.policy)
    return ExitCode.YES


def _meters(asked: CommandContext, scope: str | None) -> tuple[UsageMeter, ...]:
    """Return the account's meters in the order of the policy; one round trip, and one for each quota that is used."""
    from entitlements.cli.usage_meters import meter_of
    from entitlements.clock import system_clock
    from entitlements.model.limits import Quota

    enforcer, account = asked.enforcer, asked.account
    found = enforcer.usage(account, scope=scope)
    meters = []
    for name, each in found.items():
        start = None
        if isinstance(asked.policy.limits[name], Quota) and each.used:
            newest = enforcer.history(account, name)[:1]
            start = newest[0].start if newest and newest[0].end == each.resets_at else None
        meters.append(meter_of(enforcer.decide(account, name).facts, each, start, system_clock()))
    return tuple(meters)


def _plain(asked: CommandContext, scope: str | None, meters: tuple[UsageMeter, ...]) -> dict[str, Any]:
    from entitlements.cli.usage_meters import when_full
    from entitlements.model.display import in_json

    entitlements = asked.enforcer.entitlements(asked.account)
    return {
        "account": entitlements.account,
        "tier": entitlements.tier,
        "policy": asked.policy.version,
        "scope": scope,
        "limits": {
            each.limit.name: {
                "kind": type(each.limit).__name__.lower(),
                "unit": each.limit.unit,
                **each.usage.to_dict(),
                "share": each.share,
                "projected": each.projected,
                "at_full": {
                    "says": when_full(each),
                    "mode": each.limit.mode.value,
                    "on_outage": each.limit.on_outage.value,
                    "remedy": each.remedy
                    and {"tier": each.remedy.tier, "add_on": each.remedy.add_on, "limit": in_json(each.more)},
                },
            }
            for each in meters
        },
    }
