"""Figures of tables from single times: percentiles, medians over rounds, ratios within a round."""

from __future__ import annotations

import bisect
import itertools
import random
from statistics import median

ACCOUNTS = 1_000
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
POINTS = 200
"""Points of the distribution that are kept for a plot, the last of them the greatest time."""


def percentiles(times: list[float]) -> dict[str, float]:
    """Return the percentiles of these times, by nearest rank."""
    ordered = sorted(times)
    return {name: at(ordered, share) for name, share in SHARES.items()} | {"max": ordered[-1]}


def at(ordered: list[float], share: float) -> float:
    """Return the least time that *share* of all times do not exceed."""
    rank = -int(-share * len(ordered) // 1)
    return ordered[min(len(ordered), max(1, rank)) - 1]


def distribution(times: list[float]) -> list[float]:
    """Return the times at evenly spaced shares, and at the shares near 1 that a plot of the tail needs."""
    ordered = sorted(times)
    return [at(ordered, share) for share in shares()]


def shares() -> list[float]:
    """Return the shares that `distribution` has times for."""
    even = [number / POINTS for number in range(1, POINTS)]
    return [*even, 0.997, 0.998, 0.999, 0.9995, 0.9999, 1.0]


def keys(traffic: str, seed: int = 1) -> list[str]:
    """
    Return the accounts of successive calls; a load repeats them.

    Args:
        traffic: `turns` (1,000 accounts one after the other), `half` (every other of them
            is a small one), `none` (all are small ones), `hot` (one account), `uniform` or
            `zipf` (10,000 accounts, drawn at random).
        seed: Seed of the random choice.
    """
    chance = random.Random(seed)
    if traffic == "hot":
        return ["a0"]
    if traffic == "uniform":
        return [f"a{chance.randrange(10_000)}" for _ in range(65_536)]
    if traffic == "zipf":
        weights = list(itertools.accumulate(1 / rank for rank in range(1, 10_001)))
        return [f"a{bisect.bisect(weights, chance.random() * weights[-1])}" for _ in range(65_536)]
    small = {"turns": lambda _: False, "half": lambda number: number % 2, "none": lambda _: True}[traffic]
    return [f"{'s' if small(number) else 'a'}{number}" for number in range(ACCOUNTS)]


def arrivals(kind: str, rate: float, seconds: float, seed: int = 1) -> list[float]:
    """Return the start times of calls, in seconds from the beginning: `constant` or `poisson`."""
    if kind == "constant":
        return [number / rate for number in range(int(rate * seconds))]
    chance, instants, now = random.Random(seed), [], 0.0
    while (now := now + chance.expovariate(rate)) < seconds:
        instants.append(now)
    return instants


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return median, least and greatest."""
    return median(values), min(values), max(values)
