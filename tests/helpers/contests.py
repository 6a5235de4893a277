"""Several processes that want the same of one server, all at once: what each of them got."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from trade import policy

from entitlements import Account, AsyncEnforcer, Enforcer, Grant, Policy
from entitlements.clock import system_clock
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Rate
from entitlements.stores.errors import TimedOut
from entitlements.stores.redis import AsyncRedisStore

LOADED_ONCE = [
    "entitlements.async_enforcer",
    "entitlements.enforcer",
    "entitlements.stores.redis",
    "entitlements.policy",
]
"""Imported by one process, without threads or connections, of which all others are copies."""

_gate = None


def _hold(gate):
    global _gate  # noqa: PLW0603 - how a pool hands its processes a barrier
    _gate = gate


def contest(work, each, meanwhile=None):
    """Call *work* with each of these arguments in a process of its own, all at the same moment, and *meanwhile* here."""
    context = get_context("forkserver")
    context.set_forkserver_preload(LOADED_ONCE)
    gate = context.Barrier(len(each) + bool(meanwhile))
    with context.Pool(len(each), _hold, (gate,)) as pool:
        working = pool.starmap_async(work, each, chunksize=1)
        if meanwhile:
            gate.wait()
            meanwhile()
        return working.get()


# --- A limit ------------------------------------------------------------------------------------------------------


def hammer(url, left, tasks, each):
    """Charge one rate of *left* units *each* times in every task; return how many were admitted."""

    async def task(store):
        charge = Charge("acme", (Part(Rate("api", HOUR, deadline=10 * SECOND), left),))
        statuses = [(await store.execute(charge)).status for _ in range(each)]
        return statuses.count(Status.ADMITTED)

    async def all_tasks():
        store = AsyncRedisStore(url)
        admitted = await asyncio.gather(*(task(store) for _ in range(tasks)))
        await store.aclose()
        return sum(admitted)

    _gate.wait()
    return asyncio.run(all_tasks())


def hammered(url, left, *, processes, tasks):
    """Return how many of *left* units were admitted to so many processes of so many tasks, and how many were asked."""
    each = left // (processes * tasks) + 3
    return sum(contest(hammer, [(url, left, tasks, each)] * processes)), processes * tasks * each


# --- The last seat ------------------------------------------------------------------------------------------------


def claim(url, claims):
    """Claim one agent so many times at once, by every verb that can; return the verbs of those who got one."""

    async def one(enforcer, number):
        verb = ("consume", "assign", "reserve")[number % 3]
        if verb == "consume":
            decision = await enforcer.consume("petra", "agents")
        elif verb == "assign":
            decision = await enforcer.assign("petra", "agents", f"claimant {url} {number} {id(enforcer)}")
        else:
            decision = (await enforcer.reserve("petra", "agents")).decision
        return verb if decision.allowed else decision.reason.name

    async def every():
        async with AsyncEnforcer(policy(), accounts={"petra": "pro"}, store=url) as enforcer:
            await enforcer.usage("petra")
            await asyncio.to_thread(_gate.wait)
            return await asyncio.gather(*(one(enforcer, number) for number in range(claims)))

    return asyncio.run(every())


def last_seat(url, *, processes, claims):
    """Let one seat of three be free; return how often each outcome came, and how many seats are taken after it."""
    with Enforcer(policy(), accounts={"petra": "pro"}, store=url) as enforcer:
        enforcer.consume("petra", "agents", 2)
        said = contest(claim, [(url, claims // processes)] * processes)
        return Counter(each for one in said for each in one), enforcer.usage("petra")["agents"].used


# --- Clocks that are wrong ----------------------------------------------------------------------------------------

MEASURED = {"api": 10, "fixed": 10, "leads": 10, "agents": 3}
"""What the account of the shared policy has of each kind of limit."""


def spend(url, skew):
    """Ask for more than there is of every limit, on a clock that is wrong by *skew*; return what was admitted."""
    accounts = {"petra": "pro"}
    admitted = Counter()
    with Enforcer(policy(), accounts=accounts, store=url, clock=lambda: system_clock() + skew) as enforcer:
        enforcer.usage("petra")
        _gate.wait()
        for _ in range(max(MEASURED.values()) + 2):
            for name in MEASURED:
                admitted[name] += enforcer.consume("petra", name).allowed
    return admitted


def skewed(url, skews):
    """Return how much of each limit was admitted to processes whose clocks are wrong by these *skews*."""
    return sum(contest(spend, [(url, skew) for skew in skews]), Counter())


# --- A server that is stopped -------------------------------------------------------------------------------------


def outage_share(url, pid, rank, seen):
    """Charge a limit of 100 so many times, and go on when the server is stopped; return how many were then admitted.

    Beside it stands what was last seen used, which is the last answer of this process.
    """
    written = {
        "policy": {"version": "1"},
        "limits": {"api": {"kind": "rate", "deadline": "1 second"}},
        "tiers": {"one": {"rank": 1, "limits": {"api": "100 per hour"}}},
    }
    with Enforcer(Policy.parse(written), accounts={"acme": "one"}, store=url, expected_processes=4) as enforcer:
        enforcer.usage("acme")  # which connects, and tells what is used only to whom asks
        used = [enforcer.consume("acme", "api").used for _ in range(seen)]
        _gate.wait()
        if not rank:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.1)
        _gate.wait()
        with ThreadPoolExecutor(8) as threads:
            decisions = list(threads.map(lambda _: enforcer.consume("acme", "api"), range(60)))
        admitted = sum(each.allowed for each in decisions)
    return admitted, used[-1] if used else 0


# --- An account that changes --------------------------------------------------------------------------------------

PLANS = Policy.parse({
    "policy": {"version": "1"},
    "features": {"sso": "Single sign-on."},
    "limits": {
        "api": {"kind": "rate", "deadline": "20 seconds"},
        "ip": {"kind": "rate", "per": "ip", "deadline": "20 seconds"},
        "leads": {"kind": "quota", "deadline": "20 seconds"},
        "agents": {"kind": "allocation", "deadline": "20 seconds"},
    },
    "tiers": {
        tier: {
            "rank": rank,
            "features": features,
            "limits": {"api": f"{size} per hour", "ip": f"{size} per hour", "leads": size, "agents": size},
        }
        for rank, (tier, size, features) in enumerate([("low", 1_000_000, []), ("high", 2_000_000, ["sso"])])
    },
})  # fmt: skip


class PlanFile:
    """A source of accounts in a folder, which several processes share: the number of the plan stands in a file."""

    def __init__(self, folder):
        self._plan, self._returned = Path(folder, "plan"), Path(folder, "returned")
        self.loads = 0

    def find(self, id):
        """Return the account: upgraded by every odd plan, and each limit raised by the number of the plan."""
        self.loads += 1
        plan = int(self._plan.read_text())
        return Account(id, ("low", "high")[plan % 2], grants=[Grant(name, plan) for name in PLANS.limits])

    def change(self, plan):
        self._write(self._plan, plan)

    def has_returned(self, plan):
        """Note that `invalidate` has returned after a change."""
        self._write(self._returned, plan)

    @property
    def returned(self):
        return int(self._returned.read_text())

    @staticmethod
    def _write(path, plan):
        path.with_suffix(".new").write_text(str(plan))
        path.with_suffix(".new").rename(path)


def invalidate(enforcer, account):
    """Invalidate an account, again if a busy machine takes longer than the deadline."""
    for _ in range(100):
        with suppress(TimedOut):
            return enforcer.invalidate(account)
    return enforcer.invalidate(account)


def plan_of(decision):
    """Return the number of the plan by which a decision was made."""
    return decision.limit % 1_000_000


CHARGES = {
    "rate": lambda enforcer, _: enforcer.consume("acme", "api"),
    "quota": lambda enforcer, _: enforcer.consume("acme", "leads"),
    "mixed": lambda enforcer, _: enforcer.consume("acme", {"api": 1, "leads": 1, "agents": 1}),
    "scoped": lambda enforcer, _: enforcer.consume("acme", "ip", scope="1.2.3.4"),
    "keyed": lambda enforcer, number: enforcer.consume("acme", "leads", key=f"{os.getpid()} {number}"),
    "peek": lambda enforcer, _: enforcer.peek("acme", "leads"),
    "assign": lambda enforcer, number: enforcer.assign("acme", "agents", f"{os.getpid()} {number}"),
}
"""Charges of every kind, each a function of the enforcer and of a number that is used once."""


def charge_sync(url, folder, least, last):
    """
    Charge while the account changes; return the charges that were decided by a plan that was invalidated, and the loads.

    Args:
        url: The store.
        folder: Of the `PlanFile`.
        least: Charges that are made.
        last: The plan after which it may end: a fast process goes on until all changes are made.
    """
    source, kinds = PlanFile(folder), list(CHARGES)
    with Enforcer(PLANS, accounts=source, store=url, expected_processes=4) as enforcer:
        enforcer.can("acme", "sso")
        _gate.wait()
        wrong = []
        for number in count():
            known, kind = source.returned, kinds[number % len(kinds)]
            if number >= least and known >= last:
                break
            decision = CHARGES[kind](enforcer, number)
            if plan_of(decision) < known or not decision.allowed or decision.degraded:
                wrong.append((kind, known, plan_of(decision), decision.reason.name))
    return wrong, source.loads


def charge_async(url, folder, least, last):
    """Do what `charge_sync` does, in eight tasks."""
    source, kinds = PlanFile(folder), list(CHARGES)
    wrong = []

    async def task(enforcer, numbers):
        for number in numbers:
            known, kind = source.returned, kinds[number % len(kinds)]
            if number >= least and known >= last:
                break
            decision = await CHARGES[kind](enforcer, number)
            if plan_of(decision) < known or not decision.allowed or decision.degraded:
                wrong.append((kind, known, plan_of(decision), decision.reason.name))

    async def every():
        async with AsyncEnforcer(PLANS, accounts=source, store=url, expected_processes=4) as enforcer:
            await enforcer.can("acme", "sso")
            await asyncio.to_thread(_gate.wait)
            await asyncio.gather(*(task(enforcer, count(at, 8)) for at in range(8)))

    asyncio.run(every())
    return wrong, source.loads


def charge_here(kind, *args):
    return {"sync": charge_sync, "async": charge_async}[kind](*args)


def changed_under_load(url, folder, *, charges, changes, pause):
    """Charge in two sync and two async processes while the account changes; return what each found, and the changes."""
    source = PlanFile(folder)
    source.change(1)
    source.has_returned(1)

    def change():
        with Enforcer(PLANS, accounts=source, store=url, expected_processes=4) as enforcer:
            for plan in range(2, changes + 2):
                source.change(plan)
                invalidate(enforcer, "acme")
                source.has_returned(plan)
                time.sleep(pause)

    work = [(kind, url, str(folder), charges // 4, changes + 1) for kind in ("sync", "async", "sync", "async")]
    return contest(charge_here, work, meanwhile=change)
