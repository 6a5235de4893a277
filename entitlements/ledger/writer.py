"""
Writer: entries in batches, off the hot path.

A hook only appends to a queue, a plain charge as the text of its row. A thread makes the other rows, and writes them
each *age* seconds, or once there are *size* of them, in one statement. While the database fails, the rows stay and are tried again, up to *bound*
of them; what comes then is counted as lost and logged. A batch whose commit is in doubt is written again, and each
entry stands once, by its name.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections import deque
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError, IntegrityError

from entitlements._fork import renew_after_fork
from entitlements.accounts.sql.engines import first_line
from entitlements.ledger.entries import Entry
from entitlements.ledger.entry_builder import EntryBuilder, Queued, Recorded
from entitlements.ledger.errors import LedgerMismatch, LedgerUnavailable, unavailable
from entitlements.ledger.tables import create
from entitlements.model.decision_fields import fields_of
from entitlements.model.instants import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.decision import Decision

_log = logging.getLogger("entitlements.ledger")

_NUMBERS = {"units", "at", "starts", "ends", "expires"}
_FIELDS = Entry._fields
_QUERY_CANCELED = "57014"
"""SQLSTATE of PostgreSQL for a statement that has exceeded its timeout."""
_LONGEST_PAUSE = 5.0
_CHUNK = 1000
"""Rows and orders in the queue that wake the thread: as rows orders are smaller, and units of rates are added up."""


def _insert_of(dialect: str) -> str:
    """Return the statement that inserts a JSON array of rows; the whole batch is one parameter."""
    columns = ", ".join([*_FIELDS, "writer"])
    if dialect == "sqlite":
        values = ", ".join(f"json_extract(value, '$[{at}]')" for at in range(len(_FIELDS)))
        source = f"select {values}, :writer from json_each(:rows) where true"  # noqa: S608 - our own names
    else:
        values = ", ".join(f"(r->>{at}){'::bigint' * (name in _NUMBERS)}" for at, name in enumerate(_FIELDS))
        source = f"select {values}, cast(:writer as text) from jsonb_array_elements(cast(:rows as jsonb)) as r"  # noqa: S608
    return f"insert into entitlements_ledger ({columns}) {source} on conflict do nothing"


_UPSERT = """
insert into entitlements_ledger_writers (id, host, pid, started, written, pending, lost, age, closed)
values (:id, :host, :pid, :started, :written, :pending, :lost, :age, :closed)
on conflict (id) do update set written = :written, pending = :pending, lost = :lost, closed = :closed
"""


class LedgerWriter:
    """
    Queues what hooks record, and writes it.

    Args:
        engine: The engine of the ledger's database.
        size: Rows in a statement.
        age: Seconds that an order waits at most while the database keeps up.
        bound: Orders that wait at most.
        clock: Returns the time in microseconds since 1970.
    """

    def __init__(self, engine: Engine, *, size: int, age: float, bound: int, clock: Callable[[], int]) -> None:
        self._engine, self._size, self._age, self._bound, self._clock = engine, size, age, bound, clock
        self._insert = text(_insert_of(engine.dialect.name))
        self._begin()
        renew_after_fork(self)

    def _begin(self) -> None:
        self.id = secrets.token_hex(6)
        self.lost = 0
        """Orders that found the queue full, and entries that the database refused."""
        self._queue: deque[Queued] = deque()
        self._rows: deque[str] = deque()
        self._builder = EntryBuilder(self.id)
        self._row: dict[str, Any] = {}
        self._reported = 0
        self._failure: Exception | None = None
        self._pause = 0.0
        self._most = self._size
        """Rows in the next statement: half as many after one that has exceeded its time."""
        self._due = 0.0
        self._is_checked = False
        self._thread: threading.Thread | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._writing, self._counting = threading.Lock(), threading.Lock()

    def renew(self) -> None:
        """Begin as another writer in a forked child: the parent writes what it has recorded."""
        self._engine.dispose(close=False)
        self._begin()

    @property
    def pending(self) -> int:
        """Orders, entries and sums of rates that are not written yet."""
        return len(self._queue) + len(self._rows) + self._builder.summed

    def record(self, order: Order | None, answer: Answer, decision: Decision | None) -> None:
        """Queue an order; if too many wait, count it as lost. Never wait."""
        queue = self._queue
        waiting = len(queue)
        if waiting + len(self._rows) >= self._bound:
            self._lose(1)
        elif order is None and waiting:
            if fields_of(decision)[0]:  # type: ignore[arg-type]
                self._builder.queue_plain(decision, queue)  # type: ignore[arg-type]
        else:
            queue.append(Recorded(order, answer, decision, self._clock()))
        if self._thread is None:
            self._start()
        elif waiting >= _CHUNK and not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """
        Write all that was recorded before.

        Raises:
            LedgerUnavailable: If the database fails.
        """
        with self._writing:
            self._write_all()

    def close(self) -> None:
        """Write what is left and note in the ledger that this writer has ended; a failure is logged with what is lost."""
        self._closing.set()
        self._wake.set()
        try:
            with self._writing:
                self._write_all(is_last=True)
        except LedgerUnavailable as error:
            _log.error("ledger closed; %d orders are lost: %s", self.pending, error, extra={"lost": self.pending})
        if self._thread is not None:
            self._thread.join()
        self._begin()  # as another writer, if anything follows

    def _lose(self, number: int) -> None:
        with self._counting:
            self.lost += number

    def _start(self) -> None:
        with self._counting:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="entitlements-ledger", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        self._due = monotonic() + self._age
        while not self._closing.is_set():
            self._wake.wait(max(0.0, self._due - monotonic()))
            self._wake.clear()
            try:
                with self._writing:
                    self._convert()
                    if monotonic() >= self._due or (len(self._rows) >= self._size and not self._failure):
                        self._due = monotonic() + self._age
                        self._write_all()
            except LedgerUnavailable:  # logged, and tried again
                self._due = monotonic() + self._pause
            except Exception:  # noqa: BLE001 - the thread must not end
                _log.exception("ledger writer failed; it goes on")
            self._report_lost()

    def _report_lost(self) -> None:
        lost, self._reported = self.lost - self._reported, self.lost
        if lost:
            _log.error(
                "ledger %s: %d orders are lost, %d wait", self._shown, lost, self.pending,
                extra={"lost": lost, "waiting": self.pending},
            )  # fmt: skip

    @property
    def _shown(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

    def _convert(self) -> int:
        """Turn what is queued now into rows; return the time before which all was recorded."""
        now, left = self._clock(), len(self._queue)
        while left:
            number = min(left, _CHUNK)
            left -= number
            self._rows += self._builder.rows([self._queue.popleft() for _ in range(number)])
        return now

    def _write_all(self, *, is_last: bool = False) -> None:
        """Write what was recorded before, with the sums of rates."""
        now = self._convert()
        self._rows += self._builder.rates()
        left = len(self._rows)
        while left or (is_last and self._row):
            number = min(left, self._most)
            left -= number
            self._write(list(islice(self._rows, number)), 0 if left else now, is_last=is_last and not left)
            for _ in range(number):
                self._rows.popleft()
            if not left:
                return

    def _write(self, batch: list[str], written: int, *, is_last: bool) -> None:
        """Write rows; *written* is the time before which all is written with them, or 0."""
        row = self._row or {
            "id": self.id, "host": socket.gethostname(), "pid": os.getpid(), "started": self._clock(), "written": 0,
            "age": int(self._age * SECOND), "closed": None,
        }  # fmt: skip
        row |= {"pending": len(self._queue) + len(self._rows) - len(batch), "lost": self.lost} | (
            {"written": written} if written else {}
        )
        if is_last:
            row["closed"] = written
        try:
            if not self._is_checked:
                with self._engine.begin() as connection:
                    create(connection)
                self._is_checked = True
            with self._engine.begin() as connection:
                connection.execute(text(_UPSERT), row)
                self._insert_batch(connection, batch)
        except (DataError, IntegrityError) as error:
            self._write_one_by_one(batch, error)
        except LedgerMismatch as error:
            self._failed(error)
            raise
        except Exception as error:
            if getattr(getattr(error, "orig", None), "sqlstate", None) == _QUERY_CANCELED:
                self._most = max(1, len(batch) // 2)
            self._failed(error)
            raise unavailable(self._engine, error) from error
        self._row = row
        if self._failure is not None:
            _log.warning(
                "ledger %s recovered; %d orders wait", self._shown, self.pending, extra={"waiting": self.pending}
            )
        self._failure, self._pause = None, 0.0
        self._most = min(self._size, self._most + max(1, self._most // 8))

    def _insert_batch(self, connection: Connection, batch: list[str]) -> None:
        if batch:
            connection.execute(self._insert, {"rows": f"[{','.join(batch)}]", "writer": self.id})

    def _write_one_by_one(self, batch: list[str], error: Exception) -> None:
        """Write entries that the database takes; count those that it will never take as lost."""
        if len(batch) > 1:
            half = len(batch) // 2
            for part in (batch[:half], batch[half:]):
                try:
                    with self._engine.begin() as connection:
                        self._insert_batch(connection, part)
                except (DataError, IntegrityError) as failed:
                    self._write_one_by_one(part, failed)
            return
        self._lose(len(batch))
        _log.error("ledger %s refuses an entry, which is lost: %s", self._shown, first_line(error), extra={"lost": 1})

    def _failed(self, error: Exception) -> None:
        if self._failure is None:
            _log.warning(
                "ledger %s failed: %s; %d orders wait, %d at most", self._shown, first_line(error), self.pending,
                self._bound, extra={"waiting": self.pending},
            )  # fmt: skip
        self._failure = error
        self._pause = min(_LONGEST_PAUSE, max(0.1, self._pause * 2))
