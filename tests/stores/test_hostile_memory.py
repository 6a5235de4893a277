"""Memory of a process under any number of ids: it is bounded, and the documentation states the bound."""

from __future__ import annotations

import asyncio
import gc
import json
import operator
import subprocess
import sys
import types
from datetime import timedelta
from pathlib import Path

import pytest
from flaky import Flaky

from entitlements import Account, AsyncEnforcer, Enforcer, MemoryStore, Policy, resolved_cache
from entitlements.accounts import AsyncCachedAccounts, CachedAccounts, StaticAccounts
from entitlements.errors import AccountError, EntitlementsError
from entitlements.feature_requests import FeatureRequests
from entitlements.hooks import Hooks
from entitlements.http import rate_limit_headers
from entitlements.http.rate_limit_headers import RateLimitHeaders
from entitlements.rules import periods
from entitlements.stores import memory
from entitlements.stores.redis.keys import account_key, encode_id, scope_key
from entitlements.stores.resilience import local_limits, replay_queue

CAP = 200
MANY = 2_000
MILLION = 1_000_000
STEADY = 250_000
"""Ids after which everything that is bounded is full."""

POLICY = Policy.parse({
    "policy": {"version": "1", "unknown_account": "one"},
    "features": {"sso": "Single sign-on", "chat": "Chat"},
    "limits": {
        "api": {"kind": "rate"}, "logins": {"kind": "rate", "per": "ip"},
        "leads": {"kind": "quota", "on_outage": "allow"}, "seats": {"kind": "allocation", "on_outage": "allow"},
    },
    "tiers": {
        "one": {"rank": 1, "features": ["chat"], "limits": {"api": "1 per second", "logins": "2 per second", "leads": 9, "seats": 9}},
        "two": {"rank": 2, "features": ["chat", "sso"], "limits": {"api": "9 per second", "logins": "9 per second", "leads": 9, "seats": 9}},
    },
})  # fmt: skip


def hostile(at):
    """Return a unique id of four-byte characters and of the separators of keys."""
    return f"\U0001f600{{{at}}}:é%\u212b"


class Clock:
    """A clock that moves at every reading, so that windows pass and records become idle."""

    def __init__(self, step):
        self.now, self.step = 10**15, step

    def __call__(self):
        self.now += self.step
        return self.now


class Source:
    """Source of every second account, which later fails for some of them."""

    def __init__(self):
        self.asked = 0
        self.bad = False

    def find(self, id):
        self.asked += 1
        if self.bad:
            raise AccountError(f"account {id!r} is broken")
        return Account(id, "one") if self.asked % 2 else None


class AsyncSource(Source):
    async def find(self, id):
        return super().find(id)


class Process:
    """All parts of a process that keep ids, each of which gets every id."""

    def __init__(self, step):
        self.clock = Clock(step)
        self.requests = FeatureRequests(clock=self.clock)
        self.store = MemoryStore(self.clock)
        self.source = Source()
        self.cached = CachedAccounts(self.source, clock=self.clock)
        self.enforcer = Enforcer(
            POLICY, accounts=self.cached, store=self.store, clock=self.clock, hooks=[self.requests]
        )
        self.objects = Enforcer(POLICY, store=self.store)
        self.away = Flaky(MemoryStore(max_keys=1000))  # in place of a server, whose memory does not count
        self.outage = Enforcer(POLICY, accounts={"acme": "one"}, store=self.away, expected_processes=1)
        self.static = StaticAccounts({"acme": "one"})
        self.headers = RateLimitHeaders()
        self.parts = (self.enforcer, self.objects, self.outage, self.static, self.headers, self.requests)

    def meet(self, at):
        """Make each request that a client can make with an unknown id."""
        id = hostile(at)
        self.enforcer.can(id, "sso")
        self.headers.of(self.enforcer.consume(id, "api"))
        self.enforcer.consume("acme", "logins", scope=id)
        self.enforcer.consume("acme", "leads", key=id)
        self.objects.can(Account(id, "one"), "sso")
        self.static.find(id)
        account_key("ent", id), scope_key("ent", "acme", id)
        self.away.how = None if at % 100 < 50 else "refused"
        self.outage.consume(id, "api")
        self.outage.refund(self.outage.consume(id, "leads"))


def measure(ids=MILLION, steady=STEADY):
    """Print the resident megabytes as JSON: before, when everything is full, and at the end."""
    gc.set_threshold(200_000, 20, 100)  # with so many objects alive, most of the time would be the collector's
    process = Process(step=100)
    process.meet(-1)
    gc.collect()
    found = [resident()]
    for at in range(ids):
        process.meet(at)
        if at == steady:
            found.append(resident())
    found.append(resident())
    print(json.dumps(found))


def resident():
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def lower_every_bound(change, setitem):
    """Lower every bound, so that thousands of ids exceed it."""
    for module, name in (
        (rate_limit_headers, "MAX_ENCODED"),
        (local_limits, "MAX_SEEN"),
        (resolved_cache, "LEAST_SIZE"),
        (sys.modules[Hooks.__module__], "_MAX_THRESHOLDS"),
    ):
        change(module, name, CAP)
    for kind, name in ((MemoryStore, "max_keys"), (CachedAccounts, "max_size"), (AsyncCachedAccounts, "max_size"),
                       (FeatureRequests, "max_accounts")):  # fmt: skip
        setitem(kind.__init__.__kwdefaults__, name, CAP)
    change(replay_queue.ReplayQueue.__init__, "__defaults__", (CAP, None))


def measure_bounded(ids=30_000, steady=5_000):
    """Print the resident megabytes of the embedded store with lowered bounds, and how many charges were allowed."""
    lower_every_bound(setattr, operator.setitem)
    enforcer, headers = Enforcer(POLICY, accounts={}, clock=Clock(step=100_000)), RateLimitHeaders()
    found, allowed = [], 0
    for at in range(ids + 1):
        decision = enforcer.consume(hostile(at), "api")
        headers.of(decision)
        allowed += decision.allowed
        if at in {0, steady, ids}:
            gc.collect()
            found.append(resident())
    print(json.dumps([*found, allowed]))


@pytest.fixture
def small(monkeypatch):
    """Lower every bound for one test."""
    lower_every_bound(monkeypatch.setattr, monkeypatch.setitem)


def sizes(*roots):
    """Return size and type of every collection reachable from *roots*, the largest first."""
    seen, todo, found = set(), list(roots), []
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type | types.ModuleType | Policy | Flaky):  # that is a server
            continue
        if isinstance(thing, dict) and "__builtins__" in thing:
            continue
        seen.add(id(thing))
        if hasattr(thing, "__len__") and not isinstance(thing, str | bytes):
            found.append((len(thing), type(thing).__name__))
        todo += gc.get_referents(thing)
    return sorted(found, reverse=True)


# --- Bounds -------------------------------------------------------------------------------------------------------


def test_no_collection_grows_with_the_number_of_ids(small):
    """The test examines every collection that the enforcers reach."""
    process = Process(step=100_000)
    for at in range(MANY):
        process.meet(at)
    # Local limits keep two generations of usage; operations of one account have a bound of their own.
    large = [each for each in sizes(*process.parts) if each[0] > 2 * CAP]
    assert all(4096 >= size for size, _ in large)
    assert 1 >= len(large)
    snapshots = process.enforcer._cache
    assert (CAP, CAP) == (len(snapshots.by_id), len(process.objects._cache._by_object))
    assert len(process.cached._entries._entries) <= CAP
    assert len(process.store) <= CAP
    assert len(process.requests._requests) == CAP
    assert len(process.headers._encoded) <= CAP


def test_keys_and_period_ends_are_remembered_up_to_a_bound():
    assert 65_536 == encode_id.cache_info().maxsize
    assert 4096 == periods._ends_in.cache_info().maxsize


def test_a_store_full_of_what_must_not_be_forgotten_takes_no_newcomers(small):
    store = MemoryStore()
    enforcer = Enforcer(POLICY, accounts={}, store=store)
    allowed = [enforcer.consume(hostile(at), "leads").allowed for at in range(MANY)]
    assert CAP == len(store) == sum(allowed)


def test_a_newcomer_looks_at_few_records_however_many_have_gone(small, monkeypatch):
    """This holds in a full store too, which refuses each new account."""
    looked = 0
    is_idle = memory.Ledger.is_idle

    def counting(ledger, now):
        nonlocal looked
        looked += 1
        return is_idle(ledger, now)

    monkeypatch.setattr(memory.Ledger, "is_idle", counting)
    enforcer = Enforcer(POLICY, accounts={}, store=MemoryStore(lambda: 10**15))
    for at in range(MANY):
        enforcer.consume(hostile(at), "api")
    assert looked <= MANY * (memory._MAX_EXAMINED + 1)


def test_a_journal_holds_what_it_says_also_when_what_waits_is_given_back(small):
    away = Flaky(MemoryStore())
    away.how = "refused"
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=away, expected_processes=1)
    queue = enforcer._store._store.policy.journal.queue
    for _ in range(MANY):
        assert enforcer.refund(enforcer.consume("acme", "leads"))
    assert (0, 0, 0) == (len(queue), len(queue._waiting), len(queue._named))
    for at in range(MANY):
        enforcer.consume(f"a{at}", "leads") if at % 2 else enforcer.consume("acme", "seats")
    assert CAP == len(queue) == sum(map(len, queue._waiting.values()))


def test_accounts_that_went_bad_are_remembered_up_to_a_bound(small):
    source, clock = Source(), Clock(0)
    cached = CachedAccounts(source, clock=clock, negative_ttl=timedelta(0))
    for at in range(MANY):
        source.bad = False
        cached.find(hostile(at)) or cached.find(hostile(at))
        clock.now += 30_000_001
        source.bad = True
        assert cached.find(hostile(at)).id == hostile(at)
    assert len(cached._entries._failing) <= CAP + 2
    assert len(cached._entries._entries) <= CAP


async def test_an_event_loop_keeps_no_more(small):
    cached = AsyncCachedAccounts(AsyncSource())
    enforcer = AsyncEnforcer(POLICY, accounts=cached)
    for start in range(0, MANY, 100):
        await asyncio.gather(*(enforcer.consume(hostile(at), "api") for at in range(start, start + 100)))
    assert [] == [each for each in sizes(enforcer) if each[0] > 2 * CAP]  # a heap of expiries, with those that are gone
    assert {0} == {len(loads) for loads in cached._entries._loads.values()}


def test_ids_that_are_refused_are_kept_nowhere(small):
    process = Process(step=0)
    before = sizes(*process.parts)
    for at in range(100):
        for bad in (f"\n{at}", "x" * 300 + str(at), at):
            with pytest.raises(EntitlementsError):
                process.enforcer.consume(bad, "api")
            with pytest.raises(EntitlementsError):
                process.enforcer.can("acme", f"no-{at}")
    assert max(before)[0] + 10 > max(sizes(*process.parts))[0]
    assert len(process.enforcer._cache.by_id) <= 1


# --- Megabytes ----------------------------------------------------------------------------------------------------


def alone(what):
    """Return the output of a separate process."""
    code = f"import sys; sys.path.append('../helpers'); import test_hostile_memory; test_hostile_memory.{what}()"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=Path(__file__).parent,
                         capture_output=True, text=True, check=True)  # fmt: skip
    return json.loads(run.stdout)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")


@needs_proc
def test_thirty_thousand_ids_take_no_more_memory_than_the_bounds_say():
    """25,000 ids come after every bound is reached: a hundred bytes for each would be 2.5 MB."""
    before, steady, after, allowed = alone("measure_bounded")
    assert 30_001 == allowed
    assert after - steady < 1.5
    assert after - before < 30


@pytest.mark.slow
@pytest.mark.timeout(3600)
@needs_proc
def test_a_million_ids_take_no_more_memory_than_a_quarter_of_them():
    """The bound is that of docs/operations.md for one process with every default, plus room for the allocator."""
    before, steady, after = alone("measure")
    assert after - steady < 64
    assert after - before < 1500
