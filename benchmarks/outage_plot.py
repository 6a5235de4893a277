"""Timeline of an outage as SVG: paths of decisions above, times below."""

from __future__ import annotations

from math import log10

WIDTH, LEFT, RIGHT = 860, 64, 20
TOP, SHARES, GAP, TIMES, BOTTOM = 64, 130, 40, 190, 44
BIN = 0.25
"""Seconds of each column."""
LEAST, MOST = 1e-5, 0.2
"""Seconds at the foot and at the head of the logarithmic scale."""
WORDS = {
    "store": "counted by the store", "local": "decided here, let through", "refused": "refused here (503)",
}  # fmt: skip
HAPPENED = {"stop": "server stopped", "resume": "resumed", "kill": "server killed", "start": "started"}

LABEL = "Decision path and latency while the server is stopped, resumed, killed and started"

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #3d4451 }
  .title { font-size: 14px; font-weight: 600 }
  .store { fill: #2f6f9f } .local { fill: #e0a030 } .refused { fill: #b8433a }
  .grid { stroke: #d5d9e0 } .axis { stroke: #3d4451 } .event { stroke: #3d4451; stroke-dasharray: 3 3 }
  .p50 { fill: none; stroke: #2f6f9f; stroke-width: 1.6 } .p99 { fill: none; stroke: #b8433a; stroke-width: 1.6 }
  @media (prefers-color-scheme: dark) {
    text { fill: #d3d8e2 } .grid { stroke: #3a4050 } .axis, .event { stroke: #d3d8e2 }
    .store, .p50 { fill: #5aa5dc } .local { fill: #e8b14a } .refused { fill: #e06a5f }
    .p50 { fill: none; stroke: #5aa5dc } .p99 { stroke: #e06a5f }
  }
"""


def drawn(decisions, happened, paths, lasts):
    """
    Return the timeline as SVG.

    Args:
        decisions: Start, duration and path of each decision, in seconds.
        happened: Time of each fault of the server.
        paths: Paths of decisions, in the order of the legend.
        lasts: Length of the timeline, in seconds.
    """
    columns = _columns(decisions, lasts)
    height = TOP + SHARES + GAP + TIMES + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{LABEL}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="20">Who decides, and how long it takes, through two outages</text>',
        *_legend(paths),
        *_shares(columns, paths, lasts),
        *_times(columns, lasts),
        *_events(happened, lasts, height),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _columns(decisions, lasts):
    columns = [[] for _ in range(int(lasts / BIN))]
    for at, took, path in decisions:
        if 0 <= at < lasts:
            columns[int(at / BIN)].append((took, path))
    return columns


def _x(seconds, lasts):
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / lasts


def _y(seconds):
    share = (log10(min(MOST, max(LEAST, seconds))) - log10(LEAST)) / (log10(MOST) - log10(LEAST))
    return TOP + SHARES + GAP + TIMES * (1 - share)


def _legend(paths):
    x = LEFT
    for path in paths:
        yield f'<rect class="{path}" x="{x}" y="32" width="12" height="12"/><text x="{x + 18}" y="42">{WORDS[path]}</text>'
        x += 190


def _shares(columns, paths, lasts):
    """Draw, for each column, the share of decisions of each path."""
    wide = (WIDTH - LEFT - RIGHT) * BIN / lasts
    for at, column in enumerate(columns):
        below = float(TOP + SHARES)
        for path in paths:
            tall = SHARES * sum(each == path for _, each in column) / len(column) if column else 0
            below -= tall
            if tall:
                yield (
                    f'<rect class="{path}" x="{_x(at * BIN, lasts):.1f}" y="{below:.1f}" '
                    f'width="{wide + 0.2:.1f}" height="{tall:.1f}"/>'
                )
    yield f'<text x="{LEFT - 8}" y="{TOP + 4}" text-anchor="end">100 %</text>'
    yield f'<text x="{LEFT - 8}" y="{TOP + SHARES + 4}" text-anchor="end">0 %</text>'


def _times(columns, lasts):
    """Draw the median and the 99th percentile of each column."""
    for seconds, said in (
        (1e-5, "10 µs"),
        (1e-4, "100 µs"),
        (1e-3, "1 ms"),
        (1e-2, "10 ms"),
        (0.05, "50 ms"),
        (0.2, ""),
    ):
        y = _y(seconds)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{said}</text>'
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        points = []
        for at, column in enumerate(columns):
            if column:
                ordered = sorted(took for took, _ in column)
                took = ordered[min(len(ordered) - 1, int(share * len(ordered)))]
                points.append(f"{_x((at + 0.5) * BIN, lasts):.1f},{_y(took):.1f}")
        yield f'<polyline class="{name}" points="{" ".join(points)}"/>'
    y = TOP + SHARES + GAP - 8
    yield f'<text x="{LEFT}" y="{y}">time of a decision: median (blue) and 99th percentile (red) of each quarter of a second</text>'


def _events(happened, lasts, height):
    foot = height - BOTTOM
    for seconds in range(0, lasts + 1, 10):
        x = _x(seconds, lasts)
        yield f'<text x="{x:.1f}" y="{foot + 18}" text-anchor="middle">{seconds} s</text>'
    yield f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{foot}" y2="{foot}"/>'
    for what, at in happened.items():
        x = _x(at, lasts)
        yield f'<line class="event" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{foot}"/>'
        yield f'<text x="{x + 4:.1f}" y="{TOP - 6}">{HAPPENED[what]}</text>'
