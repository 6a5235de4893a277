"""Attempts on a transport that answers at command: callers who have gone, a store that was closed, orders that are never sent."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest
from virtual_time import run

from entitlements.model.answers import Line, Outcome, Status
from entitlements.model.charge import Charge, Part, Read, Refund, Verb
from entitlements.model.instants import MINUTE, SECOND
from entitlements.model.limits import Rate
from entitlements.stores.errors import Broken, Overloaded, StoreError, TimedOut, Unreachable
from entitlements.stores.resilience.attempts import CourseRun
from entitlements.stores.resilience.circuit_breaker import State
from entitlements.stores.resilience.replay_queue import JournalEntry, Turn
from entitlements.stores.resilience.store import AsyncResilientStore, ResilientStore

NOW = 1_000 * SECOND
API = Part(Rate("api", MINUTE), 10, 1)
REFUSED = Outcome(Status.REFUSED, NOW, (Line(False, 10),))
ADMITTED = Outcome(Status.ADMITTED, NOW, (Line(True, 4),))


class Transport:
    """Transport that keeps what it is sent until it is answered, or raises *error* in place of sending."""

    via = "store"

    def __init__(self):
        self.now, self.sent, self.error, self.calls = NOW, [], None, []

    def clock(self):
        return self.now

    def send(self, pending):
        if self.error is not None:
            raise self.error
        pending.sent_at = self.now / SECOND
        self.sent.append(pending)

    def expire(self):
        self.calls.append("expire")

    async def open(self):
        self.calls.append("open")

    async def aclose(self):
        self.calls.append("aclose")


class World:
    """A store around a transport, the refusals that it passed on, and the states of its breaker."""

    def __init__(self):
        self.transport, self.refused, self.told = Transport(), [], []
        self.store = AsyncResilientStore(
            self.transport, processes=1, clock=self.transport.clock, tell=self.told.append,
            on_refused=lambda *what: self.refused.append(what),
        )  # fmt: skip
        self.policy = self.store.policy

    async def answer(self, answer):
        """Answer the last order that was sent, or reject it with an error, and let the loop go on."""
        pending = self.transport.sent[-1]
        if isinstance(answer, Exception):
            pending.reject(answer)
        else:
            pending.resolve(answer, self.transport.now)
        await turns()


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def world():
    world = World()
    yield world
    world.policy.journal.renew()


def charge(operation=None, **named):
    return Charge("acme", (API,), operation=operation, keyed=operation is not None, **named)


@pytest.mark.parametrize("operation", [None, "k:1"])
async def test_a_refusal_is_passed_on_with_the_time_at_which_its_charge_was_sent(world, operation):
    order = charge(operation)
    future = world.store.submit(order)
    world.transport.now += SECOND // 100
    await world.answer(REFUSED)

    assert REFUSED == await future
    assert [(order, REFUSED, NOW)] == world.refused


@pytest.mark.parametrize("operation", [None, "k:1"])
async def test_an_admission_is_passed_on_to_its_caller_alone(world, operation):
    future = world.store.submit(charge(operation))
    await world.answer(ADMITTED)

    assert (ADMITTED, []) == (await future, world.refused)


@pytest.mark.parametrize("operation", [None, "k:1"])
@pytest.mark.parametrize("error", [TimedOut, Unreachable])
async def test_a_failure_counts_although_its_caller_has_gone(world, operation, error):
    for _ in range(5):
        future = world.store.submit(charge(operation, deadline=SECOND // 10))
        future.cancel()
        await turns()
        world.transport.now += SECOND // 10
        await world.answer(error("x"))

    assert State.OPEN is world.policy.breaker.state
    assert ["expire"] == world.transport.calls


@pytest.mark.parametrize("operation", [None, "k:1"])
async def test_a_fault_of_this_process_counts_neither_way_and_reaches_the_caller(world, operation):
    future = world.store.submit(charge(operation))
    await world.answer(LookupError("x"))
    with pytest.raises(LookupError):
        await future
    world.store.submit(charge(operation)).cancel()
    await world.answer(LookupError("x"))

    assert not world.policy.breaker.failing


async def test_an_order_that_was_being_replayed_for_a_caller_who_has_gone_stays_queued(world):
    world.policy.journal.queue.add(JournalEntry(Refund("acme", "k:0")))
    closing = asyncio.ensure_future(world.store.aclose())
    await turns()
    assert ["k:0"] == [each.order.operation for each in world.transport.sent]
    closing.cancel()
    await turns()
    await world.answer(Unreachable("x"))

    assert (True, 1) == (world.policy.breaker.failing, len(world.policy.journal.queue))


async def test_an_order_is_not_repeated_once_the_store_has_been_closed(world):
    future = world.store.submit(charge("k:1", deadline=SECOND))
    await world.store.aclose()
    await world.answer(Broken("x"))

    assert (Status.ADMITTED, 1) == ((await future).status, len(world.transport.sent))
    assert "it was closed" in str(world.policy.outages.last_error)
    assert ["aclose"] == world.transport.calls
    world.transport.now += 1
    again = world.store.submit(charge("k:2"))
    await world.answer(ADMITTED)
    assert (ADMITTED, 2) == (await again, len(world.transport.sent))


async def test_an_order_that_cannot_be_repeated_ends_with_the_error_of_sending_it(world):
    future = world.store.submit(charge("k:1", deadline=SECOND))
    world.transport.error = LookupError("x")
    await world.answer(Broken("x"))

    with pytest.raises(LookupError):
        await future


@pytest.mark.parametrize(("error", "failing"), [(Overloaded, False), (Unreachable, True)])
async def test_what_cannot_be_sent_is_decided_here_and_counts_only_if_the_store_is_at_fault(world, error, failing):
    world.transport.error = error("too much at once")
    answer = await asyncio.wait_for(world.store.submit(charge()), 60)
    with pytest.raises(error, match="too much at once"):
        await asyncio.wait_for(world.store.submit(Read("acme", (API,))), 60)

    assert (Status.ADMITTED, failing) == (answer.status, world.policy.breaker.failing)
    assert "too much at once" in str(world.policy.outages.last_error)
    assert world.policy.outages.since is not None


async def test_a_store_is_opened_by_its_transport(world):
    await world.store.open()

    assert ["open"] == world.transport.calls
    assert world.store.try_now(charge()) is None


@pytest.mark.parametrize(("ends_at", "goes_on_at"), [(None, 0.5), (0.2, 0.2)])
def test_a_course_goes_on_when_its_turn_comes_or_its_time_is_over(ends_at, goes_on_at):
    async def wait():
        world, loop, ended = World(), asyncio.get_running_loop(), Future()

        def course():
            yield Turn(ended, NOW + SECOND // 2)
            return round(loop.time(), 2)

        future = loop.create_future()
        if ends_at is not None:
            loop.call_later(ends_at, ended.set_result, None)
        CourseRun(world.store, None, course(), future, NOW).start()
        return await asyncio.wait_for(future, 60)

    assert goes_on_at == run(wait())


# --- Several reads at once ----------------------------------------------------------------------------------------


class Reads:
    """Store that answers several orders at once, and counts how it was asked."""

    via = "store"

    def __init__(self, server_of=None):
        self.error, self.asked, self.server_of = None, [], server_of

    def execute(self, order):
        return self.execute_many([order])[0]

    def execute_many(self, orders):
        self.asked.append(len(orders))
        if self.error is not None:
            raise self.error
        return [ADMITTED for _ in orders]

    def close(self):
        self.asked.append("closed")


PEEKS = [charge(verb=Verb.PEEK)] * 3


def test_reads_go_to_the_store_at_once():
    reads = Reads()
    store = ResilientStore(reads, processes=1)

    assert ([], [ADMITTED] * 3) == (store.execute_many([]), store.execute_many(PEEKS))
    assert [3] == reads.asked
    assert store.policy._has_replied


@pytest.mark.parametrize(("server_of", "asked"), [(None, [3, 1, 1]), (str, [3, 1, 1, 1])])
def test_reads_of_which_one_fails_are_answered_one_by_one(server_of, asked):
    reads = Reads(server_of)
    store = ResilientStore(reads, processes=1, clock=lambda: NOW)
    reads.error = Unreachable("x")
    answers = store.execute_many(PEEKS)

    assert ([Status.ADMITTED] * 3, asked) == ([each.status for each in answers], reads.asked)
    with pytest.raises(StoreError):
        store.execute_many([Read("acme", (API,))] * 2)


def test_reads_are_answered_without_the_store_while_it_is_not_called():
    reads = Reads()
    store = ResilientStore(reads, processes=1, clock=lambda: NOW)
    reads.error = Unreachable("x")
    for _ in range(5):
        store.execute(charge())
    reads.asked.clear()

    assert [Status.ADMITTED] * 3 == [each.status for each in store.execute_many(PEEKS)]
    assert [] == reads.asked
    store.close()
    assert ["closed"] == reads.asked
