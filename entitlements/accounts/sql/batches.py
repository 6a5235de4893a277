"""
Batches of loads: what is asked for while a statement is under way is loaded by the next one.

A single miss waits for nothing. However many are missed at once, one statement is under way at a time
for all threads, and one for each event loop.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from entitlements._fork import renew_after_fork
from entitlements.accounts.sql.reading import MAX_IDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from entitlements.model.account import Account

    Loaded = Mapping[str, Account | Exception]
    """Accounts, or the errors of their rows, by id; an unknown account is missing."""


class ThreadBatches:
    """
    Batches for threads: the first that asks runs the statement, and hands over to one of those that came meanwhile.

    Args:
        load: Loads accounts in one statement.
    """

    def __init__(self, load: Callable[[Sequence[str]], Loaded]) -> None:
        self._load = load
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Forget what is under way: in a forked child its threads do not exist."""
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[Account | None]] = {}
        self._is_busy = False

    def find(self, id: str) -> Account | None:
        """Return the account, or None if there is none; raise the error of its row, or of the statement."""
        while True:
            with self._lock:
                future = self._waiting.setdefault(id, Future())
                leads, self._is_busy = not self._is_busy, True
            if leads:
                self._lead()
            try:
                return future.result()
            except _HandedOverError:
                continue  # the statement before has ended: run the next one, or wait for another thread that does
            except Exception:
                raise
            except BaseException:  # interrupted while it waited: it may have been the next in line
                self._hand_over(())
                raise

    def _lead(self) -> None:
        with self._lock:
            batch = dict(list(self._waiting.items())[:MAX_IDS])
            for id in batch:
                del self._waiting[id]
        try:
            loaded = self._load(tuple(batch))
        except Exception as error:  # noqa: BLE001 - raised in those who wait
            for future in batch.values():
                future.set_exception(error)
        else:
            for id, future in batch.items():
                _resolve(future, loaded.get(id))
        finally:
            self._is_busy = False
            self._hand_over([future for future in batch.values() if not future.done()])

    def _hand_over(self, interrupted: Sequence[Future[Account | None]]) -> None:
        """Wake a thread that waits, if no statement is under way, and those whose statement was interrupted."""
        with self._lock:
            waiting = None if self._is_busy else next(iter(self._waiting), None)
            next_in_line = [] if waiting is None else [self._waiting.pop(waiting)]
        for future in (*interrupted, *next_in_line):
            future.set_exception(_HandedOverError())


class _HandedOverError(Exception):
    """Wakes a thread that waits, to run the next statement."""


class LoopBatches:
    """
    Batches for event loops: a task of each loop runs one statement after the other while accounts are asked for.

    Args:
        load: Loads accounts in one statement.
    """

    def __init__(self, load: Callable[[Sequence[str]], Awaitable[Loaded]]) -> None:
        self._load = load
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()

    async def find(self, id: str) -> Account | None:
        """Return the account, or None if there is none; raise the error of its row, or of the statement."""
        loop = asyncio.get_running_loop()
        line = self._lines.setdefault(loop, _Line())
        future = line.waiting.get(id)
        if future is None:
            future = line.waiting[id] = loop.create_future()
            future.add_done_callback(_retrieve)
        if line.task is None:
            line.task = loop.create_task(self._run(line))
        await asyncio.wait((future,))  # unlike await, it leaves the future alone when cancelled
        return future.result()

    async def _run(self, line: _Line) -> None:
        batch: dict[str, asyncio.Future[Account | None]] = {}
        try:
            while line.waiting:
                batch = dict(list(line.waiting.items())[:MAX_IDS])
                for id in batch:
                    del line.waiting[id]
                try:
                    loaded = await self._load(tuple(batch))
                except Exception as error:  # noqa: BLE001 - raised in those who wait
                    for future in batch.values():
                        future.set_exception(error)
                else:
                    for id, future in batch.items():
                        _resolve(future, loaded.get(id))
        finally:
            line.task = None
            for future in (*batch.values(), *line.waiting.values()):
                future.cancel()  # the loop is shutting down


class _Line:
    """The accounts that one event loop waits for, and the task that loads them."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Future[Account | None]] = {}
        self.task: asyncio.Task[None] | None = None


def _resolve(
    future: Future[Account | None] | asyncio.Future[Account | None], found: Account | Exception | None
) -> None:
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)


def _retrieve(future: asyncio.Future[Account | None]) -> None:
    """Retrieve an exception that no caller may be left to see, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
