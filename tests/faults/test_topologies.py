"""Histories while a primary fails over, a node of a cluster dies, and slots move: what is lost, and that the rest is exact."""

from __future__ import annotations

import time

import pytest
from faultlab import history
from faultlab.history import play, show
from faultlab.judge import compare
from faultlab.operations import CROWDED
from faultlab.records import key_of
from redis.crc import key_slot
from topologies import Cluster, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.slow]
LIMITS = ("leads", "exports", "seats")
SECONDS = 12
LAG = 2
"""Seconds of acknowledged calls that a primary may lose which needs a replica that lags by one second at most."""


def check(told, client, loss=0):
    """Return what was found against a history of which the server may have lost so many units of each limit."""
    pairs = [(account, limit) for account in CROWDED for limit in LIMITS]
    return told.mistakes + [each for pair in pairs for each in compare(told, client, *pair, loss=loss)]


def after_two_seconds(harm, *args):
    """Return a function that does harm two seconds after a history has begun."""

    def wait_and_harm():
        time.sleep(2)
        harm(*args)

    return wait_and_harm


# --- Sentinel -----------------------------------------------------------------------------------------------------


def stop_and_resume(sentinel):
    old = sentinel.master
    old.stop()
    sentinel.failed_over(old)
    old.cont()


def kill_and_restart(sentinel):
    old = sentinel.master
    old.kill()
    sentinel.failed_over(old)
    old.start()


def configure(sentinel, replicas):
    """Set how many replicas a primary needs, on both servers, once they are a primary and its replica."""
    wait_until(lambda: is_replicated(sentinel.master), "a replica that is in touch")
    for server in sentinel.servers:
        with server.client() as admin:
            admin.config_set("min-replicas-to-write", replicas)
            admin.config_set("min-replicas-max-lag", 1)


def is_replicated(server):
    with server.client() as client:
        found = client.info("replication")
    return found["role"] == "master" and found.get("slave0", {}).get("state") == "online"


@pytest.mark.parametrize("work", [history.tasks, history.threads])
@pytest.mark.parametrize("harm", [stop_and_resume, kill_and_restart])
@pytest.mark.parametrize(("replicas", "runs"), [(1, 3), (0, 1)])
def test_a_failover_loses_no_more_than_its_replica_lags(sentinel, harm, work, replicas, runs):
    """Without `min-replicas-to-write` the loss has no bound, and is printed."""
    units = []
    for _ in range(runs):
        configure(sentinel, replicas)
        told, figures = play(
            work, sentinel.url, seconds=SECONDS, processes=2, meanwhile=after_two_seconds(harm, sentinel)
        )
        with sentinel.client() as client:
            units.append(show(told, client, figures))
            most = figures[0] * LAG // SECONDS if replicas else 10**6
            found = check(told, client, most)
            client.flushall()
        assert [] == found
        assert units[-1] <= most
    print(f"{harm.__name__}, min-replicas-to-write {replicas}: lost in {runs} failovers: {units}")


# --- Cluster ------------------------------------------------------------------------------------------------------


def slot_of(account):
    return key_slot(key_of(account).encode())


@pytest.fixture
def durable(rack):
    """A cluster whose nodes keep every write when they are killed, and serve their slots while another is away."""
    lines = ("appendonly yes", "appendfsync always", "cluster-require-full-coverage no")
    return rack.shared("durable cluster", lambda: Cluster(rack, "valkey-9", *lines))


@pytest.mark.parametrize("work", [history.tasks, history.threads])
def test_nothing_is_lost_while_a_node_of_a_cluster_dies_and_comes_back(durable, work):
    def kill_each():
        for node in durable.nodes:
            node.kill()
            time.sleep(0.5)
            node.start()
            time.sleep(0.5)

    told, figures = play(work, durable.url, seconds=8, processes=2, meanwhile=after_two_seconds(kill_each))
    with durable.client() as client:
        assert 0 == show(told, client, figures)
        assert [] == check(told, client)


@pytest.mark.parametrize("work", [history.tasks, history.threads])
def test_a_killed_node_degrades_its_own_slots_only(durable, work):
    """A call has five seconds, so that a busy machine degrades none; a killed node refuses connections at once."""
    node = durable.owner(slot_of(CROWDED[0]))
    own = {account for account in CROWDED if durable.owner(slot_of(account)) is node}

    def kill_for_a_while():
        node.kill()
        time.sleep(3)
        node.start()

    told, figures = play(
        work, durable.url, seconds=8, processes=2, meanwhile=after_two_seconds(kill_for_a_while), deadline="5 seconds"
    )
    with durable.client() as client:
        assert 0 == show(told, client, figures)
        assert [] == check(told, client)
    assert 0 < len(own) < len(CROWDED)
    assert {account for account, calls in told.degraded.items() if calls} == own


@pytest.mark.parametrize("work", [history.tasks, history.threads])
def test_nothing_is_lost_or_doubled_while_the_slots_of_accounts_move(durable, work):
    def move_again_and_again():
        for _ in range(3):
            for account in CROWDED:
                durable.migrate(slot_of(account))

    told, figures = play(work, durable.url, seconds=6, processes=2, meanwhile=after_two_seconds(move_again_and_again))
    with durable.client() as client:
        assert 0 == show(told, client, figures)
        assert [] == check(told, client)
