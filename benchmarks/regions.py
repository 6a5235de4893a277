"""
Three regions, each with a server; every account has a home region that counts it, and other regions take leases there.

    python -m benchmarks.regions [--seconds 20] [--seed 1] [--delay 0.08] [--kind valkey-9]

Each region charges the accounts of all three regions: its own at the server next to it, the others through a proxy that
holds up each request, and that is cut at random: once, before the server has the request or after it has replied, for
all connections, or for a while. What was decided without the home region (`decision.degraded`) is refused here, and
given back.

A row shows the most units that one window certainly held, and the limit. For the fixed rate `used` is the mean of the
windows between the first one and the last. `lost` is what the home region counts of a quota and was not spent: units of
lost replies and of leases that could not be returned.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.any_window import Admission, most_in_any_window
from entitlements import AsyncEnforcer, Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))  # where the servers and the proxy are
from proxy import Proxy, proxied

REGIONS = ("eu", "us", "ap")
LEASE, TASKS, PAUSE = 20, 3, 0.005
"""Units of a lease, tasks of each region for each home, and the longest seconds between two charges of one."""
SHORT, LONG = 2_000_000, 60_000_000
"""Microseconds of the window of the fixed rate, and of the sliding one."""
SECOND_CHANCE = 300.0
"""Seconds after which a run ends whatever has happened."""
CUTS = ("cut before", "cut after", "late original", "all", "for a while")


@dataclass
class Run:
    """
    What the regions were allowed, by account and limit.

    Args:
        sizes: The size of each limit.
    """

    sizes: dict[str, int]
    admitted: dict[tuple[str, str], list[Admission]] = field(default_factory=dict)
    leased: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of a region and an account that it has charged by a lease."""
    counted: dict[tuple[str, str], int] = field(default_factory=dict)
    """The units that the home region counts at the end."""
    told: Counter[str] = field(default_factory=Counter)
    """Charges by what became of them, and cuts."""

    def most(self, account: str, limit: str) -> int:
        """Return the most units that certainly fell into one window or period."""
        admissions = self.admitted.get((account, limit), [])
        if limit == "leads":
            return len(admissions)
        if limit == "api":
            return most_in_any_window(admissions, LONG)
        return max(fixed_windows(admissions), default=0)


def fixed_windows(admissions: list[Admission]) -> list[int]:
    """Return the units that certainly fell into each window of the fixed rate."""
    whole = Counter(each.earliest // SHORT for each in admissions if each.earliest // SHORT == each.latest // SHORT)
    return [units for _, units in sorted(whole.items())]


def sizes_for(seconds: float) -> dict[str, int]:
    """Return sizes that the regions use up while they charge for so long."""
    return {"api": round(60 * seconds), "burst": 100, "leads": round(60 * seconds)}


def policy_of(sizes: dict[str, int]) -> Policy:
    """Return a policy of a sliding rate, a fixed one and a quota, each with a lease."""
    leased = {"lease": LEASE, "deadline": "1 second"}
    return Policy.parse({
        "policy": {"version": 1},
        "limits": {
            "api": {"kind": "rate", **leased},
            "burst": {"kind": "rate", "algorithm": "fixed", **leased},
            "leads": {"kind": "quota", "on_outage": "allow", **leased},
        },
        "tiers": {"one": {"rank": 1, "limits": {
            "api": f"{sizes['api']} per minute", "burst": f"{sizes['burst']} per 2 seconds", "leads": sizes["leads"],
        }}},
    })  # fmt: skip


async def simulate(
    ports: Sequence[int], *, seconds: float, seed: int, delay: float, homes: Sequence[str] = REGIONS
) -> Run:
    """
    Charge from every region for a while, and cut the regions off at random.

    Args:
        ports: Of the server of each home region.
        seconds: How long at least; longer until every region has spent a lease of every home.
        seed: Of cuts and charges.
        delay: Seconds by which the proxy holds up a request.
        homes: The home regions; each has one account, of its name.
    """
    run, chance = Run(sizes_for(seconds)), random.Random(seed)
    policy, accounts = policy_of(run.sizes), dict.fromkeys(homes, "one")
    until, last = time.monotonic() + seconds, time.monotonic() + seconds + SECOND_CHANCE
    wanted = {(region, home) for region in REGIONS for home in homes}

    def goes_on() -> bool:
        now = time.monotonic()
        return now < until or (now < last and not wanted <= run.leased)

    with ExitStack() as stack:
        proxies: list[Proxy] = []
        enforcers: dict[tuple[str, str], AsyncEnforcer] = {}
        for home, port in zip(homes, ports, strict=True):
            for region in REGIONS:
                url = f"redis://127.0.0.1:{port}"
                if region != home:
                    proxies.append(stack.enter_context(proxied(port, seed=seed)))
                    proxies[-1].inject("latency", delay)
                    url = proxies[-1].url
                enforcers[region, home] = AsyncEnforcer(
                    policy, accounts=accounts, store=url, expected_processes=len(REGIONS)
                )

        async def charge(region: str, home: str, own: random.Random) -> None:
            enforcer = enforcers[region, home]
            while goes_on():
                limit = own.choice(tuple(run.sizes))
                sent = time.time_ns() // 1000
                decision = await enforcer.consume(home, limit)
                if decision.degraded:
                    run.told["decided without the home region, refused"] += 1
                    await enforcer.refund(decision)  # what waits for the home region is not counted there either
                elif decision:
                    admission = Admission(sent, time.time_ns() // 1000, 1)
                    run.admitted.setdefault((home, limit), []).append(admission)
                    run.told["admitted by a lease" if decision.via == "lease" else "admitted by the server"] += 1
                    if decision.via == "lease":
                        run.leased.add((region, home))
                else:
                    run.told["refused"] += 1
                await asyncio.sleep(own.random() * PAUSE)

        async def cut() -> None:
            while goes_on():
                await asyncio.sleep(chance.uniform(0.05, 0.4))
                proxy, kind = chance.choice(proxies), chance.choice(CUTS)
                run.told["cuts"] += 1
                if kind == "all":
                    proxy.cut_all()
                elif kind == "for a while":
                    proxy.refuse()
                    await asyncio.sleep(chance.uniform(0.1, 0.5))
                    proxy.heal()
                else:
                    proxy.inject(kind, delay, times=1)
                    await asyncio.sleep(delay)
                proxy.inject("latency", delay)

        tasks = [charge(*pair, random.Random(chance.random())) for pair in sorted(enforcers) for _ in range(TASKS)]
        await asyncio.gather(cut(), *tasks)
        for each in enforcers.values():
            await each.aclose()
        for home, port in zip(homes, ports, strict=True):
            async with AsyncEnforcer(
                policy, accounts=accounts, store=f"redis://127.0.0.1:{port}", expected_processes=1
            ) as enforcer:
                for limit, usage in (await enforcer.usage(home)).items():
                    run.counted[home, limit] = usage.used or 0
    return run


def table(run: Run) -> str:
    """Return the rows of a run as text."""
    lines = [
        f"{'home':5} {'limit':7} {'most in a window':>16} {'limit':>7} {'used':>6} {'spent':>7} {'counted':>8} {'lost':>6}"
    ]
    for (home, limit), admissions in sorted(run.admitted.items()):
        size, most, spent = run.sizes[limit], run.most(home, limit), len(admissions)
        inner = fixed_windows(admissions)[1:-1] if limit == "burst" else []
        used = sum(inner) / len(inner) / size if inner else most / size
        row = f"{home:5} {limit:7} {most:16,} {size:7,} {used:6.1%} {spent:7,}"
        if limit == "leads":  # windows of rates have passed
            counted = run.counted[home, limit]
            row += f" {counted:8,} {counted - spent:6,}"
        lines.append(row)
    lines += [f"{many:9,} {what}" for what, many in sorted(run.told.items())]
    return "\n".join(lines)


def main() -> int:
    """Print the table; exit with 1 if a limit was exceeded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regions", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.08)
    parser.add_argument("--kind", default="valkey-9")
    options = parser.parse_args()
    from servers import Rack

    rack = Rack()
    try:
        ports = [rack.start(options.kind).port for _ in REGIONS]
        run = asyncio.run(simulate(ports, seconds=options.seconds, seed=options.seed, delay=options.delay))
    finally:
        rack.close()
    print(table(run))
    return int(any(run.most(*each) > run.sizes[each[1]] for each in run.admitted))


if __name__ == "__main__":
    raise SystemExit(main())
