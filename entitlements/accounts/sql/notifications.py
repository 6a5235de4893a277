"""
Changed accounts by `LISTEN` and `NOTIFY` of PostgreSQL: one connection of libpq that never blocks.

A verb notifies within its transaction, so the message leaves with the commit. An application with tables of its own
sends it where it changes an account: `select pg_notify('entitlements_accounts', id)`.
"""

from __future__ import annotations

from importlib.util import find_spec
from select import select
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import func
from sqlalchemy import select as select_from
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from entitlements._fork import disown_socket

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn
    from sqlalchemy import URL, Connection

CHANNEL = "entitlements_accounts"
"""Channel of the messages; each is the id of an account."""


def notify(connection: Connection, id: str) -> None:
    """Tell other processes, once the transaction is committed, that an account has changed; only PostgreSQL can."""
    if connection.dialect.name == "postgresql":
        connection.execute(select_from(func.pg_notify(CHANNEL, id)))


def feed_of(url: URL, *, listen: bool | str) -> PostgresInvalidations | None:
    """Return a feed of the database at *url*; None if it has no messages, or the driver that reads them is missing."""
    if not listen or url.get_backend_name() != "postgresql" or find_spec("psycopg") is None:
        return None
    return PostgresInvalidations(url, listen if isinstance(listen, str) else "")


class PostgresInvalidations:
    """
    The feed of a database.

    Args:
        url: The database.
        conninfo: A connection string of libpq, where that needs more than the URL.
    """

    def __init__(self, url: URL, conninfo: str) -> None:
        self._shown = url.render_as_string(hide_password=True)
        self._conninfo = conninfo or _conninfo(url)
        self._connection: PGconn | None = None
        self._descriptor = -1
        self._is_asked = False

    def __repr__(self) -> str:
        return f"database {self._shown}"

    def __del__(self) -> None:
        """Close what was not closed."""
        self.close()

    def connect(self, timeout: float) -> None:
        """
        Connect and listen.

        Raises:
            psycopg.Error: If that fails.
        """
        from psycopg.pq import PGconn

        connection = PGconn.connect_start(self._conninfo.encode())
        try:
            _listen(connection, monotonic() + timeout)
        except BaseException:
            connection.finish()
            raise
        self._connection, self._descriptor, self._is_asked = connection, connection.socket, False

    @property
    def _open(self) -> PGconn:
        if self._connection is None:
            raise ConnectionError("the connection is closed")
        return self._connection

    def fileno(self) -> int:
        """Return the descriptor of the connection; libpq closes one that has ended."""
        return self._descriptor

    def read(self) -> list[tuple[str, int | None]] | None:
        """
        Return the ids of accounts that have arrived, without versions.

        Raises:
            psycopg.Error: If the connection has ended.
        """
        connection = self._open
        connection.consume_input()
        found: list[tuple[str, int | None]] = []
        while notification := connection.notifies():
            found.append((notification.extra.decode(), None))
        if self._is_asked and not connection.is_busy():
            while connection.get_result() is not None:
                pass
            self._is_asked = False
            return found
        return found or None

    def ping(self) -> None:
        """Send an empty query, which the server answers."""
        self._open.send_query(b"")
        self._open.flush()
        self._is_asked = True

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finish()

    def disown(self) -> None:
        """Leave the connection to the parent, in a forked child."""
        connection, self._connection = self._connection, None
        if connection is not None:
            disown_socket(self._descriptor)


def _listen(connection: PGconn, until: float) -> None:
    """Wait until *connection* is made and listens; it does not block from then on."""
    from psycopg import OperationalError
    from psycopg.pq import ExecStatus, PollingStatus

    while (status := connection.connect_poll()) != PollingStatus.OK:
        if status == PollingStatus.FAILED:
            raise OperationalError(connection.get_error_message())
        _wait(connection, until, is_writing=status == PollingStatus.WRITING)
    connection.nonblocking = 1
    connection.send_query(f"LISTEN {CHANNEL}".encode())
    connection.flush()
    while connection.is_busy():
        _wait(connection, until)
        connection.consume_input()
    while (result := connection.get_result()) is not None:
        if result.status != ExecStatus.COMMAND_OK:
            raise OperationalError(result.get_error_message())


def _wait(connection: PGconn, until: float, *, is_writing: bool = False) -> None:
    waiting: Any = [connection.socket]
    read, written = ([], waiting) if is_writing else (waiting, [])
    if not any(select(read, written, [], max(0.0, until - monotonic()))):
        raise TimeoutError("PostgreSQL did not answer in time")


def _conninfo(url: URL) -> str:
    """Return the connection string of libpq for a URL of SQLAlchemy, without the options of other drivers."""
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import Conninfo

    query = dict(url.query)
    if "ssl" in query:  # asyncpg's name
        query["sslmode"] = query.pop("ssl")
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    target = url.set(query={name: value for name, value in query.items() if name in known or name == "host"})
    dialect: Any = PGDialect_psycopg
    _, options = dialect().create_connect_args(target)
    return make_conninfo(**options)
