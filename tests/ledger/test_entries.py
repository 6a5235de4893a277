"""Entries: what each verb leaves in the ledger, and that each entry stands once."""

from __future__ import annotations

import asyncio
import csv
import os
from datetime import UTC, datetime

import pytest
from ledgers import ACCOUNTS, enforcer, ledger_in, policy
from sqlalchemy import func, select

from entitlements import AsyncEnforcer, Enforcer
from entitlements.ledger.tables import ENTRIES
from entitlements.stores import MemoryStore

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def entries(ledger):
    """Return kind, limit and units of every entry."""
    rows = csv.DictReader(ledger.export(LONG_AGO, "csv"))
    return [(row["kind"], row["limit"], row["units"]) for row in rows]


def number(ledger):
    with ledger._engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(ENTRIES)).scalar()


def every_verb(app):
    first = app.consume("acme", {"api": 1, "leads": 3})
    app.consume("acme", "leads", 2, key="k")
    app.refund(first)
    app.assign("acme", "agents", "ann")
    app.unassign("acme", "agents", "ann")
    app.consume("acme", "agents", 2)
    app.release("acme", "agents", 5)
    app.set_usage("acme", "storage", 70)
    with app.reserve("acme", "leads", 9) as reservation:
        reservation.commit(4)
    app.reserve("acme", "leads", 8).cancel()
    app.forget("acme")


def test_each_verb_leaves_its_entries(ledger):
    with enforcer(ledger, MemoryStore()) as app:
        every_verb(app)

    assert [
        ("charge", "leads", "3"),
        ("charge", "leads", "2"),
        ("refund", "leads", "3"),
        ("assign", "agents", "1"),
        ("unassign", "agents", "1"),
        ("charge", "agents", "2"),
        ("release", "agents", "2"),
        ("set", "storage", "70"),
        ("reserve", "leads", "9"),
        ("commit", "leads", "4"),
        ("reserve", "leads", "8"),
        ("cancel", "", "0"),
        ("forget", "", "0"),
        ("charge", "api", "1"),
    ] == entries(ledger)


def test_what_takes_nothing_leaves_nothing(ledger):
    with enforcer(ledger, MemoryStore()) as app:
        app.can("acme", "leads")
        app.peek("acme", "leads", 3)
        app.consume("acme", "leads", 61)
        app.release("acme", "agents")
        app.unassign("acme", "agents", "nobody")
        app.usage("acme")
        app.history("acme", "leads")
        app.reserve("acme", "leads", 61)
        ledger.flush()
        ledger.create_tables()

        assert [] == entries(ledger)


def test_a_loop_leaves_the_same_entries(ledger):
    async def run():
        async with AsyncEnforcer(
            policy(), accounts=dict.fromkeys(ACCOUNTS, "pro"), store=MemoryStore(), hooks=[ledger]
        ) as app:
            first = await app.consume("acme", {"api": 1, "leads": 3})
            await app.consume("acme", "leads", 2, key="k")
            await app.refund(first)
            await app.assign("acme", "agents", "ann")
            async with app.reserve("acme", "leads", 9) as reservation:
                await reservation.commit(4)

    asyncio.run(run())

    assert [
        ("charge", "leads", "3"), ("charge", "leads", "2"), ("refund", "leads", "3"), ("assign", "agents", "1"),
        ("reserve", "leads", "9"), ("commit", "leads", "4"), ("charge", "api", "1"),
    ] == entries(ledger)  # fmt: skip


def test_a_repeat_by_a_key_leaves_one_entry_whoever_reports_it(valkey, database):
    with valkey.client() as client:
        client.flushall()
    with ledger_in(database) as first, ledger_in(database) as second:
        for ledger in (first, second):
            with enforcer(ledger, valkey.url) as app:
                assert app.consume("acme", "leads", 2, key="import-7")
                assert app.reserve("acme", "leads", 3, key="job-7")
            ledger.flush()

        assert 2 == number(first)
        assert () == first.drift(store=valkey.url, settle=0)


def test_a_batch_that_is_written_twice_stands_once(ledger):
    with enforcer(ledger, MemoryStore()) as app:
        for _ in range(20):
            app.consume("acme", {"api": 1, "leads": 1})
        app.release("acme", "agents")
        writer = ledger._writer
        writer._convert()
        writer._rows += writer._builder.rates()
        rows = list(writer._rows)
        ledger.flush()
        before = number(ledger)
        writer._rows.extend(rows)
        ledger.flush()

        assert before == number(ledger)


def test_a_forked_child_is_a_writer_of_its_own(tmp_path):
    with ledger_in(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger, enforcer(ledger, MemoryStore()) as app:
        app.consume("acme", "leads", 1)
        child = os.fork()
        if child == 0:
            try:
                assert not ledger.pending
                app.consume("acme", "leads", 2)
                ledger.flush()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        ledger.flush()

        assert {("charge", "leads", "1"), ("charge", "leads", "2")} == set(entries(ledger))
        assert 2 == number(ledger)


def test_a_ledger_is_given_itself_not_called_with_events(ledger, caplog):
    with Enforcer(policy(), accounts={"acme": "pro"}, hooks=[lambda event: (ledger(event), None)]) as app:
        assert app.consume("acme", "leads")

    assert "hooks=[ledger]" in caplog.text


def test_other_hooks_of_the_same_enforcer_get_their_events(ledger):
    seen = []
    with Enforcer(policy(), accounts={"acme": "pro"}, hooks=[ledger, seen.append]) as app:
        app.consume("acme", "leads")

    assert ["Decided"] == [type(event).__name__ for event in seen]
    assert [("charge", "leads", "1")] == entries(ledger)


@pytest.mark.parametrize("id", ["50%", 'a "quoted" name', "żółć 🙂", "%s %d", "it's; drop table"])
def test_any_id_is_kept_as_it_is(ledger, id):
    with Enforcer(policy(), accounts={id: "pro"}, hooks=[ledger]) as app:
        app.consume(id, "leads", 3)
        app.consume(id, "leads", 3, key=id)
        app.assign(id, "agents", id)

    assert {id} == {row["account"] for row in csv.DictReader(ledger.export(LONG_AGO, "csv"))}
    assert 3 == number(ledger)


def test_a_cancelled_caller_leaves_the_entry_of_what_was_carried_out(valkey, database):
    with valkey.client() as client:
        client.flushall()

    async def run(ledger):
        async with AsyncEnforcer(
            policy(), accounts=dict.fromkeys(ACCOUNTS, "pro"), store=valkey.url, hooks=[ledger]
        ) as app:
            await app.consume("acme", "leads")
            for _ in range(15):
                tasks = [
                    asyncio.ensure_future(call)
                    for call in (app.consume("acme", "storage"), app.assign("acme", "agents", "ann"))
                ]
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await app._detached.drain()
            await app.usage("acme")
            await asyncio.sleep(0.1)

    with ledger_in(database) as ledger:
        asyncio.run(run(ledger))

        assert () == ledger.drift(store=valkey.url, settle=0)
