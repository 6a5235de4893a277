"""What takes back reaches the store only after what was decided for its account without the store, whoever replays that."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flaky import AsyncFlaky, Flaky

from entitlements import AsyncEnforcer, Enforcer, Policy, StoreError
from entitlements.stores import MemoryStore

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {
        "rooms": {"kind": "allocation", "on_outage": "allow", "deadline": "10 seconds"},
        "desks": {"kind": "allocation", "on_outage": "allow", "deadline": "1 second"},
        "exports": {"kind": "quota", "on_outage": "allow", "deadline": "3 seconds"},
    },
    "tiers": {"one": {"rank": 1, "limits": {"rooms": 500, "desks": 500, "exports": 500}}},
})  # fmt: skip
ACCOUNTS = {"acme": "one", "globex": "one"}
PATIENCE = 60


def used(store):
    """Return the rooms and exports that the store has counted, and the holders of rooms."""
    direct = Enforcer(POLICY, accounts=ACCOUNTS, store=store)
    usage = direct.usage("acme")
    return usage["rooms"].used, usage["exports"].used, direct.holders("acme", "rooms")


def itself(result):
    return result


TAKING_BACK = {
    "unassign": (("rooms", "ann"), itself, True, (2, 3, ())),
    "release": (("rooms", 2), itself, 2, (1, 3, ("ann",))),
    "set_usage": (("exports", 0), lambda usage: usage.used, 0, (3, 0, ("ann",))),
    "forget": ((), itself, None, (0, 0, ())),
}
"""Arguments of each verb, what to look at in its result and what is there, and what the store has counted then."""


def in_outage(enforcer, store):
    """Let an assignment, two rooms and three exports of acme through without the store."""
    store.script = ["refused"] * 3
    decisions = [enforcer.assign("acme", "rooms", "ann"), enforcer.consume("acme", "rooms", 2)]
    decisions.append(enforcer.consume("acme", "exports", 3))
    assert ["journal"] * 3 == [decision.via for decision in decisions]


class Gate(Flaky):
    """A store that holds up the first order after `shut()` until it is opened."""

    def __init__(self, store):
        super().__init__(store)
        self.entered, self.opened, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._first = False

    def shut(self):
        self._first = True

    def execute(self, order):
        with self._lock:
            first, self._first = self._first, False
        if first:
            self.entered.set()
            assert self.opened.wait(PATIENCE)
        return super().execute(order)


@pytest.mark.parametrize("verb", TAKING_BACK)
def test_a_thread_waits_while_another_replays_its_account(verb):
    args, seen, answer, left = TAKING_BACK[verb]
    store = Gate(MemoryStore())
    enforcer = Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)
    in_outage(enforcer, store)
    store.shut()
    queue = enforcer._store._store.policy.journal.queue
    with ThreadPoolExecutor(2) as threads:
        reading = threads.submit(enforcer.usage, "acme")
        assert store.entered.wait(PATIENCE)
        taking_back = threads.submit(getattr(enforcer, verb), "acme", *args)
        while not queue._turns and not taking_back.done():
            pass
        waited = not taking_back.done()
        store.opened.set()
        reading.result(PATIENCE)
        found = taking_back.result(PATIENCE)

    assert waited
    assert (answer, left) == (seen(found), used(store.store))


@pytest.mark.parametrize("verb", TAKING_BACK)
def test_all_that_waits_for_an_account_goes_first_however_much_it_is(verb):
    args, seen, answer, left = TAKING_BACK[verb]
    store = Flaky(MemoryStore())
    enforcer = Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)
    store.how = "full"  # the breaker does not open
    for _ in range(200):
        assert enforcer.consume("acme", "exports").via == "journal"
    store.how = None
    in_outage(enforcer, store)
    policy = enforcer._store._store.policy
    now = policy.clock()
    policy.clock = lambda: now  # the deadline of what takes back is not passed, however slow the machine is

    assert answer == seen(getattr(enforcer, verb)("acme", *args))
    rooms, exports, holders = left
    assert (rooms, exports + 200 * (verb not in ("set_usage", "forget")), holders) == used(store.store)


def test_a_call_whose_turn_does_not_come_in_time_is_refused_and_changes_nothing():
    store = Flaky(MemoryStore())
    enforcer = Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)
    in_outage(enforcer, store)
    queue = enforcer._store._store.policy.journal.queue
    entry = queue.take("acme")

    with pytest.raises(StoreError, match="still queued for replay"):
        enforcer.release("acme", "rooms", 2)
    queue.put_back(entry)
    assert 2 == enforcer.release("acme", "rooms", 2)
    assert (1, 3, ("ann",)) == used(store.store)


def test_a_charge_waits_for_no_others():
    store = Flaky(MemoryStore())
    enforcer = Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)
    in_outage(enforcer, store)
    enforcer._store._store.policy.journal.queue.take("acme")

    decisions = [
        enforcer.consume("acme", "exports"), enforcer.consume("acme", "exports", key="job"),
        enforcer.assign("acme", "rooms", "bob"), enforcer.peek("acme", "rooms"),
    ]  # fmt: skip
    assert ["store"] * 4 == [decision.via for decision in decisions]


def test_a_second_settlement_does_not_overtake_a_commit_that_waits():
    store = Flaky(MemoryStore())
    enforcer = Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)
    reservation = enforcer.reserve("acme", "rooms", 4)
    store.script = ["refused"]
    reservation.commit()
    queue = enforcer._store._store.policy.journal.queue
    entry = queue.take("acme")

    enforcer.reservation("acme", reservation.id).cancel()
    queue.put_back(entry)

    assert 4 == enforcer.usage("acme")["rooms"].used


def test_a_key_does_not_overtake_the_refund_that_frees_it():
    store = Flaky(MemoryStore())
    enforcer = Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)
    decision = enforcer.consume("acme", "exports", 3, key="job")
    store.script = ["refused"]
    assert enforcer.refund(decision)
    queue = enforcer._store._store.policy.journal.queue
    entry = queue.take("acme")

    again = enforcer.consume("acme", "exports", 3, key="job")
    queue.put_back(entry)

    assert again
    assert 3 == enforcer.usage("acme")["exports"].used


def test_an_assignment_does_not_overtake_a_refund_that_takes_its_unit():
    store = Flaky(MemoryStore())
    enforcer = Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1)
    decision = enforcer.assign("acme", "desks", "ann")
    store.script = ["refused"]
    assert enforcer.refund(decision)
    queue = enforcer._store._store.policy.journal.queue
    entry = queue.take("acme")

    again = enforcer.assign("acme", "desks", "ann")
    queue.put_back(entry)

    assert again
    assert ("ann",) == enforcer.holders("acme", "desks")


class Slow(AsyncFlaky):
    """A store for an event loop that takes some turns of the loop to answer."""

    async def execute(self, order):
        for _ in range(5):
            await asyncio.sleep(0)
        return await super().execute(order)


@pytest.mark.parametrize("verb", TAKING_BACK)
async def test_a_task_waits_while_another_replays_its_account(verb):
    args, seen, answer, left = TAKING_BACK[verb]
    store = Slow(MemoryStore())
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1) as enforcer:
        for _ in range(20):
            await enforcer.forget("acme")
            store.flaky.script = ["refused"] * 3
            decisions = await asyncio.gather(
                enforcer.assign("acme", "rooms", "ann"),
                enforcer.consume("acme", "rooms", 2),
                enforcer.consume("acme", "exports", 3),
            )
            assert ["journal"] * 3 == [decision.via for decision in decisions]
            _, found = await asyncio.gather(enforcer.usage("acme"), getattr(enforcer, verb)("acme", *args))
            await enforcer.usage("acme")
            assert (answer, left) == (seen(found), used(store.flaky.store))


async def test_a_task_that_is_cancelled_while_it_waits_leaves_the_journal_as_it_is():
    store = Slow(MemoryStore())
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1) as enforcer:
        store.flaky.script = ["refused"]
        assert (await enforcer.consume("acme", "rooms", 2)).via == "journal"
        reading = asyncio.ensure_future(enforcer.usage("acme"))
        taking_back = asyncio.ensure_future(enforcer.release("acme", "rooms", 2))
        await asyncio.sleep(0)
        taking_back.cancel()
        assert 2 == (await reading)["rooms"].used

        assert 2 == await enforcer.release("acme", "rooms", 2)
