"""`entitlements preview`: the effects of a change of tier on an account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from entitlements.cli.context import open_context
from entitlements.cli.exit_codes import ExitCode, usage_errors
from entitlements.cli.loading import parse_datetime
from entitlements.cli.options import (
    AccountArgument,
    AccountsOption,
    AtOption,
    IdOption,
    JsonOption,
    PolicyOption,
    StoreOption,
)
from entitlements.cli.usage_source import NO_USAGE, UsageColumnOption, UsageOption, open_usage
from entitlements.model.display import in_words
from entitlements.model.limits import NOT_INCLUDED
from entitlements.presentation.formatting import format_limit, format_named, format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.text import Text

    from entitlements.model.policy import PolicyData
    from entitlements.tiering.changes import CappingOverride, ChangePreview, LimitChange, ValueChange


def preview(
    account: AccountArgument,
    tier: Annotated[str, typer.Argument(metavar="TIER", help="The tier to move to.")],
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    id: IdOption = "id",
    usage: UsageOption = None,
    usage_column: UsageColumnOption = None,
    store: StoreOption = None,
    wanted: Annotated[
        str | None,
        typer.Option("--wanted", metavar="TIME", help="The wanted time of the change. Default: the earliest possible."),
    ] = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> int:
    """
    Show the effects of a change of tier.

    Shows when it takes effect, the features, limits and values that change, and the
    present usage that exceeds a new limit. Changes nothing.
    """
    from entitlements.cli.console import CliConsole
    from entitlements.cli.styles import headed
    from entitlements.tiering.contracts import Contracts
    from entitlements.tiering.preview import preview as previewed

    context = open_context(account, policy=policy, accounts=accounts, at=at, key=id)
    customer = context.customer()
    start = parse_datetime(wanted, "--wanted")
    with usage_errors():
        source = open_usage(context.policy, context.now, usage=usage, store=store, columns=usage_column)
        counted = (
            source.measured(customer, Contracts(context.policy, context.now).of(customer)).usage if source else None
        )
        change = previewed(context.policy, customer, tier, now=context.now, usage=counted, at=start)
    CliConsole().write_answer(
        lambda: change.to_dict() | {"usage": "counted" if source else "not looked at"},
        headed(_lines(context.policy, change, is_counted=source is not None)),
        as_json=as_json,
    )
    return ExitCode.YES


def _lines(policy: PolicyData, change: ChangePreview, *, is_counted: bool) -> Iterator[str | Text]:
    from entitlements.cli.styles import CHANGE, GAIN, LOSS

    heading = f"{change.account}: {change.from_tier} to {change.to_tier}"
    replaced = [f"instead of the change to {each.tier} at {format_time(each.at)}" for each in change.replaces]
    if change.from_tier == change.to_tier:
        yield f"{heading}: it stays in that tier" if replaced else f"{heading}: nothing changes, it is in that tier"
        yield from replaced
        return
    notice = f" (notice of {in_words(change.notice)})" if change.notice else ""
    yield f"{heading}: {change.way}, takes effect {format_time(change.effective)}{notice}"
    yield from replaced
    yield from _section("loses", change.features_lost, LOSS)
    yield from _section("gains", change.features_gained, GAIN)
    yield from _section("held back by overrides", [_capping_text(policy, each) for each in change.capped], CHANGE)
    yield from _section("limits", [_limit_text(policy, each) for each in change.limits.values()])
    if not is_counted:
        yield NO_USAGE
    yield from _section("values lost", _value_texts(change.services_lost), LOSS)
    yield from _section("values gained", _value_texts(change.services_gained), GAIN)
    yield from _section("values changed", _value_texts(change.services_changed))
    yield from _section("steps", change.process)


def _section(heading: str, items: Iterable[object], style: str = "") -> Iterator[str | Text]:
    from entitlements.cli.styles import HEADING, styled

    lines = [f"  {item}" for item in items]
    if lines:
        yield from styled([f"{heading}:"], lambda _: HEADING)
        yield from styled(lines, lambda _: style)


def _capping_text(policy: PolicyData, each: CappingOverride) -> str:
    value, other = (format_named(policy, each.name, value) for value in (each.value, each.instead_of))
    until = f", until {format_time(each.expires)}" if each.expires else ""
    return f"{each.name}: {value} by an override, {other} without it ({each.reason}, by {each.author}{until})"


def _limit_text(policy: PolicyData, change: LimitChange) -> str:
    limit = policy.limits[change.limit]
    sizes = f"{change.limit}: {format_limit(limit, change.before)} -> {format_limit(limit, change.after)}"
    fate = change.text.partition("; ")[2]
    return f"{sizes}; {fate}" if fate else sizes


def _value_texts(changes: Mapping[str, ValueChange]) -> list[str]:
    def text(value: object) -> str:
        if isinstance(value, tuple) and all(isinstance(each, Mapping) and "activity" in each for each in value):
            return ", ".join(f"{each['activity']} ({each['frequency']})" for each in value)
        return "nothing" if value is NOT_INCLUDED else in_words(value)

    return [f"{key}: {text(change.before)} -> {text(change.after)}" for key, change in changes.items()]
