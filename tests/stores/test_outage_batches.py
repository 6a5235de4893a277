"""Batches of readings and calls on an event loop, by the outage code of threads."""

from __future__ import annotations

import pytest
from flaky import Flaky

from entitlements import StoreError
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part, Read
from entitlements.model.instants import MINUTE
from entitlements.model.limits import Rate
from entitlements.stores import MemoryStore
from entitlements.stores.resilience.store import ResilientStore

PART = Part(Rate("api", MINUTE), 10, 3)


@pytest.fixture
def store():
    return ResilientStore(Flaky(MemoryStore()))


def read(store, *accounts):
    return [answer.lines[0].used for answer in store.execute_many([Read(account, (PART,)) for account in accounts])]


@pytest.mark.parametrize("accounts", [(), ("acme",), ("globex", "acme", "initech")], ids=len)
def test_a_batch_answers_each_order_in_its_place(store, accounts):
    assert Status.ADMITTED is store.execute(Charge("acme", (PART,))).status

    assert [3 if each == "acme" else 0 for each in accounts] == read(store, *accounts)


@pytest.mark.parametrize("accounts", [("acme",), ("globex", "acme")], ids=len)
def test_a_batch_that_fails_raises_the_error_and_the_next_one_is_answered(store, accounts):
    store._store.script = ["refused"]

    with pytest.raises(StoreError, match="it is refused"):
        read(store, *accounts)
    assert [0] * len(accounts) == read(store, *accounts)


async def test_a_blocking_store_on_an_event_loop_is_warned_of_once(store, caplog):
    for _ in range(3):
        store.execute(Charge("acme", (PART,)))

    assert 1 == caplog.text.count("a blocking Enforcer is used on an event loop")


def test_a_blocking_store_on_a_thread_is_not_warned_of(store, caplog):
    store.execute(Charge("acme", (PART,)))

    assert "event loop" not in caplog.text
