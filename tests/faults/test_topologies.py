"""Histories while a primary fails over, a node of a cluster dies, and slots move: what is lost, and that the rest is exact."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from faultlab import history
from faultlab.history import play
from faultlab.judge import compare
from faultlab.operations import ACCOUNT
from faultlab.records import counted, key_of
from redis.crc import key_slot
from topologies import Cluster

pytestmark = [pytest.mark.faults, pytest.mark.slow]
LIMITS = ("leads", "exports", "seats")
MOST_LOST = 10
"""Units that a failover may lose with `min-replicas-to-write 1`: docs/operations.md measured 2 to 6."""


def lost(told, client):
    """Return the units that were acknowledged and are not counted, by limit, after printing them."""
    found = {limit: max(0, told.bounds(ACCOUNT, limit)[0] - counted(client, ACCOUNT, limit).used) for limit in LIMITS}
    for limit, units in found.items():
        least, most = told.bounds(ACCOUNT, limit)
        print(f"{limit}: {least} to {most} acknowledged, {counted(client, ACCOUNT, limit).used} counted, {units} lost")
    return found


def meanwhile(harm, work, url, seconds):
    """Play a history of two processes, and do harm two seconds after its beginning."""
    with ThreadPoolExecutor(1) as pool:
        playing = pool.submit(play, work, url, seconds=seconds, processes=2)
        time.sleep(2)
        harm()
        return playing.result()


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
    for server in sentinel.servers:
        with server.client() as admin:
            admin.config_set("min-replicas-to-write", replicas)
            admin.config_set("min-replicas-max-lag", 1)


@pytest.mark.parametrize("work", [history.tasks, history.threads])
@pytest.mark.parametrize("harm", [stop_and_resume, kill_and_restart])
@pytest.mark.parametrize(("replicas", "most", "runs"), [(1, MOST_LOST, 3), (0, 10**6, 1)])
def test_a_failover_loses_what_the_page_says(sentinel, harm, work, replicas, most, runs):
    units = []
    for _ in range(runs):
        configure(sentinel, replicas)
        told, figures = meanwhile(lambda: harm(sentinel), work, sentinel.url, 12)
        with sentinel.client() as client:
            units.append(sum(lost(told, client).values()))
            print("{} calls, {} cut short, {} degraded".format(*figures))
            found = [each for limit in LIMITS for each in compare(told, client, ACCOUNT, limit, loss=most)]
            client.flushall()
        assert [] == found
        assert [] == told.mistakes
    print(f"{harm.__name__}, min-replicas-to-write {replicas}: lost in {runs} failovers: {units}")


# --- Cluster ------------------------------------------------------------------------------------------------------


@pytest.fixture
def durable(rack):
    """A cluster whose nodes keep every write when they are killed."""
    return rack.shared("durable cluster", lambda: Cluster(rack, "valkey-9", "appendonly yes", "appendfsync always"))


@pytest.mark.parametrize("work", [history.tasks, history.threads])
def test_nothing_is_lost_while_a_node_of_a_cluster_dies_and_comes_back(durable, work):
    def kill_each():
        for node in durable.nodes:
            node.kill()
            time.sleep(0.5)
            node.start()
            time.sleep(0.5)

    told, figures = meanwhile(kill_each, work, durable.url, 8)
    with durable.client() as client:
        print("{} calls, {} cut short, {} degraded".format(*figures))
        assert {0} == set(lost(told, client).values())
        assert [] == [each for limit in LIMITS for each in compare(told, client, ACCOUNT, limit)]
    assert [] == told.mistakes


@pytest.mark.parametrize("work", [history.tasks, history.threads])
def test_nothing_is_lost_while_the_slot_of_an_account_moves(durable, work):
    slot = key_slot(key_of(ACCOUNT).encode())

    def move_again_and_again():
        for _ in range(10):
            durable.migrate(slot)
            time.sleep(0.1)

    told, figures = meanwhile(move_again_and_again, work, durable.url, 6)
    with durable.client() as client:
        print("{} calls, {} cut short, {} degraded".format(*figures))
        assert [] == [each for limit in LIMITS for each in compare(told, client, ACCOUNT, limit)]
    assert [] == told.mistakes
