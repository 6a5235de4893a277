"""Round trips: percentiles, and a judgement against the deadline of rates. Pure."""

from __future__ import annotations

from entitlements.cli.doctor.facts import FindingSeverity, Judgement
from entitlements.model.limits import Rate

DEADLINE = Rate("").deadline
"""The default deadline of a rate, in microseconds."""
PERCENTILES = (50, 95, 99)


def percentile(round_trips: tuple[int, ...], percent: int) -> int:
    """Return a percentile by the nearest rank: the least value that *percent* of all values do not exceed."""
    ranked = sorted(round_trips)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def percentiles(round_trips: tuple[int, ...]) -> dict[str, int]:
    """Return the percentiles by name; an empty dictionary if nothing was measured."""
    return {f"p{each}": percentile(round_trips, each) for each in PERCENTILES} if round_trips else {}


def judge(round_trips: tuple[int, ...]) -> Judgement:
    """Return the judgement of at least one round trip."""
    ranks = percentiles(round_trips)
    found = f"{', '.join(f'{name} {format_micros(each)}' for name, each in ranks.items())}, of {len(round_trips)}"
    cure = "bring server and application nearer to each other; look for swapping, slow commands and a busy processor"
    deadline = format_micros(DEADLINE)
    if ranks["p50"] > DEADLINE:
        return FindingSeverity.PROBLEM, f"{found}: most rates would miss their deadline of {deadline}", cure
    if ranks["p99"] * 2 > DEADLINE:
        return FindingSeverity.WARNING, f"{found}: near the deadline of rates, {deadline}", cure
    return FindingSeverity.FINE, found, ""


def format_micros(micros: int) -> str:
    """Return microseconds as milliseconds, or as seconds from one second on."""
    if micros < 1_000_000:
        return f"{micros / 1000:.2f} ms" if micros < 10_000 else f"{micros / 1000:.0f} ms"
    return f"{micros / 1_000_000:,.1f} s"
