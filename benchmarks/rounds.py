"""
Rounds: every case runs once in each, in shuffled order, and ratios stay within a round.

Absolute figures drift on a shared machine; a ratio of two cases of the same round
drifts far less. A row reports the median of the per-round ratios with its minimum and
maximum, and a bar counts as missed only when the whole interval is beyond it.
"""

from __future__ import annotations

import gc
import platform
import random
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET_NS = 40_000_000
"""Nanoseconds that one case runs in one round."""


@dataclass(frozen=True)
class Row:
    """
    One line of the results.

    Args:
        what: Text of the line.
        case: The case measured.
        against: The case that it is a ratio to.
        base: The other case's name in the table.
        bar: The largest acceptable ratio; None without a goal.
    """

    what: str
    case: str
    against: str
    base: str
    bar: float | None = None


@dataclass(frozen=True)
class Ratio:
    """A ratio over all rounds, and the median of the case's nanoseconds."""

    nanoseconds: float
    median: float
    low: float
    high: float


def measure(
    cases: dict[str, Callable[[int], None]], rounds: int, *, progress: TextIO | None = None
) -> list[dict[str, float]]:
    """Return for each round the nanoseconds of one call of each case, loop included."""
    loops = {name: _calibrate(run) for name, run in cases.items()}
    names = list(cases)
    results = []
    for number in range(rounds):
        if progress:
            print(f"\rround {number + 1} of {rounds}", end="", file=progress, flush=True)
        random.shuffle(names)
        results.append({name: _time(cases[name], loops[name]) for name in names})
    if progress:
        print("\r" + " " * 30 + "\r", end="", file=progress)
    return results


def ratios(rounds: list[dict[str, float]], case: str, against: str) -> Ratio:
    """Return the median, least and greatest of the per-round ratios."""
    each = [figures[case] / figures[against] for figures in rounds]
    return Ratio(median(figures[case] for figures in rounds), median(each), min(each), max(each))


def environment() -> str:
    """Return the machine and the versions, in one line."""
    from importlib.metadata import version

    return (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}, "
        f"{platform.system()} {platform.release()}; limits {version('limits')}"
    )


def _calibrate(run: Callable[[int], None]) -> int:
    loops = 100
    while (elapsed := _time(run, loops) * loops) < TARGET_NS / 4:
        loops = max(loops * 2, int(loops * TARGET_NS / 4 / max(elapsed, 1)))
    return max(1, int(loops * TARGET_NS / elapsed))


def _time(run: Callable[[int], None], loops: int) -> float:
    gc.collect()
    gc.disable()
    try:
        start = perf_counter_ns()
        run(loops)
        return (perf_counter_ns() - start) / loops
    finally:
        gc.enable()
