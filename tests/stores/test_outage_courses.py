"""Courses of orders and of replays, step by step: when an order is repeated, whose fault a failure is, what hooks hear."""

from __future__ import annotations

import logging

import pytest
from outage_world import API, NOW, SERVERS, World, charge, closed, drive

from entitlements.model.answers import Line, Outcome, Status
from entitlements.model.charge import ResetRate
from entitlements.model.events import BreakerChanged, Journalled, OutcomeUnknown
from entitlements.model.instants import SECOND
from entitlements.stores.errors import Broken, Corrupt, Overloaded, Rejected, TimedOut, Unreachable
from entitlements.stores.resilience import local_limits
from entitlements.stores.resilience.local_limits import LocalLimits
from entitlements.stores.resilience.outage_log import OutageLog


@pytest.fixture
def world():
    yield from closed(World())


@pytest.fixture
def servers():
    yield from closed(World(SERVERS.__getitem__))


# --- Repeats and faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("took", "repeats"), [(0, True), (SECOND // 40, True), (SECOND // 40 + 1, False)])
def test_an_order_is_repeated_within_a_quarter_of_its_deadline(world, took, repeats):
    course = world.policy.course(charge(operation="o:1", deadline=SECOND // 10))
    next(course)
    world.now += took
    if repeats:
        again = course.throw(Broken("x"))
        assert ("o:1", SECOND // 10 - took) == (again.operation, again.deadline)
    else:
        with pytest.raises(StopIteration):
            course.throw(Broken("x"))

    assert OutcomeUnknown("Charge", repeats) in world.told


@pytest.mark.parametrize(
    ("deadline", "late", "silent", "ours"),
    [
        (SECOND // 10, SECOND // 20, 0, False),
        (SECOND // 10, SECOND // 20 + 1, 0, True),
        (SECOND // 100, SECOND // 50, 0, False),
        (SECOND // 100, SECOND // 50 + 1, 0, True),
        (SECOND // 10, SECOND // 4, SECOND * 5 // 4, False),
        (SECOND // 10, SECOND // 4, SECOND * 5 // 4 - 1, True),
    ],
)
@pytest.mark.parametrize("error", [TimedOut, Unreachable, Rejected, Overloaded])
def test_a_timer_that_fired_late_while_the_store_was_heard_is_no_failure_of_the_store(
    world, deadline, late, silent, ours, error
):
    breaker, began = world.policy.breaker, world.now
    world.now += deadline + late
    breaker.succeeded(breaker.closed_permit, world.now - silent)
    world.policy.failed(charge(deadline=deadline), error("x"), breaker.closed_permit, began)

    assert (error is not Overloaded and (error is Rejected or not ours)) == breaker.failing


def test_hooks_hear_of_the_worst_of_several_servers(servers):
    breakers = servers.policy.breaker_of("a"), servers.policy.breaker_of("c")
    servers.open("a")
    servers.open("c")
    changes = [("closed", "open")]
    assert changes == [(each.before, each.after) for each in servers.told if isinstance(each, BreakerChanged)]
    servers.now += SECOND
    permits = [breaker.acquire(servers.now) for breaker in breakers]
    for permit in permits:
        servers.policy.emit(permit.change)
    for permit in permits:
        servers.policy.emit(permit.breaker.succeeded(permit, servers.now))

    changes += [("open", "half-open"), ("half-open", "closed")]
    assert changes == [(each.before, each.after) for each in servers.told if isinstance(each, BreakerChanged)]


# --- Replays ------------------------------------------------------------------------------------------------------


def test_a_replay_in_the_background_goes_well_if_nothing_fails(servers):
    servers.wait("a", "b", "c")
    sent, is_well = drive(servers.policy.replay.in_background(SECOND), True, True, True)

    assert (["a", "b", "c"], True) == ([each.account for each in sent], is_well)
    assert [Journalled(1, 2, 0), Journalled(0, 1, 0)] == servers.told


@pytest.mark.parametrize("answers", [[Unreachable("x"), True], [True, True, Unreachable("x")]])
def test_a_replay_in_the_background_that_fails_on_one_server_goes_on_with_the_next(servers, answers):
    servers.wait("a", "b", "c")
    sent, is_well = drive(servers.policy.replay.in_background(SECOND), *answers)

    assert (["a", *["b"] * (len(answers) == 3), "c"], False) == ([each.account for each in sent], is_well)
    assert sum(isinstance(each, Exception) for each in answers) <= len(servers.policy.journal.queue)


def test_a_server_whose_breaker_is_open_is_left_out_of_a_replay(servers):
    servers.wait("a", "c")
    servers.open("a")
    sent, is_well = drive(servers.policy.replay.in_background(SECOND), True)

    assert (["c"], False) == ([each.account for each in sent], is_well)


def test_the_servers_have_equal_parts_of_the_time_of_a_replay(servers):
    servers.wait("a", "b", "c")
    sent = []
    course = servers.policy.replay.in_background(SECOND)
    order = next(course)
    servers.now += SECOND // 2
    sent += [order.account, course.send(True).account]
    servers.now += SECOND // 2
    with pytest.raises(StopIteration):
        course.send(True)

    assert (["a", "c"], 1) == (sent, len(servers.policy.journal.queue))


def test_the_pause_is_that_of_the_first_server_with_orders_that_may_be_called(servers):
    assert 0 == servers.policy.replay.pause
    servers.wait("a", "c")
    servers.open("a")
    servers.now += SECOND // 100
    servers.open("c")
    pauses = [servers.policy.breaker_of(each).pause(servers.now) for each in ("a", "c")]

    assert min(pauses) == servers.policy.replay.pause
    assert pauses[0] != pauses[1]


def test_closing_tells_what_it_replayed_and_lost(servers, caplog):
    servers.wait("a", "b", "c")
    with caplog.at_level(logging.WARNING):
        _, result = drive(servers.policy.replay.drain(), Corrupt("x"), True, Unreachable("x"))

    assert (False, [Journalled(1, 1, 1)]) == (result, servers.told)
    assert "closed with 1 orders still queued for replay" in caplog.text
    assert "; 1 lost before" in caplog.text
    assert (0, 1) == (servers.policy.outages.lost, servers.policy.journal.reported)


def test_closing_with_nothing_queued_and_nothing_lost_logs_nothing(servers, caplog):
    drive(servers.policy.replay.drain())

    assert ("", []) == (caplog.text, servers.told)


# --- Local limits and the log -------------------------------------------------------------------------------------


def observed(limits, account, used):
    limits.observe(charge(account), Outcome(Status.ADMITTED, NOW, (Line(True, used),)), NOW)


def test_usage_of_the_meters_that_were_seen_last_is_kept_and_of_no_more_than_twice_as_many(monkeypatch):
    monkeypatch.setattr(local_limits, "MAX_SEEN", 3)
    limits = LocalLimits(1, lambda: NOW, NOW)
    for number in range(20):
        observed(limits, f"a{number}", 4)
        assert len(limits._recent) <= 3
        assert len(limits._previous) <= 3

    used = [limits.charge(charge(f"a{number}"))[1].lines[0].used for number in range(20)]
    assert {5} == set(used[17:])
    assert {1} == set(used[:14])


def test_a_reset_forgets_what_was_seen_lately_and_before_and_what_was_charged_here(monkeypatch):
    monkeypatch.setattr(local_limits, "MAX_SEEN", 1)
    limits = LocalLimits(1, lambda: NOW, NOW)
    for account in ("local", "before", "lately"):
        if account == "local":
            limits.charge(charge(account))
        else:
            observed(limits, account, 4)
    for account in ("local", "before", "lately"):
        limits.reset(ResetRate(account, API))
        assert 1 == limits.charge(charge(account))[1].lines[0].used


def test_what_is_lost_is_counted_until_the_outage_is_over(caplog):
    log = OutageLog("store x")
    log.record_fallback(NOW)
    log.record_lost(2)
    log.record_overflow(9)
    log.record_overflow(9)
    assert 4 == log.lost
    log.recovered(NOW, 0, at_once=True)
    assert "1 decided locally, 0 queued for replay, 4 lost" in caplog.text
    assert 1 == caplog.text.count("replay journal is full")
    log.record_fallback(NOW)
    log.record_overflow(9)
    log.recovered(NOW, 0, at_once=True)

    assert "1 decided locally, 0 queued for replay, 1 lost" in caplog.text
    assert 2 == caplog.text.count("replay journal is full")
