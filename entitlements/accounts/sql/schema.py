"""Creation, check and migration of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from entitlements.accounts.sql.errors import Conflict, SchemaMismatch
from entitlements.accounts.sql.tables import ACCOUNTS, SCHEMA, VERSION, metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection


def _add_time_zone(connection: Connection) -> None:
    """Migrate version 1: accounts get a time zone."""
    connection.execute(text(f"ALTER TABLE {ACCOUNTS.name} ADD COLUMN time_zone TEXT"))


MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {1: _add_time_zone}
"""For each older version of the tables, the function that makes the next version of them."""

MISSING = "{url} lacks tables of entitlements of this version ({said}); make them: entitlements account migrate --accounts {url}"

_LOCK = 0x656E7469746C65  # `entitle`: the advisory lock under which PostgreSQL creates and migrates


def version_of(connection: Connection) -> int | None:
    """Return the version of the tables; None if there are none."""
    if not inspect(connection).has_table(SCHEMA.name):
        return None
    return connection.execute(select(SCHEMA.c.version)).scalar()


def migrate(connection: Connection) -> tuple[int | None, int]:
    """
    Create the tables, or bring older ones to the present version, in one transaction.

    Returns:
        The version before (None: there were no tables), and after.

    Raises:
        SchemaMismatch: For tables of a newer version.
    """
    if connection.dialect.name == "postgresql":  # processes that start together
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    before = version_of(connection)
    if before is None:
        metadata.create_all(connection)
        try:
            connection.execute(insert(SCHEMA).values(version=VERSION))
        except IntegrityError as error:  # another process has just done so: look again
            raise Conflict from error
        return None, VERSION
    at = before
    while at in MIGRATIONS:
        MIGRATIONS[at](connection)
        at += 1
        connection.execute(SCHEMA.update().values(version=at))
    check_version(at, connection.engine.url.render_as_string(hide_password=True))
    return before, at


def create(connection: Connection) -> None:
    """
    Create the tables if there are none.

    Raises:
        SchemaMismatch: For tables of another version.
    """
    if (before := version_of(connection)) is None:
        migrate(connection)
    else:
        check_version(before, connection.engine.url.render_as_string(hide_password=True))


def check_version(found: object, url: str) -> None:
    """
    Check the version of the tables of a database.

    Raises:
        SchemaMismatch: For another version, naming the command that migrates, or for none.
    """
    if found == VERSION:
        return
    cure = f"entitlements account migrate --accounts {url}"
    if found is None:
        raise SchemaMismatch(MISSING.format(url=url, said="no version"))
    if isinstance(found, int) and found > VERSION:
        cure = "upgrade entitlements here"
    raise SchemaMismatch(f"the tables in {url} are of version {found}, and {VERSION} is needed; {cure}")
