"""Database of the API: leads, invitations and files in SQLite, shared by several workers."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS leads (id INTEGER PRIMARY KEY, account TEXT, name TEXT, email TEXT);
CREATE TABLE IF NOT EXISTS invitations (account TEXT, id TEXT, accepted INTEGER, PRIMARY KEY (account, id));
CREATE TABLE IF NOT EXISTS files (account TEXT, name TEXT, size INTEGER, PRIMARY KEY (account, name));
CREATE TABLE IF NOT EXISTS owed (account TEXT, name TEXT, bytes INTEGER);
CREATE TABLE IF NOT EXISTS sso (account TEXT PRIMARY KEY, issuer TEXT);
"""


class Busy(Exception):
    """The database was locked for too long; nothing was done, and the statement can be repeated."""


class Database:
    """
    A few tables in one file; safe for threads.

    Args:
        path: The file; None makes a temporary one.
    """

    patience = 5.0  # seconds that a statement waits for a lock

    def __init__(self, path: str | None = None) -> None:
        self._path = path or str(Path(tempfile.mkdtemp(prefix="leads-")) / "leads.db")
        with self._connection() as connection:
            connection.executescript(SCHEMA)

    def run(self, sql: str, *values: object) -> list[tuple]:
        """Run one statement and return its rows."""
        with self._connection() as connection:
            return connection.execute(sql, values).fetchall()

    def run_all(self, sql: str, rows: list[tuple]) -> None:
        """Run one statement for every row, all or nothing."""
        with self._transaction() as connection:
            connection.executemany(sql, rows)

    def size_of(self, account: str, name: str) -> int | None:
        """Return a file's bytes, or None where there is no such file."""
        rows = self.run("SELECT size FROM files WHERE account = ? AND name = ?", account, name)
        return rows[0][0] if rows else None

    def resize(self, account: str, name: str, before: int | None, size: int) -> bool:
        """
        Write a file if its size is still *before*; return whether it was.

        Bytes that it no longer needs are recorded as owed in the same transaction.
        """
        if before is None:
            sql, values = "INSERT INTO files VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1", (account, name, size)
        else:
            sql = "UPDATE files SET size = ? WHERE account = ? AND name = ? AND size = ? RETURNING 1"
            values = (size, account, name, before)
        with self._transaction() as connection:
            is_written = bool(connection.execute(sql, values).fetchall())
            if is_written and (before or 0) > size:
                connection.execute("INSERT INTO owed VALUES (?, ?, ?)", (account, name, (before or 0) - size))
        return is_written

    def drop(self, account: str, name: str) -> bool:
        """Delete a file and record its bytes as owed; return whether it existed or bytes of it are still owed."""
        with self._transaction() as connection:
            rows = connection.execute(
                "DELETE FROM files WHERE account = ? AND name = ? RETURNING size", (account, name)
            ).fetchall()
            connection.executemany(
                "INSERT INTO owed VALUES (?, ?, ?)", [(account, name, size) for (size,) in rows if size]
            )
            owed = connection.execute("SELECT 1 FROM owed WHERE account = ? AND name = ?", (account, name)).fetchall()
        return bool(rows or owed)

    def owe(self, account: str, name: str, size: int) -> None:
        """Record bytes of a deleted file that must still be released."""
        self.run("INSERT INTO owed VALUES (?, ?, ?)", account, name, size)

    def take_owed(self, account: str) -> tuple[str, int] | None:
        """Delete and return one record of owed bytes, as (name, bytes), so that no other request releases them."""
        rows = self.run(
            "DELETE FROM owed WHERE rowid = (SELECT rowid FROM owed WHERE account = ? LIMIT 1) RETURNING name, bytes",
            account,
        )
        return rows[0] if rows else None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connecting = sqlite3.connect(self._path, timeout=self.patience, isolation_level=None)
        with _telling_busy(), closing(connecting) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # an example may lose its last second of data
            yield connection


@contextmanager
def _telling_busy() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise Busy from error
        raise
