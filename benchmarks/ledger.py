"""
Decisions per second with a ledger against those without, in alternating turns.

    python -m benchmarks.ledger [--rounds 15] [--charges 10000] [--before PATH]

64 tasks of one process charge 1,000 accounts in turn, on a Valkey that is started here. A turn with a ledger ends when
all of its entries are in the database, a SQLite file or a PostgreSQL that is started here; both share the processors.
A row shows the median of the rounds with the least and the greatest: of decisions per second as a share of those
without a ledger, of the processor time of this process, and of that time in the turn of another checkout (`--before`).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
TASKS = 64
ACCOUNTS = [f"a{number}" for number in range(1000)]
CHARGES = {"a quota": {"leads": 1}, "a rate and a quota": {"api": 1, "leads": 1}}
WRITTEN = {
    "policy": {"version": 1},
    "limits": {
        "api": {"kind": "rate", "deadline": "60 seconds"},
        "leads": {"kind": "quota", "on_outage": "deny", "deadline": "60 seconds"},
    },
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000000000 per hour", "leads": 10**9}}},
}


async def turn(app: object, charge: dict[str, int], charges: int) -> None:
    """Charge by all tasks."""

    async def work(task: int) -> None:
        for number in range(charges // TASKS):
            await app.consume(ACCOUNTS[(task + number * TASKS) % len(ACCOUNTS)], charge)  # type: ignore[attr-defined]

    await asyncio.gather(*map(work, range(TASKS)))


async def serve(store: str, database: str, charges: int) -> None:
    """Make a turn for each line on the standard input, and write its seconds and processor seconds."""
    from entitlements import AsyncEnforcer, Policy
    from entitlements.ledger import SqlLedger

    policy, accounts = Policy.parse(WRITTEN), dict.fromkeys(ACCOUNTS, "one")
    options = {"accounts": accounts, "store": store, "expected_processes": 1}
    ledger = SqlLedger(database, timeout=60) if database else None
    async with AsyncEnforcer(policy, hooks=[ledger] if ledger else [], **options) as app:
        gc.freeze()
        for line in sys.stdin:
            began, worked = time.perf_counter(), time.process_time()
            await turn(app, CHARGES[line.strip()], charges)
            if ledger:
                ledger.flush()
            print(time.perf_counter() - began, time.process_time() - worked, flush=True)
    if ledger:
        assert not ledger.lost
        ledger.close()


class Turns:
    """A process of one checkout that makes turns when it is told to."""

    def __init__(self, checkout: Path, store: str, database: str, charges: int) -> None:
        command = [
            sys.executable,
            str(ROOT / "benchmarks" / "ledger.py"),
            "--serve",
            store,
            database,
            "--charges",
            str(charges),
        ]
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, cwd=checkout, stdin=pipe, stdout=pipe, text=True)

    def make(self, charge: str) -> tuple[float, float]:
        """Return the seconds and the processor seconds of one turn."""
        assert self.process.stdin
        assert self.process.stdout
        print(charge, file=self.process.stdin, flush=True)
        seconds, worked = self.process.stdout.readline().split()
        return float(seconds), float(worked)

    def close(self) -> None:
        """Wait for the end of the process."""
        self.process.communicate()


def shown(ratios: list[float]) -> str:
    """Return a median with the least and the greatest."""
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def measure(checkouts: dict[str, Path], store: str, databases: dict[str, str], charges: int, rounds: int) -> None:
    """Print a row for each charge, database and checkout."""
    turns = {("none", ""): Turns(ROOT, store, "", charges)}
    for what, url in databases.items():
        for which, path in checkouts.items():
            turns[what, which] = Turns(path, store, url, charges)
    print(f"{'charge':20}{'ledger':22}{'decisions/s':>12} {'of none':24}{'CPU us':>8} {'of none'}")
    for charge in CHARGES:
        found: dict[tuple[str, str], list[tuple[float, float]]] = {each: [] for each in turns}
        for number in range(rounds + 1):
            for each in random.sample([*turns], len(turns)):
                made = turns[each].make(charge)
                if number:
                    found[each].append(made)
        for (what, which), made in found.items():
            speed, work = ([each[at] for each in made] for at in (0, 1))
            base = found["none", ""]
            of_speed = shown([base[at][0] / each for at, each in enumerate(speed)])
            of_work = shown([each / base[at][1] for at, each in enumerate(work)])
            row = f"{charges / median(speed):>12,.0f} {of_speed:24}{median(work) / charges * 1e6:>8.1f} {of_work}"
            print(f"{charge:20}{f'{what} {which}':22}{row}", flush=True)
    for each in turns.values():
        each.close()


def main() -> None:
    """Start the servers and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--charges", type=int, default=10_000)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(*options.serve, options.charges))
        return
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))  # where the servers are
    import postgres
    from servers import Rack

    checkouts = {"": ROOT} | ({"before": options.before.resolve()} if options.before else {})
    rack = Rack()
    with tempfile.TemporaryDirectory() as folder:
        try:
            store = rack.start("valkey-9").url
            databases = {"SQLite": f"sqlite:///{folder}/ledger.db", "PostgreSQL": postgres.start(rack).url()}
            measure(checkouts, store, databases, options.charges, options.rounds)
        finally:
            rack.close()


if __name__ == "__main__":
    main()
