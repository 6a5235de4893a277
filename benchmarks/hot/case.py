"""
One case in a process of its own: `python -m benchmarks.hot.case ours --url redis://… --load sequential` prints JSON.

Its packages are in the environment that `environments.py` makes. Only our own cases and the floors
import this library.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from benchmarks.hot import loads
from benchmarks.hot.figures import arrivals, keys
from benchmarks.hot.setting import HOUR, LIMIT, Setting

ROOMS = {"limits": "peers", "throttled": "peers", "pyrate": "peers", "halt": "peers", "ours": "ours"}
"""Module of a case, by the first word of its name; all others are floors."""
LOADS = ("sequential", "local", "closed", "open", "sustained", "memory", "window")
PACKAGES = ("entitlements", "redis", "hiredis", "uvloop", "limits", "throttled-py", "pyrate-limiter", "halt-rate")


def main(words: list[str] | None = None) -> int:
    """Run one load on one case and print what it measured."""
    options = parsed(words)
    if options.cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.cpu})
    case = made(options.name, Setting(options.url, options.limit, options.seconds))
    figures = measured(case, options)
    if figures is not None:
        tell(figures)
    return 0


def tell(figures: dict) -> None:
    """Print figures as one line of JSON."""
    print(json.dumps(figures | {"versions": versions()}), flush=True)


def parsed(words: list[str] | None) -> argparse.Namespace:
    """Return the options of one run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot.case", description=__doc__.split("\n\n")[0])
    parser.add_argument("name")
    parser.add_argument("--url", default="redis://127.0.0.1:6379")
    parser.add_argument("--load", choices=LOADS, required=True)
    parser.add_argument("--traffic", default="turns", choices=("turns", "half", "none", "hot", "uniform", "zipf"))
    parser.add_argument("--limit", type=int, default=LIMIT, help="of an account, per window")
    parser.add_argument("--seconds", type=int, default=HOUR, help="of a window")
    parser.add_argument("--many", type=int, default=3_000, help="decisions of a sequential load")
    parser.add_argument("--warm", type=int, default=1_000, help="decisions before that")
    parser.add_argument("--tasks", type=int, default=64, help="of a closed load")
    parser.add_argument("--lasts", type=float, default=1.0, help="seconds of a closed or an open load")
    parser.add_argument("--rate", type=float, default=1_000, help="calls a second of an open load")
    parser.add_argument("--arrivals", default="constant", choices=("constant", "poisson"))
    parser.add_argument("--loop", default="asyncio", choices=("asyncio", "uvloop"), help="of an asynchronous case")
    parser.add_argument("--turns", action="store_true", help="run a closed load for each line of the standard input")
    parser.add_argument("--cpu", type=int, help="that this process stays on")
    return parser.parse_args(words)


def made(name: str, setting: Setting) -> object:
    """Return the case of this name, before it is opened."""
    room = ROOMS.get(name.split("-", maxsplit=1)[0], "floors")
    cases = import_module(f"benchmarks.hot.{room}").CASES
    if name not in cases:
        raise SystemExit(f"no case {name!r} among {', '.join(cases)}")
    return cases[name](setting)


def measured(case, options: argparse.Namespace) -> dict | None:
    """Open the case, run the load, close it; return the figures that are still to be printed."""
    if case.asynchronous:
        return _run_of(options.loop)(_measured(case, options))
    case.open()
    try:
        return _blocking(options.load)(case, keys(options.traffic), many=options.many, warm=options.warm)
    finally:
        case.close()


def _run_of(loop: str):
    return asyncio.run if loop == "asyncio" else import_module(loop).run


def _blocking(load: str):
    if load in ("memory", "window"):
        return getattr(import_module("benchmarks.hot.holding"), load)
    if load not in ("sequential", "local"):
        raise SystemExit(f"a blocking case has no {load} load")
    return getattr(loads, load)


async def _measured(case, options: argparse.Namespace) -> dict | None:
    await case.open()
    accounts = keys(options.traffic)
    try:
        if options.load == "sequential":
            return await loads.sequential_async(case, accounts, many=options.many, warm=options.warm)
        if options.load == "closed":
            closed = {"tasks": options.tasks, "seconds": options.lasts, "warm": options.lasts / 4}
            for _ in sys.stdin if options.turns else ():
                tell(await loads.closed(case, accounts, **closed))
            return None if options.turns else await loads.closed(case, accounts, **closed)
        if options.load == "open":
            instants = arrivals(options.arrivals, options.rate, options.lasts)
            return await loads.opened(case, accounts, instants=instants, warm=options.lasts / 4)
        if options.load == "sustained":
            return await loads.sustained(case, accounts, lasts=options.lasts, warm=options.lasts / 4)
    finally:
        await case.close()
    raise SystemExit(f"an asynchronous case has no {options.load} load")


def versions() -> dict[str, str]:
    """Return the versions of the interpreter and of the installed packages."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    raise SystemExit(main())
