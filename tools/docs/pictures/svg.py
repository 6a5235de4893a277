"""The frame, the colours and the bars that all pictures share; each is readable in light and in dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

WIDTH = 860
EDGE = 24

STYLE = """
  .card { fill: #ffffff; stroke: #d5d9e0 }
  text { font: 13px system-ui, sans-serif; fill: #3d4451 }
  .title { font-size: 16px; font-weight: 600 } .strong { font-weight: 600 } .small { font-size: 12px }
  .grid { stroke: #e3e6eb } .axis { stroke: #8a919e } .limit { stroke: #b8433a; stroke-dasharray: 6 4; stroke-width: 1.5 }
  .ours { fill: #2f6f9f } .peer { fill: #b9bfca }
  .tick { stroke: #2f6f9f; stroke-width: 1.6 } .tick.no { stroke: #d9867f }
  .area { fill: #2f6f9f; fill-opacity: 0.25 } .line { fill: none; stroke: #2f6f9f; stroke-width: 2; stroke-linejoin: round }
  @media (prefers-color-scheme: dark) {
    .card { fill: #14171e; stroke: #333a48 } text { fill: #d3d8e2 } .grid { stroke: #2a303c } .axis { stroke: #7d8595 }
    .limit { stroke: #e06a5f } .ours, .area { fill: #5aa5dc } .peer { fill: #565e6d }
       .line, .tick { stroke: #5aa5dc } .tick.no { stroke: #9c544e }
  }
"""


def framed(title: str, said: Sequence[str], height: int, parts: Iterable[str]) -> str:
    """Return a whole picture: a card with a title, lines of text, and the parts."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
            f"<style>{STYLE}</style>",
            f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
            text(EDGE, 32, title, "title"),
            *(text(EDGE, 53 + 18 * at, line) for at, line in enumerate(said)),
            *parts,
            "</svg>",
            "",
        ]
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return a line of text."""
    style = f' class="{kind}"' if kind else ""
    where = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}"{where}>{escape(words)}</text>'


def bar(kind: str, x: float, y: float, width: float, height: float) -> str:
    """Return a filled rectangle."""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" rx="2"/>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Return a straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
