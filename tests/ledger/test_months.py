"""Months: usage for billing, the closing of months, and exports."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import ACCOUNTS, History, counters, enforcer, ledger_in
from sqlalchemy import func, select
from trade import DAY, START

from entitlements.ledger.tables import ENTRIES
from entitlements.stores import MemoryStore
from entitlements.testing import FakeClock


@pytest.fixture
def trade(database):
    """An enforcer in memory and its ledger, on a clock."""
    clock = FakeClock(START)
    store = MemoryStore(clock)
    with ledger_in(database, clock=clock) as ledger, enforcer(ledger, store, clock=clock) as app:
        yield app, ledger, store, clock


def by_limit(usage):
    return {each.limit: (each.units, each.peak, each.held) for each in usage}


def test_usage_is_that_of_the_calendar_month(trade):
    app, ledger, _, clock = trade
    first = app.consume("acme", {"api": 2, "leads": 7})
    app.consume("acme", "agents", 5)
    app.release("acme", "agents", 2)
    app.set_usage("acme", "leads", 10)
    clock.set(datetime(2026, 4, 2, tzinfo=UTC))
    app.refund(first)
    app.consume("acme", {"api": 1, "leads": 4})

    march = by_limit(ledger.usage("2026-03", account="acme"))
    assert {"api": (2, None, None), "leads": (10, None, None), "agents": (3, 5, 3)} == march
    assert {"api": (1, None, None), "leads": (4, None, None), "agents": (0, 3, 3)} == by_limit(ledger.usage())
    assert ledger.usage("2026-03") == ledger.usage(date(2026, 3, 31))
    assert () == ledger.usage("2026-02")


def test_closed_months_say_what_they_said_and_counters_are_rebuilt_from_them(trade):
    app, ledger, store, clock = trade
    history = History(app, 5, lambda: clock.advance(timedelta(microseconds=1)))
    for _ in range(5):
        history.run(30)
        clock.advance(20 * DAY)
    clock.advance(DAY)
    months = ["2026-03", "2026-04", "2026-05", "2026-06"]
    said, expected = [ledger.usage(month) for month in months], counters(app)

    deleted = ledger.close_months("2026-04")

    assert deleted
    assert 0 == ledger.close_months("2026-04")
    assert ledger.close_months()
    assert said == [ledger.usage(month) for month in months]
    assert () == ledger.drift(store=store, settle=0)
    store._rates.clear()
    store._counts.clear()
    ledger.rebuild(None, store, settle=0)
    assert expected == counters(app)


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_closing_changes_no_balance(seed):
    clock = FakeClock(START)
    store = MemoryStore(clock)
    with ledger_in("sqlite://", clock=clock) as ledger, enforcer(ledger, store, clock=clock) as app:
        history = History(app, seed, lambda: clock.advance(timedelta(microseconds=1)))
        for _ in range(4):
            history.run(12)
            clock.advance(25 * DAY)
        ledger.flush()
        ledger.create_tables()
        ledger.close_months()

        assert () == ledger.drift(store=store, settle=0)


def test_a_limit_whose_entries_are_all_in_closed_months_is_rebuilt(trade):
    app, ledger, store, clock = trade
    app.assign("acme", "agents", "ann")
    app.consume("acme", "desks", 2, scope="p1")
    clock.advance(90 * DAY)
    expected = counters(app)
    assert ledger.close_months()
    store._counts.clear()

    assert {"agents", "desks"} <= {each.limit for each in ledger.drift(store=store, settle=0)}
    assert 1 == len(ledger.drift("acme", store=store, settle=0, counts={"agents": lambda _: 5}, limits={})[-1:])
    ledger.rebuild("acme", store, settle=0)

    assert expected == counters(app)


@pytest.mark.parametrize("month", ["2026", "2026-13", "november", "2026-3", 7])
def test_a_month_that_is_none_is_refused_with_the_cure(ledger, month):
    with pytest.raises(ValueError, match="write one such as 2026-11"):
        ledger.usage(month)


def test_a_month_that_may_still_get_entries_is_not_closed(trade):
    _, ledger, _, _ = trade

    with pytest.raises(ValueError, match="close those before 2026-02"):
        ledger.close_months("2026-03")


@pytest.fixture
def filled(ledger):
    with enforcer(ledger, MemoryStore()) as app:
        for account in ACCOUNTS:
            app.consume(account, "leads", 3)
        app.assign("acme", "agents", "ann, with a comma")
    return ledger


def test_cloudevents_name_each_entry_by_source_and_id(filled):
    events = [json.loads(line) for line in filled.export(datetime(2020, 1, 1, tzinfo=UTC))]

    assert 4 == len({(event["source"], event["id"]) for event in events})
    assert {"1.0"} == {event["specversion"] for event in events}
    assert ("entitlements.ledger.charge", "acme", 3) == (
        events[0]["type"], events[0]["subject"], events[0]["data"]["units"]
    )  # fmt: skip
    assert "ann, with a comma" == events[-1]["data"]["holder"]
    datetime.fromisoformat(events[0]["time"])


def test_csv_and_parquet_hold_the_same_entries(filled, tmp_path):
    target = tmp_path / "entries.parquet"
    target.write_bytes(b"".join(filled.export(datetime(2020, 1, 1, tzinfo=UTC), "parquet")))

    rows = list(csv.DictReader(filled.export(datetime(2020, 1, 1, tzinfo=UTC), "csv")))
    with duckdb.connect() as connection:
        query = f'select account, units, holder, typeof("at") from "{target}" order by id'  # noqa: S608
        found = connection.execute(query).fetchall()

    assert [(row["account"], int(row["units"]), row["holder"] or None) for row in rows] == [each[:3] for each in found]
    assert {"TIMESTAMP WITH TIME ZONE"} == {each[3] for each in found}


def test_an_export_begins_and_ends_where_it_is_told(filled):
    now = datetime.now(UTC)

    assert [] == list(filled.export(now + DAY, "cloudevents"))
    assert [] == list(filled.export(now - DAY, "cloudevents", until=now - DAY / 2))
    with pytest.raises(ValueError, match="cloudevents, csv, parquet"):
        filled.export(now, "xml")
    with pytest.raises(ValueError, match="since"):
        filled.export(datetime(2026, 1, 1), "csv")  # noqa: DTZ001


def test_a_month_of_many_entries_is_exported_page_by_page(ledger):
    with enforcer(ledger, MemoryStore()) as app:
        for _ in range(2100):
            app.consume("acme", "storage")
        ledger.flush()
    with ledger._engine.connect() as connection:
        number = connection.execute(select(func.count()).select_from(ENTRIES)).scalar()

    assert number == 2100 == len(list(ledger.export(datetime(2020, 1, 1, tzinfo=UTC))))
