"""Sequence and acknowledgement count each order once: random histories, and each rule left out in turn."""

from __future__ import annotations

import pytest
from sequence_model import HOLES, KEPT, TTL, Account, History, Message, Order, Process

SCRIPTED = {"key freed without time", "no mark by key", "no void by gone"}
"""Holes that random histories meet too seldom; a story below finds each."""


def test_no_order_counts_twice_and_none_that_was_promised_is_missing():
    assert [] == [found for seed in range(1_500) if (found := History(seed).run())]


@pytest.mark.parametrize("hole", sorted(HOLES.keys() - SCRIPTED - {"none"}))
def test_each_rule_is_needed(hole):
    assert any(History(seed, hole).run() for seed in range(1_200))


# --- Stories ------------------------------------------------------------------------------------------------------


class Caller:
    """Sends orders of one producer to an account, one message at a time."""

    def __init__(self, account: Account, producer: int = 0) -> None:
        self.account, self.process = account, Process(producer, account.now)

    def order(self, state: str = "charge", **named) -> Order:
        """Return a new order of the next number."""
        order = Order(
            100 * (self.process.producer + 1) + self.process.next_number(),
            self.process,
            self.process.number,
            "deny",
            state,
            **named,
        )
        order.seen, order.made = self.account.now, self.account.now
        return order

    def message(self, order: Order, attempt: int = 1, *, floor: int = 0, kind: str = "") -> Message:
        """Return an attempt of an order, as it is sent now."""
        return Message(
            kind or order.state, order, self.process.producer, order.number, floor or order.number, attempt, order.seen
        )


@pytest.fixture(params=["none", *sorted(SCRIPTED)])
def account(request):
    """An account with room for two units."""
    return Account(2, request.param)


def test_a_message_from_before_its_key_was_freed_is_not_carried_out(account):
    """Another process repeats a charge by its key and refunds it; then the first message arrives."""
    here, there = Caller(account), Caller(account, 1)
    order = here.order(key="a")
    original = here.message(order)
    again = there.order(key="a")
    assert "admitted" == account.handle(there.message(again))[0]
    again.unit, again.made = again.id, account.now
    assert "done" == account.handle(there.message(there.order("refund", of=again)))[0]

    assert ("again" if account.hole != "key freed without time" else "admitted") == account.handle(original)[0]


def test_a_repeat_that_its_key_answers_makes_the_original_a_repeat(account):
    """The original arrives after the key has expired."""
    here, there = Caller(account), Caller(account, 1)
    order = here.order(key="a")
    original = here.message(order)
    account.handle(there.message(there.order(key="a")))
    account.now += KEPT // 2
    assert "admitted" == account.handle(here.message(order, 2))[0]
    account.now += KEPT // 2
    account.handle(original)

    assert (1 if account.hole != "no mark by key" else 2) == account.used()


def test_a_commit_that_was_told_the_reservation_is_gone_does_not_charge_later(account):
    """The account is full when the repeated commit arrives, and has room when the first one does."""
    here, there = Caller(account), Caller(account, 1)
    reserved = here.order("reserve")
    account.handle(here.message(reserved))
    account.now += TTL
    commit = here.order("commit", of=reserved)
    others = [there.order() for _ in range(2)]
    for other in others:
        account.handle(there.message(other))
        other.unit = other.id
    assert "gone" == account.handle(here.message(commit, 2))[0]
    account.handle(there.message(there.order("refund", of=others[0])))
    account.handle(here.message(commit))

    assert (1 if account.hole != "no void by gone" else 2) == account.used()
