"""What enforcers hand out: the verbs bound to one account, and open reservations."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from entitlements.errors import StoreError
from entitlements.model.instants import to_datetime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from datetime import datetime
    from types import TracebackType

    from entitlements.model.decision import Decision


class Reservation:
    """
    Units held for work that outlives a request; truthy when granted.

    As a context manager it commits all when the block ends, and cancels when the block
    raises; entering a refused one raises `Denied`.

    Args:
        id: Names it, so that another process can finish it.
        decision: How it was granted; None where it was found by its id.
        ttl: Microseconds it was granted for.
        commit: Ends it, keeping some or all.
        cancel: Ends it, keeping nothing.
    """

    __slots__ = ("_cancel", "_commit", "_ended", "decision", "expires_at", "id")

    def __init__(
        self,
        id: str,
        decision: Decision | None,
        ttl: int,
        commit: Callable[[int | Mapping[str, int] | None], None],
        cancel: Callable[[], None],
    ) -> None:
        self.id = id
        self.decision = decision
        self.expires_at = expiry(decision, ttl)
        self._commit = commit
        self._cancel = cancel
        self._ended = not id  # refused, or never counted: there is nothing to end

    def __bool__(self) -> bool:
        """Return whether the units were granted."""
        return self.decision is None or self.decision.allowed

    def __repr__(self) -> str:
        """Return its id, and when it lapses."""
        return f"<Reservation {self.id!r} until {self.expires_at}>" if self else "<Reservation refused>"

    def commit(self, n: int | Mapping[str, int] | None = None) -> None:
        """
        Keep *n* of the units, or all, and give the rest back; a second call does nothing.

        Args:
            n: None for all, an int where one limit was reserved, else units by limit
                (a limit left out keeps none).

        Raises:
            ValueError: For more than was reserved.
            ReservationExpired: Where it has lapsed and cannot be charged anew.
            Denied: Where it was never granted.
        """
        if self.decision is not None:
            self.decision.raise_for_denied()
        if not self._ended:
            self._commit(n)
            self._ended = True

    def cancel(self) -> None:
        """Give all the units back; nothing happens if it has ended."""
        if not self._ended:
            self._cancel()
            self._ended = True

    def __enter__(self) -> Self:
        """Return itself, or raise `Denied`."""
        if self.decision is not None:
            self.decision.raise_for_denied()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit all, or cancel after an exception."""
        if kind is None:
            self.commit()
            return
        with suppress(StoreError):  # what cannot be cancelled now lapses by itself
            self.cancel()


class AsyncReservation:
    """
    Same as `Reservation` for an event loop: await it or enter it, then it is granted or not.

    Args:
        reserve: Makes the reservation: its decision, its id, its ttl in microseconds.
        commit: Ends it, keeping some or all.
        cancel: Ends it, keeping nothing.
        id: Of a reservation that was made elsewhere.
    """

    __slots__ = ("_cancel", "_commit", "_ended", "_making", "_reserve", "decision", "expires_at", "id")

    def __init__(
        self,
        reserve: Callable[[], Awaitable[tuple[Decision, str, int]]] | None,
        commit: Callable[[str, int | Mapping[str, int] | None], Awaitable[None]],
        cancel: Callable[[str], Awaitable[None]],
        id: str = "",
    ) -> None:
        self.id = id
        self.decision: Decision | None = None
        self.expires_at: datetime | None = None
        self._reserve = reserve
        self._making = asyncio.Lock()
        self._commit = commit
        self._cancel = cancel
        self._ended = reserve is None and not id

    def __bool__(self) -> bool:
        """Return whether the units were granted."""
        return self._reserve is None and (self.decision is None or self.decision.allowed)

    def __await__(self) -> Generator[object, None, Self]:
        """Make the reservation, once, and return it."""
        return self._made().__await__()

    async def _made(self) -> Self:
        """Make the reservation, whoever asks first; one that failed is not made, and can be tried again."""
        async with self._making:
            if self._reserve is not None:
                self.decision, self.id, ttl = await self._reserve()
                self._reserve = None
                self.expires_at = expiry(self.decision, ttl)
                self._ended = not self.id  # refused, or never counted: there is nothing to end
        return self

    async def commit(self, n: int | Mapping[str, int] | None = None) -> None:
        """Same as `Reservation.commit`."""
        await self._made()
        if self.decision is not None:
            self.decision.raise_for_denied()
        if not self._ended:
            await self._commit(self.id, n)
            self._ended = True

    async def cancel(self) -> None:
        """Same as `Reservation.cancel`."""
        if self._reserve is None and not self._ended:
            await self._cancel(self.id)
            self._ended = True

    async def __aenter__(self) -> Self:
        """Make the reservation and return it, or raise `Denied`."""
        await self._made()
        if self.decision is not None:
            self.decision.raise_for_denied()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit all, or cancel after an exception."""
        if kind is None:
            await self.commit()
            return
        with suppress(StoreError):  # what cannot be cancelled now lapses by itself
            await self.cancel()


def expiry(decision: Decision | None, ttl: int) -> datetime | None:
    """Return when a granted reservation lapses, by the clock that granted it."""
    if decision is None or not decision.allowed:
        return None
    return to_datetime(decision.decided_at + ttl)
