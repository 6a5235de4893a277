"""`usage_of`: what `usage` says of each account, in few round trips."""

from __future__ import annotations

import asyncio
import sys

import pytest
from trade import policy

from entitlements import Account, AccountError, AsyncEnforcer, Enforcer, StoreError, UnknownAccount
from entitlements.accounts.sql import SqlAccounts

ACCOUNTS = {f"a{number}": "pro" for number in range(600)}


def counts(usages):
    """Return usages without the resets of rates, which move with the clock."""
    return {
        id: {name: (each.used, each.limit, each.remaining) for name, each in usage.items()}
        for id, usage in usages.items()
    }


def round_trips(act):
    """Return what *act* returns, and how often it wrote to a socket."""
    sent = []

    def count(_frame, event, function):
        if event == "c_call" and function.__name__ in {"sendall", "send"}:
            sent.append(function)

    sys.setprofile(count)
    try:
        return act(), len(sent)
    finally:
        sys.setprofile(None)


def test_the_usage_of_many_is_the_usage_of_each(any_store):
    with Enforcer(policy(), accounts=ACCOUNTS, store=any_store) as enforcer:
        for number in range(4):
            enforcer.consume(f"a{number}", {"leads": number + 1, "api": 1})
        ids = ["a3", "a1", "a1", Account("a0", "max"), "a599"]

        found = enforcer.usage_of(ids)

        assert ["a3", "a1", "a0", "a599"] == list(found)
        each = {account_id: enforcer.usage(ids[3] if account_id == "a0" else account_id) for account_id in found}
        assert counts(each) == counts(found)
        assert [4, 2, 1, 0] == [usage["leads"].used for usage in found.values()]
        assert {} == enforcer.usage_of([])


def test_the_usage_of_many_takes_few_round_trips(server):
    with Enforcer(policy(), accounts=ACCOUNTS, store=server.url) as enforcer:
        enforcer.usage("a1")
        found, trips = round_trips(lambda: enforcer.usage_of(ACCOUNTS))

    assert (600, 3) == (len(found), trips)


def test_the_usage_of_many_takes_few_round_trips_on_a_loop(server):
    async def run():
        async with AsyncEnforcer(policy(), accounts=ACCOUNTS, store=server.url) as enforcer:
            await enforcer.consume("a5", "leads", 2)
            before = server_reads(server)
            found = await enforcer.usage_of(ACCOUNTS)
            return found, server_reads(server) - before

    found, reads = asyncio.run(run())

    assert (600, 2, 0) == (len(found), found["a5"]["leads"].used, found["a6"]["leads"].used)
    assert reads < 60  # what is written in one turn of the loop may be read in parts


def server_reads(server):
    """Return how often the server has read from its clients, without this client's own reads."""
    with server.client() as client:
        return client.info("stats")["total_reads_processed"]


def test_a_server_that_lost_its_scripts_answers_all_the_same(server):
    with Enforcer(policy(), accounts=ACCOUNTS, store=server.url) as enforcer:
        enforcer.usage("a1")
        with server.client() as admin:
            admin.script_flush()

        assert 600 == len(enforcer.usage_of(ACCOUNTS))


def test_an_unknown_account_and_a_store_that_is_away_raise(rack):
    server = rack.start("valkey-9")
    with Enforcer(policy(), accounts={"acme": "pro", "other": "pro"}, store=server.url) as enforcer:
        with pytest.raises(UnknownAccount, match="'nobody'"):
            enforcer.usage_of(["acme", "nobody"])
        enforcer.usage_of(["acme", "other"])
        server.kill()
        with pytest.raises(StoreError):
            enforcer.usage_of(["acme", "other"])
        server.start()
    rack.remove(server)


def test_accounts_in_sql_are_loaded_together_and_a_damaged_one_is_named():
    accounts = SqlAccounts("sqlite://")
    accounts.create_tables()
    for id in ("a", "b", "c"):
        accounts.create(id, "pro", reason="test", author="test")
    loads = []
    load = accounts._load_batch
    accounts._load_batch = lambda ids: loads.append(ids) or load(ids)
    with Enforcer(policy(), accounts=accounts) as enforcer:
        assert {"a", "b", "c"} == set(enforcer.usage_of(["a", "b", "c"]))
        assert [["a", "b", "c"]] == loads
        with accounts._engine.begin() as connection:
            connection.exec_driver_sql("update entitlements_accounts set anchor = 'x' where id = 'b'")
        for id in ("a", "b", "c"):
            enforcer.refresh(id)
        with pytest.raises(AccountError, match="account 'b': table entitlements_accounts"):
            Enforcer(policy(), accounts=accounts).usage_of(["a", "b", "c"])
    accounts.close_engine()
