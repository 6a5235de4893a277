"""The rows of the table: what happens to a server, to the way there, or to the process."""

from __future__ import annotations

import os
import threading
import time
from ast import literal_eval
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import redis

from entitlements.stores.errors import Corrupt
from faultlab.operations import ACCOUNT, Actor, drive
from faultlab.records import key_of
from faultlab.told import Told

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@dataclass(frozen=True)
class Fault:
    """
    A row of the table.

    Args:
        name: Its name there.
        enter: Returns a context manager: the fault holds while its block runs. It takes the bench.
        on: The bench that it needs.
        answers: `strict`: no decision is degraded; `away`: every decision is, that is asked and given while
            the fault holds; `either`.
        seconds: How long it holds.
        loses: Kinds of limits whose counters the server loses by documentation.
        factor: Deadlines that a call may take at most: two where other calls are answered meanwhile.
        modes: The enforcers that have it.
        operations: Names of the operations that have it; None for all.
        raises: Errors that charges raise by documentation.
        counts: Whether what was told is compared with what is counted.
        rounds: Rounds of each worker while it holds, at most.
        late: Seconds by which the server may get a call after it was given up.
    """

    name: str
    enter: object
    on: str = "valkey"
    answers: str = "either"
    seconds: float = 0.5
    loses: tuple[str, ...] = ()
    factor: int = 2
    modes: tuple[str, ...] = ("sync", "async")
    operations: tuple[str, ...] | None = None
    raises: tuple[type, ...] = ()
    counts: bool = True
    rounds: int = 25
    late: float = 0.0


ALL = ("rate", "quota", "allocation")


# --- On the way ---------------------------------------------------------------------------------------------------


def toxic(name, kind, amount=0.0, share=1.0, answers="either", on="proxy", of=None, **more):
    """Return the fault that a toxic of the proxy is."""

    @contextmanager
    def enter(bench):
        named = {} if of is None else {"of": of}
        bench.proxy.inject(kind, amount, share, **named)
        yield
        bench.proxy.heal()

    return Fault(name, enter, on, answers, **more)


@contextmanager
def refused(bench):
    bench.proxy.refuse()
    yield
    bench.proxy.heal()


def again_and_again(act, every):
    """Return a fault that does something to the bench again and again."""

    @contextmanager
    def enter(bench):
        over = threading.Event()

        def run():
            while not over.wait(every):
                with suppress(redis.RedisError):
                    act(bench)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    return enter


# --- The server ---------------------------------------------------------------------------------------------------


@contextmanager
def stopped(bench):
    bench.server.stop()
    yield
    bench.server.cont()


@contextmanager
def killed(bench):
    bench.server.kill()
    yield
    bench.server.start()


@contextmanager
def flushed(bench):
    bench.admin.flushall()
    yield


@contextmanager
def busy(bench):
    """Another client's script runs until it is killed."""
    bench.admin.config_set("busy-reply-threshold", 10)

    def run():
        with bench.server.client(socket_timeout=30) as client, suppress(redis.RedisError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    with suppress(redis.RedisError):
        bench.admin.script_kill()
    thread.join()


def settings(**values):
    """Return a fault that changes settings of the server, and changes them back."""

    @contextmanager
    def enter(bench):
        before = {name: bench.admin.config_get(name)[name] for name in map(_dashed, values)}
        for name, value in values.items():
            bench.admin.config_set(_dashed(name), value)
        yield
        for name, value in before.items():
            bench.admin.config_set(name, value)

    return enter


def _dashed(name):
    return name.replace("_", "-")


def full(policy):
    """Return a fault in which another program fills the memory under an eviction policy."""

    @contextmanager
    def enter(bench):
        admin = bench.admin
        admin.config_set("maxmemory-policy", policy)
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] + 100_000)
        keys = [f"cache:{number}" for number in range(400)]
        with suppress(redis.exceptions.OutOfMemoryError):
            for key in keys:
                admin.set(key, "x" * 1000, ex=36_000)
        yield
        admin.config_set("maxmemory", 0)
        admin.delete(*keys)

    return enter


def replica(stale):
    """Return a fault in which the server becomes a replica whose primary does not answer."""

    @contextmanager
    def enter(bench):
        bench.admin.config_set("replica-serve-stale-data", "yes" if stale else "no")
        bench.admin.replicaof("127.0.0.1", "1")
        yield
        bench.admin.replicaof("NO", "ONE")

    return enter


@contextmanager
def loading(bench):
    """The server loads its own data again, slowly, and answers LOADING now and then."""
    admin = bench.admin
    pipe = admin.pipeline(transaction=False)
    for number in range(2000):
        pipe.set(f"ballast:{number}", "x" * 100)
    pipe.execute()
    admin.config_set("loading-process-events-interval-bytes", 1024)
    admin.config_set("key-load-delay", 250)

    def run():
        with bench.server.client(socket_timeout=60) as client:
            client.execute_command("DEBUG", "RELOAD")

    thread = threading.Thread(target=run)
    thread.start()
    yield
    with suppress(redis.RedisError):
        admin.config_set("key-load-delay", 0)
    thread.join()


@contextmanager
def foreign_value(bench):
    """Another program has written a text under the account's key."""
    key = key_of(ACCOUNT)

    def exchange(*commands):
        with bench.admin.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute(raise_on_error=False)  # there may be nothing to keep yet

    exchange(("RENAME", key, "kept"), ("SET", key, "foreign"))
    yield
    exchange(("DEL", key), ("RENAME", "kept", key))


@contextmanager
def rights_lost(bench):
    bench.admin.execute_command("ACL", "SETUSER", "limited", "-evalsha")
    yield
    bench.admin.execute_command("ACL", "SETUSER", "limited", "+evalsha")


@contextmanager
def password_changed(bench):
    bench.admin.execute_command("ACL", "SETUSER", "limited", "resetpass", ">another")
    kill_clients(bench)
    yield
    bench.admin.execute_command("ACL", "SETUSER", "limited", ">secret")


def kill_clients(bench):
    bench.admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def clock_step(seconds):
    """Return a fault in which the server's clock is wrong by so many seconds, and then right again."""

    @contextmanager
    def enter(bench):
        bench.clock.write_text(f"{seconds:+d}\n", encoding="utf-8")
        yield
        bench.clock.write_text("+0\n", encoding="utf-8")

    return enter


# --- The process --------------------------------------------------------------------------------------------------


@contextmanager
def forked(bench):
    """A child of the process goes on with the enforcer that it inherits."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            told = Told()
            actor = Actor(bench.enforcer, told, 3)
            for number in range(5):
                drive(bench.operation.story(actor, number))
            os.write(writing, repr(told.summary()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    yield
    with os.fdopen(reading, "rb") as written:
        bench.told.merge(literal_eval(written.read().decode()))
    os.waitpid(child, 0)


@contextmanager
def stalled_loop(bench):
    """The event loop stands still longer than a deadline, again and again."""
    loop, over = bench.loop, threading.Event()

    def stall():
        if not over.is_set():
            time.sleep(0.3)
            loop.call_later(0.1, stall)

    loop.call_soon(stall)
    yield
    over.set()


@contextmanager
def accounts_down(bench):
    bench.accounts.is_down = True
    yield
    bench.accounts.is_down = False


@contextmanager
def torn_policy(bench):
    """The policy file is written in halves, and with nonsense, again and again."""
    whole, path = bench.policy_file.read_text(encoding="utf-8"), bench.policy_file
    for text in (whole[: len(whole) // 2], whole[:-20], "tiers: [", whole.replace("leads", "leaps", 1)) * 3:
        path.write_text(text, encoding="utf-8")
        time.sleep(0.02)
    yield
    path.write_text(whole, encoding="utf-8")


FAULTS = {
    each.name: each
    for each in (
        toxic("latency of 20 ms", "latency", 0.02, answers="strict"),
        toxic("jitter up to 60 ms", "jitter", 0.06, answers="strict"),
        toxic("latency above the deadline", "latency", 0.6, answers="away", seconds=1.0, late=0.7),
        toxic("reply late by 0.6 s", "late", 0.6, answers="away", seconds=1.0),
        toxic("request lost, every one", "cut before", answers="away"),
        toxic("request lost, 30 %", "cut before", share=0.3),
        toxic("reply lost, every one", "cut after", answers="away"),
        toxic("reply lost, 30 %", "cut after", share=0.3),
        toxic("half a request, 30 %", "half request", share=0.3),
        toxic("half a reply, 30 %", "half reply", share=0.3),
        toxic("blackhole", "blackhole", answers="away"),
        toxic("blackhole, 30 %", "blackhole", share=0.3),
        toxic("silence after the request, 30 %", "silence", share=0.3),
        toxic("half-close, 30 %", "half-close", share=0.3),
        toxic("slow drip", "drip", 0.002),
        toxic("corrupt type byte, 30 %", "corrupt type", share=0.3),
        toxic("corrupt byte, 30 %", "corrupt byte", share=0.3, counts=False),
        toxic("late original after a repeat", "late original", 0.3, 0.5, seconds=1.0, late=0.4, rounds=10),
        Fault("connections refused", refused, "proxy", "away", factor=1),
        Fault("reconnect storm", again_and_again(lambda bench: bench.proxy.cut_all(), 0.03), "proxy"),
        toxic("TLS, cut in 5 % of writes", "cut before", share=0.05, on="tls", of=b""),
        toxic("TLS, corrupt byte in 5 % of reads", "corrupt byte", share=0.05, on="tls", of=b""),
        toxic("one connection for all threads", "latency", 0.05, on="pool", modes=("sync",), answers="strict"),
        toxic("the same, too slow for all of them", "latency", 0.15, on="pool", modes=("sync",), late=0.2),
        Fault("stopped for 0.4 s", stopped, seconds=0.4),
        Fault("stopped for 6 s", stopped, seconds=6.0, answers="away", factor=1),
        Fault("killed, append-only file", killed, "aof", "away"),
        Fault("killed, no persistence", killed, "valkey", "away", loses=ALL),
        Fault("scripts flushed every 10 ms", again_and_again(lambda bench: bench.admin.script_flush(), 0.01), answers="strict"),
        Fault("clients killed every 20 ms", again_and_again(kill_clients, 0.02)),
        Fault("FLUSHALL", flushed, answers="strict", loses=ALL),
        Fault("busy script", busy),
        Fault("memory full, noeviction", settings(maxmemory=1)),
        *(
            Fault(f"memory full, {policy}", full(policy), loses=ALL if policy.startswith("allkeys") else ("rate", "quota"))
            for policy in ("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
                           "volatile-random", "volatile-ttl")
        ),
        Fault("READONLY", replica(stale=True)),
        Fault("MASTERDOWN", replica(stale=False), answers="away"),
        Fault("LOADING", loading, "loading", seconds=0.8),
        Fault("NOREPLICAS", settings(min_replicas_to_write=1)),
        Fault("WRONGTYPE", foreign_value, raises=(Corrupt,)),
        Fault("rights lost", rights_lost, "acl", "away"),
        Fault("password changed", password_changed, "acl", "away"),
        Fault("clock of the server five minutes ahead", clock_step(300), "faketime"),
        Fault("clock of the server an hour back", clock_step(-3600), "faketime"),
        Fault("fork", forked, modes=("sync",), operations=("rate", "quota", "quota, allow", "mixed", "release"), answers="strict"),
        Fault("event loop stalled", stalled_loop, modes=("async",), seconds=0.8),
        Fault("source of accounts down", accounts_down, "accounts", "strict"),
        Fault("policy file torn", torn_policy, "policy", "strict"),
    )
}  # fmt: skip
