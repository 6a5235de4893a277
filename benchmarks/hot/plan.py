"""Plan: sections of cases, each with its load and the row that others are ratios to."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

LOCAL = ("ours-memory", "ours-two-memory", "ours-three-memory", "ours-can")
FLAGSHIP = (
    "ours-async", "ours-two-async", "ours-three-async", "redis-two-async",
    "limits-fixed-async", "limits-two-async", "limits-three-async",
)  # fmt: skip
"""The charge of a rate and a quota, and of seats too, beside the charge of the rate alone."""
FLOORS = ("raw-ping", "raw-script", "raw-gcra", "redis-ping", "redis-noop", "redis-script")
BLOCKING = (
    *FLOORS, "ours", "limits-fixed", "limits-fixed-stats", "limits-sliding-stats", "throttled", "pyrate", "halt",
)  # fmt: skip
FLOORS_ASYNC = (
    "redis-ping-async", "redis-noop-async", "redis-script-async", "protocol-script", "coalescing-script",
)  # fmt: skip
ASYNC = (
    *FLOORS_ASYNC, "ours-async", "ours-strict-async", "limits-fixed-async", "limits-fixed-stats-async", "limits-sliding-stats-async",
    "throttled-async", "pyrate-async", "halt-async",
)  # fmt: skip
RIVALS = ("ours", "ours-strict", "limits-fixed-stats", "limits-sliding-stats", "throttled")
RIVALS_ASYNC = ("ours-async", "ours-strict-async", "limits-fixed-async", "limits-sliding-async", "throttled-async")
OPEN = ("ours-ping-async", "redis-ping-async", "ours-async")
OPEN_TO_ALL = (
    "ours-async", "limits-fixed-async", "limits-fixed-stats-async", "limits-sliding-stats-async", "throttled-async",
    "pyrate-async", "halt-async",
)  # fmt: skip
BEARABLE = 5_000
"""Calls a second that every peer sustains."""
LIMITERS = ("ours", "limits-fixed", "limits-sliding", "throttled", "pyrate", "halt")
PLENTY = 1_000_000_000
"""A limit that one account alone does not reach."""
TRIPS = (0.0, 0.25, 1.0, 5.0)
SHARES = (25, 50, 75, 90)
WORDS = {
    "raw-ping": "floor: PING, raw socket",
    "raw-script": "floor: our script, raw socket",
    "redis-ping": "floor: PING, redis-py",
    "redis-noop": "floor: no-op EVALSHA, redis-py",
    "redis-script": "floor: our script, redis-py",
    "raw-gcra": "floor: a minimal GCRA, raw socket",
    "ours-ping-async": "floor: PING through our connection",
    "redis-script-async": "floor: our script, redis-py asyncio",
    "redis-ping-async": "floor: PING, redis-py asyncio",
    "redis-noop-async": "floor: no-op EVALSHA, redis-py asyncio",
    "protocol-script": "floor: our script, asyncio.Protocol, a write each",
    "coalescing-script": "floor: our script, asyncio.Protocol, coalesced",
    "ours": "**entitlements, `Enforcer.consume`**",
    "ours-strict": "**entitlements, without the deny cache**",
    "ours-async": "**entitlements, `AsyncEnforcer.consume`**",
    "ours-strict-async": "**entitlements, asyncio, without the deny cache**",
    "ours-memory": "**entitlements, `consume`, memory store**",
    "ours-can": "**entitlements, `can`**",
    "ours-two-memory": "**entitlements, a rate and a quota, memory store**",
    "ours-three-memory": "**entitlements, a rate, a quota and seats, memory store**",
    "ours-two-async": "**entitlements, a rate and a quota, asyncio**",
    "ours-three-async": "**entitlements, a rate, a quota and seats, asyncio**",
    "redis-two-async": "floor: a script for a rate and a quota, redis-py asyncio",
    "limits-two-async": "limits fixed, two `hit`, asyncio",
    "limits-three-async": "limits fixed, three `hit`, asyncio",
    "limits-fixed": "limits fixed, `hit`",
    "limits-fixed-stats": "limits fixed, `hit` + stats",
    "limits-sliding": "limits sliding counter, `hit`",
    "limits-sliding-stats": "limits sliding counter, `hit` + stats",
    "limits-fixed-async": "limits fixed, `hit`, asyncio",
    "limits-fixed-stats-async": "limits fixed, `hit` + stats, asyncio",
    "limits-sliding-async": "limits sliding counter, `hit`, asyncio",
    "limits-sliding-stats-async": "limits sliding counter, `hit` + stats, asyncio",
    "throttled": "throttled-py gcra",
    "throttled-async": "throttled-py gcra, asyncio",
    "pyrate": "pyrate-limiter RedisBucket",
    "pyrate-async": "pyrate-limiter RedisBucket, asyncio",
    "halt": "halt-rate token bucket",
    "halt-async": "halt-rate token bucket, asyncio",
}


@dataclass(frozen=True)
class Section:
    """
    The rows of one table.

    Args:
        name: Name in the raw results.
        title: Heading.
        cases: The rows.
        words: Options of `case.py`.
        base: The row that the others are ratios to; None for no ratios.
        shape: Columns of the table: `times`, `open`, `sustained`, `throughput`, `bytes`, `window`.
        trip: Milliseconds that a proxy adds to a round trip; None without a proxy.
        share: Per cent of our own capacity that is the rate of an open load.
        capacity: The section that measures it.
        once: Run in the first round only, because it counts and does not time.
        turns: How often in a round each row has its turn, all rows in processes that stay; 0 for one process a round.
    """

    name: str
    title: str
    cases: tuple[str, ...]
    words: tuple[str, ...]
    base: str | None = None
    shape: str = "times"
    trip: float | None = None
    share: int | None = None
    capacity: str = "sustained"
    once: bool = False
    turns: int = 0


def quick(scale: float = 1.0) -> list[Section]:
    """
    Return the sections of a run of a few minutes.

    Args:
        scale: Factor of the decisions and seconds that each process measures.
    """
    many = ("--load", "sequential", "--many", str(int(3_000 * scale)), "--warm", "1000")
    sections = [
        Section("sequential", "One after the other, blocking", BLOCKING, many, "raw-script"),
        Section("sequential-async", "One after the other, asyncio", ASYNC, many, "protocol-script"),
        Section("local", "Without a server", LOCAL, ("--load", "local", "--many", str(int(100_000 * scale)))),
    ]
    words = ("--load", "closed", "--limit", str(PLENTY), "--lasts", "0.25")
    title = "64 tasks: several limits in one charge, in turns of a quarter of a second"
    sections.append(
        Section("flagship", title, FLAGSHIP, words, FLAGSHIP[0], "throughput", turns=max(1, round(8 * scale)))
    )
    sections += [_closed(f"closed-{tasks}", f"{tasks} tasks, 1,000 accounts", tasks, scale) for tasks in (64, 512)]
    for traffic, title in (("turns", "all admitted"), ("half", "half refused"), ("none", "all refused")):
        words = (*many, "--traffic", traffic)
        sections.append(Section(f"denied-{traffic}", f"One after the other: {title}", RIVALS, words, "ours"))
    for traffic, title in (("half", "half refused"), ("none", "all refused")):
        words = ("--load", "closed", "--traffic", traffic, "--lasts", str(scale))
        name, base = f"denied-{traffic}-64", RIVALS_ASYNC[0]
        sections.append(Section(name, f"64 tasks: {title}", RIVALS_ASYNC, words, base, "throughput"))
    return sections


def full() -> list[Section]:
    """Return all sections: those of the short run twice as long, and those that it leaves out."""
    sections = quick(2.0)
    for loop, asked, of in (("asyncio", SHARES, "sustained"), ("uvloop", (50,), "sustained-uvloop")):
        title = f"Open loop on {loop}: how many evenly spaced calls a second are kept up with"
        words = ("--load", "sustained", "--lasts", "1", "--loop", loop)
        sections.append(Section(of, title, OPEN, words, OPEN[0], "sustained"))
        for kind, share in itertools.product(("constant", "poisson"), asked):
            words = ("--load", "open", "--lasts", "3", "--arrivals", kind, "--loop", loop)
            title = f"Open loop on {loop}, {kind} arrivals at {share} % of our capacity, from the intended start"
            name = f"open-{kind}-{share}" + of.removeprefix("sustained")
            sections.append(Section(name, title, OPEN, words, OPEN[0], "open", share=share, capacity=of))
        words = ("--load", "open", "--lasts", "3", "--arrivals", "constant", "--loop", loop, "--limit", str(PLENTY))
        title = f"Open loop on {loop}: a rate and a quota at a quarter of the closed loop's rate (--capacity)"
        cases = ("ours-ping-async", "ours-two-async")
        sections.append(Section(f"open-flagship-{loop}", title, cases, words, cases[0], "open", share=25, capacity=""))
    for kind in ("constant", "poisson"):
        words = ("--load", "open", "--lasts", "3", "--arrivals", kind, "--rate", str(BEARABLE))
        title = f"Open loop on asyncio, {kind} arrivals, {BEARABLE:,} a second, from the intended start"
        sections.append(Section(f"open-{kind}-peers", title, OPEN_TO_ALL, words, OPEN_TO_ALL[0], "open"))
    for trip in TRIPS:
        cases = ("raw-ping", "raw-script", "redis-ping", *RIVALS)
        words, title = ("--load", "sequential", "--many", "400", "--warm", "1000"), f"a proxy that adds {trip:g} ms"
        name = f"trip-{trip:g}"
        sections.append(Section(name, f"One after the other, {title}", cases, words, "raw-script", trip=trip))
        words, cases = ("--load", "closed", "--lasts", "2"), ("redis-ping-async", "coalescing-script", *RIVALS_ASYNC)
        sections.append(
            Section(f"{name}-64", f"64 tasks, {title}", cases, words, "coalescing-script", "throughput", trip=trip)
        )
    for traffic, title in (("hot", "one account"), ("uniform", "10,000 accounts"), ("zipf", "10,000 accounts, Zipf")):
        words = ("--load", "closed", "--traffic", traffic, "--limit", str(PLENTY), "--lasts", "2")
        cases = ("coalescing-script", *RIVALS_ASYNC)
        sections.append(Section(f"traffic-{traffic}", f"64 tasks, {title}", cases, words, cases[0], "throughput"))
    words = ("--load", "memory", "--many", "20000")
    sections.append(
        Section("memory", "Memory of an account after 200 decisions", LIMITERS, words, "ours", "bytes", once=True)
    )
    words = ("--load", "window", "--limit", "100", "--seconds", "2")
    sections.append(Section("window", "The worst window: limit 100 in 2 s", LIMITERS, words, shape="window", once=True))
    return sections


def _closed(name: str, title: str, tasks: int, scale: float) -> Section:
    words = ("--load", "closed", "--tasks", str(tasks), "--lasts", str(scale))
    return Section(name, title, ASYNC, words, "coalescing-script", "throughput")
