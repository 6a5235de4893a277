"""The charge that takes a lease, and the order that returns the rest of one, on every store."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

import pytest

from entitlements.model.answers import Fallback, Status
from entitlements.model.charge import Charge, Part, ReadHistory, Refund, Verb
from entitlements.model.instants import HOUR
from entitlements.model.limits import UNLIMITED, Allocation, OnOutage, Quota, Rate
from entitlements.rules.fallbacks import fallback_outcome, fallbacks_of
from entitlements.rules.periods import month_ends
from entitlements.stores.errors import Late
from entitlements.stores.redis import RedisStore
from entitlements.stores.sequence import Producer

ENDS = month_ends(None, time.time_ns() // 1000)
SIZE = 10
PARTS = {
    "rate": Part(Rate("api", HOUR, deadline=20_000_000), SIZE),
    "quota": Part(Quota("leads", deadline=20_000_000), SIZE, ends=ENDS),
    "allocation": Part(Allocation("seats", deadline=20_000_000), SIZE, ends=ENDS),
}


def charge(name, cost, verb=Verb.LEASE, numbers=None):
    """Return a charge of so many units; with *numbers* it is open."""
    made = Charge("acme", (PARTS[name]._replace(cost=cost),), verb)
    return (numbers or Producer()).open(made)[0] if name != "rate" else made


@pytest.mark.parametrize("name", PARTS)
def test_a_lease_takes_what_a_charge_takes_and_a_refused_one_counts_nothing(any_store, name):
    first = any_store.execute(charge(name, 8))
    refused = [any_store.execute(charge(name, 3)) for _ in range(2)]

    assert (first.status, first.lines[0].used, first.lines[0].taken) == (Status.ADMITTED, 8, 8)
    assert {(each.status, each.lines[0].used, each.lines[0].fits) for each in refused} == {(Status.REFUSED, 8, False)}
    if name != "rate":
        assert denied(any_store, name) == 0
        any_store.execute(charge(name, 3, Verb.CONSUME))
        assert denied(any_store, name) == 3


def denied(store, name):
    return store.execute(ReadHistory("acme", PARTS[name])).counts[0].denied


@pytest.fixture
def redis_store(server):
    with closing(RedisStore(server.url)) as store:
        yield store


def rest_of(order, answer, units):
    """Return the order that returns units of a lease."""
    taken = ((order.parts[0], answer.lines[0]._replace(taken=units)),)
    return Refund("acme", order.operation, True, taken, charged_at=answer.now, sequence=order.sequence)


@pytest.mark.parametrize("name", ["quota", "allocation"])
def test_the_rest_of_a_lease_is_returned_once_without_a_record(redis_store, server, name):
    order = charge(name, 8)
    answer = redis_store.execute(order)
    with server.client() as client:
        before = sum(client.hlen(key) for key in client.keys("*"))
        assert [redis_store.execute(rest_of(order, answer, 5)) for _ in range(2)] == [True, False]
        assert sum(client.hlen(key) for key in client.keys("*")) <= before

    assert redis_store.execute(charge(name, 1)).lines[0].used == 4


@pytest.mark.parametrize("name", ["quota", "allocation"])
def test_the_rest_of_a_lease_that_a_failover_has_lost_is_not_returned(redis_store, server, name):
    order = charge(name, 8)
    answer = redis_store.execute(order)
    with server.client() as client:
        client.flushdb()
    redis_store.execute(charge(name, 6))

    assert not redis_store.execute(rest_of(order, answer, 5))
    assert redis_store.execute(charge(name, 1)).lines[0].used == 7


@pytest.mark.parametrize("name", ["quota", "allocation"])
def test_a_lease_that_comes_after_its_rest_was_returned_is_not_carried_out(redis_store, name):
    order = charge(name, 8)
    answer = redis_store.execute(order)
    redis_store.execute(rest_of(order, answer, 8))

    with pytest.raises(Late):
        redis_store.execute(order)
    assert redis_store.execute(charge(name, 1)).lines[0].used == 1


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("on_outage", [OnOutage.ALLOW, OnOutage.LOCAL])
def test_no_units_are_leased_without_the_store(name, on_outage):
    part = PARTS[name]._replace(size=UNLIMITED) if name == "quota" else PARTS[name]
    order = Charge("acme", (part._replace(limit=replace(part.limit, on_outage=on_outage)),), Verb.LEASE)

    assert fallbacks_of(order) == (Fallback.DENY,)
    assert fallback_outcome(order, (Fallback.DENY,), None, 0, 1).status is Status.REFUSED
