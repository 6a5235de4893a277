"""
Exactness and memory on each server: units admitted to competing processes, and bytes of 100,000 accounts.

    python -m benchmarks.exactness [--processes 8] [--tasks 64] [--left 10000] [--accounts 100000] [--kinds valkey-9 …]

The servers of the tests are started and stopped by this program. No figure depends on the speed of the
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))  # where the servers and the contests are

import pytest
from contests import MEASURED, hammered, last_seat, skewed
from servers import KINDS, Rack

from entitlements import Enforcer, Policy
from entitlements.model.charge import Charge, Part
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Rate
from entitlements.model.names import MAX_RATE
from entitlements.stores.redis import AsyncRedisStore
from entitlements.stores.redis.keys import account_key

SKEWS = (-HOUR, 0, HOUR)
FIELD = b"r1:%d:api" % HOUR
BUCKETS = 61
FULL = 65_000
"""Calls in each bucket of an account that is measured full."""
MOST = 600
"""Bytes that an account may take by MEMORY USAGE."""
MOST_OF_BOTH, MOST_OF_PROCESS = 900, 170
"""Bytes of an account with a quota as well, and for each process that charges it."""
PROCESSES, CHARGES = (1, 4, 16), (1, 100, 1_000)
GROWN = Policy.parse({
    "policy": {"version": "grown"},
    "limits": {"api": {"kind": "rate", "deadline": "5 seconds"}, "leads": {"kind": "quota", "deadline": "5 seconds"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000000 per hour", "leads": 1_000_000}}},
})  # fmt: skip


def main() -> int:
    """Run every contest on every server, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exactness", description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=64, help="in each process")
    parser.add_argument("--left", type=int, default=10_000, help="units that all of them want")
    parser.add_argument("--claims", type=int, default=200, help="of the last seat, from four processes")
    parser.add_argument("--accounts", type=int, default=100_000, help="that are loaded to be measured")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    rack = Rack()
    try:
        for kind in options.kinds:
            _report(rack, kind, options)
    finally:
        rack.close()
    return 0


def _report(rack, kind, options):
    try:
        server = rack.start(kind)
    except pytest.skip.Exception as missing:
        print(f"{kind}: left out, {missing}")
        return
    print(f"{kind} ({server.version})")
    admitted, asked = hammered(server.url, options.left, processes=options.processes, tasks=options.tasks)
    who = f"{options.processes} processes x {options.tasks} tasks"
    _line(f"{who}, {asked:,} asked, {options.left:,} left", f"{admitted:,} admitted", admitted == options.left)
    outcomes, taken = last_seat(f"{server.url}?namespace=seat", processes=4, claims=options.claims)
    winners = sum(many for verb, many in outcomes.items() if verb.islower())
    _line(f"the last seat of 3, {options.claims} claims", f"{winners} won, {taken} taken", (winners, taken) == (1, 3))
    got = skewed(f"{server.url}?namespace=skew", SKEWS)
    said = ", ".join(f"{many} of {MEASURED[name]} {name}" for name, many in got.items())
    _line("clocks off by -1 h, 0, +1 h", said, got == MEASURED)
    rack.remove(server)
    _room(rack, kind, options.accounts)


def _line(what, said, holds):
    print(f"  {what:<64}{said}{'' if holds else '  MISSED'}", flush=True)


# -- room ----------------------------------------------------------------------------------


def _room(rack, kind, accounts):
    """Load accounts with one hourly rate, all 61 buckets non-zero, and print the bytes of each."""
    server = rack.start(kind)
    with server.client() as client:
        empty = client.info("memory")["used_memory"]
        used = load(server.url, client, accounts)
        each = [client.memory_usage(key_of(number)) for number in range(accounts)]
        total = (client.info("memory")["used_memory"] - empty) / accounts
    what = f"{accounts:,} accounts, {used:,} calls in each one's last hour"
    said = f"{min(each)} to {max(each)} B by MEMORY USAGE ({total:.0f} B of used_memory)"
    _line(what, said, max(each) <= MOST)
    with server.client() as client:
        for (processes, charges), size in growth(server.url, client).items():
            what = f"a rate and a quota, {processes} processes, {charges:,} charges of each"
            _line(what, f"{size:,} B by MEMORY USAGE", size <= MOST_OF_BOTH + MOST_OF_PROCESS * processes)
    rack.remove(server)


def growth(url, client):
    """Return the bytes of an account that is charged a rate and a quota, by processes and by charges of each."""
    found = {}
    for processes in PROCESSES:
        account, before = f"grown-by-{processes}", 0
        enforcers = [Enforcer(GROWN, accounts={account: "one"}, store=url) for _ in range(processes)]
        for charges in CHARGES:
            for enforcer in enforcers * (charges - before):
                enforcer.consume(account, {"api": 1, "leads": 1})
            before, found[processes, charges] = charges, client.memory_usage(account_key("ent", account), samples=0)
        for enforcer in enforcers:
            enforcer.close()
    return found


def key_of(number):
    """Return the key of an account whose id is twenty characters long."""
    return account_key("ent", f"a-customer-id-{number:06d}")


def load(url, client, accounts):
    """
    Charge each account once through the store; return the usage of the last one.

    A ring takes an hour to fill. So its counts are written into the record that the charge
    made, at their place in the layout (`stores/redis/lua/meters.lua`).
    """
    asyncio.run(_charged(url, range(accounts)))
    total, counts = (FULL * BUCKETS).to_bytes(4, "big"), FULL.to_bytes(4, "big") * BUCKETS
    for first in range(0, accounts, 1000):
        batch = range(first, min(first + 1000, accounts))
        with client.pipeline(transaction=False) as pipeline:
            for number in batch:
                pipeline.hget(key_of(number), FIELD)
            for number, record in zip(batch, pipeline.execute(), strict=True):
                pipeline.hset(key_of(number), FIELD, record[:16] + total + counts)
            pipeline.execute()
    return asyncio.run(_charged(url, [accounts - 1])) - 1


async def _charged(url, numbers):
    """Charge these accounts, 32 at a time; return the usage of the last one."""
    store, used = AsyncRedisStore(url), 0

    async def charge(some):
        nonlocal used
        for number in some:
            part = Part(Rate("api", HOUR, deadline=10 * SECOND), MAX_RATE)
            used = (await store.execute(Charge(f"a-customer-id-{number:06d}", (part,)))).lines[0].used

    await asyncio.gather(*(charge(numbers[first::32]) for first in range(min(32, len(numbers)))))
    await store.aclose()
    return used


if __name__ == "__main__":
    raise SystemExit(main())
