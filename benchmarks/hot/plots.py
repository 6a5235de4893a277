"""
Plots of the raw figures as SVG: times of decisions, with `PING` as a band; decisions a second; and the
units that each limiter admits in one window.

    python -m benchmarks.hot.plots [--server redis-7.0] [--json .bench/hot.json] [--folder .bench]
"""

from __future__ import annotations

import argparse
import json
from math import log10
from pathlib import Path
from statistics import median

from benchmarks.hot.environments import ROOT
from benchmarks.hot.figures import shares
from benchmarks.hot.holding import STEP
from benchmarks.hot.plan import LIMITERS, WORDS

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 860, 64, 24, 126, 44
TALL = 320
NAMES, ROW, GAP = 330, 22, 34
LEVELS = ((0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"))
CURVES = {
    "sequential": ("redis-ping", ("raw-script", "ours", "throttled", "limits-fixed", "limits-fixed-stats")),
    "sequential-async": (
        "redis-ping-async",
        ("protocol-script", "ours-async", "throttled-async", "limits-fixed-async", "limits-fixed-stats-async"),
    ),
    "open-poisson-50": ("ours-ping-async", ("ours-async",)),
}
"""By section: the case that is drawn as a band, and those that are drawn as lines."""
TITLES = {
    "sequential": "Time of a decision, one after the other, blocking",
    "sequential-async": "Time of a decision, one after the other, asyncio",
    "open-poisson-50": "Time of a decision from its intended start, Poisson arrivals at half of our capacity",
}
BARS = {"closed-64": "64 tasks", "closed-512": "512 tasks"}
OURS, OTHERS = "#2f6f9f", ("#8a8f99", "#e0a030", "#b8433a", "#7a4fa0", "#4f8f5f")

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #3d4451 }
  .title { font-size: 14px; font-weight: 600 } .strong { font-weight: 600 }
  .grid { stroke: #d5d9e0 } .axis, .range { stroke: #3d4451 } .limit { stroke: #3d4451; stroke-dasharray: 5 4 }
  .band { fill: #9aa3b0; fill-opacity: 0.35 } .line { fill: none; stroke-width: 1.8 }
  .ours { fill: #2f6f9f } .floor { fill: #9aa3b0 } .peer { fill: #e0a030 }
  @media (prefers-color-scheme: dark) {
    text { fill: #d3d8e2 } .grid { stroke: #3a4050 } .axis, .range, .limit { stroke: #d3d8e2 } .ours { fill: #5aa5dc }
  }
"""


def of(raw, section, server):
    """Return, by case, the figures of every round that did not fail."""
    found = {}
    for each in raw["records"]:
        if (each["section"], each["server"]) == (section, server) and "error" not in each["figures"]:
            found.setdefault(each["case"], []).append(each["figures"])
    return found


def framed(title, said, height, parts):
    """Return a whole SVG."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">'
    top = f'<text class="title" x="{LEFT}" y="20">{title}</text><text x="{LEFT}" y="38">{said}</text>'
    return "\n".join([head, f"<style>{STYLE}</style>", top, *parts, "</svg>", ""])


def _colour(case, cases):
    """Return the colour of a case."""
    others = [each for each in cases if not each.startswith("ours")]
    return OURS if case.startswith("ours") else OTHERS[others.index(case)]


def plain(case):
    """Return the name of a case without Markdown."""
    return WORDS[case].replace("*", "").replace("`", "")


# -- how long ------------------------------------------------------------------------------


def latency(raw, section, server):
    """Return the distributions of a section: the share of decisions above each time, in orders of magnitude."""
    floor, cases = CURVES[section]
    found = of(raw, section, server)
    known = [case for case in cases if case in found]
    curves = {case: _middle(found[case]) for case in known}
    band = list(zip(*(each["distribution"] for each in found[floor]), strict=True))
    low, high = min(map(min, band)), max(curve[-4] for curve in curves.values())
    scale = _Scale(low * 0.9, high * 1.05)
    parts = [*_times(scale), *_levels(), _band(scale, band)]
    for case in known:
        colour = _colour(case, known)
        points = " ".join(f"{scale.x(time):.1f},{_y(share):.1f}" for share, time in _drawn(curves[case]))
        parts.append(f'<polyline class="line" stroke="{colour}" points="{points}"/>')
    parts += _legend(floor, known)
    return framed(TITLES[section], _told(raw, server), TOP + TALL + BOTTOM, parts)


class _Scale:
    """Times on a logarithmic axis, in microseconds."""

    def __init__(self, least, most):
        self.least, self.most = least, most

    def x(self, time):
        share = (log10(min(self.most, max(self.least, time))) - log10(self.least)) / log10(self.most / self.least)
        return LEFT + (WIDTH - LEFT - RIGHT) * share


def _middle(rounds):
    return [median(times) for times in zip(*(each["distribution"] for each in rounds), strict=True)]


def _drawn(curve):
    """Yield share and time up to 99.9 %: above that are few decisions."""
    return [(share, time) for share, time in zip(shares(), curve, strict=True) if share <= 0.999]


def _y(share):
    return TOP + TALL * (1 + log10(1 - share) / 3)


def _band(scale, band):
    low = [(scale.x(min(times)), _y(share)) for share, times in _drawn(band)]
    high = [(scale.x(max(times)), _y(share)) for share, times in _drawn(band)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*low, *reversed(high)))
    return f'<polygon class="band" stroke="#9aa3b0" points="{points}"/>'


def _levels():
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{TOP + TALL}" y2="{TOP + TALL}"/>'
    for share, said in LEVELS:
        y = _y(share)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{said}</text>'


def _times(scale):
    for magnitude in range(6):
        for digit in (1, 2, 5):
            time = digit * 10**magnitude
            if scale.least <= time <= scale.most:
                x, said = scale.x(time), f"{time / 1000:g} ms" if time >= 1000 else f"{time} µs"
                yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + TALL}"/>'
                yield f'<text x="{x:.1f}" y="{TOP + TALL + 18}" text-anchor="middle">{said}</text>'


def _legend(floor, cases):
    swatches = [('class="band"', f"{plain(floor)}, all rounds")]
    swatches += [(f'fill="{_colour(case, cases)}"', plain(case)) for case in cases]
    for number, (style, said) in enumerate(swatches):
        x, y = LEFT + 400 * (number % 2), 64 + 20 * (number // 2)
        yield f'<rect {style} x="{x}" y="{y - 10}" width="12" height="12"/><text x="{x + 18}" y="{y}">{said}</text>'


# -- how many ------------------------------------------------------------------------------


def throughput(raw, server):
    """Return decisions a second as bars, with the least and the greatest of the rounds."""
    found = {section: of(raw, section, server) for section in BARS}
    most = max(each["rate"] for cases in found.values() for rounds in cases.values() for each in rounds)
    parts, y = [], 60
    for section, title in BARS.items():
        parts.append(f'<text class="strong" x="{LEFT}" y="{y + 8}">{title}</text>')
        y += ROW
        ordered = sorted(found[section].items(), key=lambda item: -median(each["rate"] for each in item[1]))
        for case, rounds in ordered:
            parts += _bar(case, [each["rate"] for each in rounds], most, y)
            y += ROW
        y += GAP - ROW
    return framed("Decisions a second of one process, 1,000 accounts", _told(raw, server), y, parts)


def _bar(case, rates, most, y):
    wide = (WIDTH - NAMES - RIGHT - 70) / most
    rate, start = median(rates), NAMES
    kind = "ours" if case.startswith("ours") else "floor" if WORDS[case].startswith("floor") else "peer"
    weight = ' class="strong"' if kind == "ours" else ""
    yield f'<text{weight} x="{start - 8}" y="{y + 5}" text-anchor="end">{plain(case)}</text>'
    yield f'<rect class="{kind}" x="{start}" y="{y - 7}" width="{rate * wide:.1f}" height="14"/>'
    low, high = (start + each * wide for each in (min(rates), max(rates)))
    yield f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
    yield f'<text x="{high + 6:.1f}" y="{y + 5}">{rate:,.0f}</text>'


# -- how many of a limit -------------------------------------------------------------------


def admitted(raw, server):
    """Return the units that each limiter has admitted in the window that ends now, over the time of the worst traffic."""
    found = {case: rounds[0] for case, rounds in of(raw, "window", server).items() if "held" in rounds[0]}
    cases = [case for case in LIMITERS if case in found]
    limit, seconds = found[cases[0]]["limit"], found[cases[0]]["seconds"]
    most = max(max(found[case]["held"]) for case in cases)
    lasts = STEP * len(found[cases[0]]["held"])
    wide, tall = (WIDTH - LEFT - RIGHT) / lasts, TALL / (most * 1.05)
    foot = TOP + TALL
    parts = [*_seconds(lasts, wide), f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{foot}" y2="{foot}"/>']
    for units in range(0, int(most * 1.05) + 1, limit // 2):
        y = foot - units * tall
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{units}</text>')
    for case in reversed(cases):  # ours on top
        points = " ".join(
            f"{LEFT + step * STEP * wide:.1f},{foot - units * tall:.1f}"
            for step, units in enumerate(found[case]["held"])
        )
        colour = _colour(case, cases)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{points}"/>')
    y = foot - limit * tall
    parts.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    parts.append(f'<text class="strong" x="{WIDTH - RIGHT}" y="{y - 6:.1f}" text-anchor="end">the limit</text>')
    for number, case in enumerate(cases):
        colour = _colour(case, cases)
        x, y = LEFT + 400 * (number % 2), 64 + 20 * (number // 2)
        said = f"{plain(case)}: {max(found[case]['held'])} at most"
        parts.append(f'<rect fill="{colour}" x="{x}" y="{y - 10}" width="12" height="12"/>')
        parts.append(f'<text x="{x + 18}" y="{y}">{said}</text>')
    title = f"Units in the last {seconds} seconds, limit {limit}, asked at the instants where a window is worst"
    return framed(title, _told(raw, server), foot + BOTTOM, parts)


def _seconds(lasts, wide):
    for second in range(int(lasts) + 1):
        x = LEFT + second * wide
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + TALL}"/>'
        yield f'<text x="{x:.1f}" y="{TOP + TALL + 18}" text-anchor="middle">{second} s</text>'


def _told(raw, server):
    many = len({each["round"] for each in raw["records"]})
    rounds = "1 round" if many == 1 else f"{many} rounds"
    return f"{server} ({raw['servers'][server]}), {rounds}, {raw['machine'].partition(';')[0]}"


def main(words=None) -> int:
    """Write every plot whose raw figures exist."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot.plots", description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=Path, default=ROOT / ".bench" / "hot.json")
    parser.add_argument("--server", help="server of the figures; the first one by default")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench")
    options = parser.parse_args(words)
    raw = json.loads(options.json.read_text(encoding="utf-8"))
    server = options.server or next(iter(raw["servers"]))
    drawings = {section: latency(raw, section, server) for section in CURVES if of(raw, section, server)}
    if all(of(raw, section, server) for section in BARS):
        drawings["throughput"] = throughput(raw, server)
    if any("held" in each for rounds in of(raw, "window", server).values() for each in rounds):
        drawings["window"] = admitted(raw, server)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in drawings.items():
        (options.folder / f"hot-{name}.svg").write_text(drawing, encoding="utf-8")
        print(options.folder / f"hot-{name}.svg")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
