"""`SqlLedger`: the hook that writes a ledger, and what is made of it."""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, overload
from weakref import ref

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from entitlements.accounts.sql.engines import open_engine
from entitlements.clock import system_clock
from entitlements.errors import UnknownAccount
from entitlements.ledger import export, months, reading, tables
from entitlements.ledger.balance_parts import month_of
from entitlements.ledger.comparison import Compared, Counts, Drift, compare
from entitlements.ledger.errors import LedgerMismatch, LedgerUnavailable, unavailable
from entitlements.ledger.months import MonthlyUsage
from entitlements.ledger.reading import Tail
from entitlements.ledger.restoration import Rebuilt, restore
from entitlements.ledger.writer import LedgerWriter
from entitlements.model.instants import SECOND, check_duration, check_moment, to_instant
from entitlements.model.names import check_id, shown
from entitlements.model.pickling import not_picklable
from entitlements.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sqlalchemy import URL

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.decision import Decision
    from entitlements.model.events import Event
    from entitlements.ports import Store

BATCH = 10_000
AGE = 1.0
BOUND = 100_000
SETTLE = 3.0
_DIALECTS = ("sqlite", "postgresql")
_COUNTED = ("quota", "allocation")


@not_picklable("make one in each process, of the same database")
class SqlLedger:
    """
    An append-only ledger of admitted charges, commits, refunds, releases and set totals in a SQL database.

    It is a hook of any number of enforcers, of threads and of event loops: `hooks=[ledger]`. A thread of its own
    writes in batches; no charge waits for the database. Units of rates are added up by account and second.

    Args:
        engine: An `Engine` of SQLAlchemy, or a URL: `postgresql://user@host/db`, `sqlite:///file.db`.
        batch: Entries in one statement.
        age: Seconds, or a timedelta, that an order waits at most while the database keeps up.
        max_pending: Orders that wait at most while it does not, a charge once for each limit; what comes then is
            counted as lost and logged.
        timeout: Seconds, or a timedelta, that a statement may take, where a URL is given; an engine has its own.
        clock: Returns the time in microseconds since 1970.

    Raises:
        TypeError: For an engine of an event loop.
        ValueError: For an invalid URL, a database that is neither SQLite nor PostgreSQL, or an invalid number.
    """

    def __init__(
        self,
        engine: Engine | URL | str,
        *,
        batch: int = BATCH,
        age: float | timedelta = AGE,
        max_pending: int = BOUND,
        timeout: float | timedelta = 5,
        clock: Callable[[], int] = system_clock,
    ) -> None:
        if isinstance(engine, AsyncEngine):
            raise TypeError("the engine is for event loops; use create_engine: a ledger writes in a thread of its own")
        if batch < 1 or max_pending < 1:
            raise ValueError(f"batch {batch} and max_pending {max_pending} must be at least 1")
        self._owns_engine = not isinstance(engine, Engine)
        seconds = check_duration(timeout, "timeout") / SECOND
        self._engine = engine if isinstance(engine, Engine) else open_engine(engine, seconds, "ledger", _DIALECTS)
        if self._engine.dialect.name not in _DIALECTS:
            raise ValueError(f"ledger {self._shown}: the database must be one of {', '.join(_DIALECTS)}")
        self._clock = clock
        lasts = check_duration(age, "age") / SECOND
        self._writer = LedgerWriter(self._engine, size=batch, age=lasts, bound=max_pending, clock=clock)
        self._is_checked = False
        self.record_order: Callable[[Order | None, Answer, Decision | None], None] = self._writer.record
        """Queue an order of an enforcer; see `OrderHook`."""
        atexit.register(_close_at_exit, ref(self))

    def __repr__(self) -> str:
        """Return the database and what waits."""
        return f"<{type(self).__name__} in {self._shown}, {self.pending} orders wait>"

    @property
    def _shown(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

    # -- the hook ----------------------------------------------------------------------

    def __call__(self, event: Event, /) -> NoReturn:
        """Raise `TypeError`: a ledger takes orders, which an enforcer passes to the ledger itself."""
        raise TypeError("a ledger takes no events; give it itself to an enforcer: hooks=[ledger]")

    @property
    def pending(self) -> int:
        """Orders that this process has recorded and not written yet."""
        return self._writer.pending

    @property
    def lost(self) -> int:
        """Orders of this process that found the queue full, and entries that the database refused."""
        return self._writer.lost

    def flush(self) -> None:
        """
        Write all that this process has recorded.

        Raises:
            LedgerUnavailable: If the database fails.
        """
        self._writer.flush()

    def close(self) -> None:
        """Write what is left, and close the connections of a URL; what cannot be written is logged as lost."""
        self._writer.close()
        if self._owns_engine:
            self._engine.dispose()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def create_tables(self) -> None:
        """
        Create the tables if there are none; the first batch does so too.

        Raises:
            LedgerMismatch: For a ledger of another version.
        """
        with self._mapped(), self._engine.begin() as connection:
            tables.create(connection)
        self._is_checked = True

    # -- counters ----------------------------------------------------------------------

    def rebuild(
        self,
        account: str | None,
        store: str | Store,
        *,
        settle: float = SETTLE,
        limits: Mapping[str, str] | None = None,
    ) -> Rebuilt:
        """
        Set the quotas and allocations of a store to what the ledger adds up to; rates refill by themselves.

        Charges may go on meanwhile: each counter is compared at one instant of the store, and the difference is added.

        Args:
            account: An id; None for every account of the ledger.
            store: The URL of the store, or a store.
            settle: Seconds within which the entries of other writers and threads reach the ledger; 0 while nothing
                is charged.
            limits: The kind of further limits, for counters that only the store has.

        Returns:
            What was set right, what was not, and the writers whose last entries may be missing.

        Raises:
            AccountBusy: If units of an account come back without pause.
            LedgerMismatch: For a ledger of another version.
            LedgerUnavailable: If the database fails.
            StoreError: If the store fails; a second run completes the first.
            UnknownAccount: For an account that has no entry.
            ValueError: For an invalid argument.
        """
        restored: list[Drift] = []
        left: list[Drift] = []
        number = 0
        with self._store_of(store) as opened, self._mapped():
            for compared in self._compare(account, opened, settle, None, limits, ()):
                done, rest = restore(opened, compared)
                restored += done
                left += rest
                number += 1
            return Rebuilt(number, tuple(restored), tuple(left), self._tails())

    def drift(
        self,
        account: str | None = None,
        *,
        store: str | Store,
        counts: Counts | None = None,
        accounts: Iterable[str] = (),
        limits: Mapping[str, str] | None = None,
        settle: float = SETTLE,
    ) -> tuple[Drift, ...]:
        """
        Return the counters of a store that differ from the ledger, or from counts of yours; write nothing.

        Args:
            account: An id; None for every account of the ledger.
            store: The URL of the store, or a store.
            counts: By limit, a function that returns the units that an account holds: `{"agents": count_agents}`.
            accounts: Further ids, for counters of accounts that the ledger does not know, *account* too.
            limits: The kind of further limits, `quota` or `allocation`, for counters that the ledger does not know.
            settle: As for `rebuild`.

        Raises:
            AccountBusy, LedgerMismatch, LedgerUnavailable, StoreError, UnknownAccount: As `rebuild`.
            TypeError: For a count that cannot be called.
            ValueError: For an invalid argument, a count that returns no int, and one of a limit that neither the
                ledger nor *limits* knows.
        """
        with self._store_of(store) as opened, self._mapped():
            found = self._compare(account, opened, settle, counts, limits, accounts)
            return tuple(drift for compared in found for drift in compared.drifts)

    def tails(self) -> tuple[Tail, ...]:
        """Return the writers that have not ended in order: what they recorded last may be missing."""
        with self._mapped():
            self._check()
            return self._tails()

    # -- usage -------------------------------------------------------------------------

    def usage(self, month: str | date | None = None, *, account: str | None = None) -> tuple[MonthlyUsage, ...]:
        """
        Return the usage of a calendar month (UTC) by account and limit, for billing.

        Args:
            month: `"2026-11"` or a date; None for the present month.
            account: An id; None for every account.

        Raises:
            ValueError: For a month that is none.
            LedgerMismatch, LedgerUnavailable: As `rebuild`.
        """
        wanted = months.parse_month(month, self._clock())
        with self._mapped():
            self._check()
            return tuple(months.usage(self._engine, wanted, account))

    def close_months(self, before: str | date | None = None) -> int:
        """
        Keep months before *before* as their usage and balance, and delete their entries.

        Args:
            before: A month; by default, and at the latest, the one before the present month, so that every retry and
                every late entry has come.

        Returns:
            The number of entries that were deleted.

        Raises:
            ValueError: For a later month.
            LedgerMismatch, LedgerUnavailable: As `rebuild`.
        """
        latest = month_of(months.start_of(month_of(self._clock())) - 1)
        wanted = latest if before is None else months.parse_month(before, self._clock())
        if wanted > latest:
            raise ValueError(f"months before {wanted} cannot be closed yet; close those before {latest}, or earlier")
        with self._mapped():
            self._check()
            return months.close(self._engine, wanted)

    @overload
    def export(
        self, since: datetime, format: Literal["cloudevents", "csv"] = ..., *, until: datetime | None = ...
    ) -> Iterator[str]: ...
    @overload
    def export(
        self, since: datetime, format: Literal["parquet"], *, until: datetime | None = ...
    ) -> Iterator[bytes]: ...
    @overload
    def export(self, since: datetime, format: str, *, until: datetime | None = ...) -> Iterator[Any]: ...
    def export(
        self,
        since: datetime,
        format: str = "cloudevents",  # noqa: A002 - the word of the contract
        *,
        until: datetime | None = None,
    ) -> Iterator[str] | Iterator[bytes]:
        """
        Return the entries since an instant as a file: lines of text, or pieces of bytes for Parquet.

        Args:
            since: Aware; the instant of the first entries, by the store's clock.
            format: `cloudevents` (JSON, one in a line), `csv`, or `parquet` (`entitlements[columnar]`).
            until: Aware; the first instant that is left out. None for all.

        Raises:
            ValueError: For another format, or a naive datetime.
            LedgerMismatch, LedgerUnavailable: As `rebuild`.
        """
        if format not in export.FORMATS:
            raise ValueError(f"format {shown(format)} is not known; write one of {', '.join(export.FORMATS)}")
        check_moment(since, "since")
        if until is not None:
            check_moment(until, "until")
        with self._mapped():
            self._check()
        found = self._rows(to_instant(since), None if until is None else to_instant(until))
        if format == "csv":
            return export.as_csv(found)
        if format == "parquet":
            return export.as_parquet(found)
        return export.as_cloudevents(found, "entitlements/ledger")

    # -- the shell ---------------------------------------------------------------------

    def _rows(self, start: int, end: int | None) -> Iterator[dict[str, Any]]:
        with self._mapped():
            yield from export.rows(self._engine, start, end)

    def _compare(
        self,
        account: str | None,
        store: Store,
        settle: float,
        counts: Counts | None,
        limits: Mapping[str, str] | None,
        more: Iterable[str],
    ) -> Iterator[Compared]:
        _check_counts(counts or {}, limits or {})
        if settle != 0 or isinstance(settle, bool):
            settle = check_duration(settle, "settle") / SECOND
        more = [check_id(each, "account") for each in more]
        self._check()
        pages = self._pages(more) if account is None else iter([[self._known(check_id(account, "account"), more)]])
        yield from compare(
            self._engine, store, pages, settle=settle, counts=counts, limits=limits, flush=self._writer.flush
        )

    def _known(self, account: str, more: Iterable[str]) -> str:
        with self._engine.connect() as connection:
            if account in more or reading.has_account(connection, account):
                return account
        raise UnknownAccount(f"account {account!r} has no entry in the ledger {self._shown}; look for it in `usage`")

    def _pages(self, more: Iterable[str]) -> Iterator[Sequence[str]]:
        with self._engine.connect() as connection:
            known = [id for page in reading.account_pages(connection) for id in page]
        ids = list(dict.fromkeys([*known, *more]))
        for at in range(0, len(ids), reading.PAGE):
            yield ids[at : at + reading.PAGE]

    def _tails(self) -> tuple[Tail, ...]:
        with self._engine.connect() as connection:
            return reading.tails(connection, self._writer.id)

    def _check(self) -> None:
        """Write what waits, and check the version of the ledger."""
        self.flush()
        if not self._is_checked:
            with self._engine.connect() as connection:
                tables.check(connection)
            self._is_checked = True

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (LedgerUnavailable, LedgerMismatch):
            raise
        except SQLAlchemyError as error:
            raise unavailable(self._engine, error) from error

    @contextmanager
    def _store_of(self, store: str | Store) -> Iterator[Store]:
        opened = open_store(store, system_clock)
        try:
            yield opened
        finally:
            if opened is not store:
                opened.close()


def _check_counts(counts: Counts, limits: Mapping[str, str]) -> None:
    for name, count in counts.items():
        if not callable(count):
            cure = "pass a function that takes the id of an account and returns its units"
            raise TypeError(f"count of {shown(name)} is {shown(count)}, which cannot be called; {cure}")
    for name, kind in limits.items():
        if kind not in _COUNTED:
            raise ValueError(f"limit {shown(name)} is of the kind {shown(kind)}; write one of {', '.join(_COUNTED)}")


def _close_at_exit(weak: ref[SqlLedger]) -> None:
    """Close a ledger that is still in use when the interpreter exits."""
    ledger = weak()
    if ledger is not None:
        ledger.close()
