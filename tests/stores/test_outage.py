"""What charges get while the store fails, and what becomes of them when it is back."""

import asyncio
import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from flaky import FAILURES, AsyncFlaky, Flaky

from entitlements import (
    UNLIMITED,
    AsyncEnforcer,
    Enforcer,
    KeyReused,
    MemoryStore,
    Policy,
    Reason,
    StoreError,
)
from entitlements.clock import monotonic
from entitlements.model import events
from entitlements.model.answers import Outcome, Status
from entitlements.model.charge import Charge, Part
from entitlements.model.decision_fields import receipt_of
from entitlements.rules.decisions import DecisionBuilder
from entitlements.stores.errors import Corrupt
from entitlements.stores.orders import deadline_of
from entitlements.stores.resilience.circuit_breaker import State
from entitlements.stores.resilience.replay import REPLAYED_OWN
from entitlements.stores.resilience.replay_queue import ReplayQueue
from entitlements.testing import FakeClock, RecordingHook

POLICY = Policy.parse({
    "policy": {"version": "7"},
    "limits": {
        "api": {"kind": "rate"},
        "burst": {"kind": "rate", "algorithm": "token-bucket", "burst": 9},
        "logins": {"kind": "rate", "per": "ip"},
        "pings": {"kind": "rate", "on_outage": "allow"},
        "mails": {"kind": "rate", "on_outage": "deny"},
        "shadow": {"kind": "rate", "mode": "shadow"},
        "leads": {"kind": "quota"},
        "exports": {"kind": "quota", "on_outage": "allow"},
        "watched": {"kind": "quota", "mode": "shadow"},
        "free": {"kind": "quota"},
        "seats": {"kind": "allocation"},
        "rooms": {"kind": "allocation", "on_outage": "allow"},
    },
    "tiers": {"one": {"rank": 1, "limits": {
        "api": "10 per hour", "burst": "3 per hour", "logins": "4 per hour", "pings": "1 per hour",
        "mails": "10 per hour", "shadow": "2 per hour", "leads": 50, "exports": 5, "watched": 3, "free": "unlimited",
        "seats": 3, "rooms": 2,
    }}},
})  # fmt: skip


@pytest.fixture
def store():
    return Flaky(MemoryStore())


@pytest.fixture
def hook():
    return RecordingHook()


@pytest.fixture
def enforcer(store, hook):
    """An enforcer for whose outage policy no time passes, however slow the machine is."""
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store, hooks=[hook], expected_processes=1)
    now = monotonic()
    policy_of(enforcer).clock = lambda: now
    return enforcer


def wait_out(enforcer):
    """Let the pause of an open breaker pass, without waiting for it."""
    enforcer._store._store.policy.breaker._probe_at = 0


def used(store, *names):
    """Return what the store itself has counted."""
    usage = Enforcer(POLICY, accounts={"acme": "one"}, store=store.store).usage("acme")
    return tuple(usage[name].used for name in names)


def said(decision):
    return (decision.allowed, decision.reason, decision.via, decision.degraded)


# --- Per limit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["refused", "full", "rejected", "silent", "lost"])
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("api", (True, Reason.WITHIN_LIMIT, "local", True)),
        ("pings", (True, Reason.OUTAGE_ALLOWED, "local", True)),
        ("mails", (False, Reason.STORE_UNAVAILABLE, "local", True)),
        ("leads", (False, Reason.STORE_UNAVAILABLE, "local", True)),
        ("exports", (True, Reason.OUTAGE_ALLOWED, "journal", True)),
        ("free", (True, Reason.UNLIMITED, "journal", True)),
        ("seats", (False, Reason.STORE_UNAVAILABLE, "local", True)),
        ("rooms", (True, Reason.OUTAGE_ALLOWED, "journal", True)),
    ],
)
def test_each_limit_answers_as_its_on_outage_says_however_the_store_fails(enforcer, store, how, limit, expected):
    store.how = how
    decision = enforcer.consume("acme", limit)
    assert expected == said(decision)
    assert (None, "7") == (decision.used, decision.policy)
    assert {limit} == set(decision.parts)


def test_what_is_refused_for_the_stores_sake_says_to_come_again_in_a_second_or_more(enforcer, store):
    store.how = "refused"
    assert all(enforcer.consume("acme", "leads").retry_after.total_seconds() >= 1 for _ in range(9))


def test_a_local_refusal_says_when_the_same_charge_fits(enforcer, store):
    store.how = "refused"
    assert [True] * 10 == [enforcer.consume("acme", "api").allowed for _ in range(10)]
    refused = enforcer.consume("acme", "api")
    assert (False, Reason.RATE_LIMITED, "local", True) == said(refused)
    assert 3_500 < refused.retry_after.total_seconds() <= 3_660


def test_a_share_that_is_used_up_sends_nobody_away_for_longer_than_the_store_is(store):
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=2)
    store.how = "refused"
    refused = [enforcer.consume("acme", "api") for _ in range(7)][-1]
    assert (False, Reason.RATE_LIMITED, "local", True) == said(refused)
    assert 1 <= refused.retry_after.total_seconds() <= 2
    wait_out(enforcer)
    store.how = None
    assert enforcer.consume("acme", "api").allowed


@pytest.mark.parametrize(("processes", "admitted"), [(1, 10), (3, 4), (4, 3), (10, 1), (99, 1)])
def test_a_local_rate_admits_the_share_of_this_process_rounded_up(store, processes, admitted):
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=processes)
    store.how = "refused"
    assert admitted == sum(enforcer.consume("acme", "api").allowed for _ in range(20))
    wait_out(enforcer)
    store.how = None
    assert (0,) == used(store, "api")


def test_a_local_token_bucket_holds_this_processs_share_of_its_burst(store):
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=2)
    store.how = "refused"
    assert 5 == sum(enforcer.consume("acme", "burst").allowed for _ in range(20))


def test_a_share_goes_on_from_what_this_process_last_saw_used(enforcer, store):
    for _ in range(7):
        enforcer.consume("acme", "api")
    store.how = "refused"
    assert 3 == sum(enforcer.consume("acme", "api").allowed for _ in range(20))


def test_a_store_that_comes_and_goes_hands_out_no_share_twice(enforcer, store):
    admitted = 0
    for _ in range(5):
        store.how = "refused"
        admitted += sum(enforcer.consume("acme", "api").allowed for _ in range(8))
        wait_out(enforcer)
        store.how = None
        assert not enforcer.consume("acme", "pings").degraded
    assert 10 == admitted


def test_a_scopes_share_is_its_own(enforcer, store):
    enforcer.consume("acme", "logins", 3, scope="1.2.3.4")
    store.how = "refused"
    admitted = {
        ip: sum(enforcer.consume("acme", "logins", scope=ip).allowed for _ in range(9)) for ip in ("1.2.3.4", "::1")
    }
    assert {"1.2.3.4": 1, "::1": 4} == admitted


def test_a_cost_above_the_share_waits_for_the_store_and_not_for_ever(store):
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=5)
    store.how = "refused"
    decision = enforcer.consume("acme", "api", 3)
    assert (False, Reason.STORE_UNAVAILABLE, "local", True) == said(decision)
    assert decision.retry_after is not None


def test_a_peek_takes_nothing_and_is_not_journalled(enforcer, store):
    store.how = "refused"
    for _ in range(15):
        assert [True, True, False] == [enforcer.peek("acme", name).allowed for name in ("api", "exports", "leads")]
    wait_out(enforcer)
    store.how = None
    enforcer.consume("acme", "pings")
    assert (0, 0) == used(store, "exports", "leads")


# --- Mixed charges ------------------------------------------------------------------------------------------------


def parts_of(decision):
    return {name: (part.allowed, part.reason, part.via) for name, part in decision.parts.items()}


def test_a_mixed_charge_is_refused_by_its_part_that_denies_and_takes_nothing_of_the_others(enforcer, store):
    store.how = "refused"
    for _ in range(15):
        decision = enforcer.consume("acme", {"api": 1, "exports": 1, "leads": 1})
    assert (False, Reason.STORE_UNAVAILABLE, "local", True) == said(decision)
    assert {
        "api": (True, Reason.WITHIN_LIMIT, "local"),
        "exports": (True, Reason.OUTAGE_ALLOWED, "local"),
        "leads": (False, Reason.STORE_UNAVAILABLE, "local"),
    } == parts_of(decision)
    assert 10 == sum(enforcer.consume("acme", "api").allowed for _ in range(20))
    wait_out(enforcer)
    store.how = None
    enforcer.consume("acme", "pings")
    assert (0,) == used(store, "exports")


def test_a_mixed_charge_is_refused_by_its_local_part_and_journals_nothing(enforcer, store):
    store.how = "refused"
    decisions = [enforcer.consume("acme", {"api": 1, "exports": 1}) for _ in range(12)]
    assert [True] * 10 + [False] * 2 == [each.allowed for each in decisions]
    assert ["journal"] * 10 + ["local"] * 2 == [each.parts["exports"].via for each in decisions]
    assert (Reason.RATE_LIMITED, True) == (decisions[-1].reason, decisions[-1].degraded)
    wait_out(enforcer)
    store.how = None
    enforcer.usage("acme")
    assert (10, 0) == used(store, "exports", "api")


def test_shadow_limits_pass_in_an_outage_and_say_what_would_have_been(enforcer, store):
    store.how = "refused"
    decisions = [enforcer.consume("acme", {"watched": 1, "shadow": 1}) for _ in range(4)]
    assert [True] * 4 == [each.allowed for each in decisions]
    assert [Reason.STORE_UNAVAILABLE] * 4 == [each.parts["watched"].reason for each in decisions]
    assert [True, True, False, False] == [each.parts["shadow"].allowed for each in decisions]
    wait_out(enforcer)
    store.how = None
    enforcer.consume("acme", "pings")
    assert (4,) == used(store, "watched")


# --- The journal --------------------------------------------------------------------------------------------------


def brought(hook):
    """Return the events of the journal that tell of orders which were replayed or lost, not of those that wait."""
    return [each for each in hook.of(events.Journalled) if each.replayed or each.lost]


def test_what_was_let_through_is_counted_once_when_the_store_is_back_even_above_the_limit(enforcer, store, hook):
    store.how = "refused"
    assert [True] * 8 == [enforcer.consume("acme", "exports").allowed for _ in range(8)]
    enforcer.consume("acme", "free", 1000)
    enforcer.consume("acme", "rooms", 3)
    assert [*range(1, 11)] == [each.waiting for each in hook.of(events.Journalled)]
    store.how = None
    wait_out(enforcer)
    refused = enforcer.consume("acme", "exports")
    assert (False, Reason.QUOTA_EXCEEDED, "store", False, 8) == (*said(refused), refused.used)
    assert (8, 1000, 3) == used(store, "exports", "free", "rooms")
    assert [events.Journalled(0, 10)] == brought(hook)


def test_what_had_reached_the_store_after_all_counts_once(enforcer, store):
    store.how = "lost"
    assert [True] * 4 == [enforcer.consume("acme", "exports").allowed for _ in range(4)]
    store.how = None
    wait_out(enforcer)
    assert 5 == enforcer.consume("acme", "exports").used


def test_a_refusal_for_the_stores_sake_that_had_reached_the_store_is_given_back(enforcer, store):
    store.how = "lost"
    assert [False] * 4 == [enforcer.consume("acme", "leads").allowed for _ in range(4)]
    assert not enforcer.reserve("acme", "seats")
    store.how = None
    wait_out(enforcer)
    assert 1 == enforcer.consume("acme", "leads").used
    assert (1, 0) == used(store, "leads", "seats")


@pytest.mark.parametrize("how", ["lost", "silent"])
def test_an_assignment_whose_outcome_is_unknown_is_not_undone(enforcer, store, how):
    """Its caller repeats it elsewhere meanwhile, is told that it holds a unit, and keeps it."""
    store.how = how
    assert not enforcer.assign("acme", "seats", "ann")
    elsewhere = Enforcer(POLICY, accounts={"acme": "one"}, store=store.store)
    assert elsewhere.assign("acme", "seats", "ann")
    store.how = None
    wait_out(enforcer)
    enforcer.usage("acme")
    assert ("ann",) == elsewhere.holders("acme", "seats")
    assert enforcer.assign("acme", "seats", "ann")
    assert (1,) == used(store, "seats")


def test_a_refused_charge_that_reaches_the_store_after_it_was_given_back_takes_nothing(enforcer, store):
    store.how = "silent"
    refused = enforcer.consume("acme", "leads")
    assert not refused.allowed
    late = store.asked[0]
    store.how = None
    wait_out(enforcer)
    enforcer.consume("acme", "pings")
    assert (0, 0) == used(store, "leads", "seats")
    store.store.execute(late)
    assert (0, 0) == used(store, "leads", "seats")


def test_closing_brings_what_waits(enforcer, store, hook):
    store.how = "refused"
    for _ in range(8):
        enforcer.consume("acme", "exports")
    store.how = None
    enforcer.close()  # though the breaker is open
    assert (8,) == used(store, "exports")
    assert [events.Journalled(0, 8)] == brought(hook)


def test_an_undoing_that_finds_no_room_for_all_of_it_is_not_begun(enforcer, store, hook):
    policy_of(enforcer).journal.queue = ReplayQueue(capacity=1)
    store.how = "silent"
    assert not enforcer.consume("acme", "leads").allowed
    assert [events.Journalled(0, lost=1)] == brought(hook)
    store.how = None
    wait_out(enforcer)
    enforcer.consume("acme", "pings")
    assert (0,) == used(store, "leads")


def test_what_was_not_sent_because_the_journal_could_not_be_brought_is_known_not_to_have_been(enforcer, store):
    store.how = "refused"
    enforcer.consume("acme", "exports")
    store.how = "silent"
    entries = [
        policy_of(enforcer).journal.queue.find("acme", receipt_of(enforcer.consume("acme", "exports")).operation)
        for _ in "12"
    ]
    assert [None, None] == [entry.sent for entry in entries]


def test_one_key_that_comes_from_several_threads_at_once_is_admitted_once(enforcer, store):
    store.how, before = "refused", sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    barrier = threading.Barrier(4)

    def ask(number):
        barrier.wait()
        return enforcer.consume("acme", "exports", key=f"k{number}").replayed

    try:
        with ThreadPoolExecutor(4) as pool:
            for number in range(200):
                assert [False, True, True, True] == sorted(pool.map(ask, [number] * 4))
    finally:
        sys.setswitchinterval(before)
    assert 200 == len(policy_of(enforcer).journal.queue)


def test_a_reservation_that_waits_behind_many_is_settled_behind_it(enforcer, store):
    store.how = "refused"
    for _ in range(3 * REPLAYED_OWN):
        enforcer.consume("acme", "exports")
    id = enforcer.reserve("acme", "exports", 5).id
    store.how = None
    wait_out(enforcer)
    enforcer.reservation("acme", id).commit(3)
    for _ in range(4):
        enforcer.consume("acme", "pings")
    usage = enforcer.usage("acme")["exports"]
    assert (3 * REPLAYED_OWN + 3, 0) == (usage.used, usage.reserved)


def test_a_repeat_has_what_is_left_of_the_time_after_what_was_brought(enforcer, store):
    store.how = "refused"
    for _ in range(3):
        enforcer.consume("acme", "exports")
    store.how, store.script = None, [None, None, None, "lost"]
    wait_out(enforcer)
    far = Far(enforcer, 20_000)
    until = far.now + 250_000
    assert enforcer.consume("acme", "leads").allowed
    assert [until] * 5 == [ends for _, ends in far.asked]


def test_closing_gives_up_what_cannot_be_read_there(enforcer, store, hook):
    store.how = "refused"
    for _ in range(8):
        enforcer.consume("acme", "exports")
    store.how = "corrupt"
    wait_out(enforcer)
    enforcer.close()
    assert [events.Journalled(0, 0, 8)] == brought(hook)


@pytest.mark.parametrize("how", [*sorted(FAILURES.keys() - {"corrupt"}), "lost"])
def test_closing_says_what_goes_with_the_process(enforcer, store, caplog, how):
    store.how = "refused"
    for _ in range(8):
        enforcer.consume("acme", "exports")
    store.how = how
    breaker = policy_of(enforcer).breaker
    with caplog.at_level(logging.WARNING):
        enforcer.close()
        breaker._probe_at = 0
        enforcer.close()
    assert caplog.text.count("closed with 8 orders still queued for replay") == 2


async def test_closing_on_an_event_loop_brings_what_waits():
    store = AsyncFlaky(MemoryStore())
    enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=2)
    store.flaky.how = "refused"
    for _ in range(8):
        await enforcer.consume("acme", "exports")
    store.flaky.how = None
    await enforcer.aclose()
    assert (8,) == used(store.flaky, "exports")


ENDING = """
from entitlements import Enforcer, Policy

POLICY = Policy.parse({
    "policy": {"version": "7"},
    "limits": {"exports": {"kind": "quota", "on_outage": "allow"}},
    "tiers": {"one": {"rank": 1, "limits": {"exports": 50}}},
})

def work():
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store="redis://127.0.0.1:1", expected_processes=1)
    assert enforcer.consume("acme", "exports")
    return enforcer

"""


@pytest.mark.parametrize(("end", "lines"), [("kept = work()", 1), ("work()", 1), ("work().close()", 0)])
def test_a_process_that_ends_without_closing_says_what_it_loses(end, lines):
    done = subprocess.run([sys.executable, "-c", ENDING + end], capture_output=True, text=True, check=True)
    assert lines == done.stderr.count("ended without close(); 1 orders queued for replay are lost"), done.stderr


def test_a_journalled_charge_can_be_refunded_before_and_after_it_reaches_the_store(enforcer, store):
    store.how = "refused"
    first, second = (enforcer.consume("acme", "exports", 2) for _ in range(2))
    assert enforcer.refund(first)
    store.how = None
    wait_out(enforcer)
    enforcer.consume("acme", "pings")
    assert (2,) == used(store, "exports")
    assert [True, False, False] == [enforcer.refund(each) for each in (second, second, first)]
    assert (0,) == used(store, "exports")


def test_a_refund_of_what_was_only_counted_here_gives_nothing_back_at_the_store(enforcer, store):
    enforcer.consume("acme", "api", 5)
    store.how = "refused"
    decision = enforcer.consume("acme", "api", 2)
    wait_out(enforcer)
    store.how = None
    assert not enforcer.refund(decision, rates=True)
    assert (5,) == used(store, "api")


def test_a_key_takes_once_whether_it_is_repeated_during_the_outage_or_after(enforcer, store):
    store.how = "refused"
    decisions = [enforcer.consume("acme", "exports", 2, key="import-1") for _ in range(3)]
    assert [False, True, True] == [each.replayed for each in decisions]
    assert [True] * 3 == [each.allowed for each in decisions]
    with pytest.raises(KeyReused):
        enforcer.consume("acme", "exports", 3, key="import-1")
    store.how = None
    wait_out(enforcer)
    again = enforcer.consume("acme", "exports", 2, key="import-1")
    assert again.replayed
    size = enforcer.entitlements("acme").limit("exports")
    assert (size, size - 2, Reason.WITHIN_LIMIT) == (again.limit, again.remaining, again.reason)
    assert (2,) == used(store, "exports")


def test_a_key_whose_charge_was_refused_may_be_repeated_and_gets_what_the_store_had_taken(enforcer, store):
    store.how = "lost"
    assert not enforcer.consume("acme", "leads", 2, key="import-2").allowed
    store.how = None
    wait_out(enforcer)
    assert enforcer.consume("acme", "leads", 2, key="import-2").allowed
    assert (2,) == used(store, "leads")


def test_a_reservation_outlives_an_outage(enforcer, store):
    held = enforcer.reserve("acme", "leads", 10, ttl=60)
    other = enforcer.reserve("acme", "leads", 7, ttl=60)
    store.how = "refused"
    held.commit(4)
    other.cancel()
    assert not enforcer.reserve("acme", "leads")
    store.how = None
    wait_out(enforcer)
    assert 5 == enforcer.consume("acme", "leads").used
    assert 0 == enforcer.usage("acme")["leads"].reserved


def test_a_reservation_made_in_an_outage_is_settled_after_it(enforcer, store):
    store.how = "refused"
    with enforcer.reserve("acme", "exports", 4) as held:
        held.commit(3)
    later = enforcer.reserve("acme", "exports", 2)
    store.how = None
    wait_out(enforcer)
    assert 3 + 2 == enforcer.usage("acme")["exports"].used
    later.commit(1)
    assert (4,) == used(store, "exports")


def test_a_commit_in_an_outage_counts_although_its_reservation_lapses_and_others_take_the_room(caplog):
    """It is acknowledged, so it is charged again once the store replies, above the limit."""
    clock = FakeClock(datetime.now(UTC))
    shared = MemoryStore(clock)
    store = Flaky(shared)
    here, there = (
        Enforcer(POLICY, accounts={"acme": "one"}, store=each, expected_processes=1) for each in (store, shared)
    )
    limit = here.usage("acme")["seats"].limit
    reservation = here.reserve("acme", "seats", limit, ttl=5)
    store.how = "refused"
    reservation.commit()
    clock.advance(timedelta(seconds=6))
    assert there.consume("acme", "seats", limit)
    store.how = None
    wait_out(here)
    assert 2 * limit == here.usage("acme")["seats"].used
    assert not [line for line in caplog.messages if "lost in replay" in line]


def test_a_key_that_two_processes_let_through_with_different_units_is_lost_once_and_logged(
    enforcer, store, hook, caplog
):
    store.how = "refused"
    assert enforcer.consume("acme", "exports", 3, key="job")
    elsewhere = Enforcer(POLICY, accounts={"acme": "one"}, store=store.store)
    assert elsewhere.consume("acme", "exports", 5, key="job")
    store.how = None
    wait_out(enforcer)
    enforcer.usage("acme")
    assert (5,) == used(store, "exports")
    assert [events.Journalled(0, 0, 1)] == brought(hook)
    assert ["1 orders lost in replay"] == [
        line[line.index("1 ") :][:23] for line in caplog.messages if "lost in" in line
    ]


def test_the_journal_is_bounded_and_what_overflows_is_counted_and_logged(enforcer, store, hook, caplog):
    enforcer._store._store.policy.journal.queue = ReplayQueue(capacity=3)
    store.how = "refused"
    decisions = [enforcer.consume("acme", "exports") for _ in range(5)]
    assert ["journal"] * 3 + ["local"] * 2 == [each.via for each in decisions]
    assert [True] * 5 == [each.allowed for each in decisions]
    assert [1, 1] == [each.lost for each in brought(hook)]
    store.how = None
    wait_out(enforcer)
    with caplog.at_level(logging.WARNING):
        enforcer.consume("acme", "pings")
    assert (3,) == used(store, "exports")
    assert "2 lost" in caplog.text


def test_the_first_that_overflows_is_logged_and_closing_says_how_many_did(enforcer, store, caplog):
    policy_of(enforcer).journal.queue = ReplayQueue(capacity=3)
    store.how = "refused"
    with caplog.at_level(logging.WARNING):
        for expected in (0, 0, 0, 1, 1):
            enforcer.consume("acme", "exports")
            assert expected == caplog.text.count("replay journal is full with 3 orders")
        enforcer.close()
    assert (
        "closed with 3 orders still queued for replay, which are lost when the process ends; 2 lost before"
        in caplog.text
    )


def test_a_journal_that_fails_again_half_way_loses_nothing(enforcer, store):
    store.how = "refused"
    for _ in range(5):
        enforcer.consume("acme", "exports")
    wait_out(enforcer)
    store.how, store.script = "refused", [None, None, "lost"]
    enforcer.consume("acme", "pings")
    wait_out(enforcer)
    store.how = None
    enforcer.consume("acme", "pings")
    assert (5,) == used(store, "exports")


def policy_of(enforcer):
    """Return the outage policy of an enforcer."""
    return enforcer._store._store.policy


class Far:
    """The store of an enforcer, so many microseconds away on a clock of its own."""

    via = "store"

    def __init__(self, enforcer, away):
        self._store, self._away, self.now, self.asked = enforcer._store._store._store, away, monotonic(), []
        enforcer._store._store._store = self
        policy_of(enforcer).clock = lambda: self.now

    def execute(self, order):
        self.asked.append((order, self.now + deadline_of(order)))
        self.now += self._away
        return self._store.execute(order)


def test_what_waits_is_brought_in_half_of_a_calls_time_and_nothing_is_asked_beyond_it(enforcer, store):
    store.how = "refused"
    for _ in range(60):
        enforcer.consume("acme", "exports")
    store.how = None
    wait_out(enforcer)
    far, waiting = Far(enforcer, 4_000), []
    while policy_of(enforcer).journal.queue:
        far.asked.clear()
        until = far.now + 50_000
        assert not enforcer.consume("acme", "mails").degraded
        assert {until} == {ends for _, ends in far.asked}
        assert far.now <= until
        waiting.append(len(policy_of(enforcer).journal.queue))
    assert [60 - 7 * calls for calls in range(1, 9)] + [0] == waiting
    assert (60,) == used(store, "exports")


def test_a_call_whose_time_is_spent_on_what_waits_is_degraded_and_not_asked(enforcer, store):
    store.how = "refused"
    enforcer.consume("acme", "exports")
    store.how = None
    wait_out(enforcer)
    far = Far(enforcer, 60_000)
    assert enforcer.consume("acme", "mails").degraded
    assert ["exports"] == [part.limit.name for order, _ in far.asked for part in order.parts]


@pytest.mark.parametrize("how", ["refused", "lost"])
@pytest.mark.parametrize("back", [False, True])
def test_a_charge_that_waits_behind_many_is_refunded_and_repeated_as_if_it_were_there(enforcer, store, how, back):
    store.how = how
    for number in range(3 * REPLAYED_OWN):
        last = enforcer.consume("acme", "exports", key=f"k{number}")
    store.how = None if back else "refused"
    wait_out(enforcer)
    again = enforcer.consume("acme", "exports", key=f"k{number}")
    assert (True, True) == (again.allowed, again.replayed)
    assert enforcer.refund(last)
    store.how = None
    wait_out(enforcer)
    enforcer.consume("acme", "pings")
    while policy_of(enforcer).journal.queue:  # how much a call brings along depends on the machine
        enforcer.consume("acme", "pings")
    assert not enforcer.refund(last)
    assert (3 * REPLAYED_OWN - 1,) == used(store, "exports")


def test_a_refund_does_not_overtake_its_charge_that_is_on_its_way(enforcer, store):
    store.how = "refused"
    decision = enforcer.consume("acme", "exports", 3)
    store.how = None
    wait_out(enforcer)
    policy = policy_of(enforcer)
    policy.breaker._enter(State.CLOSED)
    course = policy.course(Charge("acme", (Part(POLICY.limits["pings"], 1),)))
    on_its_way = next(course)
    assert enforcer.refund(decision)
    course.send(store.execute(on_its_way))
    course.close()
    assert (3,) == used(store, "exports")
    enforcer.consume("acme", "pings")
    assert (0,) == used(store, "exports")


def test_an_entry_whose_bringer_was_cancelled_may_have_been_carried_out(enforcer, store):
    store.how = "refused"
    decision = enforcer.consume("acme", "exports", 3)
    store.how = None
    wait_out(enforcer)
    course = policy_of(enforcer).course(Charge("acme", (Part(POLICY.limits["pings"], 1),)))
    store.execute(next(course))
    with pytest.raises(asyncio.CancelledError):
        course.throw(asyncio.CancelledError())
    assert enforcer.refund(decision)
    wait_out(enforcer)
    enforcer.consume("acme", "pings")
    assert (0,) == used(store, "exports")


# --- Unknown outcomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["leads", "exports", "seats"])
def test_a_charge_whose_reply_is_lost_is_repeated_by_its_id_and_counts_once(enforcer, store, hook, limit):
    store.script = ["lost"]
    decision = enforcer.consume("acme", limit)
    assert (True, Reason.WITHIN_LIMIT, "store", False) == said(decision)
    assert (1, False) == (decision.used, decision.replayed)
    assert (1,) == used(store, limit)
    assert [events.OutcomeUnknown("Charge", repeated=True)] == hook.of(events.OutcomeUnknown)
    assert enforcer.refund(decision)


def test_a_keyed_charge_whose_reply_is_lost_is_no_replay_but_its_callers_repeat_is(enforcer, store):
    store.script = ["lost"]
    assert not enforcer.consume("acme", "leads", key="a").replayed
    store.script = ["lost"]
    assert enforcer.consume("acme", "leads", key="a").replayed
    assert (1,) == used(store, "leads")


def test_a_rate_alone_is_never_repeated(enforcer, store, hook):
    store.script = ["lost"]
    assert enforcer.consume("acme", "api").degraded
    assert 1 == len(store.asked)
    assert [events.OutcomeUnknown("Charge", repeated=False)] == hook.of(events.OutcomeUnknown)


def test_what_was_not_done_is_not_repeated(enforcer, store):
    store.script = ["refused"]
    assert enforcer.consume("acme", "exports").degraded
    assert 1 == len(store.asked)


# --- The breaker, and what is told --------------------------------------------------------------------------------


def test_after_five_failures_the_store_is_not_asked(enforcer, store):
    store.how = "refused"
    for _ in range(50):
        enforcer.consume("acme", "api")
    assert 5 == len(store.asked)


@pytest.mark.parametrize("how", ["full"])
def test_a_full_pool_is_no_failure_of_the_store(enforcer, store, how):
    store.how = how
    for _ in range(50):
        assert enforcer.consume("acme", "api", 1).degraded
    assert 50 == len(store.asked)


@pytest.mark.parametrize("how", ["silent", "refused"])
def test_what_is_noticed_long_after_its_deadline_is_this_processs_stall(enforcer, store, how):
    """A loop that is behind misses deadlines, those of calls that wait for a connection included."""
    policy, now = policy_of(enforcer), [monotonic()]
    policy.clock = lambda: now[0]

    class Stalled:
        via = "store"

        def execute(self, order):
            now[0] += 2 * deadline_of(order)
            return store.execute(order)

    enforcer._store._store._store = Stalled()
    for _ in range(30):
        store.how = how
        assert enforcer.consume("acme", "mails").degraded
        store.how, policy.breaker._replied_at = None, now[0]
    assert policy.breaker.state is State.CLOSED


def test_questions_that_only_the_store_can_answer_raise_and_ask_nothing_while_it_is_open(enforcer, store):
    store.how = "refused"
    for _ in range(5):
        enforcer.consume("acme", "api")
    for ask in (
        lambda: enforcer.usage("acme"),
        lambda: enforcer.holders("acme", "seats"),
        lambda: enforcer.release("acme", "seats"),
        lambda: enforcer.set_usage("acme", "seats", 1),
        lambda: enforcer.forget("acme"),
    ):
        with pytest.raises(StoreError, match="it is refused; the next attempt is in"):
            ask()
    assert 5 == len(store.asked)


def test_what_is_corrupt_is_told_and_never_decided_around(enforcer, store):
    store.how = "corrupt"
    for _ in range(9):
        with pytest.raises(Corrupt):
            enforcer.consume("acme", "pings")
    store.how = None
    assert not enforcer.consume("acme", "pings").degraded


def test_static_answers_and_features_never_notice(enforcer, store):
    store.how = "refused"
    decision = enforcer.consume("acme", "api", 11)
    assert (Reason.NEVER_FITS, "static", False) == (decision.reason, decision.via, decision.degraded)
    assert enforcer.can("acme", "api")
    assert [] == store.asked


def test_hooks_are_told_of_every_degraded_decision_by_mode_and_of_every_state(enforcer, store, hook):
    store.how = "refused"
    for limit in ("api", "leads", "exports", "free", "api"):
        enforcer.consume("acme", limit)
    store.how = None
    wait_out(enforcer)
    enforcer.consume("acme", "api")
    assert ["local", "deny", "allow", "allow", "local"] == [each.mode for each in hook.of(events.Degraded)]
    changes = [(each.before, each.after) for each in hook.of(events.BreakerChanged)]
    assert [("closed", "open"), ("open", "half-open"), ("half-open", "closed")] == changes


def test_one_warning_is_logged_for_each_change(enforcer, store, caplog):
    caplog.set_level(logging.WARNING, "entitlements.stores")
    for _ in range(3):
        store.how = "refused"
        for _ in range(20):
            enforcer.consume("acme", "api")
        store.how = None
        wait_out(enforcer)
        enforcer.consume("acme", "api")
    logged = [record.getMessage() for record in caplog.records]
    assert 6 == len(logged)
    assert all("failing" in each and "it is refused" in each for each in logged[::2])
    assert all("recovered; 20 decided locally" in each for each in logged[1::2])


# --- Settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "4", True])
def test_a_number_of_processes_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="expected_processes"):
        Enforcer(POLICY, expected_processes=wrong)
    with pytest.raises(ValueError, match="expected_processes"):
        AsyncEnforcer(POLICY, expected_processes=wrong)


def test_web_concurrency_says_how_many_processes_there_are(store, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "5")
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store)
    store.how = "refused"
    assert 2 == sum(enforcer.consume("acme", "api").allowed for _ in range(9))


def test_where_nobody_says_one_process_is_supposed_with_one_warning(store, monkeypatch, caplog):
    monkeypatch.setenv("WEB_CONCURRENCY", "many")
    monkeypatch.setattr("entitlements.stores.workers._warned", set())
    for _ in range(3):
        enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store)
    store.how = "refused"
    assert 10 == sum(enforcer.consume("acme", "api").allowed for _ in range(20))
    assert 1 == caplog.text.count("pass expected_processes=")


def test_the_embedded_store_needs_none_of_this(caplog):
    assert "Outage" not in repr(Enforcer(POLICY)._store)
    assert "" == caplog.text


# --- Event loops --------------------------------------------------------------------------------------------------


async def test_an_event_loop_gets_the_same(hook):
    store = AsyncFlaky(MemoryStore())
    flaky = store.flaky
    enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=store, hooks=[hook], expected_processes=2)
    await enforcer.consume("acme", "api", 2)
    flaky.how = "refused"
    assert 3 == sum([(await enforcer.consume("acme", "api")).allowed for _ in range(9)])
    assert "journal" == (await enforcer.consume("acme", {"free": 3})).via
    assert UNLIMITED is (await enforcer.consume("acme", "free")).limit
    assert Reason.STORE_UNAVAILABLE is (await enforcer.consume("acme", "leads")).reason
    with pytest.raises(StoreError):
        await enforcer.usage("acme")
    flaky.how = None
    wait_out(enforcer)
    assert 5 == (await enforcer.consume("acme", "free")).used


@pytest.mark.parametrize("key", [None, "once"])
async def test_an_answer_that_cannot_be_read_ends_the_call_with_its_error(key):
    class Odd(AsyncFlaky):
        async def execute(self, order):
            return Outcome(Status.REFUSED, 1)  # refused, and says nothing of any limit

    enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=Odd(MemoryStore()), expected_processes=1)
    with pytest.raises(ValueError, match="zip"):
        await enforcer.consume("acme", "api", key=key)


def refusing(queued):
    """Return a store that takes everything but a queued charge of this limit, which it cannot encode."""

    class Refusing(Flaky):
        def execute(self, order, /):
            if isinstance(order, Charge) and order.parts[0].limit.name == queued and order.parts[0].size is UNLIMITED:
                raise ValueError("too many limits")
            return super().execute(order)

    return Refusing(MemoryStore())


def test_a_queued_order_that_the_store_cannot_take_is_lost_and_fails_no_other_call(hook, caplog):
    store = refusing("exports")
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store, hooks=[hook], expected_processes=1)
    store.how = "refused"
    assert enforcer.consume("acme", "exports").allowed
    store.how = None
    wait_out(enforcer)
    assert "store" == enforcer.consume("acme", "leads").via
    assert "a queued Charge is lost: too many limits" in caplog.text
    assert 1 == hook.of(events.Journalled)[-1].lost
    assert 0 == len(policy_of(enforcer).journal.queue)


async def test_an_event_loop_loses_such_an_order_too_and_fails_no_other_call():
    store = AsyncFlaky(MemoryStore())
    store.flaky = refusing("exports")
    enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=1)
    store.flaky.how = "refused"
    assert (await enforcer.consume("acme", "exports")).allowed
    store.flaky.how = None
    wait_out(enforcer)
    assert "store" == (await enforcer.consume("acme", "leads")).via
    assert 0 == len(policy_of(enforcer).journal.queue)


async def test_a_cancelled_trial_says_nothing_of_the_store_and_blocks_nobody():
    class Slow(AsyncFlaky):
        """Takes for ever once it is told to."""

        slow = False

        async def execute(self, order):
            if self.slow:
                await asyncio.sleep(60)
            return await super().execute(order)

    store = Slow(MemoryStore())
    enforcer = AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=1)
    store.flaky.how = "refused"
    for _ in range(6):
        await enforcer.consume("acme", "api")
    wait_out(enforcer)
    store.flaky.how, store.slow = None, True
    trial = asyncio.create_task(enforcer.consume("acme", "api"))
    await asyncio.sleep(0)
    assert (await enforcer.consume("acme", "api")).degraded
    trial.cancel()
    await asyncio.wait([trial])
    store.slow = False
    assert not (await enforcer.consume("acme", "api")).degraded


@pytest.mark.parametrize("limit", ["api", "burst", "shadow"])
@pytest.mark.parametrize("processes", [1, 4])
def test_the_short_way_of_one_limit_says_what_the_long_way_would(store, limit, processes):
    enforcer = Enforcer(POLICY, accounts={"acme": "one"}, store=store, expected_processes=processes)
    enforcer.consume("acme", limit)
    resolved = enforcer._cache.by_id["acme"]
    prepared = resolved.charges[limit]
    order = resolved.made[prepared]
    decide_long = DecisionBuilder(prepared.limits, prepared.parts)
    decide_long._only = None
    store.how = "refused"
    degraded = 0
    for _ in range(12):
        outcome = enforcer._store.execute(order)
        short, long = prepared.decide("acme", outcome, "store"), decide_long("acme", outcome, "store")
        assert long.to_dict() == short.to_dict()
        assert receipt_of(long) == receipt_of(short)
        degraded += short.degraded
    assert degraded


def test_what_waits_of_an_account_comes_first_however_often_others_have_failed(store):
    """A store that has failed for a few of many is still asked, and then in the order in which an account has asked."""
    enforcer = Enforcer(POLICY, accounts={"acme": "one", "busy": "one"}, store=store, expected_processes=1)
    for _ in range(60):
        enforcer.consume("busy", "pings")
    store.how = "refused"
    assert enforcer.assign("acme", "rooms", "bob").allowed
    for _ in range(6):
        enforcer.consume("busy", "pings")
    assert policy_of(enforcer).breaker.state is State.CLOSED
    store.how = None
    assert enforcer.unassign("acme", "rooms", "bob")
    assert () == enforcer.holders("acme", "rooms")
