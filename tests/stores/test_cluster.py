"""A cluster, from threads and from an event loop: calls go to the node of their slot, follow it, and fail with it alone."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
from deadlines import LONG, patient
from redis.crc import key_slot
from topologies import Cluster, wait_until

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part, Read
from entitlements.model.events import BreakerChanged
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Quota, Rate
from entitlements.model.sequence import sequence_id
from entitlements.rules.periods import month_ends
from entitlements.stores.errors import Rejected, StoreError, Unreachable
from entitlements.stores.redis import AsyncRedisStore, RedisStore
from entitlements.stores.redis.keys import account_key
from entitlements.stores.redis.topology import MAX_REDIRECTS, Topology, retry_pause
from entitlements.stores.redis.url import target_from_url
from entitlements.testing import RecordingHook

API, LEADS = Rate("api", HOUR, deadline=LONG), Quota("leads", deadline=LONG)
PER_IP = Rate("ip", HOUR, per="ip", deadline=LONG)
BRIEF = Rate("api", HOUR, deadline=SECOND // 4)
ACCOUNTS = [f"a{number}" for number in range(30)]
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": patient({"api": {"kind": "rate"}, "leads": {"kind": "quota", "on_outage": "allow"}}),
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000000 per hour", "leads": 1_000_000}}},
})  # fmt: skip
HASTY_POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"leads": {"kind": "quota", "on_outage": "allow", "deadline": "5 seconds"}},
    "tiers": {"one": {"rank": 1, "limits": {"leads": 1_000_000}}},
})  # fmt: skip


def one(account="acme", limit=API):
    """Return a charge of one rate."""
    return Charge(account, (Part(limit, 10**6),))


def scoped(account="acme"):
    """Return a charge of the account and of one of its scopes, which are two keys."""
    return Charge(account, (Part(API, 10**6), Part(PER_IP, 10**6)), scope="10.0.0.1")


def slot_of(account):
    return key_slot(account_key("ent", account))


class Threads:
    """The store for threads."""

    def __init__(self, url):
        self.store = RedisStore(url)
        self.execute, self.close = self.store.execute, self.store.close


class Loop:
    """The store for event loops, on a loop of its own."""

    def __init__(self, url):
        self._runner = asyncio.Runner()
        self.store = AsyncRedisStore(url)

    def execute(self, order):
        return self._runner.run(self.store.execute(order))

    def close(self):
        self._runner.run(self.store.aclose())
        self._runner.close()


@pytest.fixture(params=[Threads, Loop])
def store(request, cluster):
    """A store of each kind that knows the cluster's map, and is connected to each node."""
    store = request.param(cluster.url)
    for account in ACCOUNTS:
        store.execute(one(account))
    yield store
    store.close()


def calls_of(nodes, command):
    """Return how often all nodes together have carried a command out, and refused it."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(node.client()).info("commandstats").get(f"cmdstat_{command}", {}) for node in nodes
        ]
    return sum(each.get("calls", 0) for each in found), sum(each.get("rejected_calls", 0) for each in found)


def reset_counts(nodes):
    for node in nodes:
        with node.client() as admin:
            admin.config_resetstat()


# --- What a charge costs ------------------------------------------------------------------------------------------


def test_a_charge_is_one_round_trip_and_one_script_call(cluster, store):
    reset_counts(cluster.nodes)
    for account in ACCOUNTS:
        assert store.execute(one(account)).lines[0].used == 2

    assert (30, 0) == calls_of(cluster.nodes, "evalsha")
    assert (0, 0) == calls_of(cluster.nodes, "cluster|slots")
    assert (0, 0) == calls_of(cluster.nodes, "asking")


def test_tasks_share_the_writes_and_the_one_connection_of_each_node(cluster):
    async def charge():
        async with AsyncEnforcer(POLICY, accounts=dict.fromkeys(ACCOUNTS, "one"), store=cluster.url) as enforcer:
            await enforcer.open()
            await asyncio.gather(*[enforcer.consume(account, {"api": 1, "leads": 1}) for account in ACCOUNTS])
            reset_counts(cluster.nodes)
            made = [enforcer.consume(account, {"api": 1, "leads": 1}) for account in ACCOUNTS for _ in range(10)]
            decisions = await asyncio.gather(*made)
            with ExitStack() as stack:
                clients = [stack.enter_context(node.client()) for node in cluster.nodes]
                reads = sum(client.info("stats")["total_reads_processed"] for client in clients)
                connected = [
                    len([each for each in client.client_list(_type="normal") if each["cmd"] == "evalsha"])
                    for client in clients
                ]
        return decisions, reads, connected

    decisions, reads, connected = asyncio.run(charge())
    assert {("store", True, False)} == {(each.via, each.allowed, each.degraded) for each in decisions}
    assert (300, 0) == calls_of(cluster.nodes, "evalsha")
    assert [1, 1, 1] == connected
    assert 150 > reads


def test_reads_of_many_accounts_share_the_round_trips_to_each_node(cluster):
    store = RedisStore(cluster.url)
    for account in ACCOUNTS:
        store.execute(one(account))
    reads = [Read(account, (Part(API, 10**6),)) for account in ACCOUNTS]

    def used():
        return [answer.lines[0].used for answer in store.execute_many(reads)]

    assert {1} == set(used())
    cluster.migrate(slot_of(ACCOUNTS[0]))
    assert {1} == set(used())
    with ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for node in cluster.nodes]
        reset_counts(cluster.nodes)
        assert {1} == set(used())
        assert 30 > sum(client.info("stats")["total_reads_processed"] for client in clients)
    store.close()


# --- A slot that moves --------------------------------------------------------------------------------------------


def test_a_slot_that_has_moved_is_followed_at_once_and_the_map_is_read_once(cluster, store):
    for account in ACCOUNTS[:6]:
        cluster.migrate(slot_of(account))
    reset_counts(cluster.nodes)
    for account in ACCOUNTS[:6] * 2:
        assert Status.ADMITTED is store.execute(one(account)).status

    carried_out, refused = calls_of(cluster.nodes, "evalsha")
    assert 12 <= carried_out <= 24  # a node may count the call that it redirects, and the one whose script it lacks
    assert 6 >= refused
    assert 1 >= calls_of(cluster.nodes, "cluster|slots")[0]


def test_a_slot_that_is_moving_is_asked_for_where_the_key_is(cluster, store):
    with cluster.migrating(slot_of("new")) as move:
        assert [1, 2, 3] == [store.execute(one("new")).lines[0].used for _ in range(3)]
        move()
        assert 4 == store.execute(one("new")).lines[0].used
    assert 5 == store.execute(one("new")).lines[0].used


def test_a_charge_whose_keys_are_on_both_sides_waits_until_they_are_together(cluster, store):
    """The account's hash exists, that of its scope does not: no node has both before the slot has moved."""
    store.execute(one("acme"))
    is_moving = threading.Event()

    def move():
        with cluster.migrating(slot_of("acme")):
            is_moving.set()
            time.sleep(0.3)

    mover = threading.Thread(target=move)
    mover.start()
    is_moving.wait()
    assert Status.ADMITTED is store.execute(scoped("acme")).status
    mover.join()
    assert [3, 2] == [line.used for line in store.execute(scoped("acme")).lines]


def test_a_repeat_on_the_node_that_a_slot_has_moved_to_is_recognised(cluster, store):
    """The reply of the first attempt may be lost: the number is in the record, which moves along."""
    charge = Charge(
        "acme", (Part(LEADS, 100, 3, month_ends(None, time.time_ns() // 1000)),), operation=sequence_id("0" * 16, 1)
    )
    assert Status.ADMITTED is store.execute(charge).status
    cluster.migrate(slot_of("acme"))
    assert Status.REPLAYED is store.execute(charge).status
    assert 3 == store.execute(Read("acme", charge.parts)).lines[0].used


# --- A cluster that is not well -----------------------------------------------------------------------------------


@contextmanager
def disagreeing(cluster, slot):
    """Let two nodes name each other as the node of an empty slot."""
    first, second = cluster.owner(slot), next(node for node in cluster.nodes if node is not cluster.owner(slot))
    for node, other in ((first, second), (second, first)):
        cluster._ask(node, "SETSLOT", slot, "NODE", cluster._id(other))
    try:
        yield
    finally:
        for node in cluster.nodes:
            cluster._ask(node, "SETSLOT", slot, "NODE", cluster._id(first))


def test_endless_redirections_end_in_an_error_that_says_what_to_do(cluster, store):
    with disagreeing(cluster, slot_of("torn")):
        reset_counts(cluster.nodes)
        with pytest.raises(Rejected, match="redirect the order from one to the other"):
            store.execute(one("torn"))
        carried_out, refused = calls_of(cluster.nodes, "evalsha")
    assert MAX_REDIRECTS < carried_out + refused <= 2 * MAX_REDIRECTS
    assert Status.ADMITTED is store.execute(one("torn")).status


def test_endless_redirections_are_decided_as_the_policy_says(cluster):
    with Enforcer(POLICY, accounts={"torn": "one"}, store=cluster.url, expected_processes=1) as enforcer:
        with disagreeing(cluster, slot_of("torn")):
            torn = enforcer.consume("torn", "leads")
        assert (True, True) == (torn.allowed, torn.degraded)
        assert "store" == enforcer.consume("torn", "leads").via
        assert 2 == enforcer.usage("torn")["leads"].used


@contextmanager
def unserved(cluster, slot):
    """Let no node serve a slot; the cluster goes on with the others."""
    owner = cluster.owner(slot)
    for node in cluster.nodes:
        with node.client() as admin:
            admin.config_set("cluster-require-full-coverage", "no")
        cluster._ask(node, "DELSLOTS", slot)

    def serve():
        cluster._ask(owner, "ADDSLOTS", slot)

    try:
        yield serve
    finally:
        for node in cluster.nodes:
            with node.client() as admin:
                admin.config_set("cluster-require-full-coverage", "yes")
        wait_until(lambda: all(map(cluster._whole, cluster.nodes)), "a cluster that serves the slot")


def test_a_slot_that_no_node_serves_is_waited_for_until_the_deadline(cluster, store):
    with unserved(cluster, slot_of("lost")) as serve:
        with pytest.raises(StoreError, match="does not serve this slot") as raised:
            store.execute(one("lost", BRIEF))
        assert raised.value.undone
        assert Status.ADMITTED is store.execute(one(ACCOUNTS[0])).status
        timer = threading.Timer(0.2, serve)
        timer.start()
        assert Status.ADMITTED is store.execute(one("lost")).status
        timer.join()


def test_a_server_of_a_cluster_that_was_not_created_yet_says_so(rack):
    node = rack.start("valkey-9", "cluster-enabled yes")
    for kind in (Threads, Loop):
        store = kind(node.url.replace("redis:", "redis+cluster:"))
        with pytest.raises(Rejected, match="redis-cli --cluster create"):
            store.execute(one())
        store.close()
    rack.remove(node)


# --- A node that dies ---------------------------------------------------------------------------------------------


@pytest.fixture
def lasting(rack):
    """A cluster that serves the slots of the nodes that are left."""
    lines = ("cluster-require-full-coverage no", "appendonly yes", "appendfsync always")
    return rack.shared("lasting cluster", lambda: Cluster(rack, "valkey-9", *lines))


@pytest.mark.parametrize("way", ["threads", "loop"])
@pytest.mark.parametrize("harm", ["kill", pytest.param("stop", marks=pytest.mark.slow)])  # calls wait for deadlines
def test_a_dead_node_takes_along_the_accounts_of_its_own_slots_and_no_others(lasting, way, harm):
    """Also while orders for the dead node wait in the journal, which are carried out once it is back."""
    hook, node = RecordingHook(), lasting.nodes[1]
    its_own = [account for account in ACCOUNTS if lasting.owner(slot_of(account)) is node]
    options = {
        "accounts": dict.fromkeys(ACCOUNTS, "one"), "store": lasting.url, "expected_processes": 1, "hooks": [hook],
    }  # fmt: skip
    made = dict.fromkeys(ACCOUNTS, 0)

    async def story(enforcer, used):
        async def charge(account):
            decision = enforcer.consume(account, "leads")
            made[account] += 1
            return account, (await decision if way == "loop" else decision)

        async def charge_all():
            return [await charge(account) for account in ACCOUNTS]

        assert {False} == {decision.degraded for _, decision in await charge_all()}
        getattr(node, harm)()
        for _ in range(5):
            for account, decision in await charge_all():
                assert decision.allowed
                assert decision.degraded is (account in its_own)
        node.start() if harm == "kill" else node.cont()
        for _ in range(1000):
            if not any(decision.degraded for _, decision in await charge_all()):
                break
            await asyncio.sleep(0.05)
        assert made == {account: await used(account) for account in ACCOUNTS}
        changes = hook.of(BreakerChanged)
        assert ("closed", "open", "closed") == (changes[0].before, changes[0].after, changes[-1].after)

    async def on_loop():
        async with AsyncEnforcer(HASTY_POLICY, **options) as enforcer:

            async def used(account):
                return (await enforcer.usage(account))["leads"].used

            await story(enforcer, used)

    async def on_threads():
        with Enforcer(HASTY_POLICY, **options) as enforcer:

            async def used(account):
                return enforcer.usage(account)["leads"].used

            await story(enforcer, used)

    asyncio.run(on_loop() if way == "loop" else on_threads())


def test_a_cluster_is_used_while_one_of_its_nodes_is_away_from_the_start(lasting):
    node = lasting.nodes[0]
    others = [account for account in ACCOUNTS if lasting.owner(slot_of(account)) is not node]
    node.kill()
    try:
        for kind in (Threads, Loop):
            store = kind(lasting.url)  # the dead node is the first of the URL
            for account in others:
                assert Status.ADMITTED is store.execute(one(account)).status
            own = next(account for account in ACCOUNTS if account not in others)
            with pytest.raises(Unreachable, match=f"redis\\+cluster://127.0.0.1:{node.port}: cannot connect"):
                store.execute(one(own))
            store.close()
    finally:
        node.start()


def test_opening_connects_to_every_node(lasting):
    async def connect():
        store = AsyncRedisStore(lasting.url)
        await store.open()
        counted = [node.client() for node in lasting.nodes]
        before = [client.info("stats")["total_connections_received"] for client in counted]
        for account in ACCOUNTS:
            await store.execute(one(account))
        assert before == [client.info("stats")["total_connections_received"] for client in counted]
        await store.aclose()
        for client in counted:
            client.close()

    asyncio.run(connect())


# --- The map ------------------------------------------------------------------------------------------------------

TARGET = target_from_url("redis+cluster://seed:7000,other:7001")
ASKED = ("10.0.0.1", 7000)


def topology():
    """Return a map of three nodes, of which one does not know its own host."""
    map_ = Topology(TARGET)
    map_.learn(
        [[0, 5460, [b"", 7000, b"x"]], [5461, 10922, [b"10.0.0.2", 7001, b"y"]], [10923, 16000, [None, 7002, b"z"]]],
        ASKED,
    )
    return map_


def test_a_map_names_the_node_of_each_slot_and_none_where_no_node_serves_it():
    known = topology()
    found = [known.server_of(f"a{number}") for number in range(2000)]
    assert {("10.0.0.1", 7000), ("10.0.0.2", 7001), ("10.0.0.1", 7002), None} == set(found)
    assert [key_slot(account_key("ent", f"a{number}")) > 16000 for number in range(2000)] == [
        not node for node in found
    ]


def test_the_nodes_that_are_likely_to_reply_are_asked_for_the_map_first():
    known = topology()
    known.doubt(("seed", 7000))
    *first, third, fourth = known.candidates()
    assert {("10.0.0.1", 7000), ("10.0.0.1", 7002), ("10.0.0.2", 7001)} == set(first)
    assert (("other", 7001), ("seed", 7000)) == (third, fourth)
    known.doubt(("10.0.0.1", 7000))
    assert ("10.0.0.1", 7000) not in known.candidates()
    assert [("seed", 7000), ("other", 7001)] == Topology(TARGET).candidates()


def test_one_caller_in_a_second_reads_the_map():
    known = topology()
    assert not known.take_refresh(100.0)
    known.doubt(ASKED)
    assert [True, False, False] == [known.take_refresh(at) for at in (100.0, 100.0, 100.9)]
    known.learn([[0, 16383, [b"10.0.0.9", 1, b"x"]]], ASKED)
    assert not known.take_refresh(200.0)


@pytest.mark.parametrize("reply", [[], None, b"QUEUED", [[0]], [[0, 10, []]], 7, [[1, 2, [b"h", b"port"]]]])
def test_a_reply_that_is_no_map_is_an_error_of_the_store(reply):
    known = topology()
    with pytest.raises(Rejected, match="names no node"):
        known.learn(reply, ASKED)
    assert 3 == len(known.nodes)


def test_pauses_double_the_time_waited_up_to_a_tenth_of_a_second():
    assert [0.0, 0.0, 0.0] == [retry_pause(number, 0.5) for number in (1, 2, 3)]
    assert [0.002, 0.01, 0.1] == [retry_pause(0, waited) for waited in (0.0, 0.01, 5.0)]
    assert 0.1 == retry_pause(MAX_REDIRECTS, 5.0)
