"""The writer: batches, a database that fails, a queue that is full, and a ledger of another version."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from time import monotonic

import pytest
from deadlines import within_cpu_seconds
from ledgers import enforcer, ledger_in
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from entitlements.ledger import LedgerMismatch, LedgerUnavailable, SqlLedger
from entitlements.ledger.tables import ENTRIES
from entitlements.stores import MemoryStore


def number(ledger):
    with ledger._engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(ENTRIES)).scalar()


def until(condition, seconds=60):
    """Wait until a condition holds."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end
        threading.Event().wait(0.02)


def test_entries_are_written_within_their_age_by_a_thread(database):
    with ledger_in(database, age=0.05) as ledger, enforcer(ledger, MemoryStore()) as app:
        app.consume("acme", "leads", 2)

        until(lambda: not ledger.pending)
        assert 1 == number(ledger)


def test_a_full_batch_is_written_before_its_age(database):
    with ledger_in(database, batch=500) as ledger, enforcer(ledger, MemoryStore()) as app:
        ledger.create_tables()  # or the first count may come before the first batch makes them
        for _ in range(1800):
            app.consume("acme", "storage")

        until(lambda: ledger.pending < 1800)
        until(lambda: number(ledger) >= 500)


def test_a_batch_that_exceeds_the_time_of_a_statement_is_written_in_parts(postgres, caplog):
    slow = """
    create function slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.05); return new; end';
    create trigger slow before insert on entitlements_ledger for each row execute function slowly()
    """
    with SqlLedger(postgres.url(), age=0.02, timeout=1) as ledger, enforcer(ledger, MemoryStore()) as app:
        ledger.create_tables()
        with ledger._engine.begin() as connection:
            connection.execute(text(slow))
        for _ in range(60):  # three seconds as one statement
            app.consume("acme", "storage")

        until(lambda: not ledger.pending)
        assert "statement timeout" in caplog.text
        assert (60, 0) == (number(ledger), ledger.lost)


class Broken:
    """A database in a file that fails until it is mended; the statements fail in SQLite itself."""

    def __init__(self, path):
        self.path = path
        self.engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.01})
        self._lock = None

    def begin(self):
        self._lock = sqlite3.connect(self.path)
        self._lock.execute("begin exclusive")

    def end(self):
        self._lock.rollback()
        self._lock.close()


def test_a_database_that_fails_holds_no_charge_up_and_gets_everything_afterwards(tmp_path, caplog):
    broken = Broken(tmp_path / "ledger.db")
    with SqlLedger(broken.engine, age=0.02) as ledger, enforcer(ledger, MemoryStore()) as app:
        ledger.create_tables()
        broken.begin()
        with within_cpu_seconds(10):
            for _ in range(50):
                app.consume("acme", "storage")
        until(lambda: "failed: OperationalError: database is locked" in caplog.text)
        with pytest.raises(LedgerUnavailable, match="database is locked"):
            ledger.flush()
        assert 50 == ledger.pending
        broken.end()

        until(lambda: not ledger.pending)
        assert 50 == number(ledger)
        assert 0 == ledger.lost
        assert "recovered" in caplog.text
    broken.engine.dispose()


def test_what_finds_the_queue_full_is_counted_logged_and_noted(tmp_path, caplog):
    broken = Broken(tmp_path / "ledger.db")
    with SqlLedger(broken.engine, age=0.02, max_pending=30) as ledger, enforcer(ledger, MemoryStore()) as app:
        ledger.create_tables()
        broken.begin()
        for _ in range(100):
            assert app.consume("acme", "storage")
        until(lambda: "70 orders are lost" in caplog.text)
        broken.end()
        until(lambda: not ledger.pending)

        assert (70, 30) == (ledger.lost, number(ledger))
        (drift,) = ledger.drift(store=app._store, settle=0)
        assert (100, 30) == (drift.store, drift.ledger)
        app.consume("acme", "storage")
        ledger.flush()
    with SqlLedger(broken.engine) as other:
        (tail,) = other.tails()
        assert 70 == tail.lost
        assert "70 lost" in str(tail)
    broken.engine.dispose()


def test_an_entry_that_the_database_never_takes_is_lost_alone(ledger, caplog):
    with enforcer(ledger, MemoryStore()) as app:
        for _ in range(9):
            app.consume("acme", "storage")
        ledger._writer._convert()
        ledger._writer._rows.insert(
            4, '["acme", "bad", null, "storage", null, null, null, 1, 5, null, null, null, null, null]'
        )
        ledger.flush()

        assert (1, 9, 0) == (ledger.lost, number(ledger), ledger.pending)
        assert "refuses an entry" in caplog.text


def test_a_ledger_of_another_version_is_refused_and_not_written(ledger, caplog):
    ledger.create_tables()
    with ledger._engine.begin() as connection:
        connection.execute(text("update entitlements_ledger_schema set version = 99"))
    with SqlLedger(ledger._engine) as stale, enforcer(stale, MemoryStore()) as app:
        for call in (
            stale.create_tables, stale.tails, stale.usage, lambda: stale.drift(store=MemoryStore(), settle=0),
            lambda: stale.rebuild(None, MemoryStore(), settle=0),
        ):  # fmt: skip
            with pytest.raises(LedgerMismatch, match="of version 99, and 1 is needed; upgrade entitlements here"):
                call()
        assert app.consume("acme", "leads")
        with pytest.raises(LedgerMismatch):
            stale.flush()
        assert 1 == stale.pending
    assert 0 == number(ledger)
    assert "1 orders are lost" in caplog.text


def test_a_database_without_a_ledger_is_not_changed_by_reading(tmp_path):
    path = tmp_path / "empty.db"
    with SqlLedger(f"sqlite:///{path}") as ledger:
        with pytest.raises(LedgerMismatch, match="there is no ledger in"):
            ledger.drift(store=MemoryStore(), settle=0)

        with closing(sqlite3.connect(path)) as connection:
            assert [] == connection.execute("select name from sqlite_master").fetchall()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "no url"}, "ledger: the URL is no database URL"),
        ({"engine": "postgresql+asyncpg://app@db/x"}, "for event loops"),
        ({"engine": "mysql://app@db/x"}, "ledger mysql://app@db/x: the database must be one of sqlite, postgresql"),
        ({"engine": "sqlite://", "batch": 0}, "at least 1"),
        ({"engine": "sqlite://", "age": -1}, "age"),
    ],
)
def test_bad_arguments_are_refused_with_the_cure(arguments, message):
    with pytest.raises(ValueError, match=message):
        SqlLedger(**arguments)


def test_an_engine_of_a_loop_is_refused():
    with pytest.raises(TypeError, match="use create_engine"):
        SqlLedger(create_async_engine("sqlite+aiosqlite://"))


def test_a_closed_ledger_goes_on_as_another_writer(database):
    with ledger_in(database) as ledger, enforcer(ledger, MemoryStore()) as app:
        app.consume("acme", "storage")
        ledger.close()
        app.consume("acme", "storage")
        ledger.flush()

        assert 2 == number(ledger)
        assert () == ledger.tails()
