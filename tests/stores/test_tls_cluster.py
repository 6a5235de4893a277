"""A cluster that speaks TLS only: every connection to every node checks its certificate."""

from __future__ import annotations

import asyncio

import pytest
from deadlines import LONG, patient
from redis.crc import key_slot

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.model.charge import Part, Read
from entitlements.model.instants import HOUR
from entitlements.model.limits import Rate
from entitlements.stores.errors import Unreachable
from entitlements.stores.redis import RedisStore
from entitlements.stores.redis.keys import account_key

ACCOUNTS = [f"a{number}" for number in range(30)]
BOTH = {"api": 1, "leads": 1}
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": patient({"api": {"kind": "rate"}, "leads": {"kind": "quota"}}),
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000000 per hour", "leads": 1_000_000}}},
})  # fmt: skip


def charged(node):
    """Return how many charges a node has carried out."""
    with node.client() as client:
        return client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]


def test_charges_of_threads_and_tasks_reach_their_nodes_and_follow_a_slot_that_moves(tls_cluster):
    moved = key_slot(account_key("ent", ACCOUNTS[0]))
    options = {"accounts": dict.fromkeys(ACCOUNTS, "one"), "store": tls_cluster.url, "expected_processes": 2}

    async def by_tasks(enforcer):
        return await asyncio.gather(*[enforcer.consume(account, BOTH) for account in ACCOUNTS])

    async def charge():
        async with AsyncEnforcer(POLICY, **options) as on_loop:
            with Enforcer(POLICY, **options) as threads:
                decisions = await by_tasks(on_loop)
                decisions += [threads.consume(account, BOTH) for account in ACCOUNTS]
                await asyncio.to_thread(tls_cluster.migrate, moved)
                decisions += await by_tasks(on_loop)
                decisions += [threads.consume(account, BOTH) for account in ACCOUNTS]
                return decisions, [threads.usage(account)["leads"].used for account in ACCOUNTS]

    decisions, used = asyncio.run(charge())

    assert tls_cluster.url.startswith("rediss+cluster://")
    assert {("store", True, False)} == {(each.via, each.allowed, each.degraded) for each in decisions}
    assert [4] * len(ACCOUNTS) == used
    assert min(charged(node) for node in tls_cluster.nodes) > 0


def test_a_cluster_whose_certificate_is_not_trusted_is_refused(tls_cluster):
    order = Read("acme", (Part(Rate("api", HOUR, deadline=LONG), 1),))
    store = RedisStore(tls_cluster.url.partition("?")[0])
    try:
        with pytest.raises(Unreachable, match="certificate"):
            store.execute(order)
    finally:
        store.close()
