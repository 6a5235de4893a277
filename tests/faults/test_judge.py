"""The judge says no: one broken promise after the other, each told by its name."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from time import monotonic

import pytest
from faultlab import cells
from faultlab.bench import Bench
from faultlab.cells import run
from faultlab.faults import Fault
from faultlab.heartbeat import Heartbeat
from faultlab.operations import ACCOUNT, Operation, mixed
from faultlab.records import counted, set_quota

from entitlements import Decision

NO_FAULT = Fault("nothing", lambda _: nullcontext(), answers="strict", seconds=0.1)


def verdict_of(server, story, *, fault=NO_FAULT, name="mixed", mode="sync"):
    return run(fault, Operation(name, story), mode, Bench(server)).problems


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_where_nothing_happens_nothing_is_found(valkey, mode):
    assert {} == verdict_of(valkey, mixed, mode=mode)


def test_units_that_are_not_counted_are_found(valkey):
    async def story(actor, number):
        await mixed(actor, number)
        if number == 3:
            with valkey.client() as client:
                set_quota(client, ACCOUNT, "leads", counted(client, ACCOUNT, "leads").used - 1)

    assert "told and counted" in verdict_of(valkey, story)


def test_units_above_a_limit_are_found(valkey):
    async def story(actor, number):
        await mixed(actor, number)
        actor.told.grant(ACCOUNT, "leads", 100)

    assert "told and counted" in verdict_of(valkey, story)


def test_an_error_that_is_not_ours_is_found(valkey):
    async def story(actor, number):
        await actor.call("consume", ACCOUNT, ["leads"])

    assert "errors" in verdict_of(valkey, story)


def test_a_decision_that_is_degraded_where_it_may_not_be_is_found(valkey):
    def away(bench):
        bench.server.kill()
        return Restart(bench.server)

    assert "strict" in verdict_of(valkey, mixed, fault=Fault("killed", away, answers="strict", loses=("quota", "rate")))


class Restart(nullcontext):
    """A server that is dead while the block runs."""

    def __init__(self, server):
        super().__init__()
        self._server = server

    def __exit__(self, *_):
        self._server.start()


def test_a_decision_that_hides_how_it_was_made_is_found(valkey, monkeypatch):
    monkeypatch.setattr(Decision, "degraded", True)
    monkeypatch.setattr(cells, "PATIENCE", 0.1)

    assert "degraded" in verdict_of(valkey, mixed)


def test_a_call_that_takes_longer_than_its_deadline_is_found(valkey):
    async def story(actor, number):
        began = monotonic()
        await actor.call("peek", ACCOUNT, "leads")
        time.sleep(1.0 if number == 1 else 0)  # noqa: ASYNC251 - of a thread
        actor.told.note("peek", began)

    assert "deadline" in verdict_of(valkey, story)


def test_what_is_left_over_is_found(valkey, monkeypatch):
    files, clients = [], []

    async def story(actor, number):
        if not actor.worker and not number:
            files.append(open("/dev/null"))  # noqa: SIM115, PTH123, ASYNC230 - the leak
            clients.append(valkey.client())
            clients[0].ping()

    monkeypatch.setattr(cells, "LEFT_WITHIN", 0.2)
    found = verdict_of(valkey, story)
    for each in (*files, *clients):
        each.close()
    assert {"2 files", "1 connections"} <= set(found["leaks"])


def test_a_task_that_is_left_over_is_found(valkey):
    async def story(actor, number):
        if number == 0:
            story.task = asyncio.create_task(asyncio.sleep(30))

    assert "leaks" in verdict_of(valkey, story, mode="async")


def test_a_reservation_that_stays_open_is_found(valkey):
    async def story(actor, number):
        await actor.call("reserve", ACCOUNT, {"leads": 1}, ttl=3600)

    assert {"stuck"} == set(verdict_of(valkey, story, name="reservation"))


def test_a_heartbeat_sees_what_holds_the_process_up():
    with Heartbeat() as beat:
        time.sleep(0.01)
        began = monotonic()
        sum(range(20_000_000))  # one call that keeps the interpreter's lock
        ended = monotonic()
        time.sleep(0.01)

    assert beat.stalled(began, ended) > (ended - began) / 2


def test_stalls_of_two_hearts_count_once():
    beat = Heartbeat()
    beat._stalls = [(5.0, 6.0), (1.0, 3.0), (2.0, 4.0)]

    assert 4.0 == beat.stalled(0.0, 9.0)
    assert 1.5 == beat.stalled(2.5, 4.5)
