"""
Effect of one pause of the event loop on a load: `python -m benchmarks.hot.stall [--rate 35000] [--pause 0.2]`.

Calls start evenly for four seconds, by default at half the rate of a closed load of 512 tasks. After the first second the loop sleeps, and all calls that
were due start at once. Beyond 10,000 waiting calls the process decides by itself, as
`on_outage` says. For each half second the table shows the slowest decision of the calls that
were due in it, and how many were made without the server. There are two runs: with Python's
default collector, whose long passes visit every waiting task, and with `gc.freeze()` and a
threshold of 10,000.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import sys
import time
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))  # where the servers are

from servers import KINDS, Rack

from benchmarks.hot import loads, machine
from benchmarks.hot.figures import arrivals, keys
from benchmarks.hot.ours import OursAsync
from benchmarks.hot.pacing import Alarm
from benchmarks.hot.plan import PLENTY
from benchmarks.hot.setting import Setting

LASTS, PAUSES_AT = 4.0, 1.0
HALVES = 2
"""In a second."""
PATIENCE = 20.0


def main() -> int:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot.stall", description=__doc__.split("\n\n")[0])
    parser.add_argument("--kind", choices=KINDS, default="valkey-9")
    parser.add_argument("--rate", type=float, help="calls a second; half the rate of a closed load by default")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds")
    options = parser.parse_args()
    client, beside = machine.processors()
    rack = Rack()
    try:
        server = rack.start(options.kind)
        machine.pin(server.pid, beside)
        machine.pin(os.getpid(), client)
        rate = options.rate or asyncio.run(reached(server.url)) / 2
        print(f"{rate:,.0f} calls a second\n")
        halves = " | ".join(f"{half / HALVES:g} s" for half in range(int(LASTS * HALVES)))
        print(
            f"| slowest decision in ms (made without the server) | {halves} | all |\n|---|{'--:|' * int(LASTS * HALVES + 1)}"
        )
        for name, threshold in (("collector as it is", None), ("`gc.freeze()`, `gc.set_threshold(10_000)`", 10_000)):
            server.reset()
            found = asyncio.run(measured(server.url, rate, options.pause, threshold))
            cells = [f"{1000 * slowest:.0f} ({alone:,})" for slowest, alone in found]
            print(f"| {name} | {' | '.join(cells)} | {sum(alone for _, alone in found):,} of {int(rate * LASTS):,} |")
    finally:
        rack.close()
    return 0


async def reached(url):
    """Return the calls per second that 512 tasks reach, each making the next as soon as it has its decision."""
    case = OursAsync(Setting(url, PLENTY))
    await case.open()
    figures = await loads.closed(case, keys("turns"), tasks=512, seconds=1.0, warm=0.5)
    await case.close()
    return figures["rate"]


async def measured(url, rate, pause, threshold):
    """Return the slowest decision, and how many were made without the server, of each half second."""
    case = OursAsync(Setting(url, PLENTY))
    await case.open()
    instants, turns, due = arrivals("constant", rate, LASTS), itertools.cycle(keys("turns")), 0
    found = [[0.0, 0] for _ in range(int(LASTS * HALVES))]
    running, loop, all_started = set(), asyncio.get_running_loop(), asyncio.Event()
    await loads.closed(case, keys("turns"), tasks=32, seconds=0.2, warm=0.2)
    before = gc.get_threshold()
    if threshold is not None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(threshold)

    async def call(at):
        decision = await case.enforcer.consume(next(turns), "api")
        half = found[int(at * HALVES)]
        half[0] = max(half[0], perf_counter() - began - at)
        half[1] += decision.degraded

    def start():
        nonlocal due
        now = perf_counter() - began
        while due < len(instants) and instants[due] <= now:
            running.add(task := loop.create_task(call(instants[due])))
            task.add_done_callback(running.discard)
            due += 1
        if due < len(instants):
            alarm.set(began + instants[due])
        else:
            all_started.set()

    alarm = Alarm(start)
    began = perf_counter() + 0.01
    alarm.set(began)
    loop.call_later(PAUSES_AT, time.sleep, pause)
    await all_started.wait()
    if running:
        await asyncio.wait(running, timeout=PATIENCE)
    alarm.close()
    await case.close()
    gc.unfreeze()
    gc.set_threshold(*before)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
