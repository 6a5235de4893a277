"""
Measure what leases make of an account that many processes charge, and what a killed process takes with it.

    python -m benchmarks.leases redis://localhost:6379 [--processes 4] [--seconds 2] [--lease 50]

Each process charges the same rate of the same account, one call after the other or by 64 tasks on asyncio, without a
lease and with one. The server's own time per decision is that of its process (`used_cpu_user` and `used_cpu_sys`).
Then one process after the other is killed while it holds units of a quota, and what stays counted is compared with
what the processes have spent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import time
from uuid import uuid4

import redis

from benchmarks.rounds import environment
from entitlements import AsyncEnforcer, Enforcer, Policy

TASKS = 64
BLOCK = 50
"""Charges that are timed together: with a lease one round trip."""
KILLED = 8
"""Processes that are killed while they hold units."""


def policy_of(lease: int | None) -> Policy:
    """Return a policy of one rate and one quota that are never used up."""
    leased = {} if lease is None else {"lease": lease}
    return Policy.parse({
        "policy": {"version": 1},
        "limits": {
            "api": {"kind": "rate", "deadline": "20 seconds", **leased},
            "leads": {"kind": "quota", "on_outage": "allow", "deadline": "20 seconds", **leased},
        },
        "tiers": {"one": {"rank": 1, "limits": {"api": "1000000000 per hour", "leads": 1_000_000_000}}},
    })  # fmt: skip


def charge(url: str, account: str, lease: int | None, seconds: float, processes: int) -> tuple[int, float]:
    """Charge one call after the other; return the number of decisions, and the time of this process for them."""
    options = {"accounts": {account: "one"}, "store": url, "expected_processes": processes}
    with Enforcer(policy_of(lease), **options) as enforcer:
        for _ in range(100):
            enforcer.consume(account, "api")
        decisions, began, until = 0, time.process_time(), time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(50):
                enforcer.consume(account, "api")
            decisions += 50
        return decisions, time.process_time() - began


def charge_by_tasks(url: str, account: str, lease: int | None, seconds: float, processes: int) -> tuple[int, float]:
    """Charge by 64 tasks; return the number of decisions, and the time of this process for them."""

    async def run() -> tuple[int, float]:
        options = {"accounts": {account: "one"}, "store": url, "expected_processes": processes}
        async with AsyncEnforcer(policy_of(lease), **options) as enforcer:
            await enforcer.consume(account, "api")
            decisions, began, until = 0, time.process_time(), time.monotonic() + seconds

            async def work() -> None:
                nonlocal decisions
                while time.monotonic() < until:
                    for _ in range(10):
                        await enforcer.consume(account, "api")
                    decisions += 10
                    await asyncio.sleep(0)

            await asyncio.gather(*(work() for _ in range(TASKS)))
            return decisions, time.process_time() - began

    return asyncio.run(run())


def hot_account(url: str, how: str, lease: int | None, seconds: float, processes: int) -> dict[str, float]:
    """Return decisions a second of all processes, and microseconds of the client and of the server for each."""
    account, work = uuid4().hex, {"calls": charge, "tasks": charge_by_tasks}[how]
    with redis.Redis.from_url(url) as client, multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(abs, range(processes))
        before = server_seconds(client)
        found = pool.starmap(work, [(url, account, lease, seconds, processes)] * processes, chunksize=1)
        spent = server_seconds(client) - before
    decisions = sum(each for each, _ in found)
    return {
        "decisions a second": round(decisions / seconds),
        "client CPU us": round(sum(each for _, each in found) / decisions * 1e6, 2),
        "server CPU us": round(spent / decisions * 1e6, 2),
    }


def server_seconds(client: redis.Redis) -> float:
    """Return the processor time of the server so far."""
    info = client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


def amortised(url: str, lease: int | None, charges: int = 20_000) -> dict[str, float]:
    """Return microseconds of a decision of one process that charges one call after the other, of a rate and of a quota."""
    found = {}
    for limit in ("api", "leads"):
        account = uuid4().hex
        with Enforcer(policy_of(lease), accounts={account: "one"}, store=url, expected_processes=1) as enforcer:
            for _ in range(200):
                enforcer.consume(account, limit)
            times, worked = [], time.process_time()
            for _ in range(charges // BLOCK):
                began = time.perf_counter()
                for _ in range(BLOCK):
                    enforcer.consume(account, limit)
                times.append((time.perf_counter() - began) / BLOCK * 1e6)
            worked = time.process_time() - worked
        times.sort()
        found[f"{limit}, client CPU us"] = round(worked / charges * 1e6, 2)
        found[f"{limit}, best tenth us"] = round(times[len(times) // 10], 2)
        found[f"{limit}, median us"] = round(times[len(times) // 2], 2)
    return found


def spend_until_killed(url: str, account: str, lease: int, spends: int, pipe: int) -> None:
    """Spend units, tell of each by a byte, and wait to be killed."""
    enforcer = Enforcer(policy_of(lease), accounts={account: "one"}, store=url, expected_processes=KILLED)
    for _ in range(spends):
        if enforcer.consume(account, "leads"):
            os.write(pipe, b".")
    os.write(pipe, b"!")
    time.sleep(600)


def killed_holders(url: str, lease: int) -> dict[str, int]:
    """Return the units that killed processes have spent, and those that stay counted."""
    account, spent = uuid4().hex, 0
    for number in range(KILLED):
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        child = multiprocessing.get_context("fork").Process(
            target=spend_until_killed, args=(url, account, lease, 2 + 7 * number, writing)
        )
        child.start()
        told = b""
        while not told.endswith(b"!"):
            told += os.read(reading, 4096)
        os.kill(child.pid, signal.SIGKILL)  # type: ignore[arg-type]
        child.join()
        spent += len(told) - 1
        os.close(reading)
        os.close(writing)
    with Enforcer(policy_of(None), accounts={account: "one"}, store=url, expected_processes=1) as enforcer:
        counted = enforcer.usage(account)["leads"].used or 0
    return {"spent": spent, "counted": counted, "lapsed for each process": round((counted - spent) / KILLED)}


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--lease", type=int, default=50)
    options = parser.parse_args()
    print(json.dumps({"environment": environment()}, default=str))
    for lease in (None, options.lease):
        print(json.dumps({"one process, lease": lease, **amortised(options.url, lease)}), flush=True)
    for how in ("calls", "tasks"):
        for lease in (None, options.lease, 10 * options.lease):
            found = hot_account(options.url, how, lease, options.seconds, options.processes)
            print(json.dumps({"hot account, by": how, "lease": lease, **found}), flush=True)
    print(json.dumps({"killed holders": KILLED, "lease": options.lease, **killed_holders(options.url, options.lease)}))


if __name__ == "__main__":
    main()
