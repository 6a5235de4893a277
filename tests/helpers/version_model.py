"""
Random model of `invalidate`: one account, several processes, and messages that are late, lost or in another order.

The caches of each process and the store's record are the real ones; the model cuts every call into its steps, as
threads and processes cut each other short, and draws which goes on. The rules:

- A version is known before the load that carries it begins. What is learned drops the copies first, then the version
  is noted, and then the epoch moves on; a load reads the epoch, then the version, and then asks the source.
- The store decides a charge of the version in its record, and any while it keeps none.
- `forget` deletes the counters and leaves the version. A version is kept for longer than an account is used.

The plan at the source only rises. A charge that begins after `invalidate` has returned must be decided by that plan
or a later one, and a charge that learns a version is not refused for that version again.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random

from entitlements import Account, Policy
from entitlements.accounts.cache_entries import CacheEntries
from entitlements.accounts.loads import Loaded
from entitlements.invalidations.copies import AccountCopies
from entitlements.model.answers import Outdated
from entitlements.model.charge import Charge, Forget, Invalidate
from entitlements.model.instants import HOUR, MINUTE, SECOND
from entitlements.model.versions import KEPT, LONGEST_USE
from entitlements.resolved_cache import ResolvedCache
from entitlements.rules.planning import part_of
from entitlements.stores.memory import MemoryStore

HOLES = {
    "none": "the rules as they are",
    "version after load": "a load carries the version that is known once it has ended",
    "version before epoch": "a load reads the version and then the epoch",
    "note before drop": "a version that is learned is noted before the copies are dropped",
    "epoch before note": "the epoch moves on before the version is noted",
    "any order": "a version that is told late takes the place of a later one",
    "no second try": "a version is not noted if another one was meanwhile",
    "forget drops": "forget deletes the version with the counters",
    "any is current": "the store decides a charge that carries no version",
    "kept too short": "the store keeps a version for a minute",
    "used for ever": "an account is used for as long as its time to live says, whatever that is",
}
"""Faults that are planted on purpose: the model must find each."""

ID = "acme"
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"api": {"kind": "rate"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000000 per hour"}}},
})  # fmt: skip


class Process:
    """One process: the caches of an enforcer."""

    def __init__(self, history: History) -> None:
        self.history = history
        ttl = history.chance.choice([timedelta(seconds=30), timedelta(days=3)])
        self.entries = CacheEntries(
            ttl=ttl, negative_ttl=ttl, max_stale=timedelta(0), when_down="raise", max_size=9, clock=history.clock
        )
        if history.hole == "used for ever":
            self.entries._ttl = ttl // timedelta(microseconds=1)
        self.cache = ResolvedCache(POLICY, versioned=True)
        self.copies = AccountCopies(self.cache, self)
        self.refresh = self.entries.drop
        self.expire_all = self.entries.expire_all

    def learn(self, version, carried=None):
        """Learn a version, in the steps of `AccountCopies.learn`."""
        cache, hole, is_new = self.cache, self.history.hole, False
        while not is_new:
            known = cache.version(ID)
            if version == known or (version < known and known != carried and hole != "any order"):
                return
            yield
            if hole == "note before drop":
                cache.learn(ID, version, known)
                yield
            self.entries.drop(ID)
            yield
            if hole == "epoch before note":
                cache.expire(ID)
                yield
                cache._versions[ID] = version
                return
            is_new = cache.learn(ID, version, known) or hole == "no second try"

    def resolve(self):
        """Return the resolved account, in steps; loads in flight are shared."""
        cache, entries, hole = self.cache, self.entries, self.history.hole
        now = self.history.clock()
        found = cache.by_id.get(ID)
        if found is not None and found.since <= now < found.until:
            return found
        if hole == "version before epoch":
            version = cache.version(ID)
            yield
            epoch = cache.epoch
        else:
            epoch = cache.epoch
            yield
            version = cache.version(ID)
        yield
        loaded, must_load = entries.fresh_or_load(ID, None, list)
        if not isinstance(loaded, Loaded):
            load = loaded
            if must_load:
                yield
                account = Account(ID, "one", attributes={"plan": self.history.plan})
                yield
                load.future.append(entries.succeeded(load, account).answer)
            while not load.future:
                yield
            loaded = load.future[0]
        yield
        if hole == "version after load":
            version = cache.version(ID)
        fresh_for = loaded.fresh_for
        kept = cache.put(ID, loaded.account, now, fresh_for, epoch, version)
        if hole == "used for ever":
            kept.until = now + fresh_for
        return kept

    def charge(self):
        """Charge until the store decides; note by which plan."""
        history = self.history
        least, met = history.returned, None
        while True:
            resolved = yield from self.resolve()
            yield
            entitlements = resolved.entitlements
            version = resolved.version
            if history.hole == "any is current" and version == 0:
                version = None
            part = part_of(entitlements, POLICY.limits["api"], 1, history.clock())
            answer = history.store.execute(Charge(ID, (part,), version=version))
            yield
            if not isinstance(answer, Outdated):
                break
            if answer.version == met:
                history.wrong = "a charge that was repeated by the account of a version was refused for that version"
            met = answer.version
            yield from self.learn(met, version)
        history.decided(resolved.account.attributes["plan"], least)

    def invalidate(self):
        """Change the plan at the source, and invalidate."""
        history = self.history
        history.plan += 1
        plan = history.plan
        yield
        self.entries.drop(ID)
        yield
        self.cache.drop(ID)
        yield
        answer = history.store.execute(Invalidate(ID))
        history.messages.extend((each, answer.version) for each in history.processes)
        yield
        yield from self.learn(answer.version)
        history.returned = max(history.returned, plan)

    def forget(self):
        """Delete the counters."""
        self.history.store.execute(Forget(ID))
        if self.history.hole == "forget drops":
            self.history.store._rates.clear()
        yield

    def receive(self, version):
        """Take a message."""
        self.copies.on_invalidated(ID, version)
        yield


class History:
    """One random history; `run` returns the first charge that was decided by a plan that was invalidated, or None."""

    def __init__(self, seed: int, hole: str = "none") -> None:
        self.chance, self.hole = Random(seed), hole
        self.now, self.plan, self.returned, self.wrong = 10**15, 0, 0, None
        self.store = MemoryStore(self.clock)
        self.messages = []
        self.processes = [Process(self) for _ in range(2)]

    def clock(self) -> int:
        return self.now

    def decided(self, plan: int, least: int) -> None:
        if plan < least:
            self.wrong = f"a charge that began after plan {least} was invalidated was decided by plan {plan}"

    def run(self, steps: int = 150) -> str | None:
        running, is_ending = [], False
        for _ in range(steps):
            self.now += self.chance.choice([0, 0, 1, SECOND // 10])
            is_ending = is_ending or self.chance.random() < 0.05
            if is_ending and not running:  # hours pass only between calls, as none takes so long
                is_ending = False
                self._wait(self.chance.choice([31 * SECOND, 2 * MINUTE, LONGEST_USE - HOUR, KEPT]))
            if not is_ending and len(running) < 5 and self.chance.random() < 0.4:
                running.append(self._begin())
            if running:
                going = self.chance.choice(running)
                if next(going, self) is self:
                    running.remove(going)
            if self.wrong:
                return self.wrong
        return None

    def _wait(self, time: int) -> None:
        self.now += time
        if self.hole == "kept too short":
            for record in self.store._rates.values():
                if record.version and self.now > record.version + MINUTE:
                    record.version = 0

    def _begin(self):
        process, kind = self.chance.choice(self.processes), self.chance.random()
        if kind < 0.6:
            return process.charge()
        if kind < 0.78:
            return process.invalidate()
        if kind < 0.82:
            return process.forget()
        if self.messages:
            receiver, version = self.messages.pop(self.chance.randrange(len(self.messages)))
            return receiver.receive(version) if self.chance.random() < 0.7 else iter(())
        return iter(())
