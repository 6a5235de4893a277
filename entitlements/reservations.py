"""Reservations: units that are held until they are committed or cancelled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from entitlements.async_call import require_asyncio, verbs_as_calls
from entitlements.errors import StoreError
from entitlements.model.decision_fields import receipt_of
from entitlements.model.instants import to_datetime
from entitlements.model.pickling import not_picklable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
    from datetime import datetime
    from types import TracebackType

    from entitlements.model.decision import Decision

__all__ = ["AsyncReservation", "Reservation"]


R = TypeVar("R")


@not_picklable("send account and id, and call enforcer.reservation(account, id) there")
class Reservation:
    """
    Units that are held for work that outlives a request; truthy when granted.

    As a context manager it commits all units when the block ends, and cancels when the
    block raises. Entering a refused reservation raises `Denied`; the end of a block that
    took longer than its ttl may raise `ReservationExpired`.

    Args:
        id: Its id, by which another process can finish it.
        decision: The decision that granted it; None where it was found by its id.
        ttl: Microseconds for which it was granted.
        commit: Ends it and keeps some or all of the units.
        cancel: Ends it and keeps none.
    """

    __slots__ = ("_cancel", "_commit", "_ended", "_settled", "decision", "expires_at", "id")

    def __init__(
        self,
        id: str,
        decision: Decision | None,
        ttl: int,
        commit: Callable[[int | Mapping[str, int] | None], Decision],
        cancel: Callable[[], object],
    ) -> None:
        self.id = id
        self.decision = decision
        self.expires_at = _expiry(decision, ttl)
        self._commit = commit
        self._cancel = cancel
        self._ended = not id  # refused, or never counted
        self._settled = None if id else decision

    def __bool__(self) -> bool:
        """Return whether the units were granted."""
        return self.decision is None or self.decision.allowed

    def __repr__(self) -> str:
        """Return its id and its expiry."""
        return f"<Reservation {self.id!r} until {self.expires_at}>" if self else "<Reservation refused>"

    def commit(self, n: int | Mapping[str, int] | None = None) -> Decision:
        """
        Settle the units: *n* are used, or all that were reserved; a second call changes nothing.

        Less than was reserved returns the rest. More than was reserved counts too, above the limit if need be,
        because the work is done.

        Args:
            n: None for all, an int where one limit was reserved, or one that is no rate, else units by limit. A rate
                left out stays as it was taken, another limit left out keeps none.

        Returns:
            The decision, allowed, with what is used and left; its reason is `OVERAGE` above a limit. A second call
            returns the first one's.

        Raises:
            ValueError: For a limit that was not reserved, or units that are no int from 0 to 2^53-1.
            ReservationExpired: Where it has expired and the units cannot be charged again.
            Denied: Where it was never granted.
        """
        _raise_if_denied(self.decision)
        if self._settled is None:
            self._settled = self._commit(None if self._ended else n)  # after a cancel, the store changes nothing
            self._ended = True
        return self._settled

    def cancel(self) -> None:
        """Return all units; do nothing if the reservation has ended."""
        if not self._ended:
            self._cancel()
            self._ended = True

    def __enter__(self) -> Self:
        """Return itself, or raise `Denied`."""
        _raise_if_denied(self.decision)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit all, or cancel after an exception."""
        if kind is None:
            self.commit()
            return
        with suppress(StoreError):  # a reservation that cannot be cancelled expires
            self.cancel()


class DetachedTasks:
    """Tasks that go on when their caller is cancelled, by asyncio or by a cancel scope of anyio."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
        """Start *work* in a task of its own."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._drop)
        return task

    async def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Return the result of *work*, which ends even if the caller is cancelled."""
        task = self.start(work)
        await asyncio.wait((task,))
        return task.result()

    async def drain(self) -> None:
        """Wait until the tasks of the running loop have ended."""
        loop = asyncio.get_running_loop()
        while own := [task for task in tuple(self._tasks) if task.get_loop() is loop]:
            await asyncio.wait(own)

    def _drop(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have gone; asyncio would log it


@not_picklable("send account and id, and call enforcer.reservation(account, id) there")
@verbs_as_calls
class AsyncReservation:
    """
    `Reservation` for an event loop; it is made when it is first awaited or entered.

    No unit stays held by a caller that is cancelled. If it is cancelled while the reservation is made, that
    goes on and is then cancelled, unless another caller was given it by the same idempotency key.
    What ends a reservation goes on as well.

    Args:
        reserve: Makes the reservation; returns its decision, its id and its ttl in microseconds.
        commit: Ends it and keeps some or all of the units.
        cancel: Ends it and keeps none.
        tasks: Runs what must go on if the caller is cancelled.
        id: The id of a reservation that was made elsewhere.
    """

    __slots__ = (
        "_cancel",
        "_commit",
        "_ended",
        "_is_awaited",
        "_lock",
        "_reserve",
        "_settled",
        "_tasks",
        "decision",
        "expires_at",
        "id",
    )

    def __init__(
        self,
        reserve: Callable[[], Coroutine[Any, Any, tuple[Decision, str, int]]] | None,
        commit: Callable[[str, int | Mapping[str, int] | None], Awaitable[Decision]],
        cancel: Callable[..., Coroutine[Any, Any, None]],
        *,
        tasks: DetachedTasks,
        id: str = "",
    ) -> None:
        self.id = id
        self.decision: Decision | None = None
        self.expires_at: datetime | None = None
        self._reserve = reserve
        self._is_awaited = False
        self._lock = asyncio.Lock()
        self._tasks = tasks
        self._commit = commit
        self._cancel = cancel
        self._ended = reserve is None and not id
        self._settled: Decision | None = None

    def __bool__(self) -> bool:
        """
        Return whether the units were granted.

        Raises:
            TypeError: If it was neither awaited nor entered.
        """
        if self._reserve is not None and not self._is_awaited:
            raise TypeError("a reservation was not awaited, so it has no truth value; write `await` before reserve()")
        return self._reserve is None and (self.decision is None or self.decision.allowed)

    def __repr__(self) -> str:
        """Return its id and its expiry."""
        if self._reserve is not None:
            return "<AsyncReservation not made>"
        return f"<AsyncReservation {self.id!r} until {self.expires_at}>" if self else "<AsyncReservation refused>"

    def __await__(self) -> Generator[object, None, Self]:
        """Make the reservation, once, and return it."""
        return self._made().__await__()

    async def _made(self) -> Self:
        """Make the reservation, unless it is made; after an exception the next call tries again."""
        self._is_awaited = True
        require_asyncio()
        async with self._lock:
            if self._reserve is not None:
                making = self._tasks.start(self._reserve())
                try:
                    await asyncio.wait((making,))
                except asyncio.CancelledError:
                    if making.done():
                        self._abandon(making)
                    else:
                        making.add_done_callback(self._abandon)
                    raise
                self.decision, self.id, ttl = making.result()
                self._reserve = None
                self.expires_at = _expiry(self.decision, ttl)
                self._ended = not self.id  # refused, or never counted
                self._settled = self.decision if self._ended else None
        return self

    def _abandon(self, making: asyncio.Task[tuple[Decision, str, int]]) -> None:
        """Give up a reservation whose caller has gone."""
        if not making.cancelled() and making.exception() is None:
            _, id, _ = making.result()
            if id:
                self._tasks.start(self._cancel(id, given_up=True))

    async def _end(self, end: Callable[[], Awaitable[None]], has_ended: Callable[[], bool]) -> None:
        """End the reservation, unless an earlier call that goes on does."""

        async def ending() -> None:
            async with self._lock:
                if not has_ended():
                    await end()
                    self._ended = True

        if not has_ended():
            await self._tasks.run(ending())

    async def commit(self, n: int | Mapping[str, int] | None = None) -> Decision:
        """Settle the units; arguments, result and exceptions are those of `Reservation.commit`."""

        async def settle() -> None:
            self._settled = await self._commit(self.id, None if self._ended else n)

        await self._made()
        _raise_if_denied(self.decision)
        await self._end(settle, lambda: self._settled is not None)  # after a cancel, the store changes nothing
        assert self._settled is not None
        return self._settled

    async def cancel(self) -> None:
        """Return all units; do nothing if the reservation is not made or has ended."""
        if self._reserve is None:
            await self._end(lambda: self._cancel(self.id), lambda: self._ended)

    async def __aenter__(self) -> Self:
        """Make the reservation and return it, or raise `Denied`."""
        await self._made()
        _raise_if_denied(self.decision)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit all, or cancel after an exception."""
        if kind is None:
            await self.commit()
            return
        with suppress(StoreError, asyncio.CancelledError):  # it expires, or its cancellation goes on without this task
            await self.cancel()


def _raise_if_denied(decision: Decision | None) -> None:
    if decision is not None:
        decision.raise_for_denied()


def _expiry(decision: Decision | None, ttl: int) -> datetime | None:
    """Return the expiry of a granted reservation, by the clock that granted it."""
    if decision is None or not decision.allowed:
        return None
    return to_datetime(receipt_of(decision).now + ttl)
