"""
Time of each page of the console on many accounts in PostgreSQL.

    python -m benchmarks.console [--accounts 100000] [--rounds 20]

The console serves `policies/customer-tiers` by uvicorn in the process that asks; counters are in memory. Each page is
asked in turn, in shuffled order within a round; a row shows the median and the slowest of the rounds, the processor
time of the median round, and the statements of one request.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
PAGES = {
    "all accounts": "", "a later page": "?after=a050000", "a prefix": "?prefix=a0777", "a prefix of none": "?prefix=b",
    "a tier": "?tier=enterprise", "a rare tier": "?tier=freemium", "entitlements": "account?id=a099999",
    "meters": "account/meters?id=a099999", "preview": "account/preview?id=a099999&tier=enterprise",
    "changes": "account/change?id=a099999", "a form": "account/change?id=a099999&verb=override",
    "audit": "account/audit?id=a099999", "plans": "plans", "refusals": "refusals",
}  # fmt: skip


def main() -> None:
    """Start a PostgreSQL, fill it, ask for every page in each round, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))  # where the servers are
    import postgres
    from servers import Rack

    rack = Rack()
    try:
        measure(postgres.start(rack).url(), options.accounts, options.rounds)
    finally:
        rack.close()


def measure(url: str, accounts: int, rounds: int) -> None:
    """Print the times of all pages."""
    import httpx
    from console_site import ConsoleSite
    from sql_sources import statements_of

    from entitlements import Policy

    with ConsoleSite(url, written=Policy.load(ROOT / "policies" / "customer-tiers"), tiers={}) as site:
        fill(site.accounts, accounts)
        seen = statements_of(site.accounts._engine)
        taken: dict[str, list[tuple[float, float, int]]] = {name: [] for name in PAGES}
        with httpx.Client(timeout=60) as client:
            for _ in range(rounds + 1):
                for name in random.sample([*PAGES], len(PAGES)):
                    seen.clear()
                    began, worked = time.perf_counter(), time.process_time()
                    assert client.get(f"{site.url}/{PAGES[name]}").status_code == 200
                    spent = time.perf_counter() - began, time.process_time() - worked
                    taken[name].append((*spent, len(seen)))
    print(f"{'page':18} {'median ms':>10} {'slowest ms':>11} {'CPU ms':>8} {'statements':>11}")
    for name, (_, *warm) in taken.items():
        spent, worked, statements = zip(*warm, strict=True)
        row = median(spent) * 1e3, max(spent) * 1e3, median(worked) * 1e3, max(statements)
        print(f"{name:18} {row[0]:>10.1f} {row[1]:>11.1f} {row[2]:>8.1f} {row[3]:>11}")


def fill(accounts: object, number: int) -> None:
    """Insert accounts, one in a hundred of the lowest tier, and one with a long audit."""
    from datetime import UTC, datetime

    from sqlalchemy import insert

    from entitlements.accounts.sql.tables import ACCOUNTS, AUDIT

    now = datetime.now(UTC)
    fixed = {"status": "active", "version": 1, "created": now, "changed": now}
    tiers = ("enterprise", "mid-market", "small-business")
    rows = [
        {"id": f"a{at:06}", "tier": "freemium" if at % 5000 == 0 else tiers[at % 3], **fixed} for at in range(number)
    ]
    entry = {
        "account": "a099999",
        "at": now,
        "action": "grant",
        "reason": "benchmark",
        "author": "ops",
        "changed": "{}",
    }
    with accounts._engine.begin() as connection:  # type: ignore[attr-defined]
        for at in range(0, number, 5000):
            connection.execute(insert(ACCOUNTS), rows[at : at + 5000])
        if number >= 100_000:
            connection.execute(insert(AUDIT), [{**entry, "version": at + 1} for at in range(1000)])
    with accounts._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:  # type: ignore[attr-defined]
        connection.exec_driver_sql("analyze")


if __name__ == "__main__":
    main()
