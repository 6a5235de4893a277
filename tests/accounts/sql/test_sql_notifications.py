"""Changed accounts by `LISTEN`: they reach `can` of other enforcers that share nothing but the PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from select import select

import psycopg
import pytest
from sql_sources import SIGNED, accounts_of, opened
from sqlalchemy import make_url
from topologies import wait_until

from entitlements import Account, AsyncEnforcer, Enforcer, Policy
from entitlements.accounts import AsyncCachedAccounts, CachedAccounts
from entitlements.accounts.sql import AsyncSqlAccounts
from entitlements.accounts.sql.notifications import CHANNEL, feed_of
from entitlements.invalidations import async_listener, listener

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "features": {"sso": "Single sign-on."},
    "tiers": {"low": {"rank": 1}, "high": {"rank": 2, "features": ["sso"]}},
})  # fmt: skip
LONG = timedelta(hours=1)
"""Time to live of an account: what is seen earlier has come by a message."""


@pytest.fixture
def writer(postgres):
    """The accounts as another process changes them, with the account acme."""
    accounts = accounts_of(postgres.url(), policy=POLICY)
    accounts.create("acme", "low", **SIGNED)
    return accounts


@pytest.fixture
def enforcer(postgres, writer, monkeypatch):
    monkeypatch.setattr(listener, "TIMEOUT", 60)
    with Enforcer(POLICY, accounts=CachedAccounts(opened(postgres.url()), ttl=LONG)) as enforcer:
        assert not enforcer.can("acme", "sso")
        yield enforcer


def read(feed, *, within=60):
    """Return the next that a feed has, once it has something."""
    assert select([feed.fileno()], [], [], within)[0]
    return feed.read()


def test_a_change_of_another_process_reaches_can(enforcer, writer):
    writer.set_tier("acme", "high", **SIGNED)
    wait_until(lambda: enforcer.can("acme", "sso"), "the message")
    writer.close("acme", **SIGNED)
    wait_until(lambda: not enforcer.can("acme", "sso"), "the message")


@pytest.mark.parametrize("first", [60, 1e-6], ids=["connected", "too slow at first"])
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_a_change_of_another_process_reaches_plain_calls_on_an_event_loop(
    postgres, writer, driver, first, monkeypatch
):
    """A connection that is made later has each account in use loaded again."""
    monkeypatch.setattr(async_listener, "TIMEOUT", first)
    accounts = AsyncSqlAccounts(postgres.url(driver))
    async with AsyncEnforcer(POLICY, accounts=AsyncCachedAccounts(accounts, ttl=LONG, load_within=LONG)) as enforcer:
        handle = await enforcer.account("acme")
        assert not handle.can("sso")
        await asyncio.to_thread(writer.set_tier, "acme", "high", **SIGNED)
        monkeypatch.setattr(async_listener, "TIMEOUT", 60)
        until = time.monotonic() + 60
        while not handle.can("sso"):
            assert time.monotonic() < until
            await asyncio.sleep(0.001)
    await accounts.close_engine()


def test_only_a_change_that_is_stored_is_told(postgres, writer):
    feed = feed_of(make_url(postgres.url()), listen=True)
    feed.connect(60)
    writer.set_tier("acme", "high", dry_run=True, **SIGNED)
    with pytest.raises(Exception, match="tier"):
        writer.set_tier("acme", "none", **SIGNED)
    writer.suspend("acme", **SIGNED)
    assert [("acme", None)] == read(feed)
    assert feed.read() is None
    feed.close()


def test_tables_of_yours_tell_by_a_trigger_or_where_they_are_changed(postgres):
    with postgres.connect() as connection:
        connection.execute("create table customers (id text primary key, plan text)")
        connection.execute("insert into customers values ('acme', 'low')")
        accounts = opened(
            postgres.url(), query="select id, plan from customers where id = :id",
            account=lambda row: Account(row["id"], row["plan"]),
        )  # fmt: skip
        with Enforcer(POLICY, accounts=CachedAccounts(accounts, ttl=LONG)) as enforcer:
            assert not enforcer.can("acme", "sso")
            connection.execute("update customers set plan = 'high'")
            connection.execute("select pg_notify(%s, 'acme')", [CHANNEL])
            wait_until(lambda: enforcer.can("acme", "sso"), "the message")


def test_a_frozen_server_holds_nobody_up_and_is_given_up(postgres):
    feed = feed_of(make_url(postgres.url()), listen=True)
    postgres.stop()
    with pytest.raises(TimeoutError, match="did not answer"):
        feed.connect(0.25)
    postgres.cont()
    feed.connect(60)
    assert feed.read() is None
    feed.ping()
    assert [] == read(feed)
    assert feed.read() is None
    feed.close()


def test_a_refused_connection_says_why(postgres):
    feed = feed_of(make_url(postgres.url()).set(database="nowhere"), listen=True)
    with pytest.raises(psycopg.OperationalError, match="nowhere"):
        feed.connect(60)
    assert "nowhere" in repr(feed)


def test_a_forked_child_leaves_the_connection_to_its_parent(postgres, writer):
    feed = feed_of(make_url(postgres.url()), listen=True)
    feed.connect(60)
    child = os.fork()
    if child == 0:
        feed.disown()
        del feed
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.set_tier("acme", "high", **SIGNED)
    assert [("acme", None)] == read(feed)
    feed.close()


@pytest.mark.parametrize(
    ("url", "listen"),
    [
        ("sqlite:///accounts.db", True),
        ("postgresql+psycopg://app@db/shop", False),
        ("mysql+pymysql://app@db/shop", True),
    ],
)
def test_a_database_without_messages_has_no_feed(url, listen):
    assert feed_of(make_url(url), listen=listen) is None


@pytest.mark.parametrize(
    ("url", "listen", "conninfo"),
    [
        ("postgresql+asyncpg://app:s@db:7/shop?ssl=require&prepared_statement_cache_size=0", True,
         "host=db dbname=shop user=app password=s port=7 sslmode=require"),
        ("postgresql+psycopg://app@/shop?host=a:1&host=b:2&target_session_attrs=primary", True,
         "host=a,b dbname=shop user=app port=1,2 target_session_attrs=primary"),
        ("postgresql+psycopg://app@db/shop", "host=primary user=app", "host=primary user=app"),
    ],
)  # fmt: skip
def test_libpq_connects_as_the_url_says_or_as_it_is_told(url, listen, conninfo):
    feed = feed_of(make_url(url), listen=listen)
    found = psycopg.conninfo.conninfo_to_dict(feed._conninfo)
    assert psycopg.conninfo.conninfo_to_dict(conninfo) == found
