"""
Histories: processes of many tasks or threads charge the same accounts under faults, and many calls are cut short.

A call that was cut short may be counted or not. A charge with a key is repeated at the end, so it is known.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import contests

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.model.events import OperationsDropped
from faultlab.cells import recover
from faultlab.operations import ACCOUNTS, CROWDED, OPERATIONS, TTL, WRITTEN, Actor, drive
from faultlab.records import counted
from faultlab.told import Told

WORKERS = 16
CUT = 0.3
"""Share of the calls of tasks that are cut short."""
PAUSE = 0.1
"""Most seconds between two rounds of a worker: an account keeps 4,096 operation ids for ten minutes."""
CUT_WITHIN = 0.02
"""Seconds within which such a call is cut short."""
SIZES = {"api": "1000000 per hour", "leads": 60, "exports": 10**6, "seats": 10**6, "storage": 10**6}
STORIES = ("quota", "quota, allow", "quota, keyed", "mixed", "reservation", "seats by name", "refund", "release")


def policy(deadline="250 ms"):
    """Return the lab's policy with larger limits, of which only `leads` is used up."""
    limits = {name: {**limit, "deadline": deadline} for name, limit in WRITTEN["limits"].items()}
    tier = WRITTEN["tiers"]["one"] | {"limits": SIZES}
    return Policy.parse(WRITTEN | {"limits": limits, "tiers": {"one": tier}})


class HastyActor(Actor):
    """A task whose calls are cut short at random points."""

    def __init__(self, enforcer, told, worker, account, share=CUT):
        super().__init__(enforcer, told, worker, account)
        self.chance, self.share = random.Random(worker), share

    def cut(self):
        is_cut = self.chance.random() < self.share
        return asyncio.timeout(self.chance.random() * CUT_WITHIN if is_cut else None)


def _actors(kind, enforcer, process, accounts=CROWDED):
    for number in range(WORKERS):
        yield kind(enforcer, Told(), process * WORKERS + number, accounts[number % len(accounts)])


def _watch(dropped):
    """Return a hook that notes accounts whose operation ids were dropped: repeats of those count again."""
    return lambda event: dropped.add(event.account) if isinstance(event, OperationsDropped) else None


def tasks(url, process, seconds, deadline="250 ms"):
    """Run the tasks of one process; return what they were told."""
    contests._gate.wait()
    return asyncio.run(_tasks(url, process, monotonic() + seconds, deadline))


async def _tasks(url, process, until, deadline):
    dropped = set()
    options = {"accounts": ACCOUNTS, "expected_processes": 4, "hooks": [_watch(dropped)]}
    async with AsyncEnforcer(policy(deadline), store=url, **options) as enforcer:
        actors = list(_actors(HastyActor, enforcer, process))

        async def work(actor):
            number = 0
            while monotonic() < until:
                await OPERATIONS[actor.chance.choice(STORIES)].story(actor, number)
                await asyncio.sleep(actor.chance.random() * PAUSE)
                number += 1
            actor.share = 0

        await asyncio.gather(*map(work, actors))
        told = await _end(actors, asyncio.sleep)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    told.mistakes += [f"a task is left: {each!r}" for each in left]
    return _summary(told, dropped)


def threads(url, process, seconds, deadline="100 ms"):
    """Run the threads of one process; return what they were told."""
    contests._gate.wait()
    dropped = set()
    options = {"accounts": ACCOUNTS, "expected_processes": 4, "hooks": [_watch(dropped)]}
    with Enforcer(policy(deadline), store=url, **options) as enforcer:
        told = thread_history(enforcer, process, monotonic() + seconds)
    return _summary(told, dropped)


def thread_history(enforcer, process, until, accounts=CROWDED):
    """Run threads on a blocking enforcer until then; return what they were told."""
    actors = list(_actors(Actor, enforcer, process, accounts))

    def work(actor):
        chance, number = random.Random(actor.worker), 0
        while monotonic() < until:
            drive(OPERATIONS[chance.choice(STORIES)].story(actor, number))
            time.sleep(chance.random() * PAUSE)
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
    for account in CROWDED:
        await actors[0].call("usage", account)
    for actor in actors:
        told.merge(actor.told.summary())
        told.calls += actor.told.calls
    return told


def _summary(told, dropped):
    """Return what a process told, and how many calls it made, cut short, and decided without the store."""
    cut = sum(isinstance(each.error, TimeoutError) for each in told.calls)
    degraded = sum(each.decision is not None and each.decision.degraded for each in told.calls)
    told.mistakes += [f"{account} had more operation ids than are kept" for account in dropped]
    return told.summary(), (len(told.calls), cut, degraded)


def play(work, url, *, seconds, meanwhile, processes=4, deadline=None):
    """
    Run a history of so many seconds in processes of their own, and call *meanwhile* when it begins.

    Each limit gives the store the time of *deadline*, if that is given.

    Returns:
        What all were told, and how many calls they made, cut short, and decided without the store.
    """
    told, figures = Told(), (0, 0, 0)
    own = () if deadline is None else (deadline,)
    each = [(url, process, seconds, *own) for process in range(processes)]
    for summary, counts in contests.contest(work, each, meanwhile):
        told.merge(summary)
        figures = tuple(map(sum, zip(figures, counts, strict=True)))
    return told, figures


def trouble(*faults, seconds, seed=1):
    """Let faults come and go at random for so many seconds, one at a time; each is two functions."""
    chance, until = random.Random(seed), monotonic() + seconds
    while monotonic() < until:
        begin, end = chance.choice(faults)
        time.sleep(0.3)
        begin()
        time.sleep(0.2)
        end()


def show(told, client, figures=()):
    """Print what was acknowledged and counted; return the units that were acknowledged and are not counted."""
    lost = 0
    for limit in ("leads", "exports", "seats"):
        bounds = [told.bounds(account, limit) for account in CROWDED]
        found = [counted(client, account, limit).used for account in CROWDED]
        missing = sum(max(0, least - used) for (least, _), used in zip(bounds, found, strict=True))
        least, most = map(sum, zip(*bounds, strict=True))
        print(f"{limit}: {least} to {most} acknowledged, {sum(found)} counted, {missing} lost")
        lost += missing
    if figures:
        print("{} calls, {} cut short, {} degraded".format(*figures))
    return lost
