"""
Tables of a ledger.

Every instant is an integer: microseconds since 1970 in UTC, by the clock of the store that counted.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    inspect,
    select,
)
from sqlalchemy import insert as new_row
from sqlalchemy.exc import IntegrityError

from entitlements.ledger.errors import LedgerMismatch
from entitlements.model.names import MAX_ID

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSION = 1
"""Version of the tables."""

metadata = MetaData()

SCHEMA = Table(
    "entitlements_ledger_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False)
)

ENTRIES = Table(
    "entitlements_ledger",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("account", String(MAX_ID), nullable=False),
    Column("entry", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("limit_name", Text, nullable=False),
    Column("limit_kind", Text),
    Column("scope", Text),
    Column("holder", Text),
    Column("units", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("starts", BigInteger),
    Column("ends", BigInteger),
    Column("size", Text),
    Column("expires", BigInteger),
    Column("operation", Text),
    Column("writer", Text, nullable=False),
    UniqueConstraint("account", "entry", "limit_name"),
    Index("entitlements_ledger_at", "at"),
)
"""Append-only: one row for each limit of an order. `entries.py` says what the columns hold."""

WRITERS = Table(
    "entitlements_ledger_writers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("written", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("age", BigInteger, nullable=False),
    Column("closed", BigInteger),
)
"""Processes that write: all that one has recorded before *written* is in the ledger, except *pending* and *lost*."""

BALANCES = Table(
    "entitlements_ledger_balances",
    metadata,
    Column("account", String(MAX_ID), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)
"""The sums of the entries before *at*, which are deleted when months are closed."""

MONTHS = Table(
    "entitlements_ledger_months",
    metadata,
    Column("account", String(MAX_ID), primary_key=True),
    Column("month", String(7), primary_key=True),
    Column("limit_name", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("limit_kind", Text, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("peak", BigInteger),
    Column("held", BigInteger),
)
"""Usage of closed months; *scope* is empty for a limit of the account."""

_LOCK = 0x6C6564676572  # `ledger`: the advisory lock under which PostgreSQL creates


def version_of(connection: Connection) -> int | None:
    """Return the version of the ledger of a database; None if there is none."""
    if not inspect(connection).has_table(SCHEMA.name):
        return None
    return connection.execute(select(SCHEMA.c.version)).scalar()


def create(connection: Connection) -> None:
    """
    Create the tables if there are none.

    Raises:
        LedgerMismatch: For tables of another version.
    """
    if connection.dialect.name == "postgresql":  # processes that start together
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    if version_of(connection) is None:
        metadata.create_all(connection)
        with suppress(IntegrityError):  # another process has just done so
            connection.execute(new_row(SCHEMA).values(version=VERSION))
            return
    check(connection)


def check(connection: Connection) -> None:
    """
    Check that there are tables, of this version.

    Raises:
        LedgerMismatch: For none, and for tables of another version.
    """
    found, url = version_of(connection), connection.engine.url.render_as_string(hide_password=True)
    if found is None:
        raise LedgerMismatch(
            f"there is no ledger in {url}; the first entry makes one, or SqlLedger(url).create_tables()"
        )
    if found != VERSION:
        cure = "upgrade entitlements here" if found > VERSION else "use another database"
        raise LedgerMismatch(f"the ledger in {url} is of version {found}, and {VERSION} is needed; {cure}")
