"""Charts as inline SVG, with the colours and fonts of the page; the tiers have the classes t0 to t4."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH = 1000
_LEFT = 200


class BarPart(NamedTuple):
    """A part of a bar: its class, its title, its share of the bar (0 to 1), and the text inside."""

    kind: str
    title: str
    share: float
    text: str


class ChartColumn(NamedTuple):
    """A column of a chart: the label below, its height, and the text above."""

    label: str
    value: float
    text: str


class BarPair(NamedTuple):
    """Two bars of one row: the needed and the present number, with the texts behind them."""

    label: str
    needed: float
    present: float | None
    text: str


def tag(name: str, text: str = "", /, **attributes: object) -> str:
    """Return an element; attributes in Python spelling: `class_`, `text_anchor`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return f"<{name}{written}>{text}</{name}>"


def stacked_bars(rows: Sequence[tuple[str, str, Sequence[BarPart]]], title: str) -> str:
    """Return horizontal stacked bars; a row is a name, a total, and its parts."""
    height, gap = 44, 20
    drawn = []
    for at, (name, total, parts) in enumerate(rows):
        y = at * (height + gap) + 4
        drawn += [_text(name, 0, y + 19, "label"), _text(total, 0, y + 37, "faint")]
        x, width = float(_LEFT), WIDTH - _LEFT
        for part in parts:
            size = part.share * width
            hint = tag("title", escape(f"{part.title}: {part.text}"))
            box = {"x": f"{x:.1f}", "y": y, "width": f"{max(size - 2, 1):.1f}", "height": height, "rx": 3}
            drawn.append(tag("rect", hint, class_=f"fill {part.kind}", **box))
            if size > 9 * len(part.text) + 8:
                drawn.append(_text(part.text, x + size / 2 - 1, y + 28, f"inside {part.kind}", "middle"))
            x += size
    return _svg("".join(drawn), len(rows) * (height + gap), title)


def columns(items: Sequence[ChartColumn], title: str, height: int = 190) -> str:
    """Return vertical columns with their texts above and their labels below."""
    most = max((item.value for item in items), default=0) or 1
    step = WIDTH / max(len(items), 1)
    floor, tall = height - 24, height - 54
    drawn = [tag("line", class_="grid", x1=0, x2=WIDTH, y1=floor, y2=floor)]
    for at, item in enumerate(items):
        size = tall * item.value / most
        x, middle = at * step + step * 0.14, at * step + step / 2
        hint = tag("title", escape(f"{item.label}: {item.text}"))
        box = {"x": f"{x:.1f}", "y": f"{floor - size:.1f}", "width": f"{step * 0.72:.1f}", "height": f"{size:.1f}"}
        drawn.append(tag("rect", hint, class_="fill t1", rx=3, **box))
        drawn.append(_text(item.text, middle, floor - size - 8, "faint", "middle"))
        drawn.append(_text(item.label, middle, height - 6, "faint", "middle"))
    return _svg("".join(drawn), height, title)


def paired_bars(rows: Sequence[BarPair], title: str) -> str:
    """Return two bars for each row: the needed number, and below it the present or planned one."""
    most = max((value for row in rows for value in (row.needed, row.present or 0)), default=0) or 1
    height = 48
    width = WIDTH - _LEFT - 230
    drawn = []
    for at, row in enumerate(rows):
        y = at * height + 4
        drawn.append(_text(row.label, 0, y + 21, "label"))
        for value, kind, down in ((row.needed, "t0", 0), (row.present, "plan", 15)):
            if value is not None:
                box = {"x": _LEFT, "y": y + down + 4, "width": f"{max(width * value / most, 1):.1f}", "height": 12}
                drawn.append(tag("rect", tag("title", escape(f"{value:g}")), class_=f"fill {kind}", rx=3, **box))
        drawn.append(_text(row.text, WIDTH, y + 21, "faint", "end"))
    return _svg("".join(drawn), len(rows) * height, title)


def _text(text: str, x: float, y: float, kind: str, anchor: str = "start") -> str:
    return tag("text", escape(text), class_=kind, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _svg(inside: str, height: float, title: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">{inside}</svg>'
    )
