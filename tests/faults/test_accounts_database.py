"""Faults of the database of accounts: down, frozen, slow, restarted, deadlocked, and a replica that lags."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from postgres import start
from proxy import proxied
from sql_sources import SIGNED, SqlAccounts
from trade import policy

from entitlements import AccountsUnavailable, AsyncEnforcer, Enforcer
from entitlements.accounts import AsyncCachedAccounts, CachedAccounts
from entitlements.accounts.sql import AsyncSqlAccounts
from entitlements.model.events import AccountsBack, AccountsDown

pytestmark = pytest.mark.faults
TABLE = "The database of accounts"
SOON = 30
"""Seconds within which a call that is limited to two must have ended, however busy the machine is."""


class Threads:
    """An enforcer on accounts in PostgreSQL, for threads."""

    def __init__(self, url, timeout=2, **options):
        self.events = []
        self._accounts = SqlAccounts(url, timeout=timeout)
        source = CachedAccounts(self._accounts, **{"ttl": timedelta(0)} | options)
        self._enforcer = Enforcer(policy(), accounts=source, hooks=[self.events.append])

    def create(self, id, tier):
        self._accounts.create_tables()
        self._accounts.create(id, tier, **SIGNED)

    def set_tier(self, id, tier):
        return self._accounts.set_tier(id, tier, enforcer=self._enforcer, **SIGNED)

    def tier(self, id):
        return self._enforcer.entitlements(id).tier

    def versions(self, id):
        return [entry.version for entry in self._accounts.audit(id)]

    def close(self):
        self._enforcer.close()
        self._accounts.close_engine()


class Loop:
    """The same on an event loop, called from outside of it."""

    def __init__(self, url, timeout=2, **options):
        self.events = []
        self._runner = asyncio.Runner()
        self._accounts = AsyncSqlAccounts(url, timeout=timeout)
        source = AsyncCachedAccounts(self._accounts, **{"ttl": timedelta(0)} | options)
        self._enforcer = AsyncEnforcer(policy(), accounts=source, hooks=[self.events.append])

    def _run(self, call):
        async def run():
            return await call

        return self._runner.run(run())

    def create(self, id, tier):
        self._run(self._accounts.create_tables())
        self._run(self._accounts.create(id, tier, **SIGNED))

    def set_tier(self, id, tier):
        return self._run(self._accounts.set_tier(id, tier, enforcer=self._enforcer, **SIGNED))

    def tier(self, id):
        return self._run(self._enforcer.entitlements(id)).tier

    def versions(self, id):
        return [entry.version for entry in self._run(self._accounts.audit(id))]

    def close(self):
        self._run(self._enforcer.aclose())
        self._run(self._accounts.close_engine())
        self._runner.close()


KINDS = {"threads": (Threads, "psycopg"), "loop": (Loop, "psycopg"), "loop, asyncpg": (Loop, "asyncpg")}


@pytest.fixture(params=KINDS)
def client(request, postgres):
    """Return a function that opens a client of the database, with an account in it."""
    kind, driver = KINDS[request.param]
    opened = []

    def connect(**options):
        opened.append(kind(postgres.url(driver), **options))
        opened[-1].create("acme", "pro")
        return opened[-1]

    yield connect
    postgres.cont()
    if postgres.process.poll() is not None:
        postgres.start()
    for each in opened:
        each.close()


@pytest.fixture
def in_time():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 4 * SOON


def kinds(events):
    return [type(event) for event in events if isinstance(event, AccountsDown | AccountsBack)]


@pytest.mark.fault_row(TABLE, "down: the stale account stands in, others are refused")
def test_down_the_stale_account_stands_in_and_others_are_refused(client, postgres):
    accounts = client()
    assert "pro" == accounts.tier("acme")
    postgres.kill()

    assert "pro" == accounts.tier("acme")
    with pytest.raises(
        AccountsUnavailable, match="account 'other' cannot be loaded, and nothing recent is known of it"
    ):
        accounts.tier("other")
    with pytest.raises(AccountsUnavailable, match="database postgresql"):
        accounts.set_tier("acme", "max")
    postgres.start()

    assert None is accounts.tier("other")
    assert [AccountsDown, AccountsBack] == kinds(accounts.events)


@pytest.mark.fault_row(TABLE, "down: the tier of `when_down` stands in")
def test_down_a_tier_stands_in_where_when_down_names_one(client, postgres):
    accounts = client(when_down="free")
    postgres.kill()

    assert "free" == accounts.tier("other")


@pytest.mark.fault_row(TABLE, "frozen: calls end in time, the stale account stands in")
def test_frozen_a_call_ends_in_time_and_the_stale_account_stands_in(client, postgres, in_time):
    accounts = client()
    assert "pro" == accounts.tier("acme")
    postgres.stop()

    assert "pro" == accounts.tier("acme")
    with pytest.raises(AccountsUnavailable):
        accounts.tier("other")
    postgres.cont()

    until = time.monotonic() + SOON
    while time.monotonic() < until:
        with suppress(AccountsUnavailable):  # a server that was frozen takes its time to go on
            assert accounts.tier("other") is None
            break
    else:
        pytest.fail("the database is not used again")
    assert "max" == accounts.set_tier("acme", "max").tier


@pytest.mark.fault_row(TABLE, "slow: the server ends the statement, the stale account stands in")
def test_slow_a_statement_is_ended_by_the_server_and_the_stale_account_stands_in(client, postgres, in_time):
    accounts = client()
    assert "pro" == accounts.tier("acme")
    with postgres.connect() as other:
        other.autocommit = False
        other.execute("lock table entitlements_accounts in access exclusive mode")
        assert "pro" == accounts.tier("acme")
        with pytest.raises(AccountsUnavailable, match=r"statement timeout|TimeoutError|no reply within"):
            accounts.tier("other")
        with pytest.raises(AccountsUnavailable, match=r"statement timeout|TimeoutError|no reply within"):
            accounts.set_tier("acme", "max")
        other.rollback()

    assert "pro" == accounts.tier("acme")
    assert "max" == accounts.set_tier("acme", "max").tier


@pytest.mark.slow  # six restarts of the server; on a busy machine each takes seconds
@pytest.mark.fault_row(TABLE, "restarted: no error, no event, no stale account")
def test_restarted_nobody_notices(client, postgres):
    """Connections that broke while they were idle are replaced: no stale account, no error, no event."""
    accounts = client(timeout=SOON)
    assert "pro" == accounts.tier("acme")
    for tier in ("max", "pro", "free"):
        postgres.restart()
        assert tier == accounts.set_tier("acme", tier).tier
        postgres.restart()
        assert tier == accounts.tier("acme")

    assert [] == kinds(accounts.events)
    assert [4, 3, 2, 1] == accounts.versions("acme")


@pytest.mark.parametrize("cut", [b"database\0", b"entitlements_accounts"], ids=["while it is made", "in a statement"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.fault_row(TABLE, "a connection breaks while it is made, or in a statement: another one is used")
def test_a_connection_that_breaks_is_replaced_by_another(postgres, kind, cut):
    make, driver = KINDS[kind]
    with proxied(postgres.port) as proxy:
        port = proxy.port
        accounts = make(postgres.url(driver).replace(f":{postgres.port}/", f":{port}/"), timeout=SOON)
        try:
            accounts.create("acme", "pro")
            proxy.cut_all()
            proxy.inject("cut before", of=cut, times=1)

            assert "pro" == accounts.tier("acme")

            assert 1 == proxy.hits
            assert [] == kinds(accounts.events)
        finally:
            accounts.close()


@pytest.mark.fault_row(TABLE, "messages lost: the next connection has every account loaded again")
def test_messages_that_are_lost_cost_until_the_next_connection_and_the_next_one_comes_by_itself(client, postgres):
    """The time to live is an hour; the connection that listens is ended, and the account changed meanwhile."""
    accounts = client(ttl=timedelta(hours=1))
    assert "pro" == accounts.tier("acme")
    writer = SqlAccounts(postgres.url())
    with postgres.connect() as admin:
        until = time.monotonic() + SOON
        while not admin.execute(ENDED).rowcount and time.monotonic() < until:
            accounts.tier("acme")
    writer.set_tier("acme", "max", **SIGNED)
    until = time.monotonic() + 4 * SOON
    while accounts.tier("acme") != "max" and time.monotonic() < until:
        accounts.tier(f"other-{time.monotonic()}")  # a load looks after the connection
    assert "max" == accounts.tier("acme")
    writer.close_engine()


ENDED = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN %'"


@pytest.mark.fault_row(TABLE, "deadlock: a change is made once")
def test_deadlocked_a_change_is_made_once(client, postgres):
    """
    Another transaction holds the audit and waits for the account, while ours holds the account and waits for the audit.

    The server ends ours, which has the shorter time until it looks for deadlocks, and it is repeated.
    """
    with postgres.connect() as admin, postgres.connect() as other, ThreadPoolExecutor(1) as pool:
        admin.execute("alter role app set deadlock_timeout = '1s'")
        accounts, before = client(timeout=SOON), deadlocks(admin)
        other.autocommit = False
        other.execute("set deadlock_timeout = '20s'")
        other.execute("lock table entitlements_audit in exclusive mode")
        changing = pool.submit(accounts.set_tier, "acme", "max")
        until = time.monotonic() + SOON
        while not waiting(admin) and time.monotonic() < until:
            time.sleep(0.01)
        other.execute("update entitlements_accounts set changed = changed where id = 'acme'")
        other.commit()
        assert "max" == changing.result(SOON).tier
        admin.execute("alter role app reset deadlock_timeout")

        assert ("max", [2, 1]) == (accounts.tier("acme"), accounts.versions("acme"))
        while deadlocks(admin) == before and time.monotonic() < until:
            time.sleep(0.1)  # statistics come late
        assert deadlocks(admin) > before


def deadlocks(connection):
    return connection.execute("select deadlocks from pg_stat_database where datname = 'postgres'").fetchone()[0]


def waiting(connection):
    return connection.execute("select count(*) from pg_locks where not granted").fetchone()[0]


@pytest.mark.fault_row(TABLE, "replica that lags: the account of before, until it has caught up")
def test_a_replica_that_lags_gives_the_account_of_before_until_it_has_caught_up(rack, postgres):
    """So it is documented: read from the primary."""
    writer = SqlAccounts(postgres.url())
    writer.create_tables()
    writer.create("acme", "pro", **SIGNED)
    standby = start(rack, source=postgres)
    reader = SqlAccounts(standby.url())
    with standby.connect() as admin, Enforcer(policy(), accounts=reader) as enforcer:
        assert "pro" == enforcer.entitlements("acme").tier
        admin.execute("select pg_wal_replay_pause()")
        writer.set_tier("acme", "max", **SIGNED)
        enforcer.refresh("acme")
        lagging = enforcer.entitlements("acme").tier
        admin.execute("select pg_wal_replay_resume()")
        until = time.monotonic() + SOON
        while enforcer.entitlements("acme").tier != "max" and time.monotonic() < until:
            enforcer.refresh("acme")
            time.sleep(0.05)

        assert ("pro", "max") == (lagging, enforcer.entitlements("acme").tier)
    reader.close_engine()
    writer.close_engine()
    rack.remove(standby)


@pytest.mark.fault_row(TABLE, "frozen, 20 threads: all end")
def test_a_source_whose_threads_wait_for_a_frozen_database_frees_all_of_them(postgres, in_time):
    accounts = SqlAccounts(postgres.url(), timeout=1)
    accounts.create_tables()
    accounts.find("acme")
    postgres.stop()
    errors = []

    def find(number):
        try:
            accounts.find(f"a{number}")
        except AccountsUnavailable as error:
            errors.append(error)

    threads = [threading.Thread(target=find, args=[number]) for number in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(2 * SOON)
    postgres.cont()

    assert (20, [False] * 20) == (len(errors), [each.is_alive() for each in threads])
    accounts.close_engine()
