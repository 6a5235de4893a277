"""Source of accounts in a SQL database, for event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from entitlements.accounts.sql import schema, writing
from entitlements.accounts.sql.batches import LoopBatches
from entitlements.accounts.sql.engines import GRACE, is_lost, open_async_engine
from entitlements.accounts.sql.reading import MAX_IDS
from entitlements.accounts.sql.settings import ATTEMPTS, TIMEOUT, Settings, busy_error, pause, repeats, without_errors
from entitlements.accounts.sql.verbs import AccountVerbs
from entitlements.clock import system_clock
from entitlements.model.instants import SECOND, check_duration
from entitlements.model.names import check_count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

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


class AsyncSqlAccounts(Settings, AccountVerbs[Awaitable["Account"], Awaitable["EventOutcome"]]):
    """
    `SqlAccounts` for event loops: every verb is awaited.

    Args:
        engine: An `AsyncEngine` of SQLAlchemy, for one loop, or a URL: then each running loop has an engine.
        query: As for `SqlAccounts`.
        account: As for `SqlAccounts`.
        policy: As for `SqlAccounts`.
        enforcer: An `AsyncEnforcer`, which invalidates an account after each change.
        timeout: As for `SqlAccounts`.
        clock: As for `SqlAccounts`.
        listen: As for `SqlAccounts`.

    Raises:
        TypeError: For an engine that blocks.
        ValueError: For an invalid URL, query or timeout.
    """

    _is_async = True

    def __init__(
        self,
        engine: AsyncEngine | URL | str,
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
        self._timeout = check_duration(timeout, "timeout") / SECOND
        if isinstance(engine, Engine):
            raise TypeError("the engine blocks; use SqlAccounts, or create_async_engine")
        self._owns_engine = not isinstance(engine, AsyncEngine)
        self._given = engine if isinstance(engine, AsyncEngine) else open_async_engine(engine, self._timeout)
        self._target = self._given.url
        self._engines: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()
        self._begin()

    @property
    def _url(self) -> URL:
        return self._target

    async def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return await self._batches.find(id)

    async def find_many(self, ids: Sequence[str], /) -> dict[str, Account]:
        """Return accounts by id, in one statement for each 500; see `SqlAccounts.find_many`."""
        found: dict[str, Account] = {}
        for at in range(0, len(ids), MAX_IDS):
            found |= without_errors(await self._load_batch(ids[at : at + MAX_IDS]))
        return found

    async def ids(self) -> tuple[str, ...]:
        """Return the id of every account, sorted by the database."""
        return tuple([id async for page in self._pages() for id in page])

    async def __aiter__(self) -> AsyncIterator[Account]:
        """Yield every account; those whose rows cannot be read are left out, and logged."""
        async for page in self._pages():
            for found in (await self._load_batch(page)).values():
                if not isinstance(found, Exception):
                    yield found

    async def version(self, id: str) -> int:
        """Return the version of an account, to give to a verb; 0 if there is none."""
        self._check_writable()
        return await self._read(lambda connection: writing.version_of(connection, id))

    async def search(
        self, prefix: str = "", *, tiers: Collection[str] = (), after: str | None = None, size: int = 50
    ) -> dict[str, Account | AccountError]:
        """Return a page of the accounts whose ids begin with *prefix*; see `SqlAccounts.search`."""
        self._check_writable()
        if not 1 <= check_count(size, "size") <= MAX_IDS:
            raise ValueError(f"size {size} is above {MAX_IDS}")
        ids = await self._read(lambda connection: writing.ids_after(connection, after, size, prefix, tiers))
        loaded = await self._load_batch(ids) if ids else {}
        return {id: loaded[id] for id in ids if id in loaded}

    async def audit(self, id: str, *, size: int | None = None, before: int | None = None) -> tuple[AuditEntry, ...]:
        """Return the changes of an account, newest first; see `SqlAccounts.audit`."""
        self._check_writable()
        return await self._read(lambda connection: writing.audit_of(connection, id, size, before))

    async def create_tables(self) -> None:
        """Create our tables if there are none; see `SqlAccounts.create_tables`."""
        self._check_writable()
        await self._transact(schema.create)

    async def migrate(self) -> tuple[int | None, int]:
        """Create our tables, or bring them to the present version; return the versions before and after."""
        self._check_writable()
        return await self._transact(schema.migrate)

    async def close_engine(self) -> None:
        """Close the connections of the running loop, if the source was given a URL; the next call opens others."""
        engine = self._engines.pop(asyncio.get_running_loop(), None)
        if engine is not None:
            await engine.dispose()

    def _begin(self) -> None:
        self._batches = LoopBatches(self._load_batch)

    def _engine(self) -> AsyncEngine:
        if not self._owns_engine:
            return self._given
        loop = asyncio.get_running_loop()
        engine = self._engines.get(loop)
        if engine is None:
            engine = self._engines[loop] = open_async_engine(self._target, self._timeout)
        return engine

    async def _pages(self) -> AsyncIterator[list[str]]:
        self._check_writable()
        last: str | None = None
        while page := await self._read(lambda connection, last=last: writing.ids_after(connection, last, MAX_IDS)):  # type: ignore[misc]
            yield page
            last = page[-1]

    async def _load_batch(self, ids: Sequence[str]) -> Mapping[str, Account | AccountError]:
        return await self._read(lambda connection: self._load(connection, ids), ids)

    async def _read(self, work: Callable[[Connection], T], ids: Sequence[str] = ()) -> T:
        for is_last in (False, True):
            try:
                async with asyncio.timeout(self._timeout + 2 * GRACE):
                    reading = self._engine().execution_options(isolation_level="AUTOCOMMIT")
                    async with reading.connect() as connection:
                        return await connection.run_sync(work)
            except Exception as error:
                if is_last or not is_lost(error):
                    raise self._mapped(error, ids) from error
        raise AssertionError

    async def _transact(
        self, work: Callable[[Connection], T], order: Order | None = None, *, dry_run: bool = False
    ) -> T:
        for attempt in range(ATTEMPTS):
            is_committing = False
            try:
                async with self._engine().connect() as connection:
                    result = await connection.run_sync(work)
                    is_committing = not dry_run
                    if is_committing:
                        await connection.commit()
                    return result
            except Exception as error:
                if not repeats(error, order, is_committing=is_committing):
                    raise self._mapped(error, [order.id] if order else ()) from error
            await asyncio.sleep(pause(attempt))
        raise busy_error(order)

    async def _change(
        self, id: str, action: str, edit: Edit, options: Mapping[str, Any], noted: Noted | None = None
    ) -> Account:
        stored = await self._store(self._order(id, action, edit, options, noted=noted), options)
        assert stored.account is not None
        return stored.account

    async def _apply(self, id: str, edit: Edit, event: Event, options: Mapping[str, Any]) -> EventOutcome:
        return (await self._store(self._order(id, "apply", edit, options, event), options)).outcome

    async def _store(self, order: Order, options: Mapping[str, Any]) -> Stored:
        dry_run, shown = bool(options.get("dry_run")), self._shown
        stored = await self._transact(
            lambda connection: writing.carry_out(connection, order, shown), order, dry_run=dry_run
        )
        enforcer = self._enforcer_of(options)
        if enforcer is not None and not dry_run:
            await enforcer.invalidate(order.id)
        return stored
