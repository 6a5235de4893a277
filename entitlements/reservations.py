"""Reservations: units that are held until they are committed or cancelled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from entitlements.errors import StoreError
from entitlements.model.decision_fields import receipt_of
from entitlements.model.instants import to_datetime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from datetime import datetime
    from types import TracebackType

    from entitlements.model.decision import Decision

__all__ = ["AsyncReservation", "Reservation"]


class Reservation:
    """
    Units that are held for work that outlives a request; truthy when granted.

    As a context manager it commits all units when the block ends, and cancels when the
    block raises. Entering a refused reservation raises `Denied`.

    Args:
        id: Its id, by which another process can finish it.
        decision: The decision that granted it; None where it was found by its id.
        ttl: Microseconds for which it was granted.
        commit: Ends it and keeps some or all of the units.
        cancel: Ends it and keeps none.
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
        self.expires_at = _expiry(decision, ttl)
        self._commit = commit
        self._cancel = cancel
        self._ended = not id  # refused, or never counted

    def __bool__(self) -> bool:
        """Return whether the units were granted."""
        return self.decision is None or self.decision.allowed

    def __repr__(self) -> str:
        """Return its id and its expiry."""
        return f"<Reservation {self.id!r} until {self.expires_at}>" if self else "<Reservation refused>"

    def commit(self, n: int | Mapping[str, int] | None = None) -> None:
        """
        Keep *n* of the units, or all, and return the rest; a second call does nothing.

        Args:
            n: None for all, an int where one limit was reserved, else units by limit
                (a limit left out keeps none).

        Raises:
            ValueError: For more than was reserved.
            ReservationExpired: Where it has expired and the units cannot be charged again.
            Denied: Where it was never granted.
        """
        _raise_if_denied(self.decision)
        if not self._ended:
            self._commit(n)
            self._ended = True

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


class AsyncReservation:
    """
    `Reservation` for an event loop; it is made when it is first awaited or entered.

    Args:
        reserve: Makes the reservation; returns its decision, its id and its ttl in microseconds.
        commit: Ends it and keeps some or all of the units.
        cancel: Ends it and keeps none.
        id: The id of a reservation that was made elsewhere.
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
        """Make the reservation, unless it is made; after an exception the next call tries again."""
        async with self._making:
            if self._reserve is not None:
                self.decision, self.id, ttl = await self._reserve()
                self._reserve = None
                self.expires_at = _expiry(self.decision, ttl)
                self._ended = not self.id  # refused, or never counted
        return self

    async def commit(self, n: int | Mapping[str, int] | None = None) -> None:
        """Keep *n* of the units, or all; arguments and exceptions are those of `Reservation.commit`."""
        await self._made()
        _raise_if_denied(self.decision)
        if not self._ended:
            await self._commit(self.id, n)
            self._ended = True

    async def cancel(self) -> None:
        """Return all units; do nothing if the reservation is not made or has ended."""
        if self._reserve is None and not self._ended:
            await self._cancel(self.id)
            self._ended = True

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
        with suppress(StoreError):  # a reservation that cannot be cancelled expires
            await self.cancel()


def _raise_if_denied(decision: Decision | None) -> None:
    if decision is not None:
        decision.raise_for_denied()


def _expiry(decision: Decision | None, ttl: int) -> datetime | None:
    """Return the expiry of a granted reservation, by the clock that granted it."""
    if decision is None or not decision.allowed:
        return None
    return to_datetime(receipt_of(decision).now + ttl)
