"""Invalidations in a networked store: each gives the account a new version, and reaches every feed of the namespace."""

from __future__ import annotations

import asyncio
import os
import select
from contextlib import closing

import pytest
from proxy import proxied

from entitlements.errors import StoreError
from entitlements.model.charge import Charge, Forget, Invalidate, Part
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Rate
from entitlements.model.versions import KEPT
from entitlements.stores.redis import AsyncRedisStore, RedisStore
from entitlements.stores.redis.acl import acl_rules
from entitlements.stores.redis.keys import account_key

WAIT = 20.0
"""Seconds for what takes milliseconds: a busy machine is slow."""
API = Rate("api", HOUR, deadline=20 * SECOND)


def connected(url):
    """Return a store and its feed, connected."""
    store = RedisStore(url)
    feed = store.invalidations()
    feed.connect(WAIT)
    return store, feed


def heard(feed, most=1):
    """Return what the feed brings, once it has brought so many messages."""
    found = []
    while len(found) < most:
        assert select.select([feed], [], [], WAIT)[0], "nothing has arrived"
        found += feed.read() or []
    return found


def invalidated(store, *accounts):
    return [(each, store.execute(Invalidate(each)).version) for each in accounts]


def check(url):
    """Check that an invalidation by one store reaches the feed of another one, and of an asyncio one."""
    store, feed = connected(url)
    other = AsyncRedisStore(url).invalidations()
    other.connect(WAIT)
    sent = invalidated(store, "acme", "zoë:{x}", "acme")
    assert sorted(sent) == sorted(heard(feed, 3))
    assert sorted(sent) == sorted(heard(other, 3))
    assert sent[0][1] < sent[2][1]
    feed.ping()
    assert [] == wait(feed)
    for each in (feed, other, store):
        each.close()


def wait(feed):
    """Return the first thing that the feed brings."""
    assert select.select([feed], [], [], WAIT)[0], "nothing has arrived"
    return feed.read()


# --- Where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_every_server_passes_invalidations_on(server, protocol):
    check(f"{server.url}?protocol={protocol}")


def test_a_unix_socket_passes_invalidations_on(unix_server):
    check(unix_server.url)


def test_tls_passes_invalidations_on(tls_server):
    check(tls_server.url)


def test_the_primary_of_sentinels_passes_invalidations_on(sentinel):
    check(sentinel.url)


@pytest.mark.slow  # on a busy machine the nodes of a new cluster may not all be linked yet, and messages are lost
def test_any_server_of_a_cluster_passes_invalidations_on(cluster):
    check(cluster.url)
    feeds = []
    for node in cluster.nodes:
        feed = RedisStore(node.url.replace("redis:", "redis+cluster:")).invalidations()
        feed.connect(WAIT)
        feeds.append(feed)
    with closing(RedisStore(cluster.url)) as store:
        sent = invalidated(store, *(f"a{number}" for number in range(20)))
    for feed in feeds:
        seen = set()
        while not seen >= set(sent):  # an order whose reply is late is sent again, with a message of its own
            seen |= set(heard(feed, 1))
        feed.close()


def test_a_cluster_is_reached_by_any_node_once_the_one_of_the_url_is_gone(cluster):
    with proxied(cluster.nodes[0].port, scheme="redis+cluster") as proxy:
        feed = RedisStore(proxy.url).invalidations()
        feed.connect(WAIT)
        feed.close()
        proxy.refuse()
        feed.connect(WAIT)
    with closing(RedisStore(cluster.url)) as store:
        assert invalidated(store, "acme") == heard(feed)
    feed.close()


def test_the_documented_rights_are_enough(acl_server):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    check(acl_server.user(*acl_rules("ent", family)))


def test_a_namespace_has_messages_of_its_own(valkey):
    store, feed = connected(f"{valkey.url}?namespace=a")
    with closing(RedisStore(f"{valkey.url}?namespace=b")) as other:
        invalidated(other, "acme")
    sent = invalidated(store, "acme")
    assert sent == heard(feed)
    feed.close()
    store.close()


# --- What goes wrong ------------------------------------------------------------------------------------------------


def test_without_the_right_to_publish_the_version_counts_and_the_reason_is_told(acl_server):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    few = [rule for rule in acl_rules("ent", family) if rule != "+publish"]
    with closing(RedisStore(acl_server.user(*few))) as store:
        told = store.execute(Invalidate("acme"))
        again = store.execute(Invalidate("acme"))
    assert told.version < again.version
    assert told.failure


def test_without_the_right_to_the_channel_a_feed_says_so(acl_server):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    few = [rule for rule in acl_rules("ent", family) if not rule.startswith("&")]
    feed = RedisStore(acl_server.user("resetchannels", *few)).invalidations()
    with pytest.raises(StoreError, match="docs/operating-redis"):
        feed.connect(WAIT)


def test_a_connection_that_ends_is_noticed_and_another_one_follows(valkey):
    store, feed = connected(valkey.url)
    with valkey.client() as admin:
        admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    with pytest.raises(OSError, match="hung up"):
        wait(feed)
    feed.close()
    feed.connect(WAIT)
    assert invalidated(store, "acme") == heard(feed)
    feed.close()
    store.close()


def test_a_server_that_is_silent_is_given_up_in_time(valkey):
    with proxied(valkey.port) as proxy:
        proxy.inject("blackhole", of=b"SUBSCRIBE")
        feed = RedisStore(proxy.url).invalidations()
        with pytest.raises(StoreError):
            feed.connect(0.2)
        proxy.heal()
        feed.connect(WAIT)
        feed.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_leaves_the_connection_to_its_parent(valkey):
    store, feed = connected(valkey.url)
    child = os.fork()
    if not child:
        feed.disown()
        feed.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert invalidated(store, "acme") == heard(feed)
    feed.close()
    store.close()


# --- The record -----------------------------------------------------------------------------------------------------


def test_a_version_outlives_every_account_that_is_in_use_and_then_expires(server):
    with closing(RedisStore(server.url)) as store, server.client() as admin:
        invalidated(store, "acme")
        left = admin.pttl(account_key("ent", "acme"))
        assert KEPT - 60 * SECOND < left * 1000 <= 2 * KEPT


def test_forget_leaves_the_version_and_nothing_else(server):
    with closing(RedisStore(server.url)) as store, server.client() as admin:
        store.execute(Charge("acme", (Part(API, 9),)))
        ((_, version),) = invalidated(store, "acme")
        store.execute(Charge("acme", (Part(API, 9),)))
        store.execute(Forget("acme"))
        key = account_key("ent", "acme")
        assert {b"v": version.to_bytes(8, "big")} == admin.hgetall(key)
        assert 0 < admin.pttl(key) * 1000 <= KEPT
        admin.hset(key, "v", "what is this")
        store.execute(Forget("acme"))
        assert not admin.exists(key)


async def test_an_event_loop_invalidates_too(valkey):
    store = AsyncRedisStore(valkey.url)
    feed = store.invalidations()
    await asyncio.to_thread(feed.connect, WAIT)
    told = await store.execute(Invalidate("acme"))
    assert [("acme", told.version)] == heard(feed)
    feed.close()
    await store.aclose()
