"""Real servers stopped, killed and cut off under load: what is decided, what is counted, and when it is over."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from contests import contest, outage_share
from proxy import proxied
from servers import set_start_up
from topologies import wait_until
from webserver import serving

from entitlements import AsyncEnforcer, Enforcer, Policy, Reason
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.model import events
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part
from entitlements.model.instants import SECOND
from entitlements.model.limits import Quota
from entitlements.rules.periods import month_ends
from entitlements.stores.errors import Broken
from entitlements.stores.redis import RedisStore
from entitlements.testing import RecordingHook

POLICY = Policy.parse({
    "policy": {"version": "7"},
    "limits": {
        "api": {"kind": "rate", "deadline": "1 second"}, "patient": {"kind": "rate", "deadline": "3 seconds"},
        "leads": {"kind": "quota", "deadline": "1 second"},
        "exports": {"kind": "quota", "on_outage": "allow", "deadline": "1 second"},
    },
    "tiers": {"one": {"rank": 1, "limits": {
        "api": "1000000 per hour", "patient": "1000000 per hour", "leads": 100_000, "exports": 20,
    }}},
})  # fmt: skip
ACCOUNTS = {"acme": "one"}
CEILING = 5 * 10**9
"""Five times the deadline, in nanoseconds: this machine is shared."""


@pytest.fixture(autouse=True)
def collected():
    """Let what a test has left behind be noticed here."""
    yield
    gc.collect()


def stop(server):
    server.stop()


def kill(server):
    server.kill()


def back(server):
    """Let a stopped server go on, or start a killed one again."""
    if server.alive:
        server.cont()
    else:
        server.start()


pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""A connection that was cut off is closed a moment later, for which a loop that ends at once leaves no time."""

FAULTS = pytest.mark.parametrize("fault", [stop, kill])


# --- Under load ---------------------------------------------------------------------------------------------------


class Load:
    """Tasks that charge one rate as fast as they can; what each decision was, and how long it took."""

    def __init__(self, enforcer):
        self.enforcer, self.over, self.noted = enforcer, False, []

    async def task(self):
        while not self.over:
            began = time.perf_counter_ns()
            decision = await self.enforcer.consume("acme", "api")
            self.noted.append((time.perf_counter_ns() - began, decision.degraded, decision.allowed))
            await asyncio.sleep(0.002)

    def since(self, mark):
        return self.noted[mark:]

    async def until(self, true):
        async with asyncio.timeout(60):
            while not true():  # noqa: ASYNC110 - what it waits for happens in another process
                await asyncio.sleep(0.005)


@FAULTS
async def test_under_load_every_decision_is_made_in_time_and_counted_strictly_again_when_it_is_back(valkey, fault):
    hook = RecordingHook()
    async with AsyncEnforcer(
        POLICY, accounts=ACCOUNTS, store=valkey.url, hooks=[hook], expected_processes=1
    ) as enforcer:
        load = Load(enforcer)
        tasks = [asyncio.create_task(load.task()) for _ in range(20)]
        try:
            await load.until(lambda: len(load.noted) > 500)
            await asyncio.to_thread(fault, valkey)
            await load.until(lambda: hook.of(events.BreakerChanged))
            opened = len(load.noted)
            await load.until(lambda: len(load.noted) > opened + 2000)
            while_open = load.since(opened)
            await asyncio.to_thread(back, valkey)
            await load.until(lambda: hook.of(events.BreakerChanged)[-1].after == "closed")
            mark = len(load.noted)
            await load.until(lambda: len(load.noted) > mark + 200)
        finally:
            load.over = True
            await asyncio.gather(*tasks)
    assert all(allowed for _, _, allowed in load.noted)
    assert sum(took > CEILING for took, *_ in load.noted) <= len(load.noted) // 100
    assert all(degraded for _, degraded, _ in while_open[50:])
    assert not any(degraded for _, degraded, _ in load.noted[-100:])


@FAULTS
def test_through_the_middleware_nothing_is_a_500_and_what_must_be_counted_is_a_503(valkey, fault):
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1)
    routes = [Route("/leads", consumes={"leads": 1}), Route("/exports", consumes={"exports": 1})]

    async def hello(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    app = EntitlementsMiddleware(
        hello, enforcer=enforcer, identify=lambda _: "acme", routes=routes, default=Route(consumes={"api": 1})
    )
    over, found = threading.Event(), {path: Counter() for path in ("/", "/leads", "/exports", "/other")}

    def ask(url, path):
        with httpx.Client(base_url=url, timeout=60) as client:
            while not over.is_set():
                response = client.get(path)
                found[path][response.status_code, "retry-after" in response.headers] += 1

    with serving(app) as url, ThreadPoolExecutor(4) as pool, httpx.Client(base_url=url, timeout=60) as client:
        asked = [pool.submit(ask, url, path) for path in found]
        try:
            wait_until(lambda: all(each.total() >= 20 for each in found.values()), "answers of every path")
            fault(valkey)
            wait_until(lambda: found["/leads"][503, True] >= 20, "refusals")
            refused = client.get("/leads")
            back(valkey)
            wait_until(lambda: client.get("/leads").status_code == 200, "an answer from the server")
        finally:
            over.set()
        for each in asked:
            each.result()
    assert (503, "application/problem+json") == (refused.status_code, refused.headers["content-type"])
    assert refused.json()["type"].endswith("limits-unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert {(200, False)} == set(found["/"]) == set(found["/other"])
    assert {(200, False), (503, True)} == set(found["/leads"])
    assert set(found["/exports"]) <= {(200, False), (429, False), (429, True)}


@FAULTS
def test_threads_get_the_same(valkey, fault):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as enforcer:
        over, away, noted, while_away = threading.Event(), threading.Event(), [], []

        def charge():
            while not over.is_set():
                began_away = away.is_set()
                decision = enforcer.consume("acme", {"api": 1, "exports": 1} if len(noted) % 50 else "leads")
                noted.append(decision)
                if began_away and away.is_set():
                    while_away.append((decision.degraded, decision.reason))
                time.sleep(0.001)

        with ThreadPoolExecutor(8) as pool:
            try:
                for _ in range(8):
                    pool.submit(charge)
                wait_until(lambda: len(noted) >= 100, "charges of the threads")
                fault(valkey)
                away.set()
                wait_until(lambda: len(while_away) >= 100, "charges while the server is away")
                away.clear()
                back(valkey)
                wait_until(lambda: not enforcer.peek("acme", "leads").degraded, "an answer from the server")
            finally:
                over.set()
    assert all(degraded for degraded, _ in while_away)
    assert {reason for _, reason in while_away} <= {
        Reason.WITHIN_LIMIT,
        Reason.OUTAGE_ALLOWED,
        Reason.STORE_UNAVAILABLE,
    }


# --- Replies that are lost ----------------------------------------------------------------------------------------


def lead(operation):
    ends = month_ends(None, time.time_ns() // 1000)
    return Charge("acme", (Part(Quota("leads", deadline=10 * SECOND), 1000, 1, ends),), operation=operation)


def test_an_order_that_is_repeated_after_every_lost_reply_is_carried_out_once(valkey):
    with proxied(valkey.port) as proxy:
        store = RedisStore(proxy.url)
        store.execute(lead("o:0"))
        proxy.inject("cut after")
        for _ in range(11):
            with pytest.raises(Broken):
                store.execute(lead("o:1"))
        proxy.heal()
        outcome = store.execute(lead("o:1"))
        store.close()
    assert (Status.REPLAYED, 2, 11) == (outcome.status, outcome.lines[0].used, proxy.hits)


# --- Several processes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [0, 20])
def test_four_processes_admit_their_shares_of_what_they_have_not_seen_used(valkey, seen):
    try:
        found = contest(outage_share, [(valkey.url, valkey.pid, rank, seen) for rank in range(4)])
    finally:
        valkey._stopped = True
        valkey.cont()
    admitted = [each for each, _ in found]
    assert all(each == max(0, 25 - last) for each, last in found)
    assert 4 * seen + sum(admitted) <= 100


# --- Forks, loops, stalls -----------------------------------------------------------------------------------------


def in_child(work):
    """Run *work* in a forked child, and return what it wrote; it has a minute."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            os.write(writing, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        answer = said.read().decode()
    os.waitpid(child, 0)
    return answer


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_with_an_empty_journal_free_locks_and_connections_of_its_own(valkey, monkeypatch):
    set_start_up(monkeypatch, 4.0)  # the child waits for all of it
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as enforcer:
        enforcer.consume("acme", "leads")
        policy = enforcer._store._store.policy
        valkey.stop()
        for _ in range(6):
            enforcer.consume("acme", "exports")
        policy.breaker._probe_at = 0
        assert policy.breaker.acquire(0) is not None  # somebody in the parent tries the store, and holds every lock
        with policy.outages._lock, policy.breaker._lock, policy.journal.queue._lock:
            first = in_child(lambda: (enforcer.consume("acme", "api").via, len(policy.journal.queue)))
        valkey.cont()
        second = in_child(lambda: (enforcer.consume("acme", "exports").used, enforcer.via))
        policy.breaker._probe_at = 0
        assert "('local', 0)" == first
        assert "(2, 'store')" == second  # the first of the six had reached the server
        assert 8 == enforcer.consume("acme", "exports").used


def test_several_event_loops_share_what_is_known_of_the_store(valkey):
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1)
    policy = enforcer._store._store.policy

    async def charge_and_stay(times):
        return sum([(await enforcer.consume("acme", "api")).degraded for _ in range(times)])

    async def charge_at_once(times):
        return sum(
            each.degraded for each in await asyncio.gather(*(enforcer.consume("acme", "api") for _ in range(times)))
        )

    async def charge(times):
        degraded = await charge_and_stay(times)
        await enforcer.aclose()
        return degraded

    with ThreadPoolExecutor(3) as pool:
        assert [0] * 3 == list(pool.map(lambda _: asyncio.run(charge(50)), range(3)))
    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert [0, 0] == [each.run(charge_and_stay(1)) for each in (first, second)]
        valkey.stop()
        assert 50 == first.run(charge_at_once(50))
        asked, now = policy.breaker._openings, policy.clock()
        policy.clock = lambda: now  # the time of the next try does not come
        assert 50 == second.run(charge(50))
        assert asked == policy.breaker._openings
        first.run(enforcer.aclose())
    valkey.cont()


async def test_a_stalled_event_loop_is_not_the_stores_failure(valkey):
    hook = RecordingHook()
    async with AsyncEnforcer(
        POLICY, accounts=ACCOUNTS, store=valkey.url, hooks=[hook], expected_processes=1
    ) as enforcer:
        await asyncio.gather(*(enforcer.consume("acme", "api") for _ in range(100)))
        calls = [asyncio.create_task(enforcer.consume("acme", "patient")) for _ in range(100)]
        await asyncio.sleep(0)
        time.sleep(6.2)  # noqa: ASYNC251 - this is the stall, longer than twice the deadline
        await asyncio.gather(*calls)
        assert [] == hook.of(events.BreakerChanged)
        assert not (await enforcer.consume("acme", "api")).degraded


def test_a_server_that_was_never_there_is_an_outage_from_the_first_call(caplog):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    url = f"redis://user:pa55word@127.0.0.1:{port}"
    with Enforcer(POLICY, accounts=ACCOUNTS, store=url, expected_processes=1) as enforcer:
        assert "local" == enforcer.consume("acme", "api").via
        assert "journal" == enforcer.consume("acme", "exports").via
    assert f"127.0.0.1:{port}" in caplog.text
    assert "pa55word" not in caplog.text


def test_what_is_wrong_with_the_url_is_told_until_it_has_worked_once(valkey):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url + "/99", expected_processes=1) as enforcer:
        for _ in range(9):
            with pytest.raises(Exception, match="no database of this number"):
                enforcer.consume("acme", "api")
    url = valkey.user("~ent1:*", "+@all")
    with Enforcer(POLICY, accounts=ACCOUNTS, store=url, expected_processes=1) as enforcer:
        assert not enforcer.consume("acme", "api").degraded
        valkey.user("~ent1:*", "-@all")
        assert enforcer.consume("acme", "api").degraded
