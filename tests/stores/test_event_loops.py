"""Event loops that stand still, end, fork, are overtaken by work or left by their callers, before real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

import pytest
from deadlines import LONG, patient
from proxy import proxied

from entitlements import AsyncEnforcer, Enforcer, Policy, StoreError
from entitlements.model import events
from entitlements.model.charge import Charge, Part
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Rate
from entitlements.stores.errors import Overloaded, TimedOut
from entitlements.stores.pending import PendingOrder
from entitlements.stores.redis import AsyncRedisStore, RedisStore, deadlines, pipeline, pipeline_protocol
from entitlements.stores.redis.backlog import FASTEST, STALL, Backlog
from entitlements.stores.redis.pipeline_protocol import MAX_REPLIES_PER_TURN
from entitlements.testing import RecordingHook

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Some loops here end without closing their connections."""

API = Rate("api", HOUR, deadline=LONG)
POLICY = Policy.parse({
    "policy": {"version": "7"},
    "limits": patient({"api": {"kind": "rate", "on_outage": "deny"}, "leads": {"kind": "quota"}}),
    "tiers": {"one": {"rank": 1, "limits": {"api": "100000 per hour", "leads": 100_000}}},
})  # fmt: skip
ACCOUNTS = {"acme": "one"}


def charge(account="acme", limit=API):
    return Charge(account, (Part(limit, 10**9),))


def made(url, **options):
    return AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=url, expected_processes=1, **options)


def pipeline_of(store):
    return next(iter(store._connections.values()))


# --- A connection that the server has closed meanwhile ------------------------------------------------------------


def cut_every_connection(server):
    with server.client() as client:
        client.execute_command("CLIENT KILL TYPE normal SKIPME yes")


def stand_still():
    time.sleep(0.05)


@pytest.mark.parametrize("url", ["valkey", "tls_server", "cluster"])
@pytest.mark.parametrize("at_once", [1, 40])
async def test_the_first_charges_after_the_loop_stood_still_go_over_a_new_connection(request, url, at_once):
    server = request.getfixturevalue(url)
    nodes = getattr(server, "nodes", (server,))
    async with made(server.url) as enforcer:
        for _ in range(3):
            await enforcer.consume("acme", "api")
        for node in nodes:
            cut_every_connection(node)
        stand_still()
        decisions = await asyncio.gather(*(enforcer.consume("acme", "api") for _ in range(at_once)))
        assert {("store", True, False)} == {(each.via, each.allowed, each.degraded) for each in decisions}
        assert 3 + at_once == (await enforcer.usage("acme"))["api"].used


def test_uvloop_looks_before_it_writes_too(valkey):
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this platform")

    async def story():
        async with made(valkey.url) as enforcer:
            await enforcer.consume("acme", "api")
            cut_every_connection(valkey)
            stand_still()
            return (await enforcer.consume("acme", "api")).degraded

    assert not uvloop.run(story())


async def test_a_push_of_the_server_on_an_idle_connection_holds_nothing_up(valkey):
    store = AsyncRedisStore(valkey.url)
    await store.execute(charge())
    stand_still()
    pipeline_of(store)._protocol._poll = lambda _: True  # as if a part of something had come
    async with asyncio.timeout(LONG / SECOND / 2):
        await store.execute(charge())
    await store.aclose()


# --- Many loops, and loops that end -------------------------------------------------------------------------------


def test_many_loops_in_threads_share_one_enforcer(valkey):
    enforcer = made(valkey.url)

    async def one():
        decision = await enforcer.consume("acme", "api")
        return decision.allowed, decision.degraded

    with ThreadPoolExecutor(8) as pool:
        assert {(True, False)} == set(pool.map(lambda _: asyncio.run(one()), range(120)))


async def test_a_call_that_fails_because_the_store_is_closed_opens_no_connection(valkey):
    enforcer = made(valkey.url)
    store = enforcer._store._store.transport
    await enforcer.consume("acme", "leads")
    valkey.stop()
    try:
        calls = [asyncio.create_task(enforcer.consume("acme", "leads")) for _ in range(3)]
        await asyncio.sleep(0.01)
        await enforcer.aclose()
        decisions = await asyncio.gather(*calls)
    finally:
        valkey.cont()
    assert not any(each.allowed for each in decisions)
    assert {} == store._connections


@pytest.mark.slow  # after thousands of tests in one process, 1 of 200 charges of a child was decided without the store
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_goes_on_with_a_loop_of_its_parent_has_a_connection_of_its_own(server):
    hook = RecordingHook()
    enforcer = made(server.url, hooks=[hook])

    async def charge_some():
        return [(await enforcer.consume("acme", "leads")).via for _ in range(200)]

    with asyncio.Runner() as runner:
        assert ["store"] * 200 == runner.run(charge_some())
        loop = runner.get_loop()
        child = os.fork()
        if not child:
            signal.alarm(60)
            with suppress(BaseException):
                ways = loop.run_until_complete(charge_some())
                print(f"the child: {Counter(ways)}", *hook.of(events.Degraded), file=sys.stderr, flush=True)
                os._exit(int(["store"] * 200 != ways))
            os._exit(2)
        # One after the other: the two share what asyncio waits on, and each would see the other's events.
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert ["store"] * 200 == loop.run_until_complete(charge_some())
        assert 600 == loop.run_until_complete(enforcer.usage("acme"))["leads"].used
        loop.run_until_complete(enforcer.aclose())


# --- Deadlines ----------------------------------------------------------------------------------------------------


async def test_a_reply_that_drips_in_does_not_extend_the_deadline(valkey):
    with proxied(valkey.port) as proxy:
        store = AsyncRedisStore(proxy.url)
        await store.execute(charge())
        link = pipeline_of(store)
        before = link._replied_at
        proxy.inject("drip", 0.01)
        call = PendingOrder(charge(), asyncio.get_running_loop().create_future())
        store.send(call)
        await asyncio.sleep(0.1)
        assert not call.future.done()
        assert before == link._replied_at
        await call.future
        assert before < link._replied_at
        await store.aclose()


@pytest.mark.parametrize("make", [AsyncRedisStore, RedisStore])
async def test_a_first_connection_may_take_as_long_as_a_deadline_that_is_longer(valkey, monkeypatch, make):
    for module in (deadlines, pipeline):
        monkeypatch.setattr(module, "START_UP", 0.2)
    monkeypatch.setattr(pipeline, "RECONNECT_TIMEOUT", 0.2)
    with proxied(valkey.port) as proxy:
        proxy.inject("late", 0.5, of=b"HELLO")
        store = make(proxy.url)
        if make is RedisStore:
            assert (await asyncio.to_thread(store.execute, charge())).lines[0].fits
            store.close()
        else:
            assert (await store.execute(charge())).lines[0].fits
            await store.aclose()


# --- Callers that leave -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["valkey", "cluster"])
async def test_callers_with_timeouts_of_their_own_do_not_hide_an_outage(request, url):
    server, hook = request.getfixturevalue(url), RecordingHook()
    policy = Policy.parse({
        "policy": {"version": "1"},
        "limits": {"api": {"kind": "rate", "deadline": "100 ms"}},
        "tiers": {"one": {"rank": 1, "limits": {"api": "100000 per hour"}}},
    })  # fmt: skip
    nodes = getattr(server, "nodes", (server,))
    enforcer = AsyncEnforcer(policy, accounts=ACCOUNTS, store=server.url, hooks=[hook], expected_processes=1)
    await enforcer.consume("acme", "api")
    for node in nodes:
        node.stop()
    try:
        async with asyncio.timeout(60):
            while not hook.of(events.BreakerChanged):
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await enforcer.consume("acme", "api")
        async with asyncio.timeout(0.05):
            assert (await enforcer.consume("acme", "api")).via == "local"
    finally:
        for node in nodes:
            node.cont()
        await enforcer.aclose()


# --- More calls than a loop can resolve ---------------------------------------------------------------------------


def test_a_backlog_measures_the_pace_of_the_loop_and_forgets_it_with_its_end():
    backlog = Backlog()
    assert FASTEST == backlog.interval
    for now in (10.0, 10.01, 10.03, 60.0):  # at last the loop stood still
        backlog.count(100, now)
    assert pytest.approx((0.01 + 0.02 + STALL) / 300) == backlog.interval
    backlog.end()
    assert (FASTEST, None) == (backlog.interval, backlog.began)


async def test_a_call_that_cannot_be_resolved_in_time_is_refused_at_once_and_others_are_not(valkey):
    store = AsyncRedisStore(valkey.url)
    await store.execute(charge())
    hasty = Rate("api", HOUR, deadline=SECOND // 20)
    valkey.stop()
    try:
        first = [asyncio.create_task(store.execute(charge())) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pipeline_of(store)._backlog.interval = 0.001  # 100 calls take 0.1 seconds
        with pytest.raises(Overloaded, match="as many as it answers in time"):
            await store.execute(charge(limit=hasty))
        last = asyncio.create_task(store.execute(charge()))
        await asyncio.sleep(0)
    finally:
        valkey.cont()
    await asyncio.gather(*first, last)
    await store.aclose()


@pytest.mark.parametrize(("long_turn", "is_at_once"), [(-1, True), (10**12, False)])
async def test_calls_that_wait_are_resolved_at_once_after_a_long_turn(valkey, monkeypatch, long_turn, is_at_once):
    """New calls make turns long: a fixed number of replies in each would never catch up with them."""
    monkeypatch.setattr(pipeline_protocol, "LONG_TURN", long_turn)
    store = AsyncRedisStore(valkey.url)
    await store.execute(charge())
    in_flight = pipeline_of(store)._protocol.in_flight
    valkey.stop()
    try:
        calls = [asyncio.create_task(store.execute(charge())) for _ in range(300)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    finally:
        valkey.cont()
    with valkey.client() as client:
        for _ in range(6000):
            if client.info("commandstats")["cmdstat_evalsha"]["calls"] >= 300:
                break
            time.sleep(0.01)  # noqa: ASYNC251 - the loop must not read meanwhile
    waiting = [len(in_flight)]
    while in_flight:
        await asyncio.sleep(0)
        waiting.append(len(in_flight))
    most = max(before - after for before, after in pairwise(waiting))
    assert is_at_once is (most > MAX_REPLIES_PER_TURN)
    await asyncio.gather(*calls)
    await store.aclose()


@pytest.mark.parametrize(("silent", "kept"), [(0.0, True), (60.0, False)])
async def test_a_connection_is_given_up_for_its_silence_and_not_for_calls_that_came_too_late(valkey, silent, kept):
    """A loop that is behind misses deadlines although replies flow; to connect again would take it longer still."""
    store = AsyncRedisStore(valkey.url)
    await store.execute(charge())
    link = pipeline_of(store)
    protocol = link._protocol
    valkey.stop()
    try:
        call = asyncio.create_task(store.execute(charge()))
        await asyncio.sleep(0)
        link._replied_at = time.monotonic() - silent
        link._reject_late(list)
        with pytest.raises(TimedOut):
            await call
        assert kept is (link._protocol is protocol)
    finally:
        valkey.cont()
    await store.execute(charge())
    await store.aclose()


# --- Errors that nobody knows -------------------------------------------------------------------------------------


MOST = 2**20
"""Bytes that are handed on together: more than a script has."""


class Gateway:
    """A proxy that hands calls on, and answers some of them with an error of its own after the server has worked."""

    def __init__(self, port):
        self._port, self.fails = port, 0

    async def _passed(self, reader, writer):
        answers, there = await asyncio.open_connection("127.0.0.1", self._port, limit=MOST)
        asked = bytearray()

        async def answer():
            while reply := await answers.read(MOST):
                if b"EVALSHA" in asked and not reply.startswith(b"-") and self.fails:
                    self.fails -= 1
                    reply = b"-ERR upstream failure\r\n"
                asked.clear()
                writer.write(reply)

        answering = asyncio.ensure_future(answer())
        try:
            while part := await reader.read(MOST):  # a script comes in several
                asked.extend(part)
                there.write(part)
        finally:
            answering.cancel()
            there.close()
            writer.close()

    def run(self, started, stop):
        async def main():
            server = await asyncio.start_server(self._passed, "127.0.0.1", 0, limit=MOST)
            self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            started.set()
            await asyncio.to_thread(stop.wait)
            server.close()

        asyncio.run(main())


@pytest.fixture
def gateway(valkey):
    gateway, started, stop = Gateway(valkey.port), threading.Event(), threading.Event()
    thread = threading.Thread(target=gateway.run, args=(started, stop))
    thread.start()
    assert started.wait(60)
    yield gateway
    stop.set()
    thread.join()


@pytest.mark.parametrize("fails", [1, 2])
def test_an_error_that_is_not_known_leaves_unknown_whether_the_order_was_done(gateway, fails):
    """A charge is repeated by its operation id; if that fails too, it is refused here and given back there."""
    with Enforcer(POLICY, accounts=ACCOUNTS, store=gateway.url, expected_processes=1) as enforcer:
        enforcer.consume("acme", "leads")
        gateway.fails = fails
        decision = enforcer.consume("acme", "leads", 5)
        assert (fails == 1) is decision.allowed
        deadline = time.monotonic() + 60
        while enforcer.usage("acme")["leads"].used != 1 + 5 * (fails == 1):
            assert time.monotonic() < deadline


def test_what_a_store_raises_for_it_says_so(gateway):
    store = RedisStore(gateway.url)
    store.execute(charge())
    gateway.fails = 1
    with pytest.raises(StoreError, match="whether the order was done is unknown") as raised:
        store.execute(charge())
    assert not raised.value.undone
    store.close()
