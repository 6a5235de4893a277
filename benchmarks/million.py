"""
Memory and speed of a million accounts with a rate and a quota, compared with a thousand in the same run.

    python -m benchmarks.million [--accounts 1000000] [--held 400000] [--processes 4] [--seconds 40]
                                 [--kinds valkey-9 redis-7.0]

Each process charges its part of the accounts once at the store, by tasks whose charges travel together. Then all of
them charge by Zipf's law (the account of rank k is charged 1/k as often as the first one) and change every half second:
all accounts, all accounts where the process holds those that are charged most (`--held`), the first 20,000, which the
process has loaded, and a thousand accounts of another namespace on the same server. Figures are medians of these turns. A process that knows no account starts and charges a thousand of them,
and one charges more accounts than its caches hold.

Each kind of server is measured with its own settings and with those of `COMPACT`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import resource
import sys
import time
from array import array
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements import Account, AsyncEnforcer, Policy
from entitlements.accounts import AsyncCachedAccounts
from entitlements.clock import system_clock
from entitlements.model.answers import Status
from entitlements.model.charge import Charge
from entitlements.rules.planning import prepare
from entitlements.rules.resolve import resolve
from entitlements.stores.redis import AsyncRedisStore
from entitlements.stores.redis.keys import account_key, encode_id
from entitlements.stores.sequence import Producer

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis

    from entitlements.ports import AsyncAccounts

COMPACT = "hash-max-listpack-value 512"
"""A record is one block of memory if no field is longer; a sliding rate has 264 bytes."""
FEW, KNOWN, TASKS, TURN, GAP = 1000, 20_000, 64, 0.5, 0.02
NAMES = ("all", "held", "known", "few")
"""The kinds of turns, one after the other."""
FLOOD = 130_000
"""Accounts that one process charges: more than its largest cache holds."""
SAMPLED = 1000
"""Accounts whose records are looked at one by one."""
BOTH = {"api": 1, "leads": 1}
POLICY = Policy.parse({
    "policy": {"version": 1},
    "limits": {"api": {"kind": "rate", "deadline": "20 seconds"}, "leads": {"kind": "quota", "deadline": "20 seconds"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000000000 per hour", "leads": 10**12}}},
})  # fmt: skip


class Turn(NamedTuple):
    """Decisions of one process in one turn, and the 50th and 99th percentile of their microseconds."""

    decisions: int
    cpu: float
    p50: float
    p99: float


class Directory:
    """A source of accounts that knows all of them and holds none."""

    loads = 0

    async def find(self, id: str) -> Account:
        """Return an account of the only tier."""
        self.loads += 1
        return Account(id, "one")


def account(rank: int) -> str:
    """Return the id of an account, which has 20 characters."""
    return f"a-customer-id-{rank:06d}"


def enforcer_of(url: str, source: AsyncAccounts, processes: int) -> AsyncEnforcer:
    """Return an enforcer that begins without any account."""
    return AsyncEnforcer(POLICY, accounts=source, store=url, expected_processes=processes)


def kept(source: AsyncAccounts, most: int = KNOWN) -> AsyncCachedAccounts:
    """Return a source whose accounts are not loaded again while it holds them."""
    return AsyncCachedAccounts(source, ttl=timedelta(hours=1), max_size=most)


def entries(enforcer: AsyncEnforcer) -> dict[str, int]:
    """Return how many entries the caches of a process have."""
    return {
        "resolved accounts": len(enforcer._cache.by_id),
        "versions": len(enforcer._cache._versions or ()),
        "loaded accounts": len(enforcer._accounts._entries._entries),
        "ids of keys": encode_id.cache_info().currsize,
        "open sequences": len(enforcer._numbers.accounts),
    }


def peak_rss() -> int:
    """Return the most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def charge_all(enforcer: AsyncEnforcer, ids: Iterable[str]) -> None:
    """Charge each account once, by tasks."""
    each = iter(ids)

    async def work() -> None:
        for id in each:
            decision = await enforcer.consume(id, BOTH)
            assert (decision.allowed, decision.via) == (True, "store"), decision

    await asyncio.gather(*(work() for _ in range(4 * TASKS)))


def load(url: str, first: int, count: int) -> float:
    """Charge accounts that are next to each other once at the store; return this process's microseconds for each."""

    async def run() -> float:
        now = system_clock()
        parts = prepare(resolve(POLICY, Account("a", "one"), now), BOTH, now).parts
        store, producer, ranks = AsyncRedisStore(url), Producer(), iter(range(first, first + count))

        async def work() -> None:
            for rank in ranks:
                charge, _ = producer.open(Charge(account(rank), parts))
                outcome = await store.execute(charge)
                assert outcome.status is Status.ADMITTED, outcome
                producer.close(charge)

        began = time.process_time()
        await asyncio.gather(*(work() for _ in range(4 * TASKS)))
        await store.aclose()
        return (time.process_time() - began) / count * 1e6

    return asyncio.run(run())


def flood(url: str, count: int) -> dict[str, object]:
    """Charge so many accounts by one enforcer; return what its caches hold then, and what the process had at most."""

    async def run() -> dict[str, object]:
        before = peak_rss()
        async with enforcer_of(url, Directory(), 1) as enforcer:
            await charge_all(enforcer, map(account, range(count)))
            return {"accounts": count, "entries": entries(enforcer), "more MB": round((peak_rss() - before) / 1e6)}

    return asyncio.run(run())


async def take_turn(enforcer: AsyncEnforcer, accounts: int, until: float, chance: random.Random) -> Turn:
    """Charge by Zipf's law until an instant."""
    took, draw, clock = array("d"), chance.random, time.monotonic
    ids = [account(rank) for rank in range(FEW)]
    top = len(ids)

    async def work() -> None:
        began = clock()
        while True:
            rank = int((accounts + 1) ** draw()) - 1  # has the density 1/x
            await enforcer.consume(ids[rank] if rank < top else account(rank), BOTH)
            ended = clock()
            took.append(ended - began)
            if ended >= until:
                return
            began = ended

    used = time.process_time()
    await asyncio.gather(*(work() for _ in range(TASKS)))
    used = time.process_time() - used
    times = sorted(took)
    return Turn(len(times), used / len(times) * 1e6, times[len(times) // 2] * 1e6, times[len(times) * 99 // 100] * 1e6)


def charge_by_zipf(url: str, accounts: int, most: int, seconds: float, processes: int, seed: int) -> dict[str, object]:
    """Charge all, held, known and few accounts in turn; return the turns of each, and what this process holds then."""

    async def run() -> dict[str, object]:
        chance, source, other = random.Random(seed), Directory(), Directory()
        many, held = enforcer_of(url, source, processes), enforcer_of(url, kept(other, most), processes)
        known = enforcer_of(url, kept(Directory()), processes)
        few = enforcer_of(f"{url}?namespace=few", kept(Directory()), processes)
        turns: dict[str, list[Turn]] = {name: [] for name in NAMES}
        each = dict(
            zip(NAMES, ((many, accounts), (held, accounts), (known, min(KNOWN, accounts)), (few, FEW)), strict=True)
        )
        async with many, held, known, few:
            for enforcer, count in ((known, min(KNOWN, accounts)), (few, FEW)):
                await charge_all(enforcer, map(account, range(count)))
            before = peak_rss()
            await charge_all(held, map(account, reversed(range(most))))
            more, other.loads = peak_rss() - before, 0
            begin = await asyncio.to_thread(meet)
            for at in range(len(NAMES) * round(seconds / TURN / len(NAMES))):
                name = NAMES[at % len(NAMES)]
                await asyncio.sleep(max(0.0, begin + at * TURN - time.monotonic()))
                turns[name].append(await take_turn(*each[name], begin + (at + 1) * TURN - GAP, chance))
            loads = {
                name: round(each.loads / sum(turn.decisions for turn in turns[name]), 3)
                for name, each in (("all", source), ("held", other))
            }
            return {
                **turns, "entries": entries(many), "loads for a decision": loads,
                "MB of the held": round(more / 1e6), "peak RSS MB": round(peak_rss() / 1e6),
            }  # fmt: skip

    return asyncio.run(run())


_gate: Any = None


def set_gate(gate: object) -> None:
    """Have the processes of a pool meet here."""
    global _gate  # noqa: PLW0603 - it is inherited, never sent
    _gate = gate


def meet() -> float:
    """Wait for the other processes; return the instant at which all of them begin."""
    _gate.wait()
    return time.monotonic() + 0.1


def start_up(url: str, accounts: int) -> dict[str, float]:
    """Return what a process that knows no account needs until its first decision, and for each of a thousand others."""

    async def run() -> dict[str, float]:
        before, began, used = peak_rss(), time.monotonic(), time.process_time()
        async with enforcer_of(url, Directory(), 1) as enforcer:
            await enforcer.consume(account(0), BOTH)
            first, used_first = time.monotonic() - began, time.process_time() - used
            chosen = random.Random(1).sample(range(accounts), min(FEW, accounts))
            began, used = time.monotonic(), time.process_time()
            await charge_all(enforcer, map(account, chosen))
            return {
                "first decision ms": round(first * 1e3, 2),
                "first decision CPU ms": round(used_first * 1e3, 2),
                "1,000 unknown accounts, CPU us each": round((time.process_time() - used) / len(chosen) * 1e6, 1),
                "RSS MB": round(before / 1e6, 1),
                "more MB for these": round((peak_rss() - before) / 1e6, 1),
            }

    return asyncio.run(run())


def records(client: redis.Redis, accounts: int) -> dict[str, object]:
    """Return the bytes of records by MEMORY USAGE, and how many of them have each encoding."""
    sizes, encodings = [], {}
    for rank in random.Random(1).sample(range(accounts), min(SAMPLED, accounts)):
        key = account_key("ent", account(rank))
        sizes.append(client.memory_usage(key, samples=0))
        encoding = client.object("encoding", key).decode()
        encodings[encoding] = encodings.get(encoding, 0) + 1
    return {"median": median(sizes), "most": max(sizes), "encodings": encodings}


def used_memory(client: redis.Redis) -> int:
    """Return the bytes that the server has allocated."""
    return int(client.info("memory")["used_memory"])


def measure(server: Any, options: argparse.Namespace, *, floods: bool) -> dict[str, object]:
    """Load the accounts, charge them, and return all figures."""
    many, held, processes = options.accounts, min(options.held, options.accounts), options.processes
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(processes)
    pool = context.Pool(processes, initializer=set_gate, initargs=(gate,), maxtasksperchild=1)
    with server.client() as client, pool:
        pool.apply(load, (server.url, 0, 1))  # which loads the scripts
        empty, each = used_memory(client), many // processes
        spent = pool.starmap(load, [(server.url, each * at, each) for at in range(processes)], chunksize=1)
        found: dict[str, object] = {
            "accounts": many,
            "bytes of an account": round((used_memory(client) - empty) / many),
            "records": records(client, many),
            "loading, client CPU us": round(median(spent), 1),
        }
        before = server_seconds(client)
        work = [(server.url, many, held, options.seconds, processes, seed) for seed in range(processes)]
        results = pool.starmap(charge_by_zipf, work, chunksize=1)
        spent_by_server = server_seconds(client) - before
        found |= summary(results)
        made = sum(turn[0] for result in results for name in NAMES for turn in result[name])
        made += processes * (FEW + min(KNOWN, many) + held)
        found["server CPU us"] = round(spent_by_server / made * 1e6, 2)
        found["records, charged by all"] = records(client, many)
        found["start-up"] = pool.apply(start_up, (server.url, many))
        if floods:
            found["more accounts than caches hold"] = pool.apply(flood, (server.url, min(many, FLOOD)))
    return found


def server_seconds(client: redis.Redis) -> float:
    """Return the processor time of the server so far."""
    info = client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


def summary(results: list[dict[str, Any]]) -> dict[str, object]:
    """Return decisions/s of all processes, percentiles, and ratios to few accounts, as medians of turns."""
    found: dict[str, object] = {}
    rates = {}
    for name in NAMES:
        turns = list(zip(*(result[name] for result in results), strict=True))
        rates[name] = [sum(each.decisions for each in turn) / (TURN - GAP) for turn in turns]
        found[name] = {
            "decisions a second": round(median(rates[name])),
            "client CPU us": round(median(each.cpu for turn in turns for each in turn), 1),
            "p50 ms": round(median(each.p50 for turn in turns for each in turn) / 1e3, 1),
            "p99 ms": round(median(each.p99 for turn in turns for each in turn) / 1e3, 1),
        }
    for name in NAMES[:-1]:
        found[f"{name} to few"] = round(median(a / b for a, b in zip(rates[name], rates["few"], strict=True)), 3)
    for key in ("entries", "loads for a decision", "MB of the held", "peak RSS MB"):
        found[key] = results[0][key]
    return found


def main() -> None:
    """Print one JSON object for each server and setting."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--held", type=int, default=400_000, help="accounts that one process holds, in its own row")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--kinds", nargs="+", default=["valkey-9", "redis-7.0"])
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))  # where the servers are
    from servers import Rack

    rack = Rack()
    try:
        for kind in options.kinds:
            for lines in ((), (COMPACT,)):
                server = rack.start(kind, *lines)
                floods = not lines and kind == options.kinds[0]
                found = {"server": f"{kind} ({server.version})", "settings": lines}
                found |= measure(server, options, floods=floods)
                print(json.dumps(found), flush=True)
                rack.remove(server)
    finally:
        rack.close()


if __name__ == "__main__":
    main()
