"""
Cost of a decision on a cluster of three nodes, compared with one server in the same run.

    python -m benchmarks.cluster [--rounds 3] [--seconds 2] [--before PATH] [--kind valkey-9]

Each row charges 1,000 accounts in turn from 64 tasks, or one thread, in a process of its own; the rows of a round run
one after the other, in shuffled order. A row shows medians over the rounds. The nodes share the cores of one machine
with the client, so decisions/s say what the client leaves over: look at its CPU.
`--before` names a checkout of another commit, whose rows are measured in the same rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from statistics import median

TASKS, ACCOUNTS = 64, [f"a{number}" for number in range(1000)]
WHATS = {"rate": "api", "both": {"api": 1, "leads": 1}}


def main() -> None:
    """Start the servers, measure every row in each round, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each row of a round")
    parser.add_argument("--before", type=Path, help="checkout of another commit")
    parser.add_argument("--kind", default="valkey-9")
    parser.add_argument("--case", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measured(*options.case)))
        return
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))  # where the servers are
    from servers import Rack
    from topologies import Cluster

    rack = Rack()
    try:
        urls = {"single": rack.start(options.kind).url, "cluster": Cluster(rack, options.kind).url}
        print_table(measured_rows(urls, options))
    finally:
        rack.close()


def measured_rows(urls: dict[str, str], options: argparse.Namespace) -> dict[tuple[str, ...], list[dict[str, float]]]:
    """Return what each round measured, by way of calling, charge, servers and checkout."""
    here = Path(__file__).parent.parent
    trees = {"now": here} | ({"before": options.before.resolve()} if options.before else {})
    rows = [
        (way, what, place, tree) for way in ("tasks", "thread") for what in WHATS for place in urls for tree in trees
    ]
    found: dict[tuple[str, ...], list[dict[str, float]]] = {row: [] for row in rows}
    for _ in range(options.rounds):
        for row in random.sample(rows, len(rows)):
            way, what, place, tree = row
            command = [sys.executable, __file__, "--case", way, what, urls[place], str(options.seconds)]
            environment = os.environ | {"PYTHONPATH": str(trees[tree])}
            output = subprocess.run(command, env=environment, cwd=trees[tree], capture_output=True, check=True).stdout
            found[row].append(json.loads(output))
    return found


def print_table(found: dict[tuple[str, ...], list[dict[str, float]]]) -> None:
    """Print decisions/s and client CPU of each row, and the CPU as a ratio to one server's in the same round."""
    print(f"{'calls':7} {'charge':7} {'servers':8} {'commit':7} {'decisions/s':>12} {'CPU us':>8} {'of single':>10}")
    for (way, what, place, tree), rounds in found.items():
        singles = found[way, what, "single", tree]
        ratio = median(each["cpu"] / single["cpu"] for each, single in zip(rounds, singles, strict=True))
        rate, cpu = median(each["rate"] for each in rounds), median(each["cpu"] for each in rounds)
        print(f"{way:7} {what:7} {place:8} {tree:7} {rate:12,.0f} {cpu:8.1f} {ratio:10.2f}")


def measured(way: str, what: str, url: str, seconds: str) -> dict[str, float]:
    """Return decisions per second and microseconds of client CPU per decision, of one row."""
    from entitlements import AsyncEnforcer, Enforcer, Policy

    policy = Policy.parse({
        "policy": {"version": "b"},
        "limits": {"api": {"kind": "rate", "deadline": "5 s"}, "leads": {"kind": "quota", "deadline": "5 s"}},
        "tiers": {"one": {"rank": 1, "limits": {"api": "1000000000 per hour", "leads": 10**12}}},
    })  # fmt: skip
    names, charge, made = cycle(ACCOUNTS), WHATS[what], 0
    options = {"accounts": dict.fromkeys(ACCOUNTS, "one"), "store": url, "expected_processes": 1}

    async def charged(enforcer: AsyncEnforcer, until: float) -> None:
        nonlocal made
        while time.monotonic() < until:
            decision = await enforcer.consume(next(names), charge)
            assert decision.via == "store", decision
            made += 1

    async def tasks() -> tuple[float, float]:
        nonlocal made
        async with AsyncEnforcer(policy, **options) as enforcer:
            for account in ACCOUNTS:
                await enforcer.consume(account, charge)
            gc.freeze()
            began, cpu = time.monotonic(), time.process_time()
            until = began + float(seconds)
            await asyncio.gather(*[charged(enforcer, until) for _ in range(TASKS)])
            return time.monotonic() - began, time.process_time() - cpu

    def thread() -> tuple[float, float]:
        nonlocal made
        with Enforcer(policy, **options) as enforcer:
            for account in ACCOUNTS:
                enforcer.consume(account, charge)
            gc.freeze()
            began, cpu = time.monotonic(), time.process_time()
            while time.monotonic() < began + float(seconds):
                assert enforcer.consume(next(names), charge).via == "store"
                made += 1
            return time.monotonic() - began, time.process_time() - cpu

    took, cpu = asyncio.run(tasks()) if way == "tasks" else thread()
    return {"rate": made / took, "cpu": 1e6 * cpu / made}


if __name__ == "__main__":
    main()
