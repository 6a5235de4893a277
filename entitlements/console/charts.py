"""Bar charts as geometry, which templates draw as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.presentation.formatting import format_amount

if TYPE_CHECKING:
    from entitlements.model.limits import Limit
    from entitlements.model.usage import Period

STEP = 44
HEIGHT = 96
_TOP = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """
    A bar with its label.

    Args:
        x: Of its left edge.
        y: Of its top.
        height: Of the bar.
        label: Below it.
        title: The figures in words.
        is_full: True if the limit was reached.
        limit: The height at which the limit lies, from the top; None if it is out of the chart.
    """

    x: int
    y: float
    height: float
    label: str
    title: str
    is_full: bool
    limit: float | None


@dataclass(frozen=True, slots=True)
class BarChart:
    """
    A bar chart.

    Args:
        width: Of the drawing.
        height: Of the bars.
        bars: From the left.
        title: The chart in one sentence.
    """

    width: int
    height: int
    bars: Sequence[Bar]
    title: str


def history_chart(limit: Limit, periods: Sequence[Period]) -> BarChart:
    """Return the periods of a quota, newest first, as bars from the oldest on."""
    most = max(each.used for each in periods) or 1
    sizes = [int(each.limit) for each in periods if isinstance(each.limit, int) and each.limit <= most * 4]
    top = max([most, *sizes])
    bars = [_bar(limit, at, each, top) for at, each in enumerate(reversed(periods))]
    title = f"{limit.name}: units used in {len(periods)} periods, at most {format_amount(limit, most)}"
    return BarChart(STEP * len(bars), HEIGHT, bars, title)


def _bar(limit: Limit, at: int, period: Period, top: int) -> Bar:
    room = HEIGHT - _TOP
    height = 0.0 if not period.used else max(1.5, round(period.used / top * room, 1))
    size = int(period.limit) if isinstance(period.limit, int) else None
    line = None if size is None or size > top else round(HEIGHT - size / top * room, 1)
    of = "" if size is None else f" of {format_amount(limit, size)}"
    title = f"{period.start:%Y-%m-%d}: {format_amount(limit, period.used)}{of}"
    is_long = period.end is None or (period.end - period.start).days > 27
    label = (
        f"{period.start:%d %b}"
        if not is_long
        else f"{period.start:%Y}"
        if period.start.month == 1
        else f"{period.start:%b}"
    )
    return Bar(at * STEP, HEIGHT - height, height, label, title, size is not None and period.used >= size, line)
