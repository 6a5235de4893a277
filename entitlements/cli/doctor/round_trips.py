"""Round trips: how long they took, and whether that is quick enough. Pure."""

from __future__ import annotations

from entitlements.cli.doctor.facts import FindingSeverity
from entitlements.model.limits import Rate

DEADLINE = Rate("").deadline
"""Of a rate whose policy names none, in microseconds."""
PERCENTILES = (50, 95, 99)


def percentile(trips: tuple[int, ...], percent: int) -> int:
    """Return the least of *trips* that so many in a hundred do not pass (the nearest rank)."""
    ranked = sorted(trips)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def percentiles(trips: tuple[int, ...]) -> dict[str, int]:
    """Return the percentiles of round trips by name; none where none was measured."""
    return {f"p{each}": percentile(trips, each) for each in PERCENTILES} if trips else {}


def judged(trips: tuple[int, ...]) -> tuple[FindingSeverity, str, str]:
    """Return severity, words and cure of round trips."""
    ranks = percentiles(trips)
    found = f"{', '.join(f'{name} {time_in_words(each)}' for name, each in ranks.items())}, of {len(trips)}"
    cure = "bring server and application nearer to each other; look for swapping, slow commands and a busy processor"
    if ranks["p50"] > DEADLINE:
        return (
            FindingSeverity.PROBLEM,
            f"{found}: most rates would miss their deadline of {time_in_words(DEADLINE)}",
            cure,
        )
    if ranks["p99"] * 2 > DEADLINE:
        return FindingSeverity.WARNING, f"{found}: near the deadline of rates, {time_in_words(DEADLINE)}", cure
    return FindingSeverity.FINE, found, ""


def time_in_words(micros: int) -> str:
    """Return microseconds as milliseconds, or as seconds from one on."""
    if micros < 1_000_000:
        return f"{micros / 1000:.2f} ms" if micros < 10_000 else f"{micros / 1000:.0f} ms"
    return f"{micros / 1_000_000:,.1f} s"
