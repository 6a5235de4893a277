"""Leases on real servers: what is asked, what is told, and what goes back."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest
from leases import KINDS, LEASE, leased_policy, round_trips, scope_of
from topologies import wait_until

from entitlements import Account, AsyncEnforcer, Enforcer
from entitlements.leases import threads
from entitlements.model.events import Decided, Threshold
from entitlements.testing import RecordingHook

POLICY = leased_policy()
START_TIMER = threads.start_timer
ACCOUNTS = {"acme": "low", "big": "none"}


def enforcer(server, policy=POLICY, **options):
    return Enforcer(policy, accounts=ACCOUNTS, store=server.url, expected_processes=1, **options)


def warmed(server, *names, **options):
    """Return an enforcer that has charged each limit once: so it knows what is left of them."""
    made = enforcer(server, **options)
    for name in names:
        assert made.consume("acme", name, scope=scope_of(name)).via == "store"
    return made


def used(server, name, account="acme"):
    """Return what another process sees."""
    with enforcer(server) as other:
        return other.usage(account, scope=scope_of(name))[name].used


@pytest.mark.parametrize("name", KINDS)
def test_fifty_charges_are_one_round_trip(server, name):
    with warmed(server, name) as acme:
        before = round_trips(server)
        decisions = [acme.consume("acme", name, scope=scope_of(name)) for _ in range(LEASE)]
        assert round_trips(server) == before + 1

    assert {(each.allowed, each.via, each.degraded, each.used) for each in decisions} == {(True, "lease", False, 51)}
    assert used(server, name) == 51


@pytest.mark.parametrize("name", KINDS)
async def test_fifty_charges_by_tasks_are_one_round_trip(valkey, name):
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as acme:
        await acme.consume("acme", name, scope=scope_of(name))
        before = round_trips(valkey)
        decisions = await asyncio.gather(*(acme.consume("acme", name, scope=scope_of(name)) for _ in range(LEASE)))
        assert round_trips(valkey) == before + 1
        await acme.consume("acme", name, scope=scope_of(name))  # another lease

    assert {(each.allowed, each.via) for each in decisions} == {(True, "lease")}
    assert used(valkey, name) == 52


@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_spent_goes_back_when_the_enforcer_closes(server, name):
    with warmed(server, name) as acme:
        acme.consume("acme", name, scope=scope_of(name))
        assert used(server, name) == 51

    assert used(server, name) == 2


def test_what_is_not_spent_goes_back_at_the_end_of_the_lease(valkey, clock_of):
    with warmed(valkey, "leads", "other") as acme:
        acme.consume("acme", "leads")
        clock_of(acme).skip(1_000_000)
        acme.consume("acme", "leads")

        assert used(valkey, "leads") == 3 + acme.usage("acme")["leads"].leased


def test_what_is_not_spent_goes_back_though_the_process_charges_nothing_more(valkey, monkeypatch):
    monkeypatch.setattr(threads, "start_timer", START_TIMER)
    with warmed(valkey, "leads") as acme:
        acme.consume("acme", "leads")
        wait_until(lambda: used(valkey, "leads") == 2, "the units")
        wait_until(lambda: not timers(), "the timer")


def timers():
    return [thread for thread in threading.enumerate() if thread.name == "entitlements-leases"]


async def test_what_is_not_spent_goes_back_at_the_end_of_the_lease_by_a_timer(valkey):
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as acme:
        await acme.consume("acme", "leads")
        await acme.consume("acme", "leads")
        for _ in range(600):
            if (await acme.usage("acme"))["leads"].used == 2:
                return
            await asyncio.sleep(0.05)
    raise AssertionError("the units have not come back")


@pytest.fixture
def clock_of(monkeypatch):
    """Return a function from an enforcer to the clock of its leases, which can be moved forward."""

    class Clock:
        def __init__(self, book):
            self._clock, self._ahead = book._clock, 0
            monkeypatch.setattr(book, "_clock", self)

        def __call__(self):
            return self._clock() + self._ahead

        def skip(self, microseconds):
            self._ahead += microseconds

    return lambda enforcer: Clock(enforcer._leases._book)


def test_usage_counts_what_is_leased_and_says_so(valkey):
    with warmed(valkey, "leads", "api") as acme:
        acme.consume("acme", "leads", 3)
        acme.consume("acme", "api")
        usage = acme.usage("acme")

        assert (usage["leads"].used, usage["leads"].remaining, usage["leads"].leased) == (51, 949, 47)
        assert (usage["api"].used, usage["api"].leased, usage["other"].leased) == (51, 49, 0)
        with enforcer(valkey) as other:
            assert (other.usage("acme")["leads"].used, other.usage("acme")["leads"].leased) == (51, 0)


def test_what_is_left_is_told_as_if_all_that_is_leased_were_spent(valkey):
    with warmed(valkey, "leads") as acme:
        decision = acme.consume("acme", "leads")

        assert (decision.used, decision.remaining, decision.limit) == (51, 949, 1000)
        assert decision.resets_at == acme.usage("acme")["leads"].resets_at


def test_a_lease_is_a_part_of_what_is_left_and_at_last_the_store_decides_each_unit(valkey):
    with Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=4) as acme:
        taken, leased = [], 0
        while decision := acme.consume("acme", "leads"):
            now = acme.usage("acme")["leads"].leased
            if now > leased:
                taken.append(now + 1)
            leased = now
            last = decision

    assert taken[0] == LEASE
    assert taken == sorted(taken, reverse=True)
    assert taken[-1] == 2
    assert (last.via, last.used, last.remaining) == ("store", 1000, 0)
    assert used(valkey, "leads") == 1000


def test_two_processes_spend_all_of_a_limit_and_no_more(valkey):
    with warmed(valkey, "leads") as here, warmed(valkey, "leads") as there:
        spent = 2
        while here.consume("acme", "leads") or there.consume("acme", "leads"):
            spent += 1
        while there.consume("acme", "leads"):
            spent += 1

    assert spent == 1000


def test_a_slow_account_is_charged_unit_by_unit(valkey, clock_of):
    with warmed(valkey, "leads") as acme:
        clock = clock_of(acme)
        for _ in range(5):
            clock.skip(1_100_000)
            assert acme.consume("acme", "leads").via == "store"


def test_a_lease_that_was_not_spent_makes_the_next_one_smaller(valkey, clock_of):
    with warmed(valkey, "leads") as acme:
        clock = clock_of(acme)
        for _ in range(4):
            acme.consume("acme", "leads")
        clock.skip(1_000_000)
        acme.consume("acme", "leads")
        assert acme.usage("acme")["leads"].leased == 3
        for _ in range(4 + 8 - 1):
            acme.consume("acme", "leads")
        assert acme.usage("acme")["leads"].leased == 0
        acme.consume("acme", "leads")

        assert acme.usage("acme")["leads"].leased == 15


def test_several_units_and_several_limits_are_spent_together(valkey):
    with warmed(valkey, "leads", "seats") as acme:
        assert acme.consume("acme", "leads", 20).via == "lease"
        both = acme.consume("acme", {"leads": 20, "seats": 1})
        before = round_trips(valkey)
        again = acme.consume("acme", {"leads": 10, "seats": 2})
        assert round_trips(valkey) == before

        assert (both.via, again.via) == ("lease", "lease")
        assert {name: part.used for name, part in again.parts.items()} == {"leads": 51, "seats": 51}
    assert (used(valkey, "leads"), used(valkey, "seats")) == (51, 4)


def test_a_charge_of_a_limit_without_a_lease_asks_the_store_for_all(valkey):
    with warmed(valkey, "leads", "other") as acme:
        acme.consume("acme", "leads")
        decision = acme.consume("acme", {"leads": 1, "other": 1})

        assert {part.via for part in decision.parts.values()} == {"store"}
    assert (used(valkey, "leads"), used(valkey, "other")) == (3, 2)


def test_more_units_than_the_lease_ask_the_store(valkey):
    with warmed(valkey, "leads") as acme:
        assert acme.consume("acme", "leads", LEASE + 1).via == "store"
        assert acme.consume("acme", "leads").via == "lease"
        assert acme.consume("acme", "leads", LEASE).via == "lease"
    assert used(valkey, "leads") == 1 + 51 + 1 + 50


def test_a_charge_with_a_key_asks_the_store(valkey):
    with warmed(valkey, "leads") as acme:
        acme.consume("acme", "leads")
        first = acme.consume("acme", "leads", key="order-1")
        again = acme.consume("acme", "leads", key="order-1")

        assert (first.via, again.replayed) == ("store", True)
    assert used(valkey, "leads") == 3


@pytest.mark.parametrize("name", KINDS)
def test_a_unit_of_a_lease_is_refunded_once(server, name):
    with warmed(server, name) as acme:
        one, two = (acme.consume("acme", name, scope=scope_of(name)) for _ in range(2))
        assert [acme.refund(one, rates=True), acme.refund(one, rates=True), acme.refund(two, rates=True)] == [
            True,
            False,
            True,
        ]

    assert used(server, name) == 1


def test_unlimited_units_are_counted(valkey):
    with enforcer(valkey) as acme:
        assert {acme.consume("big", "leads").via for _ in range(101)} == {"store", "lease"}
    assert used(valkey, "leads", "big") == 101


class Tiers:
    """A source whose accounts have the tier that is set."""

    tier = "low"

    def find(self, id):
        if self.tier == "suspended":
            return Account(id, "low", status="suspended")
        return Account(id, self.tier)


def test_another_plan_ends_the_lease_in_this_process_at_once(valkey):
    source = Tiers()
    with Enforcer(POLICY, accounts=source, store=valkey.url, expected_processes=1) as acme:
        for _ in range(2):
            acme.consume("acme", "leads")
        source.tier = "high"
        acme.refresh("acme")
        decision = acme.consume("acme", "leads")

        assert (decision.via, decision.limit, decision.used) == ("store", 2000, 3)
        acme.consume("acme", "leads")
        assert used(valkey, "leads") == 4 + acme.usage("acme")["leads"].leased


@pytest.mark.parametrize("tier", ["high", "suspended"])
def test_another_plan_ends_the_lease_of_other_processes_within_the_message(valkey, tier):
    source = Tiers()
    with (
        Enforcer(POLICY, accounts=source, store=valkey.url, expected_processes=1) as here,
        Enforcer(POLICY, accounts=source, store=valkey.url, expected_processes=1) as there,
    ):
        for _ in range(2):
            there.consume("acme", "leads")
        source.tier = tier
        here.invalidate("acme")
        told = []
        wait_until(lambda: told.append(there.consume("acme", "leads")) or told[-1].via != "lease", "the message")

        assert (told[-1].limit, told[-1].allowed) == ((2000, True) if tier == "high" else (1000, False))
        spent = 2 + sum(each.allowed for each in told)
    assert used(valkey, "leads") == spent


def test_a_policy_without_the_lease_ends_it(valkey):
    with warmed(valkey, "leads", "other") as acme:
        acme.consume("acme", "leads")
        acme.reload(leased_policy(100, version=2, plain=KINDS))
        decision = acme.consume("acme", "leads")

        assert (decision.via, decision.limit) == ("store", 100)


def test_a_lowered_limit_refuses_what_was_leased_before(valkey):
    with warmed(valkey, "leads") as acme:
        acme.consume("acme", "leads")
        acme.reload(leased_policy(50, lease=2, version=2))

        assert not acme.consume("acme", "leads", 49)
        assert used(valkey, "leads") == 2


def test_set_usage_and_reset_return_what_is_held(valkey):
    with warmed(valkey, "leads", "api") as acme:
        acme.consume("acme", {"leads": 1, "api": 1})
        assert acme.set_usage("acme", "leads", 10).used == 10
        acme.reset("acme", "api")
        acme.consume("acme", {"leads": 1, "api": 1})
    assert (used(valkey, "leads"), used(valkey, "api")) == (11, 1)


def test_a_forgotten_account_gets_nothing_back(valkey):
    with warmed(valkey, "leads") as acme:
        acme.consume("acme", "leads")
        with enforcer(valkey) as other:
            other.forget("acme")
            other.consume("acme", "leads", 5)
    assert used(valkey, "leads") == 5


def test_events_tell_each_charge_and_each_threshold_once(valkey):
    hook = RecordingHook()
    with warmed(valkey, "seats", hooks=(hook,), policy=leased_policy(200)) as acme:
        for _ in range(199):
            assert acme.consume("acme", "seats")

    decided = [event.decision for event in hook.events if isinstance(event, Decided)]
    assert len(decided) == 200
    assert [event.percent for event in hook.events if isinstance(event, Threshold)] == [80, 100]


def test_threads_spend_each_unit_once(valkey):
    with warmed(valkey, "leads") as acme:
        decisions = []

        def work():
            decisions.extend(acme.consume("acme", "leads") for _ in range(90))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    assert used(valkey, "leads") == 1 + sum(each.allowed for each in decisions) == 721


async def test_tasks_spend_each_unit_once_though_a_third_are_cancelled(valkey):
    async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as acme:
        spent = [await acme.consume("acme", "leads")]

        async def work():
            spent.append(await acme.consume("acme", "leads"))

        for _ in range(6):
            tasks = [asyncio.ensure_future(work()) for _ in range(90)]
            await asyncio.sleep(0)
            for each in tasks[::3]:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    counted = used(valkey, "leads")
    assert len(spent) <= counted <= 541  # a cancelled charge may have been counted, as without a lease
    assert all(spent)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_no_part_in_the_lease(valkey):
    with warmed(valkey, "leads") as acme:
        acme.consume("acme", "leads")
        child = os.fork()
        if not child:
            os._exit(acme.consume("acme", "leads").via != "store" or acme.usage("acme")["leads"].leased)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert acme.consume("acme", "leads").via == "lease"
    assert used(valkey, "leads") == 4


def test_the_memory_store_leases_nothing():
    with Enforcer(POLICY, accounts=ACCOUNTS) as acme:
        assert {acme.consume("acme", "leads").via for _ in range(100)} == {"memory"}
        assert acme.usage("acme")["leads"].used == 100


def test_a_leased_charge_makes_few_calls_and_one_without_a_lease_makes_as_many_as_before(valkey):
    with warmed(valkey, "api") as acme, warmed(valkey, "api", policy=leased_policy(plain=KINDS)) as plain:
        acme.consume("acme", "api")
        for _ in range(3):
            plain.consume("acme", "api")

        assert min(calls_of(lambda: acme.consume("acme", "api")) for _ in range(3)) <= 12
        assert min(calls_of(lambda: plain.consume("acme", "api")) for _ in range(3)) <= 22 + 1  # that of the lambda


def calls_of(work):
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_qualname) if event == "call" else None)
    try:
        work()
    finally:
        sys.setprofile(None)
    return len(calls)


async def test_many_tasks_share_few_leases_and_each_waits_once(valkey):
    async with AsyncEnforcer(leased_policy(100_000), accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as acme:
        await acme.consume("acme", "leads")
        before = round_trips(valkey)
        decisions = await asyncio.gather(*(acme.consume("acme", "leads") for _ in range(10 * LEASE)))

        assert round_trips(valkey) == before + 10
        assert all(each.via == "lease" for each in decisions)
    assert used(valkey, "leads") == 1 + 10 * LEASE
