"""Tables of this package; every instant is stored in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

from entitlements.model.names import MAX_ID

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

VERSION = 2
"""Version of the tables."""


class Instant(TypeDecorator[Any]):
    """
    An aware datetime, in UTC: `timestamptz` where the database has it, else a text in ISO 8601.

    A text that is no instant comes back as it is, so that one damaged row does not fail the others.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type of the column in a database."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return an instant as the database takes it."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.isoformat(timespec="microseconds") if dialect.name == "sqlite" else moment


metadata = MetaData()

SCHEMA = Table("entitlements_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

ACCOUNTS = Table(
    "entitlements_accounts",
    metadata,
    Column("id", String(MAX_ID), primary_key=True),
    Column("tier", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("anchor", Text),
    Column("time_zone", Text),
    Column("attributes", Text),
    Column("version", BigInteger, nullable=False),
    Column("created", Instant, nullable=False),
    Column("changed", Instant, nullable=False),
    Column("closed", Instant),
    Column("event_at", Instant),
    Column("event_order", BigInteger),
)


def _of_account(name: str, *columns: Column[Any], once: tuple[str, ...] | None = None) -> Table:
    """Return a table with a number, the account and *columns*; one row for each account and *once*."""
    return Table(
        f"entitlements_{name}",
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("account", String(MAX_ID), ForeignKey(ACCOUNTS.c.id), nullable=False, index=True),
        *columns,
        *(() if once is None else [UniqueConstraint("account", *once)]),
    )


TRIALS = _of_account(
    "trials",
    Column("tier", Text, nullable=False),
    Column("starts", Instant),
    Column("ends", Instant, nullable=False),
    once=(),
)
OVERRIDES = _of_account(
    "overrides",
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("starts", Instant),
    Column("expires", Instant),
)
GRANTS = _of_account(
    "grants",
    Column("name", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("starts", Instant),
    Column("expires", Instant),
)
ADD_ONS = _of_account(
    "add_ons", Column("name", Text, nullable=False), Column("quantity", BigInteger, nullable=False), once=("name",)
)
CHANGES = _of_account(
    "changes", Column("tier", Text, nullable=False), Column("at", Instant, nullable=False), once=("at",)
)
AUDIT = _of_account(
    "audit",
    Column("version", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("event", Text),
    Column("changed", Text, nullable=False),
)
EVENTS = Table(
    "entitlements_events",
    metadata,
    Column("id", String(MAX_ID), primary_key=True),
    Column("account", String(MAX_ID), nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("received", Instant, nullable=False),
    Column("outcome", Text, nullable=False),
)
