"""Every store passes the compliance suite, and one that breaks the contract in any point fails it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from histories import TimedRedis
from hypothesis import Phase, settings

from entitlements.model.answers import Outcome, Status
from entitlements.model.charge import Charge, Forget, ReadHistory, Refund, Release, Settle, SetUsage, Unassign, Verb
from entitlements.stores import AsyncMemoryStore, MemoryStore
from entitlements.stores.redis import AsyncRedisStore, RedisStore
from entitlements.testing import async_store_compliance, store_compliance

pytestmark = pytest.mark.timeout(900)  # of the profile that tries hard


class Around:
    """A store around a store; *carry_out* decides what reaches the inner one."""

    def __init__(self, store, carry_out=lambda store, order: store.execute(order)):
        self._store, self._carry_out = store, carry_out
        self.via = store.via

    def execute(self, order):
        return self._carry_out(self._store, order)

    def close(self):
        self._store.close()


class AsyncAround:
    """Same as `Around` for an event loop."""

    def __init__(self, store):
        self._store = store
        self.via = store.via

    async def execute(self, order):
        return await self._store.execute(order)

    async def aclose(self):
        await self._store.aclose()


# --- Stores that pass ---------------------------------------------------------------------------------------------

TestMemoryStore = store_compliance(MemoryStore)


def passes(case):
    """Run a test case with fewer examples: each needs some hundred round trips."""
    case.settings = settings(case.settings, max_examples=settings().max_examples // 4)
    case().runTest()


def test_a_memory_store_on_the_systems_clock_passes():
    passes(store_compliance(lambda _: MemoryStore()))


def test_a_memory_store_for_an_event_loop_passes():
    passes(async_store_compliance(lambda clock: AsyncMemoryStore(MemoryStore(clock))))


def test_a_store_around_a_store_passes():
    passes(store_compliance(lambda clock: Around(MemoryStore(clock))))


def test_a_networked_store_passes_and_is_left_as_it_was(server):
    passes(store_compliance(lambda _: RedisStore(server.url)))

    with server.client() as client:
        left = [key for key in client.scan_iter() if key.endswith(b"}")]  # a scope's key expires by itself
        assert {(b"v",)} >= {tuple(client.hkeys(key)) for key in left}  # and so does a version
        assert all(client.pttl(key) > 0 for key in left)


def test_a_networked_store_for_an_event_loop_passes(server):
    passes(async_store_compliance(lambda _: AsyncRedisStore(server.url)))


def test_the_scripts_pass_on_a_clock_that_leaps_and_steps_back(server):
    with server.client() as client:
        passes(store_compliance(lambda clock: TimedRedis(client, clock)))


def test_a_store_around_a_networked_store_passes(valkey):
    passes(store_compliance(lambda _: Around(RedisStore(valkey.url))))
    passes(async_store_compliance(lambda _: AsyncAround(AsyncRedisStore(valkey.url))))


def test_a_networked_store_in_a_cluster_passes(cluster):
    passes(store_compliance(lambda _: RedisStore(cluster.url)))


# --- Stores that fail ---------------------------------------------------------------------------------------------


def charges(change):
    """Return a way to carry out orders that changes charges, and the new charge of a settlement."""
    return lambda store, order: store.execute(change(order) if isinstance(order, Charge) else order)


def answers(kind, change):
    """Return a way to carry out orders that changes the answers to one *kind* of them."""
    return lambda store, order: change(store.execute(order)) if isinstance(order, kind) else store.execute(order)


def one_more(charge):
    parts = (part._replace(size=part.size + 1) if type(part.size) is int else part for part in charge.parts)
    return replace(charge, parts=tuple(parts))


def part_by_part(store, order):
    if not isinstance(order, Charge) or len(order.parts) == 1 or order.operation is None:
        return store.execute(order)
    said = [
        store.execute(replace(order, parts=(part,), operation=f"{order.operation}{part.limit.name}"))
        for part in order.parts
    ]
    refused = next((each.status for each in said if each.status is not Status.ADMITTED), Status.ADMITTED)
    return Outcome(refused, said[0].now, tuple(line for each in said for line in each.lines))


def looks_first(store, order):
    if isinstance(order, Charge) and order.verb is Verb.CONSUME and order.operation is None:
        looked = store.execute(replace(order, verb=Verb.PEEK))
        return looked if looked.status is Status.REFUSED else store.execute(order)
    return store.execute(order)


def uncounted(store, order):
    if isinstance(order, Charge) and order.verb is not Verb.PEEK:
        looked = store.execute(replace(order, verb=Verb.PEEK, operation=None))
        return looked if looked.status is Status.REFUSED else store.execute(order)
    return store.execute(order)


def settled_whole(store, order):
    return store.execute(replace(order, amounts=None) if isinstance(order, Settle) and order.amounts else order)


def never_forgotten(store, order):
    return None if isinstance(order, Forget) else store.execute(order)


def kept_by_name(store, order):
    return store.execute(Release(order.account, order.limit, 1)) == 1 if isinstance(order, Unassign) else store.execute(order)  # fmt: skip


def one_too_many(store, order):
    if isinstance(order, SetUsage):
        order = replace(order, part=order.part._replace(cost=order.part.cost + 1))
    return store.execute(order)


FAULTY = {
    "a limit is passed by one": charges(one_more),
    "several limits are charged one by one": part_by_part,
    "a peek takes": charges(lambda each: replace(each, verb=Verb.CONSUME) if each.verb is Verb.PEEK else each),
    "a refusal is not counted": uncounted,
    "a repeat is charged again": charges(lambda each: replace(each, operation=f"{each.operation}{id(each)}") if each.keyed else each),
    "a repeat is told from a first": answers(Charge, lambda each: each._replace(status=Status.ADMITTED) if each.status is Status.REPLAYED else each),
    "a key stands for anything": charges(lambda each: replace(each, verb=Verb.CONSUME) if each.keyed and each.verb is Verb.RESERVE else each),
    "a reservation lapses too late": charges(lambda each: replace(each, ttl=each.ttl + 1)),
    "a commit of some commits all": settled_whole,
    "a refund is given twice": answers(Refund, lambda _: True),
    "all scopes are one": charges(lambda each: replace(each, scope=each.scope and "one")),
    "a named unit is released as an anonymous one": kept_by_name,
    "a total is off by one": one_too_many,
    "a history has no past": answers(ReadHistory, lambda each: each._replace(counts=each.counts[:1])),
    "an account is never forgotten": never_forgotten,
    "the instant is not that of the decision": answers(Charge, lambda each: each._replace(now=each.now - 1)),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTY)
def test_a_store_that_breaks_the_contract_fails(fault):
    case = store_compliance(lambda clock: Around(MemoryStore(clock), FAULTY[fault]))
    case.settings = settings(case.settings, max_examples=3000, derandomize=True, database=None, phases=[Phase.generate])

    with pytest.raises(AssertionError, match=r"the laws say|are listed after all scopes are forgotten"):
        case().runTest()


def test_looking_before_a_charge_that_keeps_no_record_breaks_nothing():
    """The other way round: a store may ask its inner one more often than it is asked."""
    passes(store_compliance(lambda clock: Around(MemoryStore(clock), looks_first)))


# --- Light to import ----------------------------------------------------------------------------------------------


def printed(script):
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()


def test_hypothesis_is_imported_with_the_first_test_case_and_not_before():
    script = (
        "import sys; from entitlements.testing import FakeClock, store_compliance; print('hypothesis' in sys.modules);"
        "from entitlements.stores import MemoryStore; store_compliance(MemoryStore); print('hypothesis' in sys.modules)"
    )

    assert ["False", "True"] == printed(script)


def test_without_hypothesis_the_clock_and_the_hook_are_there_and_the_test_case_names_the_cure():
    script = (
        "import sys; from importlib.machinery import PathFinder as Finder; find = Finder.find_spec;"
        "Finder.find_spec = lambda name, *more: None if name == 'hypothesis' else find(name, *more)\n"
        "from entitlements.testing import FakeClock, RecordingHook, store_compliance\n"
        "try: store_compliance(FakeClock)\nexcept ImportError as error: print(error)"
    )

    assert "pip install hypothesis" in " ".join(printed(script))
