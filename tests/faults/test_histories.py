"""Processes of many tasks or threads under faults: what was acknowledged is what is counted; and the checker can say no."""

from __future__ import annotations

import random
import time
from functools import partial
from time import monotonic

import pytest
from faultlab import history
from faultlab.history import SIZES, play, show, thread_history, trouble
from faultlab.judge import compare
from faultlab.operations import ACCOUNTS, CROWDED
from faultlab.records import counted, open_reservations, set_quota
from proxy import proxied

from entitlements import Enforcer

pytestmark = pytest.mark.faults
LIMITS = ("leads", "exports", "seats")


def check(told, client, loss=0):
    """Return what was found against a history: the checker that the tests below plant faults for."""
    found = list(told.mistakes)
    for account in CROWDED:
        for limit in LIMITS:
            size = SIZES[limit] if limit == "leads" else None
            found += compare(told, client, account, limit, size=size, loss=loss)
        if stuck := open_reservations(client, account):
            found.append(f"{account} has {stuck} reservations open past their ttl")
    return found


# --- Histories ----------------------------------------------------------------------------------------------------


def toxics(proxy, server):
    """Return faults that lose no counter, each as two functions."""
    kinds = [
        ("cut after", 0, 0.1),
        ("cut before", 0, 0.1),
        ("late", 0.03, 0.3),
        ("blackhole", 0, 0.02),
        ("late original", 0.2, 0.1),
    ]
    found = [((lambda kind=kind: proxy.inject(*kind)), proxy.heal) for kind in kinds]

    def flush():
        with server.client() as admin:
            admin.script_flush()

    return [*found, (server.stop, server.cont), (proxy.cut_all, flush)]


@pytest.mark.parametrize("work", [history.tasks, history.threads])
@pytest.mark.parametrize("seconds", [3, pytest.param(15, marks=pytest.mark.slow)])
def test_what_was_acknowledged_is_counted_whatever_happens_on_the_way(valkey, work, seconds):
    with proxied(valkey.port) as proxy:
        disturb = partial(trouble, *toxics(proxy, valkey), seconds=seconds)
        told, figures = play(work, proxy.url, seconds=seconds, meanwhile=disturb)
    with valkey.client() as client:
        show(told, client, figures)

        assert [] == check(told, client)


# --- The checker can say no ---------------------------------------------------------------------------------------


class Planted:
    """An enforcer with a fault: it wraps a good one, and has its verbs."""

    def __init__(self, enforcer, client):
        self._enforcer, self._client, self._chance = enforcer, client, random.Random(1)

    def __getattr__(self, name):
        return getattr(self._enforcer, name)


class ReadThenWrite(Planted):
    """Counts `exports` by reading the record and writing it, as a limiter without atomic scripts does."""

    def consume(self, account, wanted, **named):
        decision = self._enforcer.consume(account, wanted, **named)
        if "exports" in wanted:
            used = counted(self._client, account, "exports").used
            time.sleep(0.02)
            set_quota(self._client, account, "exports", used)
        return decision


class DoubleApplication(Planted):
    """Now and then a charge is applied twice, as by a client that sends it again after a lost reply."""

    def consume(self, account, wanted, **named):
        if self._chance.random() < 0.05:
            self._enforcer.consume(account, wanted)
        return self._enforcer.consume(account, wanted, **named)


class LostRefund(Planted):
    """Now and then a refund says that it was done, and was not."""

    def refund(self, decision):
        return True if self._chance.random() < 0.5 else self._enforcer.refund(decision)


@pytest.mark.parametrize(
    ("planted", "limit"), [(None, ""), (ReadThenWrite, "exports"), (DoubleApplication, ""), (LostRefund, "leads")]
)
def test_the_checker_finds_a_planted_fault_and_nothing_else(valkey, planted, limit):
    with (
        Enforcer(history.policy("20 seconds"), accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as good,
        valkey.client() as client,
    ):
        enforcer = planted(good, client) if planted else good
        told = thread_history(enforcer, 0, monotonic() + 2, accounts=CROWDED[:1])
        show(told, client)
        found = check(told, client)

    assert bool(planted) == bool(found), found
    assert all(limit in each for each in found[:1])
