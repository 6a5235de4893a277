"""Loading from SQL: few statements, damaged rows, versions of the tables, URLs and event loops."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sql_sources import FULL, SIGNED, START, accounts_of, opened, statements_of, to
from sqlalchemy import create_engine, event, text
from trade import policy

from entitlements import (
    Account,
    AccountError,
    AccountsUnavailable,
    AsyncEnforcer,
    Enforcer,
)
from entitlements.accounts import AsyncCachedAccounts, CachedAccounts
from entitlements.accounts.sql import AsyncSqlAccounts, EventOutcome, SchemaMismatch, SqlAccounts

# --- Loading ---------------------------------------------------------------------------------------------------------


def test_a_miss_is_one_statement(database):
    accounts = accounts_of(database)
    accounts.create(FULL, **SIGNED)
    seen = statements_of(accounts._engine)

    accounts.find("acme")
    accounts.find("unknown")

    assert 2 == len(seen)


def test_a_miss_on_postgresql_is_one_statement_for_the_server_too(postgres):
    accounts = accounts_of(postgres.url())
    accounts.create(FULL, **SIGNED)
    with postgres.connect() as admin:
        admin.execute("alter role app set log_statement = 'all'")
        accounts.close_engine()
        accounts.find("acme")  # connects
        log = (postgres.folder / "log").stat().st_size
        accounts.find("acme")
        said = (postgres.folder / "log").read_bytes()[log:].decode()
        admin.execute("alter role app reset log_statement")

    assert 1 == said.count("LOG:"), said
    assert "UNION ALL" in said


def test_a_thousand_misses_at_once_are_few_statements_on_a_loop(async_database):
    async def run():
        accounts = AsyncSqlAccounts(async_database, timeout=60)
        await accounts.create_tables()
        for number in range(3):
            await accounts.create(f"a{number}", "pro", **SIGNED)
        seen = statements_of(accounts._engine().sync_engine)
        cached = AsyncCachedAccounts(accounts, load_within=timedelta(minutes=1))
        async with AsyncEnforcer(policy(), accounts=cached) as enforcer:
            handles = await asyncio.gather(*(enforcer.entitlements(f"a{number}") for number in range(1000)))
        await accounts.close_engine()
        return [each.tier for each in handles], len(seen)

    tiers, statements = asyncio.run(run())

    assert (["pro"] * 3, {None}) == (tiers[:3], set(tiers[3:]))
    assert statements <= 10


def test_a_thousand_misses_at_once_are_few_statements_for_threads(database):
    """The first statement goes out once all others are asked for, however slow the machine is."""
    accounts = accounts_of(database, timeout=60)
    accounts.create("a1", "pro", **SIGNED)
    cached, seen = CachedAccounts(accounts), statements_of(accounts._engine)

    def wait(*_):
        until = time.monotonic() + 60
        while len(seen) == 1 and len(accounts._batches._waiting) < 999 and time.monotonic() < until:
            time.sleep(0.01)

    event.listen(accounts._engine, "before_cursor_execute", wait)
    found = {}
    threads = [
        threading.Thread(target=lambda id=f"a{number}": found.update({id: cached.find(id)})) for number in range(1000)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(120)

    assert (1000, Account("a1", "pro"), None) == (len(found), found["a1"], found["a2"])
    assert len(seen) <= 10


def test_many_accounts_are_found_by_one_call(database):
    accounts = accounts_of(database)
    for number in range(4):
        accounts.create(f"a{number}", "pro", **SIGNED)
    seen = statements_of(accounts._engine)

    found = accounts.find_many([f"a{number}" for number in range(1200)])

    assert ({f"a{number}" for number in range(4)}, 3) == (set(found), len(seen))


# --- Rows that are no accounts ---------------------------------------------------------------------------------------


DAMAGE = [
    ("update entitlements_accounts set anchor = '40' where id = 'acme'", "accounts", "acme", "anchor"),
    ("update entitlements_accounts set attributes = '[1' where id = 'acme'", "accounts", "acme", "attributes"),
    ("update entitlements_accounts set status = 'gone' where id = 'acme'", "accounts", "acme", "status"),
    ("update entitlements_accounts set tier = '' where id = 'acme'", "accounts", "acme", "tier"),
    ("update entitlements_overrides set value = '1,000' where name = 'leads'", "overrides", "1", "value"),
    ("update entitlements_overrides set reason = ' ' where name = 'leads'", "overrides", "1", "reason"),
    ("update entitlements_overrides set name = 'a b' where name = 'leads'", "overrides", "1", "name"),
    ("update entitlements_grants set amount = -1 where name = 'agents'", "grants", "1", "amount"),
    ("update entitlements_add_ons set quantity = 0 where name = 'support'", "add_ons", "1", "quantity"),
    ("update entitlements_trials set starts = ends", "trials", "1", "starts"),
    ("update entitlements_changes set tier = '' where tier = 'free'", "changes", "1", "tier"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "table", "key", "column"), DAMAGE, ids=[each[0][7:60] for each in DAMAGE])
def test_a_damaged_row_is_named_and_the_others_are_served(database, damage, table, key, column, caplog):
    accounts = accounts_of(database)
    accounts.create(FULL, **SIGNED)
    accounts.create("other", "pro", **SIGNED)
    with accounts._engine.begin() as connection:
        connection.execute(text(damage))
    cached = CachedAccounts(accounts)

    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(AccountError, match=f"table entitlements_{table}, row {key}, column {column}: "),
    ):
        cached.find("acme")
    assert Account("other", "pro") == cached.find("other")
    with pytest.raises(AccountError):
        cached.find("acme")

    (line,) = [record.message for record in caplog.records if "cannot be read" in record.message]
    assert "acme" not in line
    assert f"table entitlements_{table}, row " in line
    assert f", column {column}: " in line
    assert ["other"] == [account.id for account in accounts]
    assert [f"entitlements_{table}, row {key}"] == [problem.file for problem in accounts.problems]


def test_a_stale_account_stands_in_for_one_whose_row_was_damaged(caplog):
    accounts = accounts_of("sqlite://")
    accounts.create("acme", "pro", **SIGNED)
    cached = CachedAccounts(accounts, ttl=timedelta(0))
    assert Account("acme", "pro") == cached.find("acme")
    with accounts._engine.begin() as connection:
        connection.execute(text("update entitlements_accounts set anchor = 'x'"))

    assert Account("acme", "pro") == cached.find("acme")
    assert "failed to load; serving the stale entry: RowError: account #" in caplog.text


def test_a_text_that_is_no_instant_fails_one_account_only(tmp_path):
    accounts = accounts_of(f"sqlite:///{tmp_path / 'a.db'}")
    accounts.create(FULL, **SIGNED)
    accounts.create("other", "pro", **SIGNED)
    with accounts._engine.begin() as connection:
        connection.execute(text("update entitlements_trials set ends = 'soon'"))

    with pytest.raises(AccountError, match="table entitlements_trials, row 1, column ends: 'soon' is not a date"):
        accounts.find("acme")
    assert accounts.find("other")


# --- The tables' version ---------------------------------------------------------------------------------------------


def test_a_database_without_tables_is_refused_with_the_command(database):
    accounts = opened(database)

    with pytest.raises(
        SchemaMismatch, match=r"lacks tables of entitlements .*: entitlements account migrate --accounts "
    ):
        accounts.find("acme")
    with pytest.raises(SchemaMismatch):
        accounts.create("acme", "pro", **SIGNED)
    assert (None, 2) == accounts.migrate()
    assert (2, 2) == accounts.migrate()
    assert accounts.find("acme") is None


@pytest.mark.parametrize(
    ("version", "cure"), [(0, "entitlements account migrate --accounts "), (3, "upgrade entitlements here")]
)
def test_tables_of_another_version_are_refused_with_the_cure(database, version, cure):
    accounts = accounts_of(database)
    with accounts._engine.begin() as connection:
        connection.execute(text("update entitlements_schema set version = :version"), {"version": version})

    for act in (
        lambda: accounts.find("acme"), accounts.create_tables, accounts.migrate,
        lambda: accounts.create("acme", "pro", **SIGNED), lambda: Enforcer(policy(), accounts=accounts).can("acme", "leads"),
    ):  # fmt: skip
        with pytest.raises(AccountsUnavailable, match=f"are of version {version}, and 2 is needed; {cure}"):
            act()


def test_tables_are_created_once_by_those_that_start_together(database):
    with ThreadPoolExecutor(5) as pool:
        sources = list(pool.map(lambda _: accounts_of(database, timeout=30), range(5)))

    for accounts in sources:
        with accounts._engine.connect() as connection:
            assert [(2,)] == connection.execute(text("select version from entitlements_schema")).fetchall()


def test_a_url_without_a_driver_gets_one(postgres):
    url = postgres.url().replace("+psycopg", "")
    accounts_of(url).create("acme", "pro", **SIGNED)

    async def ask():
        async with AsyncEnforcer(policy(), accounts=url.replace("postgresql", "postgres")) as enforcer:
            return await enforcer.can("acme", "leads")

    with Enforcer(policy(), accounts=url) as enforcer:
        assert [True, True] == [enforcer.can("acme", "leads"), asyncio.run(ask())]


def test_older_tables_are_migrated_step_by_step(database):
    accounts = accounts_of(database)
    accounts.create("globex", "pro", **SIGNED)
    with accounts._engine.begin() as connection:
        connection.execute(text("alter table entitlements_accounts drop column time_zone"))
        connection.execute(text("update entitlements_schema set version = 1"))
    with pytest.raises(SchemaMismatch, match="lacks tables of entitlements"):
        accounts.find("globex")

    assert (1, 2) == accounts.migrate()

    accounts.create(FULL, **SIGNED)
    assert [FULL, None] == [accounts.find("acme"), accounts.find("globex").time_zone]


# --- URLs, event loops, engines --------------------------------------------------------------------------------------


def test_an_enforcer_takes_a_database_url(database):
    accounts_of(database).create("acme", "pro", **SIGNED)

    with Enforcer(policy(), accounts=database) as enforcer:
        assert enforcer.can("acme", "leads")
        enforcer.reload(policy())
        assert enforcer.can("acme", "leads")
        pool = enforcer._accounts._source._engine.pool
        assert 1 == pool.checkedin()
    assert 0 == enforcer._accounts._source._engine.pool.checkedin()


def test_an_async_enforcer_takes_a_database_url_on_every_loop(async_database):
    async def create():
        accounts = AsyncSqlAccounts(async_database)
        await accounts.create_tables()
        await accounts.create(FULL, **SIGNED)
        assert [1, ["acme"]] == [await accounts.version("acme"), [account.id async for account in accounts]]
        assert ["create"] == [entry.action for entry in await accounts.audit("acme")]
        assert ("acme",) == await accounts.ids()
        assert {"acme"} == set(await accounts.find_many(["acme", "b"]))
        told = await accounts.apply("e", "acme", to("max"), at=START, **SIGNED)
        assert EventOutcome.APPLIED == told
        with pytest.raises(AccountError, match="is suspended already"):
            await accounts.suspend("acme", **SIGNED)
        assert "pro" == (await accounts.set_tier("acme", "pro", dry_run=True, **SIGNED)).tier
        await accounts.close("acme", **SIGNED)
        await accounts.create("acme", "max", **SIGNED)
        await accounts.close_engine()

    asyncio.run(create())
    enforcer = AsyncEnforcer(policy(), accounts=async_database)

    async def ask():
        try:
            return (await enforcer.entitlements("acme")).tier
        finally:
            await enforcer.aclose()

    assert ["max"] * 2 == [asyncio.run(ask()) for _ in range(2)]


def test_an_async_enforcer_invalidates_after_a_change(async_database):
    async def run():
        accounts = AsyncSqlAccounts(async_database)
        await accounts.create_tables()
        await accounts.create("acme", "free", **SIGNED)
        async with AsyncEnforcer(policy(), accounts=AsyncCachedAccounts(accounts)) as enforcer:
            before = (await enforcer.entitlements("acme")).tier
            await accounts.set_tier("acme", "pro", enforcer=enforcer, **SIGNED)
            after = (await enforcer.entitlements("acme")).tier
            with pytest.raises(TypeError, match="cannot be used by AsyncSqlAccounts; give it an AsyncEnforcer"):
                await accounts.suspend("acme", enforcer=Enforcer(policy()), **SIGNED)
        await accounts.close_engine()
        return before, after

    assert ("free", "pro") == asyncio.run(run())


def test_a_url_that_names_no_database_is_refused_without_its_password():
    for url, said in (
        ("nothing://ann:secret@host/db", r"nothing://ann:\*\*\*@host/db"),
        ("postgresql+nothing://ann:secret@host/db", r"postgresql\+nothing://ann:\*\*\*@host/db"),
        ("postgresql+asyncpg://ann:secret@host/db", "the driver is for event loops; use AsyncEnforcer"),
    ):
        with pytest.raises(ValueError, match=said) as told:
            Enforcer(policy(), accounts=url)
        assert "secret" not in str(told.value)
    with pytest.raises(ValueError, match=r"write postgresql\+asyncpg"):
        AsyncEnforcer(policy(), accounts="sqlite+pysqlite:///x")
    with pytest.raises(TypeError, match="use AsyncSqlAccounts"):
        SqlAccounts(AsyncSqlAccounts("sqlite+aiosqlite://")._given)
    with pytest.raises(TypeError, match="use SqlAccounts"):
        AsyncSqlAccounts(create_engine("sqlite://"))


def test_accounts_are_loaded_in_a_forked_child(database):
    accounts = accounts_of(database)
    accounts.create("acme", "pro", **SIGNED)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, accounts.find("acme").tier.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        assert b"pro" == said.read()
    os.waitpid(child, 0)
    assert accounts.find("acme")


def test_the_part_for_sql_says_what_to_install():
    script = "import sys; sys.modules['sqlalchemy'] = None; import entitlements.accounts.sql"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert "entitlements.accounts.sql needs SQLAlchemy" in done.stderr.splitlines()[-1]
    assert "pip install 'entitlements[sql]'" in done.stderr.splitlines()[-1]
