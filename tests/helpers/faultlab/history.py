"""
Histories: processes of many tasks or threads charge one account under faults, and many calls are cut short.

A call that was cut short may be counted or not. A charge with a key is repeated at the end, so it is known.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import contests

from entitlements import AsyncEnforcer, Enforcer, Policy
from faultlab.cells import recover
from faultlab.operations import ACCOUNT, ACCOUNTS, OPERATIONS, TTL, WRITTEN, Actor, drive
from faultlab.told import Told

WORKERS = 16
CUT = 0.3
"""Share of the calls of tasks that are cut short."""
CUT_WITHIN = 0.02
"""Seconds within which such a call is cut short."""
SIZES = {"api": "1000000 per hour", "leads": 400, "exports": 10**6, "seats": 10**6, "storage": 10**6}
STORIES = ("quota", "quota, allow", "quota, keyed", "mixed", "reservation", "seats by name", "refund", "release")


def policy(deadline="250 ms"):
    """Return the lab's policy with larger limits, of which only `leads` is used up."""
    limits = {name: {**limit, "deadline": deadline} for name, limit in WRITTEN["limits"].items()}
    tier = WRITTEN["tiers"]["one"] | {"limits": SIZES}
    return Policy.parse(WRITTEN | {"limits": limits, "tiers": {"one": tier}})


class HastyActor(Actor):
    """A task whose calls are cut short at random points."""

    def __init__(self, enforcer, told, worker, share=CUT):
        super().__init__(enforcer, told, worker)
        self.chance, self.share = random.Random(worker), share

    def cut(self):
        is_cut = self.chance.random() < self.share
        return asyncio.timeout(self.chance.random() * CUT_WITHIN if is_cut else None)


def tasks(url, process, until):
    """Run the tasks of one process until then; return what they were told."""
    contests._gate.wait()
    return asyncio.run(_tasks(url, process, until))


async def _tasks(url, process, until):
    async with AsyncEnforcer(policy(), accounts=ACCOUNTS, store=url, expected_processes=4) as enforcer:
        actors = [HastyActor(enforcer, Told(), process * WORKERS + number) for number in range(WORKERS)]

        async def work(actor):
            number = 0
            while monotonic() < until:
                await OPERATIONS[actor.chance.choice(STORIES)].story(actor, number)
                await asyncio.sleep(actor.chance.random() * 0.01)
                number += 1
            actor.share = 0

        await asyncio.gather(*map(work, actors))
        told = await _end(actors, asyncio.sleep)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    told.mistakes += [f"a task is left: {each!r}" for each in left]
    return _summary(told)


def threads(url, process, until):
    """Run the threads of one process until then; return what they were told."""
    contests._gate.wait()
    with Enforcer(policy("100 ms"), accounts=ACCOUNTS, store=url, expected_processes=4) as enforcer:
        return _summary(thread_history(enforcer, process, until))


def thread_history(enforcer, process, until):
    """Run threads on a blocking enforcer until then; return what they were told."""
    actors = [Actor(enforcer, Told(), process * WORKERS + number) for number in range(WORKERS)]

    def work(actor):
        chance, number = random.Random(actor.worker), 0
        while monotonic() < until:
            drive(OPERATIONS[chance.choice(STORIES)].story(actor, number))
            time.sleep(chance.random() * 0.01)
            number += 1

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, actors))
    return drive(_end(actors, time.sleep))


async def _end(actors, sleep):
    """Let everything that waits be counted, repeat the keys that are open, and merge what was told."""
    told = Told()
    if not await recover(actors[0], sleep):
        told.mistakes.append("the store is not used again")
    for actor in actors:
        await OPERATIONS["quota, keyed"].finish(actor)
    if (paused := sleep(TTL)) is not None:
        await paused
    await recover(actors[0], sleep)
    await actors[0].call("usage", ACCOUNT)
    for actor in actors:
        told.merge(actor.told.summary())
        told.calls += actor.told.calls
    return told


def _summary(told):
    """Return what a process told: its summary without calls that failed by a known error, and how many calls it made."""
    cut = sum(isinstance(each.error, TimeoutError) for each in told.calls)
    degraded = sum(each.decision is not None and each.decision.degraded for each in told.calls)
    return told.summary(), (len(told.calls), cut, degraded)


def play(work, url, *, seconds, processes=4):
    """Run a history in processes of their own; return what all were told, and (calls, cut short, degraded)."""
    until = monotonic() + seconds
    told, figures = Told(), (0, 0, 0)
    for summary, counts in contests.contest(work, [(url, process, until) for process in range(processes)]):
        told.merge(summary)
        figures = tuple(map(sum, zip(figures, counts, strict=True)))
    return told, figures


@contextmanager
def trouble(*faults, seconds, seed=1):
    """Let faults come and go at random for so many seconds, one at a time, while the block runs."""
    over, chance = Event(), random.Random(seed)

    def run():
        until = monotonic() + seconds
        while monotonic() < until and not over.wait(0.3):
            begin, end = chance.choice(faults)
            begin()
            over.wait(0.2)
            end()

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
