"""Source of accounts in a SQL database, for threads."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from entitlements._fork import renew_after_fork
from entitlements.accounts.sql import schema, writing
from entitlements.accounts.sql.batches import ThreadBatches
from entitlements.accounts.sql.engines import is_lost, open_engine
from entitlements.accounts.sql.reading import MAX_IDS
from entitlements.accounts.sql.rows import RowError
from entitlements.accounts.sql.settings import (
    ATTEMPTS,
    TIMEOUT,
    Settings,
    busy_error,
    pause,
    problem_of,
    repeats,
    without_errors,
)
from entitlements.accounts.sql.verbs import AccountVerbs
from entitlements.clock import system_clock
from entitlements.model.instants import SECOND, check_duration
from entitlements.model.names import check_count
from entitlements.model.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import URL, Connection, Select
    from sqlalchemy.sql.elements import TextClause

    from entitlements.accounts.sql.audit import AuditEntry, EventOutcome
    from entitlements.accounts.sql.edits import Edit
    from entitlements.accounts.sql.options import Invalidator
    from entitlements.accounts.sql.rows import AccountReader
    from entitlements.accounts.sql.writing import Event, Noted, Order, Stored
    from entitlements.errors import AccountError
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData

T = TypeVar("T")


class SqlAccounts(Settings, AccountVerbs["Account", "EventOutcome"]):
    """
    Accounts in a SQL database, for threads.

    Loads that threads ask for while a statement is under way are joined in the next one.
    Its `reason=`, `author=` verbs are for our own tables.

    Args:
        engine: An `Engine` of SQLAlchemy, or a URL: `postgresql://user@host/db`, `sqlite:///file.db`.
        query: A query of yours in place of our tables, with `:id`, or with `in :ids` for many at once. The columns
            are named like those of a CSV of accounts, unless *account* reads them.
        account: Returns the account from a row of the query, or None.
        policy: The policy that changes are checked by, where no enforcer is given.
        enforcer: Invalidates an account after each change.
        timeout: Seconds, or a timedelta, that a statement may take, where a URL is given; an engine has its own.
        clock: Returns the time in microseconds since 1970.
        listen: Whether an enforcer hears of changed accounts by `LISTEN`, on PostgreSQL with psycopg; or a connection
            string of libpq to listen by, where that needs more than the URL: a password, the primary of a replica.

    Raises:
        TypeError: For an engine of an event loop.
        ValueError: For an invalid URL, query or timeout.
    """

    def __init__(
        self,
        engine: Engine | URL | str,
        *,
        query: str | TextClause | Select[Any] | None = None,
        account: AccountReader | None = None,
        policy: PolicyData | None = None,
        enforcer: Invalidator | None = None,
        timeout: float | timedelta = TIMEOUT,
        clock: Callable[[], int] = system_clock,
        listen: bool | str = True,
    ) -> None:
        super().__init__(query, account, policy, enforcer, clock, listen=listen)
        seconds = check_duration(timeout, "timeout") / SECOND
        if isinstance(engine, AsyncEngine):
            raise TypeError("the engine is for event loops; use AsyncSqlAccounts, or create_engine")
        self._owns_engine = not isinstance(engine, Engine)
        self._engine = engine if isinstance(engine, Engine) else open_engine(engine, seconds)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        if self._owns_engine:
            renew_after_fork(self)
        self._begin()

    @property
    def _url(self) -> URL:
        return self._engine.url

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return self._batches.find(id)

    def find_many(self, ids: Sequence[str], /) -> dict[str, Account]:
        """
        Return accounts by id, in one statement for each 500; unknown ones are missing.

        Raises:
            AccountError: For a row that is no account.
        """
        found: dict[str, Account] = {}
        for at in range(0, len(ids), MAX_IDS):
            found |= without_errors(self._load_batch(ids[at : at + MAX_IDS]))
        return found

    def ids(self) -> tuple[str, ...]:
        """Return the id of every account, sorted by the database."""
        return tuple(id for page in self._pages() for id in page)

    def __iter__(self) -> Iterator[Account]:
        for page in self._pages():
            for found in self._load_batch(page).values():
                if not isinstance(found, Exception):
                    yield found

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The rows that are no accounts; reads every account."""
        loaded = (found for page in self._pages() for found in self._load_batch(page).values())
        return tuple(problem_of(found) for found in loaded if isinstance(found, RowError))

    def version(self, id: str) -> int:
        """Return the version of an account, to give to a verb; 0 if there is none."""
        self._check_writable()
        return self._read(lambda connection: writing.version_of(connection, id))

    def search(
        self, prefix: str = "", *, tiers: Collection[str] = (), after: str | None = None, size: int = 50
    ) -> dict[str, Account | AccountError]:
        """
        Return a page of the accounts whose ids begin with *prefix*, in the order of the database: two statements.

        Args:
            prefix: Of the ids; the case counts.
            tiers: Own tiers of the accounts, as they are stored; empty for any.
            after: The last id of the page before; None for the first page.
            size: Most accounts, 1 to 500.

        Returns:
            The accounts by id; for one whose rows cannot be read, the error.

        Raises:
            ValueError: For an invalid size.
        """
        self._check_writable()
        if not 1 <= check_count(size, "size") <= MAX_IDS:
            raise ValueError(f"size {size} is above {MAX_IDS}")
        ids = self._read(lambda connection: writing.ids_after(connection, after, size, prefix, tiers))
        loaded = self._load_batch(ids) if ids else {}
        return {id: loaded[id] for id in ids if id in loaded}

    def audit(self, id: str, *, size: int | None = None, before: int | None = None) -> tuple[AuditEntry, ...]:
        """
        Return the changes of an account, newest first.

        Args:
            id: The account.
            size: Most changes; None for all.
            before: Only changes before this version of the account.
        """
        self._check_writable()
        return self._read(lambda connection: writing.audit_of(connection, id, size, before))

    def create_tables(self) -> None:
        """
        Create our tables if there are none.

        Raises:
            SchemaMismatch: For tables of another version.
        """
        self._check_writable()
        self._transact(schema.create)

    def migrate(self) -> tuple[int | None, int]:
        """Create our tables, or bring them to the present version; return the versions before and after."""
        self._check_writable()
        return self._transact(schema.migrate)

    def close_engine(self) -> None:
        """Close the connections, if the source was given a URL; the next call opens others."""
        if self._owns_engine:
            self._engine.dispose()

    def renew(self) -> None:
        """Start without connections in a forked child: the sockets belong to the parent."""
        self._engine.dispose(close=False)

    def _begin(self) -> None:
        self._batches = ThreadBatches(self._load_batch)

    def _pages(self) -> Iterator[list[str]]:
        self._check_writable()
        last: str | None = None
        while page := self._read(lambda connection, last=last: writing.ids_after(connection, last, MAX_IDS)):  # type: ignore[misc]
            yield page
            last = page[-1]

    def _load_batch(self, ids: Sequence[str]) -> Mapping[str, Account | AccountError]:
        return self._read(lambda connection: self._load(connection, ids), ids)

    def _read(self, work: Callable[[Connection], T], ids: Sequence[str] = ()) -> T:
        """Run statements that only read; once more on another connection if this one was broken."""
        for is_last in (False, True):
            try:
                with self._reading.connect() as connection:
                    return work(connection)
            except Exception as error:
                if is_last or not is_lost(error):
                    raise self._mapped(error, ids) from error
        raise AssertionError

    def _transact(self, work: Callable[[Connection], T], order: Order | None = None, *, dry_run: bool = False) -> T:
        for attempt in range(ATTEMPTS):
            is_committing = False
            try:
                with self._engine.connect() as connection:
                    result = work(connection)
                    is_committing = not dry_run
                    if is_committing:
                        connection.commit()
                    return result
            except Exception as error:
                if not repeats(error, order, is_committing=is_committing):
                    raise self._mapped(error, [order.id] if order else ()) from error
            time.sleep(pause(attempt))
        raise busy_error(order)

    def _change(
        self, id: str, action: str, edit: Edit, options: Mapping[str, Any], noted: Noted | None = None
    ) -> Account:
        stored = self._store(self._order(id, action, edit, options, noted=noted), options)
        assert stored.account is not None
        return stored.account

    def _apply(self, id: str, edit: Edit, event: Event, options: Mapping[str, Any]) -> EventOutcome:
        return self._store(self._order(id, "apply", edit, options, event), options).outcome

    def _store(self, order: Order, options: Mapping[str, Any]) -> Stored:
        dry_run = bool(options.get("dry_run"))
        shown = self._shown
        stored = self._transact(lambda connection: writing.carry_out(connection, order, shown), order, dry_run=dry_run)
        enforcer = self._enforcer_of(options)
        if enforcer is not None and not dry_run:
            enforcer.invalidate(order.id)
        return stored
