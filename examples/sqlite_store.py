"""
A store over SQLite: all processes of a machine count in one file, which survives them.

    python examples/sqlite_store.py

`SqliteStore` is what a store over any database with transactions has to do; docs/store-examples.md explains it.
"""

from __future__ import annotations

import asyncio
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from entitlements import Enforcer, Policy
from entitlements.clock import system_clock
from entitlements.model.answers import ScopePage
from entitlements.model.charge import Forget, ReadScopes
from entitlements.model.instants import SECOND
from entitlements.stores.errors import Broken, Unreachable
from entitlements.stores.records import Record, account_of, deadline_of, execute_order, scopes_of

TABLE = "create table if not exists records (account text, scope text, record blob, primary key (account, scope))"


class SqliteStore:
    """A store for any number of threads and processes of one machine."""

    via = "store"

    def __init__(self, path, clock=system_clock):
        self._path, self._clock = path, clock
        with closing(self._connect(seconds=5)) as database:
            database.execute("pragma journal_mode = wal")
            database.execute(TABLE)

    def execute(self, order):
        error_type = Unreachable  # nothing is written before the commit
        try:
            with closing(self._connect(deadline_of(order) / SECOND)) as database:
                database.execute("begin immediate")  # no other process reads or writes until the commit
                answer = self._carry_out(database, order)
                error_type = Broken  # whether a commit that fails was made is not known
                database.execute("commit")
        except sqlite3.Error as error:
            raise error_type(f"{self._path}: {error}") from error
        return answer

    def close(self):
        """Nothing is open between two orders."""

    def _connect(self, seconds):
        database = sqlite3.connect(self._path, timeout=seconds, isolation_level=None)
        database.execute("pragma synchronous = normal")
        return database

    def _carry_out(self, database, order):
        account = account_of(order)
        if isinstance(order, Forget):
            for scope in (None,) if order.scopes is None else order.scopes:
                save(database, account, scope, Record())
            return None
        if isinstance(order, ReadScopes):
            query = "select scope from records where account = ? and scope > ? order by scope limit ?"
            names = [name for (name,) in database.execute(query, (account, order.after, order.most))]
            return ScopePage(tuple(names), names[-1] if len(names) == order.most else None)
        records = {scope: load(database, account, scope) for scope in scopes_of(order)}
        answer = execute_order(order, records, self._clock())
        for scope, record in records.items():
            save(database, account, scope, record)
        return answer


def load(database, account, scope):
    rows = database.execute("select record from records where account = ? and scope = ?", (account, scope or ""))
    found = rows.fetchone()
    return pickle.loads(found[0]) if found else Record()  # noqa: S301 - only this store writes the file


def save(database, account, scope, record):
    if record == Record():  # nothing is counted any more
        database.execute("delete from records where account = ? and scope = ?", (account, scope or ""))
    else:
        row = (account, scope or "", pickle.dumps(record))
        database.execute("insert or replace into records values (?, ?, ?)", row)


class AsyncSqliteStore:
    """`SqliteStore` for an event loop: each order waits for the file in a thread."""

    def __init__(self, path, clock=system_clock):
        self._store = SqliteStore(path, clock)
        self.via = self._store.via

    async def execute(self, order):
        return await asyncio.to_thread(self._store.execute, order)

    async def aclose(self):
        """Nothing is open between two orders."""


def main():
    policy = Policy.load(Path(__file__).resolve().parents[1] / "policies" / "minimal.yaml")
    with TemporaryDirectory() as folder:
        path = Path(folder, "counters.db")
        for process in ("one", "another"):
            store = SqliteStore(path)
            with Enforcer(policy, accounts={"acme": "free"}, store=store, expected_processes=2) as enforcer:
                decision = enforcer.consume("acme", {"api": 1, "leads": 3})
                print(f"{process} process: {decision.explanation}, {decision.parts['leads'].used} leads so far")


if __name__ == "__main__":
    main()
