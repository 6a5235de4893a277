"""Charts as inline SVG, with the colours and fonts of the page."""

from decimal import Decimal
from html import escape
from math import log10

WIDTH = 1000


def tag(name: str, text: str = "", /, **attributes: object) -> str:
    """Return an element; attributes in Python spelling: `class_`, `stroke_width`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return f"<{name}{written}>{text}</{name}>"


def stacked(rows: list[tuple[str, str, list[tuple[str, str, float, str]]]]) -> str:
    """Return horizontal stacked bars; each row is a name, a total, and parts (class, name, share of 1, text)."""
    left, right, height, gap = 150, 0, 46, 22
    drawn = []
    for at, (name, total, parts) in enumerate(rows):
        y = at * (height + gap) + 4
        drawn.append(tag("text", escape(name), class_="label", x=0, y=y + 20))
        drawn.append(tag("text", escape(total), class_="faint", x=0, y=y + 38))
        x, width = float(left), WIDTH - left - right
        for kind, title, share, text in parts:
            size = share * width
            hint = tag("title", escape(f"{title}: {text}"))
            drawn.append(
                tag(
                    "rect",
                    hint,
                    class_=f"fill {kind}",
                    x=f"{x:.1f}",
                    y=y,
                    width=f"{max(size - 2, 1):.1f}",
                    height=height,
                    rx=3,
                )
            )
            if size > 13 * len(text) ** 0.92:
                middle = f"{x + size / 2 - 1:.1f}"
                drawn.append(
                    tag("text", escape(text), class_=f"inside {kind}", x=middle, y=y + 28, text_anchor="middle")
                )
            x += size
    return _svg("".join(drawn), len(rows) * (height + gap))


def curve(values: list[Decimal], cuts: list[tuple[str, str, Decimal | None]]) -> str:
    """Return the cumulative curve of *values*, largest first, with the cuts of the segments."""
    height, left, bottom, top = 330, 60, 40, 14
    total, ordered = float(sum(values)), sorted(map(float, values), reverse=True)
    across, up = WIDTH - left - 10, height - bottom - top

    def place(count: float, share: float) -> tuple[float, float]:
        return left + across * count / len(ordered), top + up * (1 - share)

    drawn, line, done, bands = [], [place(0, 0)], 0.0, []
    cut, begun = 0, 0
    for at, value in enumerate(ordered):
        below = cuts[cut][2]
        if below is not None and done * 100 >= float(below) * total:
            bands.append((cut, begun, at, done / total))
            cut, begun = cut + 1, at
        done += value
        line.append(place(at + 1, done / total))
    bands.append((cut, begun, len(ordered), 1.0))
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, y = place(0, share)
        drawn.append(tag("line", class_="grid", x1=left, x2=WIDTH - 10, y1=f"{y:.1f}", y2=f"{y:.1f}"))
        drawn.append(tag("text", f"{share:.0%}", class_="faint", x=left - 10, y=f"{y + 5:.1f}", text_anchor="end"))
    floor = place(0, 0)[1]
    for cut, first, last, _ in bands:
        kind, name, _ = cuts[cut]
        points = [f"{x:.1f},{y:.1f}" for x, y in line[first : last + 1]]
        start, end = place(first, 0)[0], place(last, 0)[0]
        drawn.append(
            tag(
                "polygon",
                tag("title", escape(f"{name}: {last - first} accounts")),
                class_=f"fill soft {kind}",
                points=f"{start:.1f},{floor:.1f} {' '.join(points)} {end:.1f},{floor:.1f}",
            )
        )
        if end - start > 40:
            drawn.append(
                tag(
                    "text",
                    f"{last - first}",
                    class_="label",
                    x=f"{(start + end) / 2:.1f}",
                    y=f"{floor - 12:.1f}",
                    text_anchor="middle",
                )
            )
        else:
            drawn.append(
                tag(
                    "text",
                    f"{last - first}",
                    class_="label",
                    x=f"{(start + end) / 2:.1f}",
                    y=f"{floor + 20:.1f}",
                    text_anchor="middle",
                )
            )
    drawn.append(tag("polyline", class_="line", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in line)))
    drawn.append(
        tag("text", "accounts, the largest first", class_="faint", x=WIDTH - 10, y=height - 8, text_anchor="end")
    )
    return _svg("".join(drawn), height)


def scatter(points: list[tuple[str, str, Decimal, Decimal]], over: Decimal, under: Decimal) -> str:
    """Return a log-log scatter plot of what accounts pay and what serving them costs: class, name, pays, costs."""
    height, left, bottom, top = 420, 70, 50, 16
    low_x, high_x = 2.5, 5.8
    low_y, high_y = 1.5, 4.7
    across, up = WIDTH - left - 20, height - bottom - top

    def place(pays: float, costs: float) -> tuple[float, float]:
        return left + across * (pays - low_x) / (high_x - low_x), top + up * (1 - (costs - low_y) / (high_y - low_y))

    drawn = []
    for power in range(3, 6):
        x, _ = place(power, low_y)
        drawn.append(tag("line", class_="grid", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=top, y2=height - bottom))
        drawn.append(
            tag("text", f"${10**power:,}", class_="faint", x=f"{x:.1f}", y=height - bottom + 20, text_anchor="middle")
        )
    for power in range(2, 5):
        _, y = place(low_x, power)
        drawn.append(tag("line", class_="grid", x1=left, x2=WIDTH - 20, y1=f"{y:.1f}", y2=f"{y:.1f}"))
        drawn.append(tag("text", f"${10**power:,}", class_="faint", x=left - 8, y=f"{y + 5:.1f}", text_anchor="end"))
    for percent, kind in ((over, "over"), (under, "under")):
        shift = log10(float(percent) / 100)
        first, last = max(low_x, low_y - shift), min(high_x, high_y - shift)
        (x1, y1), (x2, y2) = place(first, first + shift), place(last, last + shift)
        drawn.append(
            tag("line", class_=f"bound {kind}", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}")
        )
        words = f"costs {percent} % of what it pays"
        along, aside, anchor = (0.3, (-10, -8), "end") if kind == "over" else (0.62, (12, 18), "start")
        x, y = place(first + along * (last - first), first + along * (last - first) + shift)
        x, y = x + aside[0], y + aside[1]
        drawn.append(tag("text", words, class_=f"faint {kind}", x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor))
    for kind, name, pays, costs in points:
        x, y = place(log10(float(pays)), log10(float(costs)))
        hint = tag("title", escape(f"{name}: pays ${pays:,.0f}, costs ${costs:,.0f}"))
        drawn.append(tag("circle", hint, class_=f"fill dot {kind}", cx=f"{x:.1f}", cy=f"{y:.1f}", r=6))
    drawn.append(tag("text", "pays a year", class_="faint", x=WIDTH - 20, y=height - 8, text_anchor="end"))
    drawn.append(tag("text", "serving it costs a year", class_="faint", x=left + 6, y=top + 8))
    return _svg("".join(drawn), height)


def spark(values: tuple[int, ...], limit: int) -> str:
    """Return six months as small columns; the part above the limit has another colour."""
    most = max([*values, limit])
    bars = []
    for at, value in enumerate(values):
        tall = 22 * min(value, limit) / most
        bars.append(tag("rect", class_="bar", x=at * 9, y=f"{24 - tall:.1f}", width=7, height=f"{tall:.1f}"))
        if value > limit:
            more = 22 * (value - limit) / most
            bars.append(
                tag("rect", class_="bar beyond", x=at * 9, y=f"{24 - tall - more:.1f}", width=7, height=f"{more:.1f}")
            )
    line = f"{24 - 22 * limit / most:.1f}"
    bars.append(tag("line", class_="limit", x1=0, x2=54, y1=line, y2=line))
    label = ", ".join(f"{value:,}" for value in values)
    return f'<svg class="spark" viewBox="0 0 54 24" role="img" aria-label="{label}"><title>{label}</title>{"".join(bars)}</svg>'


def _svg(inside: str, height: float) -> str:
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img">{inside}</svg>'
