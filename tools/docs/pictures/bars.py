"""Bar charts of recorded results: the flagship charge, and what one window holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.docs.pictures.svg import EDGE, WIDTH, bar, framed, line, text

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
NAMES, ROW, TALL = 330, 34, 20

CHARGES = {
    "ours-async": "entitlements: a rate",
    "ours-two-async": "entitlements: a rate and a quota",
    "ours-three-async": "entitlements: a rate, a quota and seats",
    "redis-two-async": "a rate and a quota, a script written by hand",
    "limits-fixed-async": "limits: one hit",
    "limits-two-async": "limits: two hits",
    "limits-three-async": "limits: three hits",
}
LIMITERS = {
    "ours": "entitlements, sliding",
    "pyrate": "pyrate-limiter (keeps every request)",
    "limits-sliding": "limits, sliding-window counter",
    "throttled": "throttled-py, gcra",
    "halt": "halt-rate, token bucket",
    "limits-fixed": "limits, fixed window",
}


def flagship() -> str:
    """Return the chart of charges a second on a Valkey."""
    raw = json.loads((RESULTS / "flagship-valkey-9.json").read_text(encoding="utf-8"))
    rates = {each["case"]: each["figures"]["rate"] for each in raw["records"]}
    said = [
        "Decisions a second of one asyncio process: 64 tasks, 1,000 accounts, all or nothing, Valkey 9.",
        _machine(raw),
    ]
    rows = [
        (name, rates[case], f"{float(format(rates[case], '.3g')):,.0f}", case.startswith("ours"))
        for case, name in CHARGES.items()
    ]
    return framed("Several limits in one charge", said, 96 + ROW * len(rows) + 12, _bars(rows, 96, max(rates.values())))


def any_window() -> str:
    """Return the chart of the most units that one window held."""
    raw = json.loads((RESULTS / "hot-loads.json").read_text(encoding="utf-8"))
    figures = {each["case"]: each["figures"] for each in raw["records"] if each["section"] == "window"}
    limit, seconds = figures["ours"]["limit"], figures["ours"]["seconds"]
    said = [
        f"The most units in any window of {seconds} s under “{limit} in {seconds} s”, asked at the edges where a window is worst.",
        "Buckets (gcra, token bucket) hold a burst and refill at the same time, by design.",
        _machine(raw),
    ]
    most = {case: figures[case]["most"] for case in LIMITERS}
    rows = [(name, most[case], f"{most[case]}", case == "ours") for case, name in LIMITERS.items()]
    x = NAMES + (WIDTH - NAMES - EDGE - 70) * limit / max(most.values())
    foot = 116 + ROW * len(rows)
    mark = [line("limit", x, 104, x, foot), text(x, foot + 18, f"limit {limit}", "small", "middle")]
    return framed("What one window holds", said, foot + 34, [*_bars(rows, 116, max(most.values())), *mark])


def _machine(raw: dict[str, Any]) -> str:
    return raw["machine"].partition(";")[0].replace("(R)", "").replace("  ", " ") + "."


def _bars(rows: list[tuple[str, float, str, bool]], top: float, most: float) -> list[str]:
    parts = []
    for at, (name, value, shown, is_ours) in enumerate(rows):
        y, wide = top + ROW * at, (WIDTH - NAMES - EDGE - 70) * value / most
        kind = "strong" if is_ours else ""
        parts += [
            text(NAMES - 12, y + 15, name, kind, "end"),
            bar("ours" if is_ours else "peer", NAMES, y, wide, TALL),
            text(NAMES + wide + 8, y + 15, shown, kind),
        ]
    return parts
