"""Meters as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from entitlements.cli.formatting import amount, moment, more_of, sized
from entitlements.cli.usage_meters import when_full
from entitlements.cli.wrap import folded
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Mode, OnOutage, Quota

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from entitlements.cli.console import CliConsole
    from entitlements.cli.usage_meters import UsageMeter
    from entitlements.model.policy import Policy

WIDTH = 20
BarCharacters = tuple[str, str, str]
BAR: BarCharacters = ("█", "▒", "░")
ASCII_BAR: BarCharacters = ("#", "=", ".")
"""Used, reserved, left."""
OUTAGES = {OnOutage.LOCAL: "each process limits its share", OnOutage.ALLOW: "allowed", OnOutage.DENY: "refused"}


def show(screen: CliConsole, meters: Sequence[UsageMeter], policy: Policy) -> None:
    """Write a bar for each limit that is included, what is to be said of it below, and the names of the others."""
    shown = [each for each in meters if each.usage.limit is not NOT_INCLUDED]
    wide = max((len(each.limit.name) for each in shown), default=0)
    signs = ASCII_BAR if screen.is_ascii else BAR
    for each in shown:
        bar = _bar(each, signs)
        width = screen.fold and max(20, screen.fold - wide - 2)
        first, *rest = _fitted(_counts(each), width and width - len(bar) - 2)
        screen.show(Text.assemble((f"{each.limit.name:<{wide}}", "bold"), "  ", (bar, _style(each)), f"  {first}"))
        for line in rest:
            screen.show(Text(" " * (wide + len(bar) + 4) + line))
        for said in _said(each, policy):
            for line in _fitted(said, width, "  "):
                screen.show(Text(" " * (wide + 2) + line, "dim"))
    missing = [each.limit.name for each in meters if each.usage.limit is NOT_INCLUDED]
    if missing:
        screen.show(Text(f"not included: {', '.join(missing)}", "dim"))


def _fitted(text: str, width: int | None, indent: str = "") -> list[str]:
    return [text] if width is None else folded(text, width, indent)


def _bar(meter: UsageMeter, signs: BarCharacters) -> str:
    """Return the bar: never full before the limit is, never empty once something is used."""
    size, used, reserved = meter.usage.limit, meter.usage.used or 0, meter.usage.reserved
    if not isinstance(size, int) or not size:
        return (signs[2] if size is UNLIMITED else signs[0]) * WIDTH
    filled = _cells(used, size)
    settled = min(filled, _cells(used - reserved, size))
    return signs[0] * settled + signs[1] * (filled - settled) + signs[2] * (WIDTH - filled)


def _cells(used: int, size: int) -> int:
    if used >= size:
        return WIDTH
    return max(1, used * WIDTH // size) if used > 0 else 0


def _style(meter: UsageMeter) -> str:
    share = meter.share
    if share is None:
        return "green" if meter.usage.limit is UNLIMITED else "red"
    return "red" if share >= 1 else "yellow" if share >= 0.8 else "green"


def _counts(meter: UsageMeter) -> str:
    limit, usage = meter.limit, meter.usage
    size = _size(meter)
    if usage.used is None:
        return f"{size}, not counted"
    share = "" if meter.share is None else f" ({_percent(meter.share)})"
    reserved = f", {amount(limit, usage.reserved)} of it reserved" if usage.reserved else ""
    of = " used, " if usage.limit is UNLIMITED else " of "
    left = f", {amount(limit, usage.remaining)} left" if isinstance(usage.remaining, int) and usage.limit else ""
    return f"{amount(limit, usage.used)}{of}{size}{share}{reserved}{left}"


def _size(meter: UsageMeter) -> str:
    """Return what there is at most: `60 per minute`; of a bucket, `5 at once, 60 per minute`."""
    limit, at_once = meter.limit, meter.usage.limit
    if not isinstance(at_once, int) or not isinstance(meter.size, int) or at_once == meter.size:
        return sized(limit, at_once)
    return f"{amount(limit, at_once)} at once, {more_of(limit, meter.size)}"


def _percent(share: float) -> str:
    """Return a percentage that says 100 only when nothing is left."""
    return f"{int(share * 100):,} %"


def _said(meter: UsageMeter, policy: Policy) -> Iterator[str]:
    limit, usage = meter.limit, meter.usage
    if usage.resets_at is not None and usage.limit:
        word = "period ends" if isinstance(limit, Quota) else "all of it back"
        heading = "" if meter.projected is None else f"; projected then: {_heading(meter)}"
        if isinstance(limit, Quota) or usage.used:
            yield f"{word} {moment(usage.resets_at)}{heading}"
    label = "at 100 %: " if usage.limit and usage.limit is not UNLIMITED else ""
    yield "; ".join((f"{label}{when_full(meter)}", *_ways(meter, policy), *_outage(meter)))


def _ways(meter: UsageMeter, policy: Policy) -> Iterator[str]:
    """Return who has more of the limit."""
    if meter.remedy and meter.remedy.tier and meter.more is not None:
        yield f"tier {meter.remedy.tier} has {sized(meter.limit, meter.more)}"
    if meter.remedy and meter.remedy.add_on:
        price = policy.add_ons[meter.remedy.add_on].price
        yield f"add-on {meter.remedy.add_on}{f' ({price})' if price else ''} adds some"


def _outage(meter: UsageMeter) -> Iterator[str]:
    """Return what is answered while the store is away; nobody is refused for its sake who would not be otherwise."""
    if not meter.usage.limit:
        return
    passes = meter.usage.limit is UNLIMITED or meter.limit.mode is Mode.SHADOW
    yield f"without the store: {'allowed' if passes else OUTAGES[meter.limit.on_outage]}"


def _heading(meter: UsageMeter) -> str:
    """Return where a quota is heading, beside its limit."""
    limit, projected, size = meter.limit, meter.projected, meter.usage.limit
    assert projected is not None
    if not isinstance(size, int) or not size:
        return amount(limit, projected)
    over = f", {amount(limit, projected - size)} over" if projected > size else ""
    return f"{amount(limit, projected)} ({_percent(projected / size)}{over})"
