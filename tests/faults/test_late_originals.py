"""An order that reaches the server after its caller has gone on, because its repeat was answered first."""

from __future__ import annotations

import pytest
from faultlab.operations import ACCOUNT, ACCOUNTS, POLICY, SIZES
from faultlab.records import counted
from proxy import proxied
from topologies import wait_until

from entitlements import Enforcer, Reason

pytestmark = pytest.mark.faults
LATE = 2.0
"""Seconds that the original takes; everything before it has to be done by then."""


def commands(client):
    return client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]


@pytest.mark.parametrize("limit", ["leads", "seats"])
def test_a_total_is_not_set_when_it_arrives_after_a_later_one(valkey, limit):
    with (
        proxied(valkey.port) as proxy,
        valkey.client() as client,
        Enforcer(POLICY, store=proxy.url, accounts=ACCOUNTS, expected_processes=1) as enforcer,
    ):
        enforcer.set_usage(ACCOUNT, limit, 1)
        proxy.inject("late original", LATE, times=1)
        repeated = enforcer.set_usage(ACCOUNT, limit, 2)
        last = enforcer.set_usage(ACCOUNT, limit, 3)
        asked = commands(client)
        wait_until(lambda: commands(client) > asked, "the late original")

        assert 1 == proxy.hits
        assert (2, 3, 3) == (repeated.used, last.used, enforcer.usage(ACCOUNT)[limit].used)


@pytest.mark.parametrize("limit", ["leads", "seats"])
@pytest.mark.parametrize("gives_back", [False, True])
def test_a_charge_that_was_refused_takes_nothing_when_its_original_arrives(valkey, limit, gives_back):
    options = {"accounts": ACCOUNTS, "expected_processes": 1}
    with (
        proxied(valkey.port) as proxy,
        valkey.client() as client,
        Enforcer(POLICY, store=proxy.url, **options) as enforcer,
        Enforcer(POLICY, store=valkey.url, **options) as other,
    ):
        enforcer.peek(ACCOUNT, limit)
        taken = other.consume(ACCOUNT, limit, SIZES[limit])
        proxy.inject("late original", LATE, times=1)
        refused = enforcer.consume(ACCOUNT, limit)
        if gives_back:
            other.refund(taken)
        asked = commands(client)
        assert {Reason.QUOTA_EXCEEDED, Reason.ALLOCATION_FULL} >= {refused.reason}
        assert 1 == proxy.hits
        wait_until(lambda: commands(client) > asked, "the late original")

        assert (0 if gives_back else SIZES[limit]) == counted(client, ACCOUNT, limit).used
