"""What a call and a background replay of the journal send, in which order and for how long, and what is known of it later."""

from __future__ import annotations

import gc
import logging

import pytest
from outage_world import NOW, SERVERS, World, charge, closed, drive

from entitlements.model.answers import Line, Outcome, Status
from entitlements.model.charge import Read, Refund
from entitlements.model.events import BreakerChanged
from entitlements.model.instants import SECOND
from entitlements.stores.errors import Broken, Corrupt, Late, Misconfigured, Unreachable
from entitlements.stores.resilience.circuit_breaker import State
from entitlements.stores.resilience.local_limits import LocalLimits
from entitlements.stores.resilience.policy import OutagePolicy
from entitlements.stores.resilience.replay_queue import JournalEntry

ADMITTED = Outcome(Status.ADMITTED, NOW, (Line(True, 4),))


@pytest.fixture
def world():
    yield from closed(World())


@pytest.fixture
def servers():
    yield from closed(World(SERVERS.__getitem__))


def used(world):
    """Return what the local limit takes as used after one more charge."""
    return world.policy._local_limits.charge(charge())[1].lines[0].used


# --- Calls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("account", "most"), [("acme", 64 + 16), ("other", 16)])
def test_a_call_replays_64_entries_of_its_account_and_16_of_any(world, account, most):
    world.wait(*[account] * 90)
    sent, answer = drive(world.policy.course(charge()), *[True] * most, ADMITTED)

    assert ([account] * most + ["acme"], ADMITTED) == ([each.account for each in sent], answer)


@pytest.mark.parametrize(("step", "others"), [(9_950, 2), (10_000, 1), (3_333, 4)])
def test_a_call_replays_entries_of_others_for_a_hundredth_of_a_second(world, step, others):
    world.wait(*["other"] * 20)
    course, sent = world.policy.course(charge(deadline=SECOND)), []
    order = next(course)
    while order.account == "other":
        sent.append(order)
        world.now += step
        order = course.send(True)

    assert others == len(sent)


def test_a_call_replays_nothing_of_others_while_the_store_fails(world):
    world.wait("other")
    world.open("acme", 1)
    sent, _ = drive(world.policy.course(charge()), ADMITTED)

    assert ["acme"] == [each.account for each in sent]
    assert not world.policy.breaker.failing


def test_a_call_whose_replay_fails_is_decided_here(world):
    world.wait("acme", "acme")
    sent, answer = drive(world.policy.course(charge()), Unreachable("x"))

    assert (["o:0"], Status.ADMITTED) == ([each.operation for each in sent], answer.status)
    assert 2 == len(world.policy.journal.queue)


@pytest.mark.parametrize(("took", "asked"), [(SECOND - 1, True), (SECOND, False)])
def test_a_call_whose_time_is_over_after_its_replay_is_not_sent(world, took, asked):
    world.wait("acme")
    course = world.policy.course(charge(deadline=SECOND))
    next(course)
    world.now += took
    if asked:
        assert 1 == course.send(True).deadline
    else:
        with pytest.raises(StopIteration):
            course.send(True)


@pytest.mark.parametrize(
    ("keyed", "before", "status"),
    [(False, 1, Status.ADMITTED), (True, 1, Status.REPLAYED), (True, 0, Status.ADMITTED)],
)
def test_a_repeat_that_the_store_had_counted_is_a_replay_only_if_its_caller_had_made_it_before(
    world, keyed, before, status
):
    order = charge(operation="k:1", keyed=keyed)
    again = Outcome(Status.REPLAYED, world.policy._local_limits.now() - before, (Line(True, 7),), sizes=(10,))
    sent, answer = drive(world.policy.course(order), Broken("x"), again)

    assert (2, status, () if status is Status.ADMITTED else (10,)) == (len(sent), answer.status, answer.sizes)
    assert not world.policy.breaker.failing


def test_a_read_that_is_repeated_is_answered_as_the_store_does(world):
    sent, answer = drive(world.policy.course(Read("acme", charge().parts)), Broken("x"), ADMITTED)

    assert (2, ADMITTED) == (len(sent), answer)


def test_a_share_goes_on_from_what_was_seen_used_but_by_no_replay_of_an_earlier_charge(world):
    permit = world.policy.breaker.closed_permit
    drive(world.policy.course(charge(operation="k:1")), Broken("x"), ADMITTED)
    world.policy.succeeded(charge(), Outcome(Status.REPLAYED, NOW, (Line(True, 9),)), permit, NOW)

    assert 5 == used(world)


def test_an_order_that_comes_too_late_says_that_the_store_replies(world):
    world.open("acme", 4)
    course = world.policy.course(charge(operation="k:1"))
    next(course)
    course.throw(Late(NOW))

    assert not world.policy.breaker.failing
    course.close()


@pytest.mark.parametrize("has_replied", [False, True])
@pytest.mark.parametrize("error", [Corrupt, Misconfigured])
def test_an_error_of_the_setup_is_raised_until_the_store_has_replied_and_one_of_a_record_always(
    world, error, has_replied
):
    if has_replied:
        drive(world.policy.course(charge()), ADMITTED)
    course = world.policy.course(charge())
    if has_replied and error is Misconfigured:
        assert Status.ADMITTED is drive(course, error("x"))[1].status
    else:
        with pytest.raises(error):
            drive(course, error("x"))


def test_calls_to_a_server_without_queued_orders_and_failures_go_right_away(servers):
    def permits():
        return [each for each in SERVERS if servers.policy.fast_permit(charge(each))]

    assert ["a", "b", "c"] == permits()
    assert {"one", "two", None} == set(servers.policy._breakers)
    servers.wait("a")
    assert ["c"] == [each for each in permits() if each != "b"]
    assert servers.policy.fast_permit(Read("c", charge().parts)).breaker is servers.policy.breaker_of("c")
    servers.open("c")
    assert "c" not in permits()
    assert servers.policy.fast_permit(charge("c", operation="k:1", keyed=True)) is None


# --- Between calls ------------------------------------------------------------------------------------------------


def test_the_last_server_has_all_that_is_left_of_the_time_of_a_replay(servers):
    servers.wait("a", "c", "c")
    course = servers.policy.replay.in_background(SECOND)
    sent = [next(course).account, course.send(True).account]
    servers.now += SECOND - 1
    sent.append(course.send(True).account)
    servers.now += 1
    with pytest.raises(StopIteration):
        course.send(True)

    assert ["a", "c", "c"] == sent


@pytest.mark.parametrize(("answer", "after"), [(True, "closed"), (Unreachable("x"), "open"), (None, "open")])
def test_a_replay_is_a_probe_of_a_store_whose_pause_is_over(world, answer, after):
    world.wait("acme")
    world.open("acme")
    world.now += SECOND
    course = world.policy.replay.in_background(SECOND)
    next(course)
    assert State.HALF_OPEN is world.policy.breaker.state
    if answer is None:
        course.close()
    else:
        with pytest.raises(StopIteration):
            course.send(answer) if answer is True else course.throw(answer)

    changes = [(each.before, each.after) for each in world.told if isinstance(each, BreakerChanged)]
    assert [("closed", "open"), ("open", "half-open"), ("half-open", after)] == changes


@pytest.mark.parametrize(("answer", "sent"), [(Broken("x"), NOW), (None, NOW), (Unreachable("x"), None)])
def test_an_entry_keeps_when_it_may_first_have_been_carried_out(world, answer, sent):
    world.wait("acme")
    for _ in range(2):
        course = world.policy.replay.in_background(SECOND)
        next(course)
        if answer is None:
            course.close()
        else:
            with pytest.raises(StopIteration):
                course.throw(answer)
        world.now += SECOND

    assert sent == world.policy.journal.queue.take().sent


def test_a_replay_that_is_answered_says_that_the_store_replies(world):
    world.wait("acme")
    world.open("acme", 4)
    drive(world.policy.replay.in_background(SECOND), True)

    assert not world.policy.breaker.failing
    assert world.policy._has_replied


@pytest.mark.parametrize(("waiting", "lost"), [(1, 0), (0, 1)])
def test_closing_logs_what_is_still_queued_or_was_lost(world, caplog, waiting, lost):
    world.wait(*["acme"] * waiting)
    world.policy.outages.lost = lost
    drive(world.policy.replay.drain(), *[Unreachable("x")] * waiting)

    assert f"closed with {waiting} orders still queued for replay" in caplog.text
    assert f"; {lost} lost before" in caplog.text


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_policy_that_is_dropped_logs_what_it_loses_unless_closing_did(caplog, is_closed):
    policy = OutagePolicy("store x", LocalLimits(1, lambda: NOW, 0), lambda _: None, lambda: NOW)
    policy.journal.queue.add(JournalEntry(Refund("acme", "o:0")))
    if is_closed:
        drive(policy.replay.drain(), Unreachable("x"))
    with caplog.at_level(logging.WARNING):
        del policy
        gc.collect()

    assert (not is_closed) == ("store x: ended without close(); 1 orders queued for replay are lost" in caplog.text)


def test_a_forked_child_has_free_locks_and_nothing_of_its_parents_queue(servers):
    policy = servers.policy
    servers.wait("a", "c")
    for account in SERVERS:
        policy.breaker_of(account)
    locks = [policy.outages, *policy._breakers.values()]
    for each in locks:
        each._lock.acquire()
    policy.renew()

    assert not any(each._lock.locked() for each in locks)
    assert 0 == len(policy.journal.queue)
