"""One store and many tasks: calls are answered in order, and a cancelled call leaves nothing behind."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from entitlements import AsyncEnforcer, Policy
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part, Read, Settle, Verb
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Allocation, Quota, Rate
from entitlements.rules.periods import month_ends
from entitlements.stores.redis import AsyncRedisStore

PLACES = 4
"""Connections of each store in this file."""

TTL = 50_000
"""Time to live of reservations in this file, in microseconds."""

LEADS, AGENTS = Quota("leads", deadline=10 * SECOND), Allocation("agents", deadline=10 * SECOND)


def rate(name, deadline=10 * SECOND):
    return Rate(name, HOUR, deadline=deadline)


def held(size=10**6):
    """Return parts that can be reserved."""
    return Part(LEADS, size, 2, month_ends(None, time.time_ns() // 1000)), Part(AGENTS, size, 3)


def connections(server):
    """Return how many clients the server has, this one included."""
    with server.client() as admin:
        return len(admin.client_list())


# --- Two thousand at once -----------------------------------------------------------------------------------------


async def test_two_thousand_calls_at_once_are_all_answered_each_its_own(valkey):
    store = AsyncRedisStore(f"{valkey.url}?max_connections=16")
    asked = [Charge("acme", (Part(rate(f"r{number}"), 9000, number),)) for number in range(1, 2001)]

    answers = await asyncio.gather(*map(store.execute, asked))

    assert list(range(1, 2001)) == [each.lines[0].used for each in answers]
    assert connections(valkey) <= 1 + 16
    await store.aclose()


@pytest.mark.parametrize("most", [1, 16, 50])
async def test_none_of_two_thousand_calls_is_served_long_after_those_who_came_later(valkey, most):
    """Calls are served in order of arrival, except those in flight at the same time; the server sees the same order."""
    store = AsyncRedisStore(f"{valkey.url}?max_connections={most}")
    await asyncio.gather(*(store.execute(Charge("warm", (Part(rate("api"), 2**30),))) for _ in range(200)))
    done, used = [], {}

    async def ask(number):
        outcome = await store.execute(Charge("acme", (Part(rate("api"), 2**30),)))
        used[number] = outcome.lines[0].used
        done.append(number)

    await asyncio.gather(*map(ask, range(2000)))
    await store.aclose()

    together = 200
    assert max(abs(place - number) for place, number in enumerate(done)) <= together
    assert max(abs(place - number - 1) for number, place in used.items()) <= together
    assert list(range(1, 2001)) == sorted(used.values())


async def test_two_thousand_calls_of_different_kinds_get_answers_of_their_kind(valkey):
    """Long and short replies of different scripts share a few connections."""
    store = AsyncRedisStore(f"{valkey.url}?max_connections={PLACES}")
    orders = []
    for number in range(500):
        account = f"a{number}"
        orders += [
            Charge(account, (Part(rate("api"), 9000, number + 1),)),
            Charge(account, (Part(AGENTS, 9000, number + 2),), operation="o:1"),
            Charge(account, (*held(), Part(rate("x"), 9000, number + 3)), Verb.PEEK),
            Read(f"nobody{number}", held()),
        ]

    answers = await asyncio.gather(*map(store.execute, orders))

    said = [tuple(line.used for line in each.lines) for each in answers]
    assert [(number + 1,) for number in range(500)] == said[0::4]
    assert [(number + 2,) for number in range(500)] == said[1::4]
    assert {3} == {len(each) for each in said[2::4]}
    assert {(0, 0)} == set(said[3::4])
    await store.aclose()


# --- Cancelled ----------------------------------------------------------------------------------------------------


class Cut:
    """Awaitable that cancels its task at the n-th wait of another awaitable; *reached* is true once it has."""

    def __init__(self, awaited, at):
        self._awaited, self._at, self.reached = awaited, at, False

    def __await__(self):
        steps = self._awaited.__await__()
        go_on = steps.__next__
        for number in count():
            try:
                waited = go_on()
            except StopIteration as done:
                return done.value
            if number == self._at:
                self.reached = True
                asyncio.current_task().cancel()
            try:
                yield waited
                go_on = steps.__next__
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is for the one who waits
                go_on = lambda error=error: steps.throw(error)  # noqa: E731
        return None


async def cut(awaited, at):
    """Return the result of *awaited*, and whether it was cancelled at its wait number *at*."""
    knife = Cut(awaited, at)
    try:
        return await knife, knife.reached
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
        return None, True


def orders(number):
    """Return orders of every script, each with a unique operation; the first takes *number* units."""
    return [
        Charge("acme", (Part(rate(f"r{number}"), 10**6, number),)),
        Charge("acme", held(), Verb.RESERVE, operation=f"o:r{number}", ttl=TTL),
        Charge("acme", (held()[0], Part(rate("x"), 10**6)), operation=f"k:{number}", keyed=True),
        Settle("acme", f"o:r{number - 1}", None),
    ]


async def stands(store, server, places=PLACES):
    """Check that as many calls as there are slots get their answers, and that no connection is left over."""
    asked = [Charge(f"probe{each}", (Part(rate("p"), 10**9, each + 1),)) for each in range(PLACES)]
    before = [(await store.execute(Read(each.account, each.parts))).lines[0].used for each in asked]
    answers = await asyncio.gather(*map(store.execute, asked))
    assert [each + 1 for each in range(PLACES)] == [
        answer.lines[0].used - was for answer, was in zip(answers, before, strict=True)
    ]
    assert connections(server) <= 1 + places


async def nothing_is_reserved(store):
    """Check that every reservation has lapsed once its time to live is over."""
    await asyncio.sleep(TTL / SECOND + 0.01)
    read = await store.execute(Read("acme", held()))
    assert [0, 0] == [line.reserved for line in read.lines]


@pytest.mark.parametrize("state", ["cold", "warm", "without scripts", "waiting"])
async def test_a_call_may_be_cancelled_at_every_one_of_its_waits(valkey, state):
    """Waits: for a new connection, on an open one, for a missing script, and for a slot."""
    store = AsyncRedisStore(f"{valkey.url}?max_connections={PLACES}")
    reached = set()
    for kind in range(4):
        for at in range(60):
            if state == "cold":
                await store.aclose()
            elif state == "without scripts":
                with valkey.client() as admin:
                    admin.script_flush()
            order = orders(100 * kind + at + 1)[kind]
            others = [store.execute(order) for order in orders(1)[:1] * 2 * PLACES] if state == "waiting" else []
            *_, (_, was_cut) = await asyncio.gather(*others, cut(store.execute(order), at))
            if not was_cut:
                break
            reached.add((kind, at))
            if at % 4 == 0:
                await stands(store, valkey)
        else:
            raise AssertionError("more waits than anybody would need")
    print(f"{state}: cancelled at {len(reached)} waits")

    assert {kind for kind, _ in reached} == {0, 1, 2, 3}
    await stands(store, valkey)
    await nothing_is_reserved(store)
    await store.aclose()


PLANS = st.lists(
    st.tuples(
        st.integers(0, 3), st.none() | st.integers(0, 12), st.integers(0, 5), st.none() | st.integers(-6, 6)
    ),
    min_size=1,
    max_size=40,
)  # fmt: skip
"""
Of each task: its order, the wait at which it is cancelled, the iterations of the loop before it begins, and the task,
counted from it, that it cancels when it gets its answer: that may be the one that gets its slot.
"""


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.reuse, Phase.generate],  # a lost slot makes a call wait for seconds: shrinking takes too long
)
@given(plan=PLANS, places=st.sampled_from([1, 1, 2, PLACES]), flushes=st.booleans())
def test_whatever_is_cancelled_among_many_calls_the_others_are_served_and_all_is_whole(valkey, plan, places, flushes):
    async def task(store, tasks, number, kind, at, waits, victim):
        for _ in range(waits):
            await asyncio.sleep(0)
        answer, was_cut = await cut(store.execute(orders(number + 1)[kind]), -1 if at is None else at)
        if victim and 0 <= number + victim < len(tasks):
            tasks[number + victim].cancel()
        return answer, was_cut

    async def run():
        store, tasks = AsyncRedisStore(f"{valkey.url}?max_connections={places}"), []
        tasks += [asyncio.ensure_future(task(store, tasks, number, *each)) for number, each in enumerate(plan)]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await stands(store, valkey, places)
        for number, ((kind, *_), result) in enumerate(zip(plan, results, strict=True)):
            if isinstance(result, asyncio.CancelledError):
                continue
            answer, was_cut = result
            assert was_cut or answer is not None
            if answer is not None and kind != 3:
                assert Status.ADMITTED is answer.status
                assert kind != 0 or (number + 1) * len(answer.lines) == answer.lines[0].used
        await nothing_is_reserved(store)
        await store.aclose()

    with valkey.client() as admin:
        admin.flushdb()
        if flushes:
            admin.script_flush()
    asyncio.run(run())


POLICY = Policy.parse(
    {
        "policy": {"version": "1"},
        "limits": {"agents": {"kind": "allocation", "deadline": "10 seconds"}},
        "tiers": {"pro": {"rank": 1, "limits": {"agents": 1000}}},
    }
)


async def test_a_reservation_that_is_cancelled_at_any_wait_holds_nothing_after_its_time(valkey):
    """A block reserves, works and commits: wherever it is cancelled, units are used or free, and none are reserved."""

    async def work(enforcer):
        async with enforcer.reserve("acme", "agents", 2, ttl=TTL / SECOND):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return True

    async with AsyncEnforcer(POLICY, accounts={"acme": "pro"}, store=valkey.url) as enforcer:
        await enforcer.usage("acme")
        done, was_cut, at = 0, True, 0
        while was_cut:
            finished, was_cut = await cut(work(enforcer), at)
            done, at = done + bool(finished), at + 1
            assert at < 60
        await asyncio.sleep(TTL / SECOND + 0.01)
        usage = (await enforcer.usage("acme"))["agents"]

    assert at > 3
    assert 0 == usage.reserved
    assert 2 * done <= usage.used <= 2 * at
