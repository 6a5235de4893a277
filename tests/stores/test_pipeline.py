"""Many calls over one connection: how many writes they take, and that everybody gets his own answer or none."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import cached_property
from time import monotonic, sleep
from types import SimpleNamespace

import pytest
from blockbuster import blockbuster_ctx
from deadlines import LONG, patient
from proxy import proxied

from entitlements import Account, AsyncEnforcer, Enforcer, Policy, Reason
from entitlements.errors import StoreError
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Rate
from entitlements.stores.errors import Broken, Overloaded, Rejected, TimedOut, Unreachable
from entitlements.stores.pending import PendingOrder
from entitlements.stores.redis import AsyncRedisStore, RedisStore, pipeline, pool, slots
from entitlements.stores.redis.connection import Connection
from entitlements.stores.redis.encoding import encode_request
from entitlements.stores.redis.pipeline_protocol import MAX_REPLIES_PER_TURN

API = Rate("api", HOUR, deadline=LONG)
BRIEF = Rate("api", HOUR, deadline=SECOND)
HASTY = Rate("api", HOUR, deadline=SECOND // 20)
PLENTY = 10**9


def charge(account="acme", cost=1, limit=API):
    """Return a charge of one rate; each one is an order of its own."""
    return Charge(account, (Part(limit, PLENTY, cost),))


class Counts:
    """What the server has read and done between now and the first look."""

    def __init__(self, client):
        self._client = client
        first, self._before = self._now(), self._now()
        self._look = self._before["reads"] - first["reads"]

    def _now(self):
        stats = self._client.info("all")
        calls = {name: each["calls"] for name, each in stats.items() if name.startswith("cmdstat_")}
        return {"reads": stats["total_reads_processed"]} | calls

    @cached_property
    def _after(self):
        return self._now()

    def __getitem__(self, name):
        many = self._after.get(name, 0) - self._before.get(name, 0)
        return many - self._look if name == "reads" else many


@pytest.fixture
def client(valkey):
    """A client of an empty server."""
    with valkey.client() as client:
        client.flushdb()
        yield client


@pytest.fixture
async def store(valkey, client):
    """A store that is connected and whose script the server has."""
    store = AsyncRedisStore(valkey.url)
    await store.execute(charge("first"))
    yield store
    await store.aclose()


def pipeline_of(store):
    """Return the one pipeline of a store."""
    return next(iter(store._connections.values()))


def sent(link, request=None):
    """Send a request, and return the future of its reply."""
    raw = _request()._replace(decode=lambda reply: reply)
    pending = PendingOrder(None, asyncio.get_running_loop().create_future(), request or raw)
    link.send(pending)
    return pending.future


# --- How many writes ------------------------------------------------------------------------------------------------


async def test_one_after_the_other_each_is_sent_at_once_as_one_command(store, client):
    counts = Counts(client)
    for _ in range(20):
        await store.execute(charge())
    assert (20, 20) == (counts["cmdstat_evalsha"], counts["reads"])


@pytest.mark.parametrize("tasks", [64, 512])
async def test_many_at_once_share_writes(store, client, tasks):
    counts = Counts(client)

    async def ask(number):
        for _ in range(10):
            await store.execute(charge(f"a{number}"))

    await asyncio.gather(*map(ask, range(tasks)))
    assert counts["cmdstat_evalsha"] == 10 * tasks
    assert counts["reads"] <= 10 * tasks / 4


async def test_all_share_one_connection(store, client):
    await asyncio.gather(*(store.execute(charge(f"a{number}")) for number in range(300)))
    assert 2 == len(client.client_list(_type="normal"))  # ours, and this one that asks


async def test_calls_go_out_at_the_end_of_the_turn_or_sixteen_at_once_and_wait_for_nobodys_answer(store, valkey):
    link = pipeline_of(store)

    def ask(many):
        asked.extend(sent(link) for _ in range(many))
        return len(link._queue), len(link._protocol.in_flight)

    asked = []
    valkey.stop()
    try:
        assert (0, 1) == ask(1)
        assert (15, 1) == ask(15)
        assert (0, 17) == ask(1)
        assert (3, 17) == ask(3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (0, 20) == ask(0)
    finally:
        valkey.cont()
    await asyncio.gather(*asked)


def _request():
    return encode_request("ent", charge())


# --- Everybody's own answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
async def test_whoever_is_cancelled_leaves_the_answers_of_others_alone(store, seed):
    chance, admitted = random.Random(seed), {}

    async def ask(account):
        for _ in range(20):
            answer = await store.execute(charge(f"a{account}", cost=account + 1))
            admitted.setdefault(account, []).append(answer.lines[0].used)
            assert answer.lines[0].taken == account + 1

    tasks = [asyncio.create_task(ask(account)) for account in range(100)]
    for task in chance.sample(tasks, 50):
        await asyncio.sleep(chance.choice([0, 0, 0.0005]))
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(None), asyncio.CancelledError} >= {type(result) for result in results}
    for account, used in admitted.items():
        assert used == [(account + 1) * (time + 1) for time in range(len(used))]


async def test_who_is_cancelled_before_it_was_sent_is_never_sent(store, client, valkey):
    counts = Counts(client)
    valkey.stop()
    try:
        tasks = [asyncio.create_task(store.execute(charge())) for _ in range(10)]
        await asyncio.sleep(0)  # one is under way, nine wait for the end of the turn
        for task in tasks[1:5]:
            task.cancel()
        await asyncio.sleep(0)
    finally:
        valkey.cont()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert counts["cmdstat_evalsha"] == 6


async def test_many_answers_at_once_are_handed_out_in_turns_each_to_who_asked(store, valkey):
    many = 3 * MAX_REPLIES_PER_TURN
    link, done = pipeline_of(store), []
    valkey.stop()
    try:
        asked = [sent(link) for _ in range(many)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        link._protocol.data_received(b"".join(b":%d\r\n" % number for number in range(many - 1)))
        for _ in range(3):
            done.append(sum(answer.done() for answer in asked))
            await asyncio.sleep(0)
        assert [MAX_REPLIES_PER_TURN, 2 * MAX_REPLIES_PER_TURN, many - 1] == done
        assert list(range(many - 1)) == [answer.result() for answer in asked[:-1]]
        assert not asked[-1].done()
    finally:
        link._protocol.close()
        valkey.cont()
    with pytest.raises(Broken):
        await asked[-1]


async def test_whose_answer_has_come_is_not_late_however_long_those_before_it_go_on(store):
    async def ask(number):
        answer = await store.execute(charge(f"a{number}", limit=BRIEF))
        time.sleep(0.005)  # noqa: ASYNC251 - what an application does with an answer
        return answer.status

    await store.execute(charge(limit=BRIEF))
    assert {Status.ADMITTED} == set(await asyncio.gather(*map(ask, range(4 * MAX_REPLIES_PER_TURN))))


async def test_an_error_of_whoever_takes_an_answer_is_his_alone(store, valkey):
    def clumsy(reply):
        raise IndexError(reply)

    link = pipeline_of(store)
    valkey.stop()
    try:
        wrong, right = sent(link, _request()._replace(decode=clumsy)), sent(link)
    finally:
        valkey.cont()
    assert isinstance(await right, bytes)
    with pytest.raises(IndexError):
        await wrong
    assert 1 == len(store._connections)


async def test_answers_that_came_before_the_connection_ended_are_handed_out(store, valkey):
    many = 3 * MAX_REPLIES_PER_TURN
    link = pipeline_of(store)
    valkey.stop()
    try:
        asked = [sent(link) for _ in range(many)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        protocol = link._protocol
        protocol.data_received(b":1\r\n" * (many - 1))
        protocol.connection_lost(None)
        protocol.close()
    finally:
        valkey.cont()
    assert [1] * (many - 1) == [answer.result() for answer in asked[:-1]]
    assert isinstance(asked[-1].exception(), Broken)


async def test_a_server_that_forgets_its_scripts_in_the_middle_gets_them_again(store, client):
    counts = Counts(client)

    async def ask(number):
        return [(await store.execute(charge(f"a{number}"))).lines[0].used for _ in range(30)]

    async def forget():
        for _ in range(10):
            await asyncio.to_thread(client.script_flush)

    used, _ = await asyncio.gather(asyncio.gather(*map(ask, range(50))), forget())
    assert [list(range(1, 31))] * 50 == used
    assert 1 <= counts["cmdstat_script|load"] <= 60


# --- When the connection is lost ------------------------------------------------------------------------------------


async def test_what_was_not_sent_yet_goes_over_the_next_connection(valkey, client):
    with proxied(valkey.port) as proxy:
        store = AsyncRedisStore(proxy.url)
        await store.execute(charge("first"))
        proxy.inject("cut before")

        async def first():
            with pytest.raises(Broken):
                await store.execute(charge("cut"))
            proxy.heal()

        async def piled_up(number):
            pipeline_of(store)._protocol.pause_writing()  # what was written before has not gone out
            return await store.execute(charge(f"a{number}"))

        others = (piled_up(number) for number in range(10))
        _, *answers = await asyncio.gather(first(), *others)
        assert [(Status.ADMITTED, 1)] * 10 == [(answer.status, answer.lines[0].used) for answer in answers]
        await store.aclose()


async def test_a_connection_that_has_ended_takes_one_write_with_it_and_no_more(valkey, client, caplog):
    """The loop has not been told yet: it was busy from before the end of the connection until all had asked."""
    store = AsyncRedisStore(valkey.url)
    await store.execute(charge("x"))
    asking = [asyncio.create_task(store.execute(charge(f"b{number}"))) for number in range(200)]
    client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
    time.sleep(0.02)  # noqa: ASYNC251 - so that the end has come
    answers = await asyncio.gather(*asking, return_exceptions=True)
    await store.aclose()

    assert sum(isinstance(answer, Exception) for answer in answers) <= 1
    assert "socket.send() raised" not in caplog.text


async def test_nobody_waits_longer_than_its_deadline_and_each_learns_whether_it_was_sent(store, valkey, monkeypatch):
    monkeypatch.setattr(pipeline, "RECONNECT_TIMEOUT", LONG / SECOND)
    loop, took, errors = asyncio.get_running_loop(), [], []

    async def ask():
        began = loop.time()
        with pytest.raises(StoreError) as error:
            await store.execute(charge(limit=HASTY))
        took.append(loop.time() - began)
        errors.append(type(error.value))

    valkey.stop()
    try:
        await asyncio.gather(*(ask() for _ in range(30)))
        await ask()
    finally:
        valkey.cont()
    assert [TimedOut] * 30 + [Unreachable] == errors  # the last waited for a connection
    assert max(took) < LONG / SECOND / 2
    assert Status.ADMITTED is (await store.execute(charge())).status


async def test_who_waits_is_let_go_where_nobody_was_answered_for_as_long_as_he_may_wait(store, valkey, monkeypatch):
    now = [monotonic()]
    monkeypatch.setattr(pipeline, "monotonic", lambda: now[0])
    valkey.stop()
    try:
        first = asyncio.create_task(store.execute(charge()))
        await asyncio.sleep(0)
        now[0] += 8
        second = asyncio.create_task(store.execute(charge(limit=Rate("api", HOUR, deadline=10 * SECOND))))
        for _ in range(3):  # it is made, joins the queue, and is sent
            await asyncio.sleep(0)
        store.expire()
        assert not second.done()
        now[0] += 4  # 12 seconds of silence, of which the second has waited for 4
        store.expire()
        with pytest.raises(TimedOut):
            await second
    finally:
        valkey.cont()
    monkeypatch.undo()
    assert Status.ADMITTED is (await first).status
    assert Status.ADMITTED is (await store.execute(charge())).status


async def test_a_quiet_time_before_is_not_the_silence_of_the_server(store, valkey):
    pipeline_of(store)._replied_at -= 100
    valkey.stop()
    try:
        asked = asyncio.create_task(store.execute(charge()))
        await asyncio.sleep(0)
        store.expire()
        await asyncio.sleep(0)
        assert not asked.done()
    finally:
        valkey.cont()
    assert Status.ADMITTED is (await asked).status


async def test_a_late_refusal_on_a_connection_that_was_given_up_leaves_the_new_one_alone(valkey, monkeypatch):
    monkeypatch.setattr(pipeline, "FLUSH_AT", 1)  # both calls are on their way
    with valkey.client() as client:
        store = AsyncRedisStore(valkey.url)
        await store.execute(charge("first"))
        client.execute_command("CLIENT PAUSE", 10_000, "WRITE")
        try:
            patient = asyncio.create_task(store.execute(charge("patient")))
            await asyncio.sleep(0)
            with pytest.raises(TimedOut):
                await store.execute(charge("hasty", limit=HASTY))
            await store.open()
            connections = client.info("clients")["connected_clients"]
            client.replicaof("127.0.0.1", "1")
            client.client_unpause()
            with pytest.raises(Rejected, match="read only"):
                await patient
        finally:
            client.client_unpause()
            client.replicaof("NO", "ONE")
        counts = Counts(client)
        assert Status.ADMITTED is (await store.execute(charge("next"))).status
        assert counts["cmdstat_hello"] == 0
        assert connections - 1 == client.info("clients")["connected_clients"]  # the old one is closed
        await store.aclose()


async def test_what_waits_behind_a_connection_that_is_given_up_goes_over_the_next(valkey):
    with valkey.client() as client:
        store = AsyncRedisStore(valkey.url)
        await store.execute(charge("first"))
        client.execute_command("CLIENT PAUSE", 10_000, "WRITE")
        counts = Counts(client)
        try:
            hasty = asyncio.create_task(store.execute(charge("hasty", limit=HASTY)))
            await asyncio.sleep(0)
            pipeline_of(store)._protocol.pause_writing()
            patient = asyncio.create_task(store.execute(charge("patient")))
            with pytest.raises(TimedOut):
                await hasty
        finally:
            client.client_unpause()
        assert Status.ADMITTED is (await patient).status
        assert counts["cmdstat_hello"] == 2  # redis-py's and ours
        await store.aclose()


def test_a_reply_that_drips_in_holds_a_thread_no_longer_than_its_deadline():
    here, there = socket.socketpair()
    connection = Connection(
        SimpleNamespace(_sock=SimpleNamespace(bare=here), _parser=SimpleNamespace(parse_error=Exception))
    )
    ended = threading.Event()

    def drip():
        there.recv(100)
        there.settimeout(1)
        there.sendall(b"$500000000\r\n")
        with suppress(TimeoutError):
            while not ended.is_set():
                there.sendall(b"x")

    with here, there, ThreadPoolExecutor() as pool:
        dripping = pool.submit(drip)
        with pytest.raises(TimeoutError):
            connection.execute(b"PING", monotonic() + 0.05)
        ended.set()
        dripping.result()


async def test_a_loop_whose_every_turn_is_long_still_decides(store, valkey):
    await store.execute(charge())
    turns = 0
    valkey.stop()
    try:
        asked = asyncio.create_task(store.execute(charge(limit=HASTY)))
        while not asked.done() and turns < 100:
            turns += 1
            sleep(0.025)  # noqa: ASYNC251 - so it is
            await asyncio.sleep(0)
    finally:
        valkey.cont()
    with pytest.raises(TimedOut):
        await asked
    assert turns < 15  # its deadline takes two, and one more is for answers that lie unread


class Recording:
    """A connection that replies nothing, and records the deadlines of its calls."""

    def __init__(self):
        self.deadlines = []

    def is_usable(self):
        return True

    def execute(self, _, deadline):
        self.deadlines.append(deadline)


@pytest.mark.parametrize(("answered", "until"), [(0.0, 100.05), (100.02, 100.07), (100.9, 100.1)])
def test_a_thread_waits_for_its_turn_and_its_answer_by_one_deadline(monkeypatch, answered, until):
    store, now, connection = RedisStore("redis://127.0.0.1:1"), [100.0], Recording()
    connections = store._pool

    def acquire(timeout):
        now[0] = 100.03
        return connection

    monkeypatch.setattr(pool, "monotonic", lambda: now[0])
    monkeypatch.setattr(connections._slots, "acquire", acquire)
    connections._slots.free.clear()
    connections._slots.answered_at, connections._is_connected = answered, True
    connections.execute(encode_request("ent", charge(limit=HASTY)))
    assert [pytest.approx(until)] == connection.deadlines
    assert [connection] == list(connections._slots.free)


def test_who_waits_for_a_turn_is_patient_where_others_are_answered(monkeypatch):
    """A place that is free 800 ms later leaves 200 of 1000, but its server has just answered."""
    store, now, calls = RedisStore("redis://127.0.0.1:1"), [100.0], 10
    connections = store._pool

    class Slow(Recording):
        def execute(self, _, deadline):
            super().execute(_, deadline)
            while len(self.deadlines) < calls and not connections._slots.waiting:
                time.sleep(0.001)
            now[0] += 0.8

    connection = Slow()
    for module in (pool, slots):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    connections._is_connected = True
    connections._slots.free.clear()
    connections._slots.free.append(connection)
    request = encode_request("ent", charge(limit=BRIEF))
    with ThreadPoolExecutor(2) as threads:
        for asked in [threads.submit(connections.execute, request) for _ in range(calls)]:
            asked.result()
    assert [connection] == list(connections._slots.free)


def test_a_turn_that_comes_too_late_to_ask_says_nothing_of_the_server(valkey, monkeypatch):
    store, now = RedisStore(valkey.url), [100.0]
    store.execute(charge())

    connection, waiting = store._pool._slots.acquire(1), store._pool._slots.acquire

    def acquire(timeout):
        now[0] = 100.045
        store._pool._slots.release(connection)
        return waiting(timeout)

    monkeypatch.setattr(pool, "monotonic", lambda: now[0])
    monkeypatch.setattr(store._pool._slots, "acquire", acquire)
    store._pool._slots.free.clear()
    with pytest.raises(Overloaded, match="max_connections"):
        store._pool.execute(encode_request("ent", charge(limit=HASTY)))
    monkeypatch.undo()
    assert Status.ADMITTED is store.execute(charge()).status
    store.close()


def test_only_the_first_calls_are_as_patient_as_a_first_connection(monkeypatch):
    store, now, connection = RedisStore("redis://127.0.0.1:1"), [100.0], Recording()
    monkeypatch.setattr(pool, "monotonic", lambda: now[0])
    monkeypatch.setattr(store._pool, "_open", lambda *_: connection)
    for now[0] in (100.0, 101.9, 102.1):
        store._pool.execute(encode_request("ent", charge(limit=HASTY)))
    assert [pytest.approx(each) for each in (102.0, 103.9, 102.15)] == connection.deadlines


async def test_no_more_than_so_many_wait(store, valkey, monkeypatch):
    monkeypatch.setattr(pipeline, "MAX_WAITING", 20)
    valkey.stop()
    try:
        tasks = [asyncio.create_task(store.execute(charge(limit=HASTY))) for _ in range(100)]
        refused = [error for error in await asyncio.gather(*tasks, return_exceptions=True) if type(error) is Overloaded]
    finally:
        valkey.cont()
    assert 60 <= len(refused) <= 80
    assert "calls wait for it already" in str(refused[0])


async def test_closing_tells_who_waits(valkey, client):
    store = AsyncRedisStore(valkey.url)
    await store.execute(charge())
    valkey.stop()
    try:
        tasks = [asyncio.create_task(store.execute(charge())) for _ in range(3)]
        await asyncio.sleep(0.01)
        pipeline_of(store)._protocol.pause_writing()
        tasks.append(asyncio.create_task(store.execute(charge())))
        await asyncio.sleep(0)
        await store.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        valkey.cont()
    assert {Broken, Unreachable} == {type(result) for result in results}


# --- What is never asked, and what never blocks ---------------------------------------------------------------------

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": patient({
        "api": {"kind": "rate"}, "bulk": {"kind": "rate"}, "free": {"kind": "rate"}, "none": {"kind": "rate"},
        "leads": {"kind": "quota"}, "zero": {"kind": "quota"}, "agents": {"kind": "allocation"},
    }),
    "tiers": {"one": {"rank": 1, "limits": {"api": "5 per hour", "bulk": 0, "free": "unlimited", "leads": 5, "zero": 0}}},
})  # fmt: skip
ACCOUNTS = {"acme": "one", "late": Account("late", "one", status="suspended")}
STATIC = [
    ("acme", "bulk", 1, Reason.NOT_INCLUDED),
    ("acme", "none", 1, Reason.NOT_INCLUDED),
    ("acme", "zero", 1, Reason.NOT_INCLUDED),
    ("acme", "agents", 1, Reason.NOT_INCLUDED),
    ("acme", "api", 6, Reason.NEVER_FITS),
    ("acme", {"leads": 1, "bulk": 1}, 1, Reason.NOT_INCLUDED),
    ("acme", "free", 1, Reason.UNLIMITED),
    ("late", "api", 1, Reason.SUSPENDED),
    ("nobody", "api", 1, Reason.UNKNOWN_ACCOUNT),
]


def test_static_answers_reach_no_server_unless_the_charge_has_a_key(valkey, client):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url) as enforcer:
        enforcer.consume("acme", "api", key="the first brings the script")
        counts = Counts(client)
        for verb in (enforcer.consume, enforcer.peek):
            answers = [verb(account, what, n) for account, what, n, _ in STATIC]
            assert [reason for *_, reason in STATIC] == [each.reason for each in answers]
            assert {"static"} == {each.via for each in answers}
        assert (0, 0) == (counts["cmdstat_evalsha"], counts["reads"])

        counts = Counts(client)
        for number, (account, what, n, _) in enumerate(STATIC):
            enforcer.consume(account, what, n, key=f"mine {number}")
        assert counts["cmdstat_evalsha"] == len(STATIC)


async def test_static_answers_reach_no_server_from_an_event_loop_either(valkey, client):
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url) as enforcer:
        await enforcer.consume("acme", "api")
        counts = Counts(client)
        answers = [await enforcer.consume(account, what, n) for account, what, n, _ in STATIC]
        assert [reason for *_, reason in STATIC] == [each.reason for each in answers]
        assert (0, 0) == (counts["cmdstat_evalsha"], counts["reads"])


async def work(url, guard=nullcontext):
    """Do one of everything that waits for the server, once redis-py has connected, which looks into files for its version."""
    async with AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=url) as enforcer:
        await enforcer.open()
        with guard():
            await charged(enforcer)


async def charged(enforcer):
    """Charge, look, refund and forget."""
    decisions = await asyncio.gather(*(enforcer.consume("acme", "api") for _ in range(20)))
    assert sum(each.allowed for each in decisions) == 5
    assert (await enforcer.usage("acme"))["api"].used == 5
    await enforcer.refund(next(each for each in decisions if each.allowed), rates=True)
    await enforcer.forget("acme")


async def test_nothing_holds_the_event_loop_up(valkey, client):
    await work(valkey.url, blockbuster_ctx)


def test_the_guard_above_finds_what_blocks():
    async def blocks():
        import time

        time.sleep(0)  # noqa: ASYNC251 - what it is for

    with blockbuster_ctx(), pytest.raises(Exception, match="sleep"):
        asyncio.run(blocks())


def test_uvloop_is_used_where_the_application_runs_it(valkey, client):
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this platform")
    for _ in range(2):  # the second loop finds the first one gone
        uvloop.run(work(valkey.url))


def test_uvloop_gives_everybody_his_own_answer_too(valkey, client):
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this platform")

    async def ask():
        store = AsyncRedisStore(valkey.url)
        tasks = [asyncio.create_task(store.execute(charge(f"a{cost}", cost))) for cost in range(1, 300)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        for cost, task in enumerate(tasks, 1):
            with suppress(asyncio.CancelledError):
                assert (await task).lines[0].used == cost
        await store.aclose()

    uvloop.run(ask())
