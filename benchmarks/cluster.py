"""
Cost of a decision on a cluster of three nodes, compared with one server in the same run.

    python -m benchmarks.cluster [--rounds 3] [--seconds 2] [--before PATH] [--kind valkey-9]

A process charges 1,000 accounts in turn from 64 tasks, or one thread, and goes from one server to the cluster and back
every 0.1 s, so that a busy machine disturbs both alike. A row shows medians of these turns. The nodes share the cores
of one machine with the client, so decisions/s say what the client leaves over: look at its CPU.
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

TURN = 0.1
"""Seconds of one turn."""
TASKS, ACCOUNTS = 64, [f"a{number}" for number in range(1000)]
WHATS = {"rate": "api", "both": {"api": 1, "leads": 1}}


def main() -> None:
    """Start the servers, measure every row in each round, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each process")
    parser.add_argument("--before", type=Path, help="checkout of another commit")
    parser.add_argument("--kind", default="valkey-9")
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
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
    rows = [(way, what, tree) for way in ("tasks", "thread") for what in WHATS for tree in trees]
    found: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for way, what, tree in random.sample(rows, len(rows)):
            command = [sys.executable, __file__, "--case", way, what, *urls.values(), str(options.seconds)]
            environment = os.environ | {"PYTHONPATH": str(trees[tree])}
            output = subprocess.run(command, env=environment, cwd=trees[tree], capture_output=True, check=True).stdout
            for place, turns in zip(urls, json.loads(output), strict=True):
                found.setdefault((way, what, place, tree), []).extend(turns)
    return found


def print_table(found: dict[tuple[str, ...], list[dict[str, float]]]) -> None:
    """Print decisions/s and client CPU of each row, and the CPU as a ratio to one server's in the turn before."""
    print(f"{'calls':7} {'charge':7} {'servers':8} {'commit':7} {'decisions/s':>12} {'CPU us':>8} {'of single':>10}")
    for (way, what, place, tree), rounds in found.items():
        singles = found[way, what, "single", tree]
        ratio = median(each["cpu"] / single["cpu"] for each, single in zip(rounds, singles, strict=True))
        rate, cpu = median(each["rate"] for each in rounds), median(each["cpu"] for each in rounds)
        print(f"{way:7} {what:7} {place:8} {tree:7} {rate:12,.0f} {cpu:8.1f} {ratio:10.2f}")


def measured(way: str, what: str, single: str, cluster: str, seconds: str) -> list[list[dict[str, float]]]:
    """Return decisions per second and microseconds of client CPU per decision, of each turn at each place."""
    from entitlements import AsyncEnforcer, Enforcer, Policy

    policy = Policy.parse({
        "policy": {"version": "b"},
        "limits": {"api": {"kind": "rate", "deadline": "5 s"}, "leads": {"kind": "quota", "deadline": "5 s"}},
        "tiers": {"one": {"rank": 1, "limits": {"api": "1000000000 per hour", "leads": 10**12}}},
    })  # fmt: skip
    names, charge = cycle(ACCOUNTS), WHATS[what]
    places = [
        {"accounts": dict.fromkeys(ACCOUNTS, "one"), "store": url, "expected_processes": 1} for url in (single, cluster)
    ]
    found: list[list[dict[str, float]]] = [[] for _ in places]
    turns = max(1, round(float(seconds) / TURN / len(places)))

    def note(place: int, made: int, began: float, cpu: float) -> None:
        took, used = time.monotonic() - began, time.process_time() - cpu
        found[place].append({"rate": made / took, "cpu": 1e6 * used / made})

    async def charged(enforcer: AsyncEnforcer, until: float) -> int:
        made = 0
        while time.monotonic() < until:
            decision = await enforcer.consume(next(names), charge)
            assert decision.via == "store", decision
            made += 1
        return made

    async def tasks() -> None:
        enforcers = [AsyncEnforcer(policy, **options) for options in places]
        for enforcer in enforcers:
            await asyncio.gather(*[enforcer.consume(account, charge) for account in ACCOUNTS])
        gc.freeze()
        for _ in range(turns):
            for place, enforcer in enumerate(enforcers):
                began, cpu = time.monotonic(), time.process_time()
                made = await asyncio.gather(*[charged(enforcer, began + TURN) for _ in range(TASKS)])
                note(place, sum(made), began, cpu)
        for enforcer in enforcers:
            await enforcer.aclose()

    def thread() -> None:
        enforcers = [Enforcer(policy, **options) for options in places]
        for enforcer in enforcers:
            for account in ACCOUNTS:
                enforcer.consume(account, charge)
        gc.freeze()
        for _ in range(turns):
            for place, enforcer in enumerate(enforcers):
                made, began, cpu = 0, time.monotonic(), time.process_time()
                while time.monotonic() < began + TURN:
                    assert enforcer.consume(next(names), charge).via == "store"
                    made += 1
                note(place, made, began, cpu)
        for enforcer in enforcers:
            enforcer.close()

    if way == "tasks":
        asyncio.run(tasks())
    else:
        thread()
    return found


if __name__ == "__main__":
    main()
