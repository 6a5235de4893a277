"""What the API keeps: leads, invitations and files in SQLite, so that several workers share them."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS leads (id INTEGER PRIMARY KEY, account TEXT, name TEXT, email TEXT);
CREATE TABLE IF NOT EXISTS invitations (account TEXT, id TEXT, accepted INTEGER, PRIMARY KEY (account, id));
CREATE TABLE IF NOT EXISTS files (account TEXT, name TEXT, size INTEGER, PRIMARY KEY (account, name));
CREATE TABLE IF NOT EXISTS sso (account TEXT PRIMARY KEY, issuer TEXT);
"""


class Database:
    """
    A few tables in one file; safe from any thread.

    Args:
        path: The file; None makes one that is gone with the machine's temporary files.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path or str(Path(tempfile.mkdtemp(prefix="leads-")) / "leads.db")
        self._local = threading.local()
        self._connection().executescript(SCHEMA)

    def run(self, sql: str, *values: object) -> list[tuple]:
        """Run one statement, and return its rows."""
        return self._connection().execute(sql, values).fetchall()

    def run_all(self, sql: str, rows: list[tuple]) -> None:
        """Run one statement for every row, all or nothing."""
        connection = self._connection()
        connection.execute("BEGIN")
        connection.executemany(sql, rows)
        connection.execute("COMMIT")

    def size_of(self, account: str, name: str) -> int | None:
        """Return a file's bytes, or None where there is no such file."""
        rows = self.run("SELECT size FROM files WHERE account = ? AND name = ?", account, name)
        return rows[0][0] if rows else None

    def resize(self, account: str, name: str, before: int | None, size: int) -> bool:
        """Write a file if there is still what was there *before*, in one statement; say whether it was."""
        if before is None:
            sql, values = "INSERT INTO files VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1", (account, name, size)
        else:
            sql = "UPDATE files SET size = ? WHERE account = ? AND name = ? AND size = ? RETURNING 1"
            values = (size, account, name, before)
        return bool(self.run(sql, *values))

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = sqlite3.connect(self._path, timeout=5, isolation_level=None)
            connection.execute("PRAGMA synchronous = OFF")  # an example may lose its last second
        return connection
