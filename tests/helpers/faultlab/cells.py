"""Run one cell of the table: workers repeat an operation before, while and after a fault holds."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from entitlements import AsyncEnforcer, Enforcer
from faultlab.heartbeat import Heartbeat
from faultlab.judge import Verdict, judge
from faultlab.operations import ACCOUNT, TTL, USERS, Actor, drive
from faultlab.told import Told

WORKERS = 3
ROUNDS = 2
"""Rounds of each worker before the fault, and after it."""
PAUSE = 0.015
"""Seconds between two rounds of a worker."""
LEFT_WITHIN = 5.0
"""Seconds within which the server must notice that a connection was closed."""
PATIENCE = 30.0
"""Seconds within which a store that is back must be used again."""


@dataclass
class Window:
    """The instants between which the fault holds, and whether the store was in use again after it."""

    entered: float = 0.0
    lifted: float = 0.0
    recovered: bool = False


def run(fault, operation, mode, bench):
    """Run a cell and return its verdict."""
    told, window = Told(), Window()
    bench.operation, bench.told = operation, told
    bench.admin.ping()
    with Heartbeat() as beat:
        before = footprint()
        if mode == "sync":
            leaks = _threads(fault, operation, bench, told, window)
        else:
            with asyncio.Runner() as runner:
                leaks = runner.run(_tasks(fault, operation, bench, told, window, beat))
        gc.collect()
        leaks += _left(bench, before)
    return judge(fault, operation, told, bench, window, beat, leaks)


# --- Threads ------------------------------------------------------------------------------------------------------


def _threads(fault, operation, bench, told, window):
    enforcer = Enforcer(
        bench.policy, accounts=bench.accounts_for("sync"), store=bench.url, expected_processes=1
    )  # fmt: skip
    bench.enforcer = enforcer
    if bench.policy_file:
        enforcer.watch(bench.policy_file, every=0.02)
    actors = [Actor(enforcer, told, worker) for worker in range(WORKERS)]
    drive(_warm_up(actors[0]))
    over = threading.Event()

    def work(actor):
        for number in range(ROUNDS):
            drive(operation.story(actor, number))
        for number in range(ROUNDS, ROUNDS + fault.rounds):
            if over.is_set():
                break
            drive(operation.story(actor, number))
            time.sleep(PAUSE)

    def finish(actor):
        for number in range(100, 100 + ROUNDS):
            drive(operation.story(actor, number))

    with ThreadPoolExecutor(WORKERS) as pool:
        working = [pool.submit(work, actor) for actor in actors]
        try:
            time.sleep(4 * PAUSE)
            with fault.enter(bench):
                window.entered = monotonic()
                time.sleep(fault.seconds)
                window.lifted = monotonic()
        finally:
            over.set()
        for each in working:
            each.result()
        window.recovered = drive(recover(actors[0], time.sleep))
        list(pool.map(finish, actors))
    if operation.finish:
        drive(operation.finish(actors[0]))
    time.sleep(TTL + fault.late if operation.name.startswith("reservation") else fault.late)
    window.recovered &= drive(recover(actors[0], time.sleep))
    drive(sweep(actors[0], time.sleep))
    enforcer.close()
    return []


# --- Tasks --------------------------------------------------------------------------------------------------------


async def _tasks(fault, operation, bench, told, window, beat):
    bench.loop = asyncio.get_running_loop()
    beating = asyncio.create_task(beat.on_loop())
    enforcer = AsyncEnforcer(
        bench.policy, accounts=bench.accounts_for("async"), store=bench.url, expected_processes=1
    )  # fmt: skip
    bench.enforcer = enforcer
    if bench.policy_file:
        await enforcer.watch(bench.policy_file, every=0.02)
    actors = [Actor(enforcer, told, worker) for worker in range(WORKERS)]
    await _warm_up(actors[0])
    over = asyncio.Event()

    async def work(actor):
        for number in range(ROUNDS):
            await operation.story(actor, number)
        for number in range(ROUNDS, ROUNDS + fault.rounds):
            if over.is_set():
                break
            await operation.story(actor, number)
            await asyncio.sleep(PAUSE)

    async def finish(actor):
        for number in range(100, 100 + ROUNDS):
            await operation.story(actor, number)

    working = [asyncio.create_task(work(actor)) for actor in actors]
    try:
        await asyncio.sleep(4 * PAUSE)
        holding = fault.enter(bench)
        await _off_loop(fault, holding.__enter__)
        window.entered = monotonic()
        await asyncio.sleep(fault.seconds)
        window.lifted = monotonic()
        await _off_loop(fault, holding.__exit__, None, None, None)
    finally:
        over.set()
        await asyncio.gather(*working)
    window.recovered = await recover(actors[0], asyncio.sleep)
    await asyncio.gather(*map(finish, actors))
    if operation.finish:
        await operation.finish(actors[0])
    await asyncio.sleep(TTL + fault.late if operation.name.startswith("reservation") else fault.late)
    window.recovered &= await recover(actors[0], asyncio.sleep)
    await sweep(actors[0], asyncio.sleep)
    await enforcer.aclose()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    return [f"task {each.get_name()} of {each.get_coro()!r}" for each in left]


async def _off_loop(fault, act, *arguments):
    """Enter or lift a fault beside the loop: only what happens to the loop itself begins on it."""
    if fault.modes == ("async",):
        act(*arguments)
    else:
        await asyncio.to_thread(act, *arguments)


# --- Both ---------------------------------------------------------------------------------------------------------


async def _warm_up(actor):
    """Connect, and let the server load the scripts."""
    for what in ("api", "leads", "seats"):
        result = actor.enforcer.peek(ACCOUNT, what)
        if not hasattr(result, "allowed"):
            await result


async def recover(actor, sleep):
    """Call until the store decides again and nothing waits to be replayed; return whether that came in time."""
    journal = actor.enforcer._store._store.policy.journal
    until = monotonic() + PATIENCE
    while monotonic() < until:
        decision = await actor.call("peek", ACCOUNT, "leads")
        if decision is not None and not decision.degraded and not len(journal.queue):
            return True
        paused = sleep(0.02)
        if paused is not None:
            await paused
    return False


async def sweep(actor, sleep):
    """Read what is used, which ends reservations that have lapsed; a connection of before may be dead still."""
    until = monotonic() + PATIENCE
    for user in USERS:
        while await actor.call("usage", ACCOUNT, scope=user) is None and monotonic() < until:
            paused = sleep(0.02)
            if paused is not None:
                await paused


def footprint():
    """Return how many threads and files this process has."""
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def _left(bench, before):
    """Return what is left of the cell: connections of the server, threads and files of this process."""
    until, left = monotonic() + LEFT_WITHIN, []
    while monotonic() < until:
        clients = len(bench.admin.client_list()) - 1
        threads, files = (now - then for now, then in zip(footprint(), before, strict=True))
        named = {"connections": clients, "threads": threads, "files": files}
        left = [f"{many} {name}" for name, many in named.items() if many > 0]
        if not left:
            break
        time.sleep(0.02)
    return left


__all__ = ["Verdict", "run"]
