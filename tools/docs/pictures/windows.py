"""The three laws of a rate under the same requests, as a memory store decides them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from entitlements import Enforcer, Policy
from entitlements.testing import FakeClock
from tools.docs.pictures.svg import EDGE, WIDTH, framed, line, text

LIMIT, WINDOW, LASTS = 20, 10, 50
"""Units, seconds, seconds."""
REQUESTS = [
    *(6 + each / 8 for each in range(32)),
    *(11 + each / 8 for each in range(32)),
    *(20 + each / 4 for each in range(120)),
]
"""Seconds of the requests: a burst on each side of an edge of two windows, then four a second."""
LAWS = {
    "sliding": "sliding, the default: at most 20 in any window of 10 s",
    "fixed": "fixed: windows aligned with the clock; at most 40 in one window of 10 s",
    "token-bucket": "token-bucket: a burst of 20, then 2 a second; at most 40 in one window of 10 s",
}
LEFT, TOP, TALL, ROW = 64, 96, 96, 176


def drawn() -> str:
    """Return the picture."""
    said = [
        f"The same {len(REQUESTS)} requests under “{LIMIT} per {WINDOW} s” by each algorithm. Ticks are requests: admitted above, refused below.",
        "The curve is what the last ten seconds hold; the dashed line is the limit.",
    ]
    parts = [part for at, law in enumerate(LAWS) for part in _panel(law, TOP + 32 + ROW * at)]
    return framed("What each window admits", said, TOP + 36 + ROW * len(LAWS), parts)


def admitted(law: str) -> list[bool]:
    """Return, for each request, whether a memory store admits it."""
    policy = {
        "policy": {"version": "1"},
        "limits": {"api": {"kind": "rate", "algorithm": law}},
        "tiers": {"pro": {"rank": 1, "limits": {"api": f"{LIMIT} per {WINDOW} s"}}},
    }
    begins = datetime(2026, 11, 30, 12, tzinfo=UTC)
    clock = FakeClock(begins)
    enforcer = Enforcer(Policy.parse(policy), accounts={"acme": "pro"}, clock=clock)
    passed = []
    for at in REQUESTS:
        clock.set(begins + timedelta(seconds=at))
        passed.append(bool(enforcer.consume("acme", "api")))
    return passed


def held(times: list[float], at: float) -> int:
    """Return how many of the times lie in the window that ends at a time."""
    return sum(at - WINDOW < each <= at for each in times)


def _x(at: float) -> float:
    return LEFT + (WIDTH - LEFT - EDGE) * at / LASTS


def _panel(law: str, top: float) -> list[str]:
    passed = admitted(law)
    times = [at for at, yes in zip(REQUESTS, passed, strict=True) if yes]
    foot, scale = top + TALL, TALL / (2.2 * LIMIT)
    steps = [each / 8 for each in range(LASTS * 8 + 1)]
    curve = [(_x(at), foot - scale * held(times, at)) for at in steps]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in curve)
    most = max(held(times, at) for at in times)
    parts = [
        text(LEFT, top - 12, LAWS[law], "strong"),
        text(WIDTH - EDGE, top - 12, f"most in 10 s: {most}", "strong", "end"),
    ]
    for at in range(0, LASTS + 1, WINDOW):
        parts += [line("grid", _x(at), top, _x(at), foot), text(_x(at), foot + 38, f"{at} s", "small", "middle")]
    for units in (0, LIMIT, 2 * LIMIT):
        parts.append(text(LEFT - 8, foot - scale * units + 4, str(units), "small", "end"))
    parts.append(f'<polygon class="area" points="{_x(0):.1f},{foot} {points} {_x(LASTS):.1f},{foot}"/>')
    parts.append(f'<polyline class="line" points="{points}"/>')
    parts += [
        line("limit", LEFT, foot - scale * LIMIT, WIDTH - EDGE, foot - scale * LIMIT),
        line("axis", LEFT, foot, WIDTH - EDGE, foot),
    ]
    for kind, wanted, y in (("tick", True, foot + 4), ("tick no", False, foot + 14)):
        ticks = "".join(f"M{_x(at):.1f} {y:.0f}v8" for at, yes in zip(REQUESTS, passed, strict=True) if yes is wanted)
        parts.append(f'<path class="{kind}" d="{ticks}"/>')
    return parts
