"""Forks, threads and loops: children have sockets and locks of their own, and all together keep to the limit."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from topologies import wait_until

from entitlements import AsyncEnforcer, Enforcer, FeatureRequests, Policy
from entitlements.accounts.cached import CachedAccounts
from entitlements.accounts.static import StaticAccounts
from entitlements.policy.watcher import PolicyFiles, PollingClock
from entitlements.refunds import RefundGuard

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # a loop that ended without aclose(), on purpose
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LIMIT = 200
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "features": {"export": "Export to a file."},
    "limits": {
        "leads": {"kind": "quota", "deadline": "20 seconds"},
        "api": {"kind": "rate", "deadline": "20 seconds"},
        "exports": {"kind": "quota", "on_outage": "allow", "deadline": "500 ms"},
    },
    "add_ons": {"files": {"features": ["export"]}},
    "tiers": {"one": {"rank": 1, "limits": {"leads": LIMIT, "api": "1000 per hour", "exports": 1000}}},
})  # fmt: skip
ACCOUNTS = {"acme": "one"}
SHARED = pytest.mark.parametrize("place", ["memory", "valkey"])


def forked(work, many=1):
    """Run *work* in so many children at once, and return their results; one that hangs is killed, with an empty result."""
    gate, go = os.pipe()
    children = []
    for _ in range(many):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            signal.alarm(60)
            try:
                os.close(go)
                os.read(gate, 1)
                os.write(writing, repr(work()).encode())
            except BaseException as error:  # noqa: BLE001 - whatever it is, the parent gets it
                os.write(writing, repr(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        children.append((child, reading))
    os.close(gate)
    os.close(go)
    found = []
    for child, reading in children:
        with os.fdopen(reading, "rb") as said:
            found.append(said.read().decode())
        os.waitpid(child, 0)
    return found


def connected(server):
    """Return the addresses of the connected clients, without the one that asks."""
    with server.client(decode_responses=True) as client:
        mine = str(client.client_id())
        return {each["addr"] for each in client.client_list() if each["id"] != mine}


def numbers(found):
    """Return what the children said, as numbers; an error or a silence is shown."""
    assert all(each.isdigit() for each in found), found
    return [int(each) for each in found]


# --- Sockets ------------------------------------------------------------------------------------------------------


TABLE = Path("/proc/self/net/tcp")
LINUX = pytest.mark.skipif(not TABLE.exists(), reason="only Linux tells whose a socket is")


def ports():
    """Return the local ports of this process's connections over TCP, but for those that only wait to be collected."""
    gc.collect()
    sockets = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the folder itself was open for a moment
            sockets.add(str(each.readlink()))
    rows = [line.split() for line in TABLE.read_text(encoding="ascii").splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in sockets}


@LINUX
def test_children_of_a_process_that_has_charged_admit_exactly_the_limit_with_sockets_of_their_own(valkey):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url) as enforcer:
        assert enforcer.consume("acme", "leads").allowed
        before = ports()

        def work():
            admitted = sum(enforcer.consume("acme", "leads").allowed for _ in range(LIMIT // 2))
            return admitted, sorted(ports() - before), any(enforcer._store._store._store._pool._slots.free)

        found = [eval(each) for each in forked(work, 4)]  # noqa: S307 - our own children
        assert LIMIT - 1 == sum(admitted for admitted, _, _ in found)
        own = [port for _, fresh, _ in found for port in fresh]
        assert 4 == len(own) == len(set(own))
        assert not enforcer.consume("acme", "leads").allowed
        assert before == ports()  # the parent's connection is as good as before


@LINUX
def test_children_of_a_process_that_has_run_a_loop_admit_exactly_the_limit_with_sockets_of_their_own(valkey):
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url)
    assert asyncio.run(enforcer.consume("acme", "leads")).allowed
    before = ports()

    async def charge():
        decisions = await asyncio.gather(*(enforcer.consume("acme", "leads") for _ in range(LIMIT // 2)))
        fresh = sorted(ports() - before)
        await enforcer.aclose()
        return sum(each.allowed for each in decisions), fresh

    async def refused():
        decision = await enforcer.consume("acme", "leads")
        await enforcer.aclose()
        return not decision.allowed

    found = [eval(each) for each in forked(lambda: asyncio.run(charge()), 4)]  # noqa: S307 - our own children
    assert LIMIT - 1 == sum(admitted for admitted, _ in found)
    own = [port for _, fresh in found for port in fresh]
    assert own
    assert len(own) == len(set(own))
    assert asyncio.run(refused())


# --- Locks --------------------------------------------------------------------------------------------------------


def held_in_a_thread(locks):
    """Hold all of *locks* in another thread; return a function that releases them."""
    taken, over = threading.Event(), threading.Event()

    def hold():
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            taken.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(60)
    return lambda: (over.set(), thread.join())


def held(locks, work):
    """Return the results of a child that is forked while another thread holds these locks."""
    release = held_in_a_thread(locks)
    try:
        return forked(work)
    finally:
        release()


def test_no_lock_of_an_enforcer_in_memory_is_held_in_a_child():
    requests = FeatureRequests()
    with Enforcer(POLICY, accounts=ACCOUNTS, hooks=[requests]) as enforcer:
        locks = [enforcer._store._lock, enforcer._cache._lock, enforcer._hooks._lock, requests._lock]

        def work():
            enforcer.refresh("acme")
            allowed = enforcer.consume("acme", "leads", LIMIT).allowed
            return allowed, enforcer.can("acme", "export"), requests.of("acme")[0].times

        assert ["(True, False, 1)"] == held(locks, work)


def test_no_lock_of_an_enforcer_on_a_server_is_held_in_a_child(valkey):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, hooks=[lambda _: None]) as enforcer:
        enforcer.consume("acme", "leads")
        policy = enforcer._store._store.policy
        connections = enforcer._store._store._store._pool
        locks = [
            policy.outages._lock, policy.breaker._lock, policy.journal.queue._lock, policy._local_limits._meters._lock,
            connections._slots._lock, enforcer._refunded._lock, enforcer._hooks._lock,
        ]  # fmt: skip

        def work():
            decision = enforcer.consume("acme", "leads", LIMIT - 1)
            return decision.allowed, enforcer.refund(decision), enforcer.via, len(policy.journal.queue)

        assert ["(True, True, 'store', 0)"] == held(locks, work)


def test_no_lock_of_cached_accounts_and_of_refunds_is_held_in_a_child():
    cached, once = CachedAccounts(StaticAccounts(ACCOUNTS)), RefundGuard()
    with Enforcer(POLICY, accounts=ACCOUNTS) as enforcer:
        decision = enforcer.consume("acme", "api")
    locks = [cached._entries._lock, once._lock]
    assert ["('acme', True, False)"] == held(
        locks, lambda: (cached.find("acme").id, once.claim(decision), once.claim(decision))
    )


def test_what_a_thread_of_the_parent_has_seen_of_a_policy_and_not_yet_said_a_child_sees_for_itself(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("policy: {version: 1}\ntiers: {one: {rank: 1}}\n")
    files, news = PolicyFiles(path), []
    clock = PollingClock(lambda: 7, 3600, lambda: news.append("looked"))
    path.write_text("policy: {version: 22}\ntiers: {one: {rank: 1}}\n")

    def work():
        for _ in range(3):
            files.poll()
            files.deliver(lambda policy: news.append(policy.version))
        clock._due = 0
        return news if clock() == 7 else None

    with files._lock, clock._lock:
        files._loaded_states = files._states()
        assert ["['22', 'looked']"] == forked(work)


def test_every_turn_is_free_in_a_child(valkey):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=f"{valkey.url}?max_connections=1") as enforcer:
        enforcer.consume("acme", "leads")
        assert enforcer._store._store._store._pool._slots.acquire(
            1
        )  # another thread is being answered, and takes its time
        try:
            assert ["'store'"] == forked(lambda: enforcer.consume("acme", "leads").via)
        finally:
            enforcer._store._store._store._pool._slots.release()


def test_pauses_of_children_differ():
    drawn = forked(lambda: random.uniform(-1, 1), 4)
    assert 4 == len(set(drawn))


def test_what_waits_for_the_store_is_brought_by_the_parent_alone(valkey):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url) as enforcer:
        enforcer.consume("acme", "exports")
        journal = enforcer._store._store.policy.journal.queue
        valkey.stop()
        try:
            told = [enforcer.consume("acme", "exports").allowed for _ in range(10)]
            waiting = len(journal)
        finally:
            valkey.cont()

        def work():
            empty = not journal
            enforcer._store._store.policy.breaker._probe_at = 0
            enforcer.consume("acme", "leads")
            return empty, enforcer._store._store.policy.breaker.state.value

        assert [True] * 10 == told
        assert waiting
        assert ["(True, 'closed')"] * 2 == forked(work, 2)
        for _ in range(100):  # a try that a busy machine makes late is not the last
            enforcer._store._store.policy.breaker._probe_at = 0
            enforcer.consume("acme", "leads")
            if not journal:
                break
        assert not journal
        assert 11 == enforcer.usage("acme")["exports"].used


# --- Loops and threads --------------------------------------------------------------------------------------------


def test_two_loops_in_two_threads_admit_exactly_the_limit_and_leave_no_socket(valkey):
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url)
    before = connected(valkey)

    async def charge():
        decisions = await asyncio.gather(*(enforcer.consume("acme", "leads") for _ in range(LIMIT)))
        await enforcer.aclose()
        return sum(each.allowed for each in decisions)

    with ThreadPoolExecutor(2) as pool:
        assert LIMIT == sum(pool.map(lambda _: asyncio.run(charge()), range(2)))
    until_gone(valkey, before, 0)


def until_gone(server, before, left):
    """Wait until the server knows no more than so many new connections: it reads of an end a moment later."""
    wait_until(lambda: len(connected(server) - before) <= left, "the end of connections")


def test_the_sockets_of_a_loop_that_ended_are_closed_when_the_next_begins(valkey):
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url)
    before = connected(valkey)
    for _ in range(5):
        asyncio.run(enforcer.consume("acme", "leads"))
    gc.collect()  # a subscription goes with its loop
    until_gone(valkey, before, 1)

    async def close():
        await enforcer.consume("acme", "leads")
        await enforcer.aclose()

    asyncio.run(close())
    until_gone(valkey, before, 0)


@SHARED
def test_eight_threads_that_switch_all_the_time_admit_exactly_the_limit(place, request):
    store = "memory://" if place == "memory" else request.getfixturevalue("valkey").url
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with Enforcer(POLICY, accounts=ACCOUNTS, store=store) as enforcer, ThreadPoolExecutor(8) as pool:

            def charge(_):
                return Counter(enforcer.consume("acme", "leads").allowed for _ in range(LIMIT // 4))

            found = sum(pool.map(charge, range(8)), Counter())
    finally:
        sys.setswitchinterval(interval)
    assert {True: LIMIT, False: LIMIT} == found
