"""Leases under faults, on real servers and with real processes: nothing above the limit, and nothing counted twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from contextlib import suppress

import pytest
from leases import leased_policy, scope_of
from topologies import wait_until

from benchmarks.any_window import Admission, most_in_any_window
from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.errors import StoreError

ACCOUNTS = {"acme": "low"}
QUICK = leased_policy(deadline="300 ms")
LIMIT, LEASE, PROCESSES = 1000, 50, 4


def enforcer(server, policy=QUICK, processes=1, **options):
    return Enforcer(policy, accounts=ACCOUNTS, store=server.url, expected_processes=processes, **options)


def counted(server, name):
    """Return what the store counts, by a process that holds nothing."""
    with enforcer(server, leased_policy()) as other:
        return other.usage("acme", scope=scope_of(name))[name].used


def spend_all(url, name, pipe):
    """Spend a limit and tell of each unit by a byte, until it is used up for good."""
    made = Enforcer(leased_policy(), accounts=ACCOUNTS, store=url, expected_processes=PROCESSES)
    refused = 0
    while refused < 3:
        if made.consume("acme", name, scope=scope_of(name)):
            os.write(pipe, b".")
        else:
            refused += 1
            time.sleep(1)  # others may hold units for so long
    made.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["daily", "leads", "seats"])
def test_holders_that_are_killed_take_no_more_with_them_than_they_hold(valkey, name):
    reading, writing = os.pipe()
    children = []
    for _ in range(PROCESSES):
        child = os.fork()
        if not child:
            signal.alarm(120)
            with suppress(BaseException):
                spend_all(valkey.url, name, writing)
            os._exit(0)
        children.append(child)
    os.close(writing)
    told, killed = 0, 0
    while some := os.read(reading, 64):
        told += len(some)
        if killed < 2 and told > 150 * (killed + 1):
            os.kill(children[killed], signal.SIGKILL)
            killed += 1
    os.close(reading)
    for child in children:
        os.waitpid(child, 0)

    used = counted(valkey, name)
    assert killed == 2
    assert told <= used <= LIMIT
    assert used - told <= killed * (LEASE + 1)  # and one that was spent and not told
    if used < LIMIT:  # the survivors have returned what they held when others were refused for good
        assert LIMIT - used <= 2 * LEASE


@pytest.mark.parametrize("name", ["leads", "seats", "calls", "api"])
def test_leased_units_are_spent_in_an_outage_and_then_the_limit_does_what_it_says(valkey, name):
    with enforcer(valkey) as acme:
        decisions = [acme.consume("acme", name, scope=scope_of(name)) for _ in range(2)]
        valkey.stop()
        decisions += [acme.consume("acme", name, scope=scope_of(name)) for _ in range(49)]
        assert {(each.via, each.degraded) for each in decisions[1:]} == {("lease", False)}
        beyond = [acme.consume("acme", name, scope=scope_of(name)) for _ in range(5)]
        assert {(each.allowed, each.degraded) for each in beyond} == {(True, True)}
        valkey.cont()
        wait_until(lambda: not acme.consume("acme", "other").degraded, "the store")

    # What a process admits of a rate on its own is never counted; a lease of a rate whose answer was lost has no number.
    wanted = (51, 101) if name == "api" else (56,)
    wait_until(lambda: counted(valkey, name) in wanted, f"{wanted} units, of {counted(valkey, name)}")


async def test_a_lease_whose_answer_is_lost_takes_nothing(valkey):
    async with AsyncEnforcer(QUICK, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as acme:
        decisions = [await acme.consume("acme", "leads")]
        valkey.stop()  # what is sent now is carried out later
        decisions += [await acme.consume("acme", "leads") for _ in range(3)]
        valkey.cont()
        for _ in range(1200):
            if not (await acme.consume("acme", "other")).degraded:
                break
            await asyncio.sleep(0.05)
    assert all(decisions)
    wait_until(lambda: counted(valkey, "leads") == 4, "four units")


def test_a_server_that_has_lost_everything_gets_nothing_back(valkey):
    with enforcer(valkey) as acme:
        for _ in range(2):
            acme.consume("acme", "leads")
        valkey.restart()
        assert acme.consume("acme", "leads").via == "lease"
        with enforcer(valkey, leased_policy()) as other:
            other.consume("acme", "leads", 60)
    assert counted(valkey, "leads") == 60


@pytest.mark.slow  # a failover takes seconds
def test_a_failover_that_loses_nothing_keeps_leases_exact(sentinel):
    policy = leased_policy(deadline="1 second")
    options = {"accounts": ACCOUNTS, "store": sentinel.url, "expected_processes": 1}
    with Enforcer(policy, **options) as acme:
        spent = [acme.consume("acme", "leads") for _ in range(10)]
        with sentinel.client() as client:
            assert client.execute_command("WAIT", 1, 10_000) == 1
        sentinel.servers[0].kill()
        spent += [acme.consume("acme", "leads") for _ in range(10)]
        wait_until(lambda: not acme.consume("acme", "other").degraded, "the new master")
        spent += [acme.consume("acme", "leads") for _ in range(10)]
    assert all(spent)
    with Enforcer(policy, **options) as other:
        wait_until(lambda: other.usage("acme")["leads"].used == 30, "thirty units")


def test_no_window_of_a_second_holds_more_than_its_limit(server):
    """Three processes charge as fast as they can; each is an enforcer of its own, in a thread."""
    size, seconds = 200, 2.5
    policy = Policy.parse({
        "policy": {"version": 1},
        "limits": {"api": {"kind": "rate", "lease": 20, "deadline": "20 seconds"}},
        "tiers": {"low": {"rank": 1, "limits": {"api": f"{size} per second"}}},
    })  # fmt: skip
    admissions, vias = [], set()

    def work(seed):
        chance, until = random.Random(seed), time.monotonic() + seconds
        with enforcer(server, policy, processes=3) as acme:
            while time.monotonic() < until:
                sent = time.monotonic_ns() // 1000
                decision = acme.consume("acme", "api")
                if decision:
                    admissions.append(Admission(sent, time.monotonic_ns() // 1000, 1))
                vias.add(decision.via)
                if chance.random() < 0.02:
                    time.sleep(chance.choice([0.001, 0.02, 0.2]))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert most_in_any_window(admissions, window=1_000_000) <= size
    assert "store" in vias


def test_an_enforcer_that_cannot_return_its_units_closes(valkey):
    with enforcer(valkey) as acme:
        for _ in range(2):
            acme.consume("acme", "api")
        valkey.kill()
        with suppress(StoreError):
            acme.close()
    valkey.start()
