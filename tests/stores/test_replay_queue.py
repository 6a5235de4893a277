"""The queue of a replay journal against a plain model: order, bounds, turns and listeners."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.model.answers import Line, Outcome, Status
from entitlements.model.charge import Charge, Forget, Part, Refund, Release, Settle, SetUsage, Unassign, Verb
from entitlements.model.instants import HOUR, MINUTE, SECOND
from entitlements.model.limits import Allocation, Quota
from entitlements.model.sequence import sequence_id
from entitlements.stores.resilience.replay_queue import JournalEntry, ReplayQueue

NOW = 1_000 * SECOND
LEADS = Part(Quota("leads"), 9, 2, (0, 1, 2, 3))
SEATS = Part(Allocation("seats"), 9, 1)
ACCOUNTS = {"a": "one", "b": "one", "c": "two"}
"""Accounts and their servers."""


def charge(account, operation, **named):
    return Charge(account, (LEADS,), operation=operation, **named)


class Listener:
    """Counts the calls."""

    def __init__(self, queue):
        self.heard = 0
        queue.listen(self.hear)

    def hear(self):
        self.heard += 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add refund", "add two", "take", "take any", "put back", "done", "drop"]),
        st.sampled_from(sorted(ACCOUNTS)),
        st.integers(0, 9),
    ),
    min_size=5,
    max_size=40,
)


@given(STEPS)
def test_entries_of_an_account_go_in_order_one_at_a_time_and_the_account_that_waits_longest_first(steps):
    queue = ReplayQueue(capacity=5, server_of=ACCOUNTS.__getitem__)
    listener, heard = Listener(queue), 0
    waiting, out, order = {account: [] for account in ACCOUNTS}, {}, []
    number = 0

    def left():
        return sum(map(len, waiting.values())) + len(out)

    def gone(account):
        if not waiting[account]:
            order.remove(account)

    for step, account, place in steps:
        turn = queue.turn_of(account) if step in ("put back", "done") else None
        assert (turn is not None) == (step in ("put back", "done") and account in out)
        if step.startswith("add"):
            new = []
            for _ in range(1 + (step == "add two")):
                number += 1
                make = Refund if step == "add refund" else charge
                new.append(JournalEntry(make(account, f"o:{number}")))
            before = left()
            assert (before + len(new) <= 5) == queue.add(*new)
            if before + len(new) <= 5:
                heard += before == 0
                if not waiting[account]:
                    order.append(account)
                waiting[account] += new
        elif step == "take":
            entry = queue.take(account)
            assert entry is (waiting[account][0] if waiting[account] and account not in out else None)
        elif step == "take any":
            entry = queue.take(server=ACCOUNTS[account])
            first = next((each for each in order if ACCOUNTS[each] == ACCOUNTS[account] and each not in out), None)
            assert entry is (waiting[first][0] if first else None)
        elif account in out and step in ("put back", "done"):
            entry = out.pop(account)
            (queue.put_back if step == "put back" else queue.done)(entry)
            assert turn.done()
            if step == "put back":
                order[:] = [account, *(each for each in order if each != account)]
                waiting[account].insert(0, entry)
            else:
                heard += left() == 0
        elif step == "drop" and (known := [*waiting[account], *out.values()]):
            entry = known[place % len(known)]
            holder = entry.order.account
            can = out.get(holder) is not entry
            assert can == queue.drop(entry)
            if can:
                waiting[holder].remove(entry)
                gone(holder)
                heard += left() == 0
        if step.startswith("take") and entry is not None:
            holder = entry.order.account
            out[holder] = waiting[holder].pop(0)
            gone(holder)
        assert (left(), heard) == (len(queue), listener.heard)
        assert {ACCOUNTS[each] for each in order} == set(queue.servers())
        for each, server in ACCOUNTS.items():
            concerned = each in out or any(waiting[other] for other in ACCOUNTS if ACCOUNTS[other] == server)
            assert concerned == queue.concerns(each)
            held = [*waiting[each], *([out[each]] if each in out else [])]
            assert bool(held) == queue.precedes(Forget(each))
            assert any(isinstance(entry.order, Refund) for entry in held) == queue.precedes(
                Charge(each, (SEATS,), Verb.ASSIGN, operation="o:seat")
            )
        for entry in [entry for entries in [*waiting.values(), out.values()] for entry in entries]:
            named = entry.order.account, entry.order.operation
            if isinstance(entry.order, Charge):
                assert queue.find(*named) is entry
            else:
                assert queue.has_refund(entry.order)
                assert queue.precedes(charge(*named, keyed=True))


@pytest.mark.parametrize(
    "order",
    [
        Settle("a", "o:1", ()),
        Release("a", "seats", 1),
        Unassign("a", "seats", "ann"),
        SetUsage("a", LEADS),
        Forget("a"),
    ],
    ids=lambda order: type(order).__name__,
)
def test_what_takes_back_follows_the_entries_of_its_account_also_while_one_is_out(order):
    queue = ReplayQueue()
    assert not queue.precedes(order)
    queue.add(JournalEntry(charge("a", "o:1")), JournalEntry(charge("b", "o:2")))
    assert queue.precedes(order)
    entry = queue.take("a")
    assert queue.precedes(order)
    queue.done(entry)
    assert not queue.precedes(order)


def test_a_refund_that_waits_behind_its_charge_learns_what_the_charge_took():
    queue, refund, other = ReplayQueue(), JournalEntry(Refund("a", "o:1")), JournalEntry(Refund("a", "o:2"))
    queue.add(JournalEntry(charge("a", "o:1")), refund, other)
    line = Line(True, 2)
    queue.note_taken(charge("a", "o:1"), Outcome(Status.ADMITTED, NOW, (line,)))
    queue.note_taken(charge("a", "o:2"), Outcome(Status.REPLAYED, NOW, ()))
    queue.note_taken(charge("a", "o:3"), Outcome(Status.ADMITTED, NOW, (line,)))

    assert (((LEADS, line),), NOW) == (refund.order.taken, refund.order.charged_at)
    assert ((), None) == (other.order.taken, other.order.charged_at)


@pytest.mark.parametrize(
    ("operation", "kept"), [("o:1", 9 * MINUTE), ("k:1", 23 * HOUR), (sequence_id("0" * 16, 1), None)]
)
@pytest.mark.parametrize("make", [charge, Refund])
def test_an_entry_that_may_have_reached_the_store_is_repeated_as_long_as_the_store_knows_its_operation(
    make, operation, kept
):
    entry = JournalEntry(make("a", operation), sent=NOW)

    assert not entry.is_too_old(NOW + (kept or 365 * 24 * HOUR))
    assert (kept is not None) == entry.is_too_old(NOW + (kept or 365 * 24 * HOUR) + 1)
    assert not JournalEntry(make("a", operation)).is_too_old(NOW + 365 * 24 * HOUR)
    assert not queue_of(entry).drop(entry)


def queue_of(*entries):
    queue = ReplayQueue()
    assert queue.add(*entries)
    return queue


def test_a_forked_child_begins_with_an_empty_queue():
    queue = queue_of(JournalEntry(charge("a", "o:1")), JournalEntry(Refund("b", "o:2")))
    listener = Listener(queue)
    queue.take("a")
    queue.renew()

    assert (0, [], 1) == (len(queue), queue.servers(), listener.heard)
    assert (None, None, None) == (queue.find("a", "o:1"), queue.take("b"), queue.turn_of("a"))
    assert queue.add(JournalEntry(charge("a", "o:1")))


def test_an_account_that_has_moved_waits_for_its_new_server():
    servers = {"a": "one", "b": "one"}
    queue = ReplayQueue(server_of=servers.__getitem__)
    first, second = JournalEntry(charge("a", "o:1")), JournalEntry(charge("b", "o:2"))
    queue.add(first, second)
    servers["a"] = "two"

    assert (second, None) == (queue.take(server="one"), queue.take(server="one"))
    assert ["two"] == queue.servers()
    assert first is queue.take(server="two")
