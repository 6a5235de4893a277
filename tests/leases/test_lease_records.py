"""Leases as a ledger, a middleware and overage see them."""

from __future__ import annotations

import pytest
from leases import KINDS, leased_policy, scope_of

from entitlements import AsyncEnforcer, Enforcer, Policy, Reason
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.ledger import SqlLedger

ACCOUNTS = {"acme": "low"}


def test_the_ledger_holds_each_unit_once(valkey, tmp_path):
    with SqlLedger(f"sqlite:///{tmp_path}/usage.db", age=3600) as ledger:
        options = {"accounts": ACCOUNTS, "store": valkey.url, "expected_processes": 1, "hooks": [ledger]}
        with Enforcer(leased_policy(), **options) as acme:
            for name in ("leads", "seats", "calls"):
                spent = [acme.consume("acme", name, scope=scope_of(name)) for _ in range(60)]
                assert acme.refund(spent[5])
                ledger.flush()
                assert ledger.drift("acme", store=valkey.url, settle=0) == ()  # also while units are leased
        ledger.flush()

        assert ledger.drift("acme", store=valkey.url, settle=0) == ()
    with Enforcer(leased_policy(), accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as other:
        usage = other.usage("acme", scope="ann")
        assert [usage[name].used for name in ("leads", "seats", "calls")] == [59, 59, 59]


async def test_a_middleware_spends_leased_units(valkey):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    for name in ("api", "leads"):
        async with AsyncEnforcer(leased_policy(), accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as acme:
            middleware = EntitlementsMiddleware(
                app, enforcer=acme, identify=lambda _: "acme", routes=[Route("/", consumes={name: 1})]
            )
            scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
            with valkey.client() as client:
                for number in range(52):
                    await middleware({**scope}, receive, send)
                    if number == 1:
                        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
                assert client.info("commandstats")["cmdstat_evalsha"]["calls"] <= before + 1
            assert (await acme.usage("acme"))[name].used - (await acme.usage("acme"))[name].leased == 52
    statuses = [message["status"] for message in sent if message["type"] == "http.response.start"]
    assert statuses == [200] * 104


def test_units_that_are_included_and_units_beyond_are_not_leased_together(valkey):
    policy = Policy.parse({
        "policy": {"version": 1},
        "limits": {"leads": {"kind": "quota", "on_outage": "allow", "lease": 20, "deadline": "20 seconds"}},
        "tiers": {"low": {"rank": 1, "limits": {"leads": {"included": 50, "overage": 1000}}}},
    })  # fmt: skip
    with Enforcer(policy, accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as acme:
        decisions = [acme.consume("acme", "leads") for _ in range(90)]

    assert [each.reason for each in decisions] == [Reason.WITHIN_LIMIT] * 50 + [Reason.OVERAGE] * 40
    assert "lease" in {each.via for each in decisions[50:]}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_peeked_is_what_the_store_has_left(valkey, name):
    with Enforcer(leased_policy(), accounts=ACCOUNTS, store=valkey.url, expected_processes=1) as acme:
        for _ in range(2):
            acme.consume("acme", name, scope=scope_of(name))

        assert acme.peek("acme", name, 949, scope=scope_of(name))
        assert not acme.peek("acme", name, 950, scope=scope_of(name))
