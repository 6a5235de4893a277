"""Engines from database URLs, with time limits, and errors of databases without ids and passwords."""

from __future__ import annotations

import math
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import OperationalError as FailedOperation
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from entitlements.errors import AccountsUnavailable
from entitlements.model.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import URL, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

GRACE = 0.5
"""Seconds beyond the time limit of a statement after which the client stops waiting for the server to end it."""

_SERIALIZATION = {"40001", "40P01"}  # serialization_failure, deadlock_detected
_ENDED = {"57P01", "57P02"}  # admin_shutdown, crash_shutdown
_MISSING = {"42P01", "42703"}  # undefined_table, undefined_column


def open_engine(url: str | URL, timeout: float, what: str = "accounts", dialects: Iterable[str] = ()) -> Engine:
    """
    Return an engine whose statements take at most *timeout* seconds; errors say *what* it is for.

    Raises:
        ValueError: For a URL that names no database, one of none of the *dialects*, or a driver for event loops.
        ModuleNotFoundError: For a driver that is not installed.
    """
    target = _target(url, {"postgresql": "psycopg"}, what)
    if dialects and target.get_backend_name() not in dialects:
        raise ValueError(f"{what} {target.render_as_string()}: the database must be one of {', '.join(dialects)}")
    try:
        engine = create_engine(target, **_options(target, timeout))
    except ModuleNotFoundError as error:
        raise _missing_driver(error, target, what) from None
    except (InvalidRequestError, NoSuchModuleError, ArgumentError) as error:
        raise ValueError(f"{what} {target.render_as_string()}: {error}; write postgresql+psycopg://…") from None
    if engine.dialect.is_async:
        cure = "use AsyncEnforcer" if what == "accounts" else "write postgresql+psycopg://… or sqlite:///…"
        raise ValueError(f"{what} {target.render_as_string()}: the driver is for event loops; {cure}")
    if target.get_driver_name() == "psycopg":
        event.listen(engine, "do_connect", _connect_within(timeout + GRACE))
    return engine


def open_async_engine(url: str | URL, timeout: float) -> AsyncEngine:
    """Return an engine for the running event loop; it raises what `open_engine` raises."""
    target = _target(url, {"postgresql": "asyncpg" if find_spec("asyncpg") else "psycopg", "sqlite": "aiosqlite"})
    try:
        return create_async_engine(target, **_options(target, timeout))
    except ModuleNotFoundError as error:
        raise _missing_driver(error, target, "accounts") from None
    except (InvalidRequestError, NoSuchModuleError, ArgumentError) as error:
        message = f"accounts {target.render_as_string()}: {error}; write postgresql+asyncpg://…"
        raise ValueError(message) from None


def _target(url: str | URL, drivers: dict[str, str], what: str = "accounts") -> URL:
    """Return the URL with a driver, where it names none."""
    try:
        target = make_url(url)
    except ArgumentError:
        raise ValueError(f"{what}: the URL is no database URL; write one such as postgresql://user@host/db") from None
    if target.drivername == "postgres":
        target = target.set(drivername="postgresql")
    driver = drivers.get(target.drivername)
    return target if driver is None else target.set(drivername=f"{target.drivername}+{driver}")


def _missing_driver(error: ModuleNotFoundError, url: URL, what: str) -> ModuleNotFoundError:
    cure = f"install the driver {error.name}, or name another one: {url.get_backend_name()}+DRIVER://…"
    return ModuleNotFoundError(f"{what} {url.render_as_string()}: no module {error.name}; {cure}", name=error.name)


def _options(url: URL, timeout: float) -> dict[str, Any]:
    """Return the arguments of `create_engine` for a URL."""
    milliseconds, driver = int(timeout * 1000), url.get_driver_name()
    connect: dict[str, Any] = {}
    pool: dict[str, Any] = {"pool_timeout": timeout, "pool_recycle": 1800}
    if url.get_backend_name() == "sqlite":
        connect = {"timeout": timeout}
        if url.database in {None, "", ":memory:"}:
            connect["check_same_thread"], pool = False, {"poolclass": StaticPool}
    elif driver == "psycopg":
        given = url.query.get("options", "")
        options = f"{given if isinstance(given, str) else ' '.join(given)} -c statement_timeout={milliseconds}".strip()
        connect = {
            "options": options,
            "connect_timeout": max(2, math.ceil(timeout)),  # libpq counts whole seconds, from 2 on
            "tcp_user_timeout": milliseconds,
        }
    elif driver == "asyncpg":
        connect = {
            "timeout": timeout,
            "command_timeout": timeout + GRACE,
            "server_settings": {"statement_timeout": str(milliseconds)},
        }
    return {"connect_args": connect, "hide_parameters": True, **pool}


def _connect_within(seconds: float) -> Any:
    """Return a function that connects by psycopg: calls of the connection wait at most so many seconds for the server."""
    import psycopg

    class TimedConnection(psycopg.Connection[Any]):
        """A connection that is closed when the server lets a call wait too long, also while it is frozen."""

        def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            return super().wait(self._within(gen), *arguments, **options)

        def _within(self, generator: Any) -> Any:
            until = monotonic() + seconds
            try:
                state = next(generator)
                while True:
                    ready = yield state
                    if monotonic() > until:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"no reply within {seconds:g} s")
                    state = generator.send(ready)
            except StopIteration as ended:
                return ended.value

    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return TimedConnection.connect(*arguments, **options)

    return connect


def is_lost(error: Exception) -> bool:
    """
    Return True for a connection that was broken, also while it was being made: another one may work.

    SQLAlchemy does not know each of them: asyncpg raises errors of its own while it connects, and tells of the end of
    a connection before it counts as closed.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError)
    state = _state(error) or ""
    is_cut = "server closed the connection unexpectedly" in str(error.orig)
    return error.connection_invalidated or is_cut or state in _ENDED or state.startswith("08")


def is_conflict(error: Exception) -> bool:
    """
    Return True for a transaction that another one got into the way of: nothing was written, and it may be repeated.

    SQLite says `already exists` to processes that create the tables together; PostgreSQL creates them under a lock.
    """
    if not isinstance(error, DBAPIError):
        return False
    said = str(error.orig) if isinstance(error, FailedOperation) else ""
    return _state(error) in _SERIALIZATION or "database is locked" in said or "already exists" in said


def is_missing(error: Exception) -> bool:
    """Return True for a table or a column that does not exist."""
    if not isinstance(error, DBAPIError):
        return False
    missing = "no such table" in str(error.orig) or "no such column" in str(error.orig)
    return _state(error) in _MISSING or missing or isinstance(error, ProgrammingError)


def _state(error: DBAPIError) -> str | None:
    """Return the SQLSTATE of an error: psycopg and asyncpg call it so."""
    return getattr(error.orig, "sqlstate", None)


def unavailable(error: Exception, url: URL, ids: Iterable[str] = ()) -> AccountsUnavailable:
    """Return the error of a database as one of this package: its first line, without ids, parameters and passwords."""
    text = first_line(error)
    for id in ids:
        text = redact(text, id)
    shown = url.render_as_string(hide_password=True)
    return AccountsUnavailable(f"database {shown}: {text}")


def first_line(error: Exception) -> str:
    """Return type and first line of the driver's error, without the statement and its parameters."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {next(iter(str(cause).splitlines()), '') or 'no answer in time'}"
