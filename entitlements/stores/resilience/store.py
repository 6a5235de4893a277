"""
A store around a store that may fail: two thin shells around `policy.py`.

Charges never fail for the store's sake: each limit does what its `on_outage` says. What
only the store can know (usage, holders, …) raises `StoreError` until it is back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entitlements._fork import renew_after_fork
from entitlements.clock import monotonic, system_clock
from entitlements.errors import StoreError
from entitlements.model.answers import Outcome, Status
from entitlements.model.instants import SECOND
from entitlements.stores.errors import Overloaded
from entitlements.stores.pending import Failed, known
from entitlements.stores.resilience.local_limits import Shares, processes_of
from entitlements.stores.resilience.policy import Degrading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.events import Event
    from entitlements.ports import AsyncStore, Store
    from entitlements.stores.pending import Asked
    from entitlements.stores.resilience.policy import Course


_REFUSED = Status.REFUSED


class Outage:
    """
    Asks a store for as long as it answers.

    Args:
        store: What counts.
        tell: Takes events: degraded states, unknown outcomes, the journal.
        processes: How many processes share the limits; None asks `WEB_CONCURRENCY`.

    Raises:
        ValueError: For a number of processes that cannot be.
    """

    def __init__(
        self, store: Store, *, tell: Callable[[Event], object] = lambda _: None, processes: int | None = None
    ) -> None:
        self._store = store
        self.via = store.via
        self._degrading = _degrading(store, tell, processes)

    def __repr__(self) -> str:
        return f"<Outage around {self._store!r}>"

    def execute(self, order: Order, /) -> Answer:
        """
        Carry out one order, or say what becomes of it without the store.

        Raises:
            StoreError: For an order that only the store can answer.
        """
        degrading = self._degrading
        ticket = degrading.at_ease(order)
        if ticket is None:
            return self._run(degrading.course(order))
        began = degrading.clock()
        try:
            answer = self._store.execute(order)
        except StoreError as error:
            course = degrading.after(order, error, ticket, began)
        else:
            degrading.succeeded(order, answer, ticket, degrading.clock())
            return answer
        return self._run(course)

    def _run(self, course: Course) -> Answer:
        try:
            asked = next(course)
            while True:
                try:
                    answer = self._store.execute(asked)
                except BaseException as error:  # noqa: BLE001 - the course decides, and raises what it does not know
                    asked = course.throw(error)
                else:
                    asked = course.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Bring what waits for the store, if it answers, and let go of its connections."""
        try:
            self._run(self._degrading.farewell())
        finally:
            self._store.close()


class AsyncOutage:
    """Same as `Outage` for event loops, any number of them: they share what is known of the store."""

    def __init__(
        self, store: AsyncStore, *, tell: Callable[[Event], object] = lambda _: None, processes: int | None = None
    ) -> None:
        self._store = store
        self._ask_for = getattr(store, "ask_for", None)
        self._refused: Callable[[Order, Outcome, int], object] = lambda *_: None
        self.via = store.via
        self._degrading = _degrading(store, tell, processes)
        self._degrading.opened = getattr(store, "let_go", self._degrading.opened)

    def __repr__(self) -> str:
        return f"<AsyncOutage around {self._store!r}>"

    def listen(self, refused: Callable[[Order, Outcome, int], object]) -> None:
        """Have *refused* told of what is refused, how, and the monotonic microseconds before it was sent."""
        self._refused = refused

    async def execute(self, order: Order, /) -> Answer:
        """Same as `Outage.execute`."""
        try:
            return await self.beyond(order)
        except Failed as failed:
            return await self.after(order, failed)

    def beyond(self, order: Order) -> Awaitable[Answer]:
        """
        Same as `execute` with no coroutine between the caller and the reply.

        What is returned must be awaited, and may raise `Failed`, which is for `after()`.
        """
        degrading = self._degrading
        ticket = degrading.at_ease(order)
        if ticket is None or self._ask_for is None:
            return self._hear(order, degrading.course(order), degrading.clock())
        try:
            return self._ask_for(self, order, ticket)  # type: ignore[no-any-return]
        except Overloaded as error:
            return known(degrading.turned_away(order, error))
        except StoreError as error:
            return self.after(order, Failed(error, ticket, degrading.clock()))

    def after(self, order: Order, failed: Failed) -> Awaitable[Answer]:
        """Go on where `beyond()` has failed."""
        course = self._degrading.after(order, failed.error, failed.ticket, failed.began)
        return self._hear(order, course, failed.began)

    def heard(self, asked: Asked, reply: Any, now: int) -> Answer:
        """Return the answer that a reply is, and take notice of it."""
        order, answer = asked[5], asked.request.read(reply)
        self._degrading.succeeded(order, answer, asked[6], now)
        if type(answer) is Outcome and answer[0] is _REFUSED:
            self._refused(order, answer, int(asked.since * SECOND))
        return answer  # type: ignore[no-any-return]

    def failed(self, asked: Asked, error: StoreError) -> Failed:
        """Return what has `after()` go on."""
        return Failed(error, asked.ticket, int(asked.since * SECOND))

    async def _hear(self, order: Order, course: Course, began: int) -> Answer:
        answer = await self._run(course)
        if type(answer) is Outcome and answer[0] is _REFUSED:
            self._refused(order, answer, began)
        return answer

    async def _run(self, course: Course) -> Answer:
        try:
            asked = next(course)
            while True:
                try:
                    answer = await self._store.execute(asked)
                except BaseException as error:  # noqa: BLE001 - as above
                    asked = course.throw(error)
                else:
                    asked = course.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    async def open(self) -> None:
        """
        Connect now, where the store can.

        Raises:
            StoreError: Where it cannot be reached.
        """
        opening = getattr(self._store, "open", None)
        if opening is not None:
            await opening()

    async def aclose(self) -> None:
        """Same as `Outage.close`."""
        try:
            await self._run(self._degrading.farewell())
        finally:
            await self._store.aclose()


def _degrading(store: Any, tell: Callable[[Event], object], processes: int | None) -> Degrading:
    shares = Shares(processes_of(processes), monotonic, system_clock())
    degrading = Degrading(f"store {store!r}", shares, tell, monotonic)
    renew_after_fork(degrading)
    return degrading
