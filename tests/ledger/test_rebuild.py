"""Rebuilding: counters that are lost come back from the ledger, to the unit, also while charges go on."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import ACCOUNTS, History, counters, enforcer, ledger_in, past
from servers import KINDS
from trade import START

from entitlements import UnknownAccount
from entitlements.stores import MemoryStore
from entitlements.testing import FakeClock

seeds = st.integers(0, 2**32)


def memory_history(seed, steps=60):
    """Return an enforcer in memory with a ledger in memory, its store and clock, after random calls in three months."""
    clock = FakeClock(START)
    ledger, store = ledger_in("sqlite://", clock=clock), MemoryStore(clock)
    app = enforcer(ledger, store, clock=clock)
    history = History(app, seed, lambda: clock.advance(timedelta(microseconds=1)))
    for _ in range(6):
        history.run(steps // 6)
        clock.advance(timedelta(days=11, minutes=7))
    history.run(steps // 6)
    clock.advance(timedelta(seconds=2))
    return app, ledger, store, clock


@settings(max_examples=20)
@given(seeds)
def test_the_ledger_adds_up_to_the_counters_after_any_history(seed):
    app, ledger, store, _ = memory_history(seed)
    with app, ledger:
        assert () == ledger.drift(store=store, settle=0)


@settings(max_examples=20)
@given(seeds)
def test_lost_counters_come_back_to_the_unit(seed):
    app, ledger, store, _ = memory_history(seed)
    with app, ledger:
        expected = counters(app), past(app)
        store._rates.clear()
        store._counts.clear()

        rebuilt = ledger.rebuild(None, store, settle=0)

        assert () == rebuilt.left
        assert expected == (counters(app), past(app))
        assert () == ledger.drift(store=store, settle=0)


@settings(max_examples=10)
@given(seeds, seeds)
def test_counters_of_another_history_are_set_to_those_of_the_ledger(seed, other):
    app, ledger, store, clock = memory_history(seed)
    with app, ledger:
        expected = counters(app)
        strange = enforcer(ledger_in("sqlite://", clock=clock), store, clock=clock)
        for account in ACCOUNTS:
            strange.consume(account, "agents")
            strange.assign(account, "agents", "stranger")
            strange.set_usage(account, "leads", max(other % 50, strange.usage(account)["leads"].reserved))
            strange.unassign(account, "agents", "user-1")

        ledger.rebuild(None, store, settle=0, limits={"agents": "allocation", "leads": "quota"})

        assert expected == counters(app)


@pytest.fixture(params=["memory", *KINDS])
def store(request, rack):
    """What gives a store: the memory of this process, or the URL of an empty server of each kind."""
    if request.param == "memory":
        return MemoryStore()
    server = rack.shared(request.param, lambda: rack.start(request.param))
    with server.client() as client:
        client.flushdb()
    return server.url


def lose(store):
    """Delete every counter."""
    if isinstance(store, str):
        import redis

        with redis.Redis.from_url(store) as client:
            client.flushall()
    else:
        store._rates.clear()
        store._counts.clear()


@pytest.mark.parametrize("seed", [1])
def test_every_store_gets_its_counters_back(store, tmp_path, seed):
    with ledger_in(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger, enforcer(ledger, store) as app:
        History(app, seed).run(150)
        expected = counters(app)
        assert () == ledger.drift(store=store, settle=0)
        lose(store)
        assert expected != counters(app)

        rebuilt = ledger.rebuild(None, store, settle=0)

        assert expected == counters(app)
        assert () == rebuilt.left
        assert () == ledger.drift(store=store, settle=0)


def test_one_account_is_rebuilt_alone(ledger):
    store = MemoryStore()
    with enforcer(ledger, store) as app:
        app.consume("acme", "leads", 7)
        app.consume("globex", "leads", 9)
        lose(store)

        rebuilt = ledger.rebuild("acme", store, settle=0)

        assert (1, 7) == (rebuilt.accounts, rebuilt.units)
        assert (7, 0) == (app.usage("acme")["leads"].used, app.usage("globex")["leads"].used)


def test_an_account_without_an_entry_is_not_rebuilt(ledger):
    store = MemoryStore()
    with enforcer(ledger, store) as app, enforcer(ledger_in("sqlite://"), store) as unrecorded:
        app.consume("acme", "leads", 7)
        unrecorded.consume("globex", "leads", 9)

        with pytest.raises(UnknownAccount, match="account 'globex' has no entry in the ledger"):
            ledger.rebuild("globex", store, settle=0)

        assert 9 == app.usage("globex")["leads"].used


def test_a_restored_reservation_is_committed_as_if_nothing_had_happened(store):
    with ledger_in("sqlite://") as ledger, enforcer(ledger, store) as app:
        reservation = app.reserve("acme", {"leads": 5, "storage": 2}, ttl=600)
        lose(store)
        ledger.rebuild(None, store, settle=0)
        assert (5, 5) == (app.usage("acme")["leads"].used, app.usage("acme")["leads"].reserved)

        reservation.commit({"leads": 3, "storage": 2})

        assert (3, 0) == (app.usage("acme")["leads"].used, app.usage("acme")["leads"].reserved)
        assert () == ledger.drift(store=store, settle=0)


def test_a_rebuild_is_exact_while_charges_go_on(valkey, database):
    with valkey.client() as client:
        client.flushall()
    numbers, stop = count(), threading.Event()
    with ledger_in(database, age=0.05) as ledger, enforcer(ledger, valkey.url) as app:
        taken = {account: [] for account in ACCOUNTS}

        def charge(account):
            while not stop.is_set():
                if ledger.pending > 1_000:  # a slow database sets the pace
                    stop.wait(0.01)
                elif app.consume(account, {"api": 1, "storage": 1}):
                    taken[account].append(next(numbers))

        threads = [threading.Thread(target=charge, args=(account,)) for account in ACCOUNTS]
        for thread in threads:
            thread.start()
        while next(numbers) < 300:
            threading.Event().wait(0.01)
        ledger.flush()
        lose(valkey.url)
        rebuilt = ledger.rebuild(None, valkey.url, settle=1)
        stop.set()
        for thread in threads:
            thread.join()

        assert rebuilt.units
        assert {account: len(each) for account, each in taken.items()} == {
            account: app.usage(account)["storage"].used for account in ACCOUNTS
        }
        assert () == ledger.drift(store=valkey.url, settle=0)
