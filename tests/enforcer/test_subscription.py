"""A subscription to invalidations: it delivers, asks for signs of life, gives up, and connects again later each time."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from topologies import wait_until

from entitlements import Account, AsyncEnforcer, Enforcer, Policy
from entitlements.accounts.static import StaticAccounts
from entitlements.invalidations.copies import AccountCopies
from entitlements.invalidations.subscription import IDLE, PAUSES, SILENCE, Subscription
from entitlements.resolved_cache import ResolvedCache

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "features": {"sso": "Single sign-on."},
    "tiers": {"low": {"rank": 1}, "high": {"rank": 2, "features": ["sso"]}},
})  # fmt: skip


class Feed:
    """A feed over a pair of sockets: what is sent to the other end are ids, by lines."""

    def __init__(self):
        self.here = self.there = None
        self.pings = 0

    def connect(self, timeout):
        self.here, self.there = socket.socketpair()
        self.here.setblocking(False)

    def fileno(self):
        return self.here.fileno()

    def send(self, *ids):
        self.there.sendall("".join(f"{id}\n" for id in ids).encode())

    def read(self):
        try:
            data = self.here.recv(65_536)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionError("the other end hung up")
        return [(id, None) for id in data.decode().split()]

    def ping(self):
        self.pings += 1

    def close(self):
        for end in (self.here, self.there):
            if end is not None:
                end.close()
        self.here = self.there = None

    disown = close


class Listening:
    """A source of accounts with a feed of its own, as a database with LISTEN has."""

    def __init__(self):
        self.tier, self.feeds = "low", []

    def find(self, id):
        return Account(id, self.tier)

    def invalidations(self):
        self.feeds.append(Feed())
        return self.feeds[-1]


@pytest.fixture
def copies():
    return AccountCopies(ResolvedCache(POLICY), None)


@pytest.fixture
def feed():
    feed = Feed()
    yield feed
    feed.close()


def connected(feed, copies, now=0.0):
    subscription = Subscription(feed, copies)
    feed.connect(1)
    subscription.connected(now)
    return subscription


def test_a_silent_feed_is_asked_once_and_given_up_later(feed, copies):
    subscription = connected(feed, copies)
    subscription.poll(IDLE)
    assert 0 == feed.pings
    subscription.poll(IDLE + 1)
    subscription.poll(IDLE + 1 + SILENCE)
    assert (1, True) == (feed.pings, subscription.is_connected)
    subscription.poll(IDLE + 2 + SILENCE)
    assert (1, False) == (feed.pings, subscription.is_connected)


def test_a_sign_of_life_keeps_a_feed(feed, copies):
    subscription = connected(feed, copies)
    for turn in range(1, 5):
        subscription.poll(turn * (IDLE + 1))
        feed.send("")
        subscription.poll(turn * (IDLE + 1) + SILENCE / 2)
    assert subscription.is_connected


def test_attempts_come_later_each_time_and_the_first_after_a_loss_at_once(feed, copies):
    subscription, pauses = Subscription(feed, copies), []
    for now in range(0, 1000, 100):
        subscription.failed(OSError("no"), now)
        pauses.append(subscription.retry_at - now)
    assert (PAUSES[0], 2 * PAUSES[0], PAUSES[1]) == (pauses[0], pauses[1], pauses[-1])
    subscription = connected(feed, copies, 2000.0)
    feed.there.close()
    released = []
    subscription.poll(2001.0, lambda: released.append(feed.fileno()))
    assert (False, 2001.0, 1) == (subscription.is_connected, subscription.retry_at, len(released))


def test_a_row_of_failures_is_told_once_and_so_is_their_end(feed, copies, caplog):
    caplog.set_level("INFO")
    subscription = Subscription(feed, copies)
    for now in range(3):
        subscription.failed(OSError("no way"), now)
    feed.connect(1)
    subscription.connected(4)
    assert ["WARNING", "INFO"] == [each.levelname for each in caplog.records]
    assert "no way" in caplog.text


def test_the_messages_of_a_source_of_accounts_reach_can(copies):
    source = Listening()
    with Enforcer(POLICY, accounts=source) as enforcer:
        assert not enforcer.can("acme", "sso")
        source.tier = "high"
        source.feeds[0].send("acme")
        wait_until(lambda: enforcer.can("acme", "sso"), "the message")


async def test_the_messages_of_a_source_of_accounts_reach_can_on_an_event_loop():
    source = Listening()
    async with AsyncEnforcer(POLICY, accounts=source) as enforcer:
        handle = await enforcer.account("acme")
        source.tier = "high"
        source.feeds[0].send("acme")
        ends = time.monotonic() + 20
        while not handle.can("sso"):
            assert time.monotonic() < ends
            await asyncio.sleep(0.001)


def test_a_source_without_messages_has_no_listener():
    with Enforcer(POLICY, accounts=StaticAccounts({"acme": "low"})) as enforcer:
        assert not enforcer.can("acme", "sso")
        assert enforcer._listener is None
