"""Faults of the ledger's database and its writers: down, frozen, restarted, killed, two at once, and lost counters."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from contextlib import closing, contextmanager, suppress

import pytest
from deadlines import LONG
from faultlab.history import policy as history_policy
from faultlab.history import thread_history
from faultlab.operations import ACCOUNTS as LAB_ACCOUNTS
from faultlab.operations import CROWDED
from ledgers import ACCOUNTS, enforcer, ledger_in, policy
from postgres import start
from sqlalchemy import create_engine, event, func, select

from entitlements import Enforcer
from entitlements.ledger import SqlLedger, reading
from entitlements.ledger.tables import ENTRIES
from entitlements.model.instants import to_datetime
from entitlements.stores import orders

pytestmark = pytest.mark.faults
SOON = 120
"""Seconds within which a writer has caught up, however busy the machine is."""
AGE = 0.2


def until(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def units(ledger):
    with ledger._engine.connect() as connection:
        return connection.execute(select(func.sum(ENTRIES.c.units))).scalar() or 0


@pytest.fixture
def flushed(valkey):
    """An empty server."""
    with valkey.client() as client:
        client.flushall()
    return valkey


@contextmanager
def down(database):
    database.kill()
    yield
    database.start()


@contextmanager
def frozen(database):
    database.stop()
    yield
    database.cont()


@contextmanager
def restarted(database):
    database.restart()
    yield


@contextmanager
def slow(database):
    """Have every statement of the ledger wait for a lock until its time is up."""
    with database.connect() as connection, connection.transaction():
        connection.execute(f"lock table {ENTRIES.name} in access exclusive mode")
        yield


def row(what, client="psycopg"):
    return pytest.mark.fault_row("The database of the ledger", what, client=client)


FAULTS = [
    pytest.param(fault, marks=row(f"{what}: no charge waits, every entry is written afterwards"), id=fault.__name__)
    for fault, what in ((down, "down"), (frozen, "frozen"), (restarted, "restarted"), (slow, "slow"))
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_database_holds_no_charge_up_and_loses_nothing(rack, flushed, fault):
    database = start(rack)
    with SqlLedger(database.url(), age=AGE, timeout=1) as ledger, enforcer(ledger, flushed.url) as app:
        for _ in range(20):
            app.consume("acme", "storage")
        until(lambda: not ledger.pending)
        with fault(database):
            for _ in range(200):
                assert app.consume("acme", "storage")
            assert ledger.pending or fault is restarted

        until(lambda: not ledger.pending)
        assert (220, 0) == (units(ledger), ledger.lost)
        assert () == ledger.drift(store=flushed.url, settle=0)


@row("slow, and the queue is full: no charge waits, what is lost is counted, and found by a comparison")
def test_what_finds_the_queue_full_is_counted_and_found_as_drift(rack, flushed):
    database = start(rack)
    with SqlLedger(database.url(), age=AGE, timeout=1, max_pending=30) as ledger, enforcer(ledger, flushed.url) as app:
        ledger.create_tables()
        with slow(database):
            for _ in range(200):
                assert app.consume("acme", "storage")
        until(lambda: not ledger.pending)

        assert (200, True) == (ledger.lost + units(ledger), ledger.lost >= 100)
        (drift,) = ledger.drift(store=flushed.url, settle=0)
        assert (200, 200 - ledger.lost) == (drift.store, drift.ledger)


@row("its disk is full: no charge waits, every entry is written afterwards", "sqlite")
def test_a_full_disk_is_a_failure_like_any_other(flushed, tmp_path, caplog):
    path = tmp_path / "ledger.db"
    engine = create_engine(f"sqlite:///{path}")
    pages = []

    @event.listens_for(engine, "connect")
    def connect(connection, _):
        if pages:
            connection.execute(f"pragma max_page_count = {pages[0]}")

    with SqlLedger(engine, age=0.02) as ledger, enforcer(ledger, flushed.url) as app:
        ledger.create_tables()
        with closing(sqlite3.connect(path)) as connection:
            pages.append(connection.execute("pragma page_count").fetchone()[0])
        engine.dispose()
        for _ in range(300):
            assert app.consume("acme", "storage")
        until(lambda: "database or disk is full" in caplog.text)
        pages[:] = [100_000]
        engine.dispose()

        until(lambda: not ledger.pending)
        assert (300, 0) == (units(ledger), ledger.lost)
    engine.dispose()


@row("two writers: each entry is written once")
def test_two_writers_at_once_write_each_entry_once(flushed, database):
    with ledger_in(database, age=AGE) as first, ledger_in(database, age=AGE) as second:
        with enforcer(first, flushed.url) as one, enforcer(second, flushed.url) as other:
            threads = [
                threading.Thread(target=lambda app=app: [app.consume("acme", "storage") for _ in range(300)])
                for app in (one, other)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        until(lambda: not first.pending and not second.pending)

        assert 600 == units(first)
        assert () == first.drift(store=flushed.url, settle=0)


def work(url, database, pipe):
    """Charge without end, and tell the time and the units of each acknowledged charge."""
    ledger = SqlLedger(database, age=AGE)
    app = Enforcer(policy(), accounts=dict.fromkeys(ACCOUNTS, "pro"), store=url, hooks=[ledger])
    number = 0
    while True:
        account = ACCOUNTS[number % len(ACCOUNTS)]
        if app.consume(account, {"api": 1, "storage": 1}):
            os.write(pipe, b"%d %d\n" % (time.time_ns() // 1000, number % len(ACCOUNTS)))
        number += 1


@row("a writer killed, the server emptied: a rebuild restores all but the tail that was not written")
def test_a_killed_worker_and_lost_counters_cost_no_more_than_the_unflushed_tail(flushed, database, capsys):
    with ledger_in(database) as ledger:
        ledger.create_tables()
    read, write = os.pipe()
    worker = multiprocessing.get_context("fork").Process(target=work, args=(flushed.url, database, write))
    worker.start()
    os.close(write)
    told = b""
    os.set_blocking(read, False)
    began = time.monotonic()
    while time.monotonic() < began + 3:
        with suppress(BlockingIOError):
            told += os.read(read, 1 << 20)
        time.sleep(0.01)
    with ledger_in(database) as ledger:
        until(lambda: units(ledger) > 0)
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        with suppress(BlockingIOError):
            while piece := os.read(read, 1 << 20):
                told += piece
        os.close(read)
        acknowledged = [tuple(map(int, line.split())) for line in told.decode().splitlines()]
        with flushed.client() as client:
            client.flushall()

        rebuilt = ledger.rebuild(None, flushed.url, settle=0)

    (tail,) = rebuilt.tails
    with Enforcer(policy(), accounts=dict.fromkeys(ACCOUNTS, "pro"), store=flushed.url) as app:
        for number, account in enumerate(ACCOUNTS):
            times = [at for at, which in acknowledged if which == number]
            used = app.usage(account)["storage"].used
            assert used <= len(times) + 1  # one may have been counted and not acknowledged
            missing = times[used:]
            assert not missing or to_datetime(missing[0]) >= tail.written
    assert AGE == tail.age
    behind = (to_datetime(acknowledged[-1][0]) - tail.written).total_seconds()
    with capsys.disabled():
        restored = sum(drift.ledger for drift in rebuilt.restored)
        print(
            f"\n{len(acknowledged)} acknowledged, {restored} restored, {len(acknowledged) - restored} in the tail of {behind:.2f} s"
        )


@row("none, many threads: each unit is in the ledger")
def test_the_history_of_many_threads_is_in_the_ledger_unit_by_unit(flushed, database, monkeypatch):
    monkeypatch.setattr(orders, "_DEADLINE", LONG)  # a release without a reply in time is in no ledger
    with ledger_in(database, age=AGE) as ledger:
        options = {"accounts": LAB_ACCOUNTS, "expected_processes": 1, "hooks": [ledger]}
        with Enforcer(history_policy("20 s"), store=flushed.url, **options) as app:
            told = thread_history(app, 0, time.monotonic() + 2)

        assert [] == told.mistakes
        assert () == ledger.drift(store=flushed.url, settle=0)
        with ledger._engine.connect() as connection:
            for balance, _ in reading.balances(connection, CROWDED):
                for limit in ("leads", "exports"):
                    least, most = told.bounds(balance.account, limit)
                    periods = balance.quotas.get((limit, ""), {})
                    assert least <= sum(period.used for period in periods.values()) <= most
