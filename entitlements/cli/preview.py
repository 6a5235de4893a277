"""`entitlements preview`: what a change of tier would do to an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.options import AccountArgument, AccountsOption, AtOption, JsonOption, PolicyOption, StoreOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from entitlements.model.policy import Policy
    from entitlements.tiering.changes import ChangePreview, LimitChange, ValueChange


def preview(
    account: AccountArgument,
    tier: Annotated[str, typer.Argument(metavar="TIER", help="The tier to move to.")],
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    store: StoreOption = None,
    wanted: Annotated[
        str | None, typer.Option("--wanted", metavar="TIME", help="When it is wanted; left out, as soon as it can be.")
    ] = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show what a change of tier would do.

    Shows when it would take effect, the features, limits and services that change, and
    what becomes of present usage that is over a new limit. Changes nothing.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.context import ask_about_customer
    from entitlements.cli.exit_codes import CommandError, ExitCode
    from entitlements.cli.loading import instant
    from entitlements.model.instants import to_datetime
    from entitlements.tiering.preview import preview as previewed

    now = instant(at)
    asked, known = ask_about_customer(account, policy=policy, accounts=accounts, now=now, store=store)
    on = None if wanted is None else to_datetime(instant(wanted, "--wanted"))
    try:
        usage = asked.enforcer.usage(known) if store else None
        plan = previewed(asked.policy, known, tier, now=now, usage=usage, at=on)
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    screen = CliConsole()
    if as_json:
        screen.put_json(plan.to_dict() | {"usage": "counted" if store else "not looked at"})
    else:
        for line in _lines(asked.policy, plan, counted=store is not None):
            screen.put(line)
    return ExitCode.YES


def _lines(policy: Policy, plan: ChangePreview, *, counted: bool) -> Iterator[str]:
    from entitlements.cli.formatting import moment
    from entitlements.model.display import in_words

    way = f"{plan.account}: {plan.from_tier} to {plan.to_tier}"
    if plan.from_tier == plan.to_tier:
        yield f"{way}: nothing changes, it is in that tier"
        return
    notice = f" (notice of {in_words(plan.notice)})" if plan.notice else ""
    yield f"{way}: {plan.way}, takes effect {moment(plan.effective)}{notice}"
    yield from (f"instead of the change to {each.tier} at {moment(each.at)}" for each in plan.replaces)
    yield from _listed("loses", plan.features_lost)
    yield from _listed("gains", plan.features_gained)
    yield from _listed("limits", [_limit(policy, change) for change in plan.limits.values()])
    if not counted:
        yield "usage was not looked at: add --store URL"
    yield from _listed("services lost", _services(plan.services_lost))
    yield from _listed("services gained", _services(plan.services_gained))
    yield from _listed("services changed", _services(plan.services_changed))
    yield from _listed("steps", plan.process)


def _listed(head: str, items: object) -> Iterator[str]:
    listed = [str(item) for item in items]  # type: ignore[attr-defined]
    if listed:
        yield f"{head}:"
        yield from (f"  {item}" for item in listed)


def _limit(policy: Policy, change: LimitChange) -> str:
    from entitlements.cli.formatting import sized

    limit = policy.limits[change.limit]
    sizes = f"{change.limit}: {sized(limit, change.before)} -> {sized(limit, change.after)}"
    fate = change.text.partition("; ")[2]
    return f"{sizes}; {fate}" if fate else sizes


def _services(changes: Mapping[str, ValueChange]) -> list[str]:
    from entitlements.model.display import in_words
    from entitlements.model.limits import NOT_INCLUDED

    def said(value: object) -> str:
        return "nothing" if value is NOT_INCLUDED else in_words(value)

    return [f"{key}: {said(change.before)} -> {said(change.after)}" for key, change in changes.items()]
