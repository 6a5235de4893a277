"""Async reservations whose task is cancelled: no unit stays held, on memory and on a server."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from entitlements import AsyncEnforcer, MemoryStore, Policy
from entitlements.model.charge import Part, Read

POLICY = Policy.parse({
    "policy": {"version": 1},
    "limits": {"seats": {"kind": "allocation", "deadline": "30 seconds"}, "api": {"kind": "rate", "deadline": "30 seconds"}},
    "tiers": {"one": {"rank": 1, "limits": {"seats": 50, "api": "1000000 per hour"}}},
})  # fmt: skip


class Waiting:
    """Store that answers once it is let go, after it has carried out the order."""

    via = "store"

    def __init__(self):
        self.store, self.go, self.asked = MemoryStore(), asyncio.Event(), asyncio.Event()
        self.go.set()

    async def execute(self, order):
        answer = self.store.execute(order)
        self.asked.set()
        await self.go.wait()
        return answer

    async def aclose(self):
        self.store.close()


@pytest.fixture(params=["memory", "server"])
async def ent(request):
    """An enforcer whose store has not seen any script yet, beside a load of other charges."""
    store = Waiting() if request.param == "memory" else request.getfixturevalue("valkey").url
    async with AsyncEnforcer(POLICY, accounts={"acme": "one", "b": "one"}, store=store) as enforcer:

        async def load():
            while True:
                await asyncio.gather(*(enforcer.consume("b", "api") for _ in range(4)))
                await asyncio.sleep(0)

        loads = [asyncio.create_task(load()) for _ in range(2)]
        yield enforcer
        for each in loads:
            each.cancel()
        await asyncio.gather(*loads, return_exceptions=True)


async def held(enforcer):
    """Return what is used and reserved once everything that cancelled callers have left is done."""
    await enforcer._detached.drain()
    usage = (await enforcer.usage("acme"))["seats"]
    return usage.used, usage.reserved


async def inside(enforcer, entered, n=1):
    async with enforcer.reserve("acme", "seats", n, ttl=3600):
        entered.set()
        await asyncio.sleep(3600)


async def cancelled(task, times=1):
    """Cancel a task, again in each of the loop's next turns, and wait until it has ended."""
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("turns", range(6))
async def test_cancelled_while_entering(ent, turns):
    for _ in range(3):
        task = asyncio.create_task(inside(ent, asyncio.Event()))
        for _ in range(turns):
            await asyncio.sleep(0)
        await cancelled(task)

    assert (0, 0) == await held(ent)


async def test_cancelled_after_the_store_has_reserved_and_before_it_answers():
    store = Waiting()
    ent = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=store)
    seats = Read("acme", (Part(POLICY.limits["seats"], 50),))
    store.go.clear()
    task = asyncio.create_task(inside(ent, asyncio.Event()))
    await store.asked.wait()
    await cancelled(task)
    assert 1 == store.store.execute(seats).lines[0].reserved
    store.go.set()

    await ent.aclose()

    assert 0 == store.store.execute(seats).lines[0].reserved


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_cancelled_inside_the_block_once_or_again_and_again(ent, times):
    for _ in range(3):
        entered = asyncio.Event()
        task = asyncio.create_task(inside(ent, entered))
        await entered.wait()
        await cancelled(task, times)

    assert (0, 0) == await held(ent)


@pytest.mark.parametrize("enters", [False, True])
async def test_cancelled_by_a_scope_of_anyio_which_cancels_every_wait(ent, enters):
    for _ in range(5):
        with anyio.CancelScope() as scope:
            if not enters:
                scope.cancel()
            async with ent.reserve("acme", "seats", ttl=3600):
                scope.cancel()
                await anyio.sleep(3600)

    assert (0, 0) == await held(ent)


async def test_a_commit_that_is_cancelled_is_made_and_not_followed_by_a_cancel(ent):
    async def work(entered):
        async with ent.reserve("acme", "seats", 3, ttl=3600) as reservation:
            entered.set()
            await reservation.commit(2)
            await asyncio.sleep(3600)

    for _ in range(5):
        entered = asyncio.Event()
        task = asyncio.create_task(work(entered))
        await entered.wait()
        await cancelled(task, 2)

    assert (10, 0) == await held(ent)


@pytest.mark.parametrize("turns", range(6))
async def test_with_a_key_no_unit_stays_held_either_and_the_key_reserves_again(ent, turns):
    for _ in range(3):
        task = asyncio.ensure_future(ent.reserve("acme", "seats", 3, ttl=3600, key="job").__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        await cancelled(task)

    assert (0, 0) == await held(ent)
    async with ent.reserve("acme", "seats", 3, ttl=3600, key="job") as again:
        assert not again.decision.replayed
    assert (3, 0) == await held(ent)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("leave", [(0,), (1,), (0, 1), (1, 0), (0, 2), (0, 1, 2)], ids=str)
async def test_callers_that_leave_take_a_reservation_from_no_other_that_has_its_key(server, leave, shared):
    """Each of three processes is given the reservation; those that leave give it up, the others commit it."""
    with server.client() as client:
        client.flushdb()
    urls = [server.url if shared else "memory://"] * 3
    made = [AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=url, expected_processes=1) for url in urls]
    given = [await made[at * shared].reserve("acme", "seats", 3, ttl=3600, key="job") for at in range(3)]
    assert [False, True, True] == [each.decision.replayed for each in given]
    for at in leave:
        await given[at]._cancel(given[at].id, given_up=True)
    stays = [given[at] for at in range(3) if at not in leave]
    assert (3 if stays else 0) == (await held(made[0]))[1]
    for each in stays:
        await each.commit()

    assert (3 if stays else 0, 0) == await held(made[0])
    for each in made:
        await each.aclose()


async def test_with_a_key_the_callers_repeat_gets_the_reservation(ent):
    reservation = ent.reserve("acme", "seats", 3, ttl=3600, key="job")
    task = asyncio.ensure_future(reservation.__aenter__())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await cancelled(task)

    async with ent.reserve("acme", "seats", 3, ttl=3600, key="job"):
        pass

    assert (3, 0) == await held(ent)


async def test_one_that_was_cancelled_while_entering_can_be_entered_again(ent):
    reservation = ent.reserve("acme", "seats", 3, ttl=3600)
    task = asyncio.ensure_future(reservation.__aenter__())
    await asyncio.sleep(0)
    await cancelled(task)

    async with reservation:
        assert (3, 3) == await held(ent)
    assert (3, 0) == await held(ent)
