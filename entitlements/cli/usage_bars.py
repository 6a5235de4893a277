"""Usage meters as bars of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.text import Text

from entitlements.cli.console import CliConsole
from entitlements.cli.wrap import wrap_text
from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Mode, OnOutage, Quota
from entitlements.model.overage import overage_of
from entitlements.presentation.formatting import format_amount, format_limit, format_rate, format_time
from entitlements.presentation.usage_meters import UsageMeter, effect_of_full, is_suspended, per_scope

WIDTH = 20
BarCharacters = tuple[str, str, str]
"""For the used, the reserved and the remaining part."""
BAR: BarCharacters = ("█", "▒", "░")
ASCII_BAR: BarCharacters = ("#", "=", ".")
OUTAGES = {OnOutage.LOCAL: "each process limits its share", OnOutage.ALLOW: "allowed", OnOutage.DENY: "refused"}


def usage_lines(
    console: CliConsole, entitlements: Entitlements, scope: str | None, meters: Sequence[UsageMeter]
) -> Iterator[Text]:
    """
    Yield a heading, a bar with details for each limit that is included, and the names of the others.

    Args:
        console: Its width and its encoding determine the lines.
        entitlements: The snapshot of the account.
        scope: The scope of the limits that are kept per scope, if any.
        meters: The limits of the account.
    """
    tier = f"on tier {entitlements.tier}" if entitlements.tier else "has no tier that the policy knows"
    yield Text.assemble((entitlements.account, "bold"), f": {tier}{f', scope {scope}' if scope else ''}")
    if is_suspended(entitlements):
        yield Text("suspended: every charge is refused, whatever is left", "bold red")
    included = [each for each in meters if each.usage.limit is not NOT_INCLUDED]
    indent = max((len(each.limit.name) for each in included), default=0)
    room = console.wrap_width and max(20, console.wrap_width - indent - 2)
    for each in included:
        bar = _bar(each, ASCII_BAR if console.is_ascii else BAR)
        first, *rest = wrap_text(_counts(each), room and room - len(bar) - 2)
        yield Text.assemble((f"{each.limit.name:<{indent}}", "bold"), "  ", (bar, _style(each)), f"  {first}")
        yield from (Text(" " * (indent + len(bar) + 4) + line) for line in rest)
        for detail in _details(each):
            yield from (Text(" " * (indent + 2) + line, "dim") for line in wrap_text(detail, room, "  "))
    missing = [each.limit.name for each in meters if each.usage.limit is NOT_INCLUDED]
    if missing:
        yield Text(f"not included: {', '.join(missing)}", "dim")
    if hidden := per_scope(entitlements, scope):
        names = ", ".join(f"{name} per {per}" for name, per in hidden.items())
        line = f"not shown, because it is counted for each scope: {names}; add --scope"
        yield from (Text(each, "dim") for each in wrap_text(line, console.wrap_width, "  "))


def _bar(meter: UsageMeter, characters: BarCharacters) -> str:
    """Return the bar: full only if the limit is reached, empty only if nothing is used or nothing limits it."""
    size, used, reserved = meter.usage.limit, meter.usage.used or 0, meter.usage.reserved
    if not isinstance(size, int):
        return characters[2] * WIDTH
    filled = _cells(used, size)
    settled = min(filled, _cells(used - reserved, size))
    return characters[0] * settled + characters[1] * (filled - settled) + characters[2] * (WIDTH - filled)


def _cells(used: int, size: int) -> int:
    if used <= 0:
        return 0
    return WIDTH if used >= size else max(1, used * WIDTH // size)


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
    reserved = f", {format_amount(limit, usage.reserved)} of it reserved" if usage.reserved else ""
    of = " used, " if usage.limit is UNLIMITED else " of "
    over = f", {format_amount(limit, usage.overage)} of it overage" if usage.overage else ""
    left = f", {format_amount(limit, usage.remaining)} left" if isinstance(usage.remaining, int) and usage.limit else ""
    return f"{format_amount(limit, usage.used)}{of}{size}{share}{reserved}{over}{left}"


def _size(meter: UsageMeter) -> str:
    """Return the size of the limit: `60 per minute`; of a token bucket, `5 at once, 60 per minute`."""
    limit, at_once = meter.limit, meter.usage.limit
    if overage_of(meter.size):
        return format_limit(limit, meter.size)
    if not isinstance(at_once, int) or not isinstance(meter.size, int) or at_once == meter.size:
        return format_limit(limit, at_once)
    return f"{format_amount(limit, at_once)} at once, {format_rate(limit, meter.size)}"


def _percent(share: float) -> str:
    """Return a percentage, rounded down: 100 % only if the limit is reached."""
    return f"{int(share * 100):,} %"


def _details(meter: UsageMeter) -> Iterator[str]:
    """Yield the reset with the projection, then the effect of reaching the limit with its remedies."""
    limit, usage = meter.limit, meter.usage
    if usage.resets_at is not None and usage.limit and (isinstance(limit, Quota) or usage.used):
        event = "period ends" if isinstance(limit, Quota) else "all of it back"
        projection = "" if meter.projected is None else f"; projected then: {_projection(meter)}"
        yield f"{event} {format_time(usage.resets_at)}{projection}"
    label = "at 100 %: " if usage.limit and usage.limit is not UNLIMITED else ""
    yield "; ".join((f"{label}{effect_of_full(meter)}", *_remedies(meter), *_outage(meter)))


def _remedies(meter: UsageMeter) -> Iterator[str]:
    """Yield the tier and the add-on that have more of the limit."""
    if meter.remedy and meter.remedy.tier and meter.more is not None:
        (tier,) = replace(meter.remedy, add_on=None).ways(str, prices=True)
        yield f"{tier} has {format_limit(meter.limit, meter.more)}"
    if meter.remedy and meter.remedy.add_on:
        (add_on,) = replace(meter.remedy, tier=None).ways(str, prices=True)
        yield f"{add_on} adds some"


def _outage(meter: UsageMeter) -> Iterator[str]:
    """Yield the decision during an outage of the store; it never refuses a charge that no limit would refuse."""
    if not meter.usage.limit:
        return
    is_unchecked = UNLIMITED in (meter.usage.limit, overage_of(meter.size)) or meter.limit.mode is Mode.SHADOW
    yield f"without the store: {'allowed' if is_unchecked else OUTAGES[meter.limit.on_outage]}"


def _projection(meter: UsageMeter) -> str:
    """Return the projected usage of a quota, with its share of the limit."""
    limit, projected, size = meter.limit, meter.projected, meter.usage.limit
    assert projected is not None
    if not isinstance(size, int) or not size:
        return format_amount(limit, projected)
    over = f", {format_amount(limit, projected - size)} over" if projected > size else ""
    return f"{format_amount(limit, projected)} ({_percent(projected / size)}{over})"
