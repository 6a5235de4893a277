"""A store over several servers: one that is away takes along its own accounts, in charges, replay and events."""

from __future__ import annotations

import pytest

from entitlements import Enforcer, MemoryStore, Policy
from entitlements.model.events import BreakerChanged
from entitlements.stores.errors import Unreachable
from entitlements.stores.orders import account_of
from entitlements.testing import RecordingHook

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"exports": {"kind": "quota", "on_outage": "allow"}},
    "tiers": {"one": {"rank": 1, "limits": {"exports": 1000}}},
})  # fmt: skip
SERVERS = {"ann": "A", "art": "A", "bob": "B", "bea": "B", "cid": "C"}


class Servers:
    """Store on several servers, of which some are away."""

    via = "store"

    def __init__(self):
        self.memory, self.where, self.away, self.asked = MemoryStore(), dict(SERVERS), set(), []
        self.server_of = self.where.get

    def execute(self, order):
        account = account_of(order)
        self.asked.append(account)
        if self.where[account] in self.away:
            raise Unreachable(f"server {self.where[account]} is away")
        return self.memory.execute(order)

    def close(self):
        self.memory.close()


@pytest.fixture
def store():
    return Servers()


@pytest.fixture
def hook():
    return RecordingHook()


@pytest.fixture
def enforcer(store, hook):
    return Enforcer(POLICY, accounts=dict.fromkeys(SERVERS, "one"), store=store, hooks=[hook], expected_processes=1)


def policy_of(enforcer):
    return enforcer._store._store.policy


def charge(enforcer, account, times=1):
    """Charge an account; return how many of the charges were decided without the store."""
    return sum(enforcer.consume(account, "exports").degraded for _ in range(times))


def let_probe(enforcer, *servers):
    for server in servers:
        policy_of(enforcer).breaker_at(server)._probe_at = 0


def hold_clock(enforcer):
    """Stop the clock of the outage code, so that what it does within a moment does not depend on the machine."""
    policy = policy_of(enforcer)
    now = policy.clock()
    policy.clock = lambda: now


def used(store, account):
    with Enforcer(POLICY, accounts=dict.fromkeys(SERVERS, "one"), store=store.memory) as reader:
        return reader.usage(account)["exports"].used


def test_charges_of_other_servers_go_on_and_carry_nothing_for_one_that_is_away(store, enforcer):
    store.away = {"A"}
    assert 20 == charge(enforcer, "ann", 10) + charge(enforcer, "art", 10)
    let_probe(enforcer, "A")
    store.asked.clear()

    assert 0 == charge(enforcer, "bob", 10) + charge(enforcer, "cid", 10)
    assert ["bob"] * 10 + ["cid"] * 10 == store.asked


def test_a_charge_carries_what_waits_for_its_own_server(store, enforcer):
    store.away = {"A", "B"}
    assert 30 == charge(enforcer, "ann", 10) + charge(enforcer, "art", 10) + charge(enforcer, "bob", 10)
    store.away = {"B"}
    let_probe(enforcer, "A", "B")
    hold_clock(enforcer)

    assert 0 == charge(enforcer, "ann")
    assert (11, 10, 0) == tuple(used(store, account) for account in ("ann", "art", "bob"))


def test_replay_between_calls_passes_by_a_server_that_is_away(store, enforcer):
    store.away = {"A", "B"}
    charge(enforcer, "ann", 10)
    charge(enforcer, "bob", 10)
    store.away = {"A"}
    let_probe(enforcer, "A", "B")
    hold_clock(enforcer)
    enforcer._store._store.replay()

    assert (0, 10) == (used(store, "ann"), used(store, "bob"))
    assert 10 == len(policy_of(enforcer).journal.queue)


def test_what_waits_for_an_account_that_moves_goes_where_the_account_is(store, enforcer):
    store.away = {"A"}
    charge(enforcer, "ann", 10)
    charge(enforcer, "art", 10)
    store.where["ann"] = "B"

    assert 0 == charge(enforcer, "ann")
    assert 11 == used(store, "ann")
    store.where["art"] = "C"
    let_probe(enforcer, "A")
    hold_clock(enforcer)
    enforcer._store._store.replay()
    enforcer._store._store.replay()
    assert 10 == used(store, "art")


def test_closing_brings_what_waits_to_the_servers_that_are_there(store, enforcer, caplog):
    store.away = {"A", "B"}
    charge(enforcer, "ann", 10)
    charge(enforcer, "bob", 10)
    store.away = {"A"}
    enforcer.close()

    assert (0, 10) == (used(store, "ann"), used(store, "bob"))
    assert "closed with 10 orders still queued" in caplog.text


def test_hooks_are_told_the_worst_state_of_all_servers(store, hook, enforcer):
    store.away = {"A", "B"}
    charge(enforcer, "ann", 10)
    charge(enforcer, "bob", 10)
    store.away = {"B"}
    let_probe(enforcer, "A")
    charge(enforcer, "ann")
    charge(enforcer, "cid")
    assert [("closed", "open")] == [(each.before, each.after) for each in hook.of(BreakerChanged)]
    store.away = set()
    let_probe(enforcer, "B")
    charge(enforcer, "bob")

    assert [("closed", "open"), ("open", "half-open"), ("half-open", "closed")] == [
        (each.before, each.after) for each in hook.of(BreakerChanged)
    ]


def test_usage_of_many_accounts_fails_with_the_error_of_the_server_that_is_away(store, enforcer):
    store.away = {"C"}
    assert {"ann", "bob"} == set(enforcer.usage_of(["ann", "bob"]))
    with pytest.raises(Unreachable, match="server C is away"):
        enforcer.usage_of(["ann", "bob", "cid"])
