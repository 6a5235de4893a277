"""
Attempts on an event loop: pending orders that record their result in the outage policy.

While nothing is wrong an order is a `FirstAttempt`, which needs nothing but the reply. Otherwise a `CourseRun`
drives its course, one `CourseAttempt` after the other. A caller that is cancelled ends either; what the store
owes by then is still recorded, so that callers who never wait for a deadline do not hide that the store is away.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from entitlements.errors import StoreError
from entitlements.model.answers import Outcome, Status
from entitlements.model.instants import SECOND
from entitlements.stores.errors import Unreachable
from entitlements.stores.orders import account_of
from entitlements.stores.pending import ENDED
from entitlements.stores.resilience.replay_queue import Turn

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.ports import Completable
    from entitlements.stores.resilience.circuit_breaker import Permit
    from entitlements.stores.resilience.policy import Course
    from entitlements.stores.resilience.store import AsyncResilientStore

_REFUSED = Status.REFUSED


class FirstAttempt:
    """The first attempt of an order while the breaker is closed and the journal is empty."""

    __slots__ = ("_permit", "_store", "future", "order", "request", "sent_at", "timeout")
    request: Any
    sent_at: float
    timeout: float

    def __init__(
        self, store: AsyncResilientStore, order: Order, permit: Permit, future: asyncio.Future[Any] | Completable
    ) -> None:
        self._store, self._permit = store, permit
        self.order, self.future = order, future

    def resolve(self, answer: Answer, now: int) -> None:
        """Record the answer, and return it to the caller."""
        order, store = self.order, self._store
        store.policy.succeeded(order, answer, self._permit, now)
        if type(answer) is Outcome and answer[0] is _REFUSED:
            store.on_refused(order, answer, int(self.sent_at * SECOND))
        self.future.set_result(answer)  # type: ignore[union-attr]

    def reject(self, error: Exception) -> None:
        """Go on with the course of an order that has failed."""
        future: Any = self.future
        self.future = ENDED
        policy, began = self._store.policy, int(self.sent_at * SECOND)
        if future.done():
            policy.abandoned(self.order, error, self._permit, began)
        elif not isinstance(error, StoreError):
            future.set_exception(error)
        else:
            course = policy.recover(self.order, error, self._permit, began)
            run = CourseRun(self._store, self.order, course, future, began)
            future.get_loop().call_soon(run.start)  # the transport goes on first


class CourseRun:
    """
    Drives a course: sends the orders that it yields, one after the other, and completes the caller's future.

    A caller that is cancelled closes the course.
    """

    def __init__(
        self, store: AsyncResilientStore, order: Order | None, course: Course, future: asyncio.Future[Any], began: int
    ) -> None:
        self._store, self._order, self._course, self._began = store, order, course, began
        self._permit = None if order is None else store.policy.breaker_of(account_of(order)).closed_permit
        self.future = future
        future.add_done_callback(self._close)

    def start(self) -> None:
        """Run the course up to its first order."""
        self.step(self._course.send, None)

    def step(self, resume: Callable[[Any], Order | Turn], value: Any) -> None:
        """Resume the course with an answer or an error, and send the order that it yields next."""
        if self.future.done():
            return
        try:
            self._advance(resume, value)
        except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for nothing else
            self.future.set_exception(error)

    def _advance(self, resume: Callable[[Any], Order | Turn], value: Any) -> None:
        try:
            found = resume(value)
        except StopIteration as done:
            self._finish(done.value)
            return
        if isinstance(found, Turn):
            self._wait(found)
            return
        attempt = CourseAttempt(self, found)
        try:
            if self._store.was_closed_since(self._began):  # it would connect again
                attempt.reject(Unreachable(f"store {self._store.transport!r}: it was closed"))
            else:
                self._store.transport.send(attempt)
        except Exception as error:  # noqa: BLE001 - the course raises what it does not know
            attempt.reject(error)

    def _wait(self, turn: Turn) -> None:
        """Resume the course when its turn has come, which another loop or thread may say, or the time is over."""
        loop, policy = self.future.get_loop(), self._store.policy
        timer = loop.call_later(max(0, turn.until - policy.clock()) / SECOND, turn.ended.cancel)

        def resume() -> None:
            timer.cancel()
            self.step(self._course.send, None)

        def on_ended(_: object) -> None:
            with suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(resume)

        turn.ended.add_done_callback(on_ended)

    def resolve(self, answer: Answer) -> None:
        """Resume the course with an answer in the loop's next turn: the transport goes on first."""
        self.future.get_loop().call_soon(self.step, self._course.send, answer)

    def reject(self, order: Order, error: Exception, sent_at: float) -> None:
        """Resume the course with the error of an order; if its caller has gone, only record it."""
        if self.future.done():
            policy = self._store.policy
            permit = self._permit or policy.breaker_of(account_of(order)).closed_permit
            policy.abandoned(order, error, permit, int(sent_at * SECOND))
        else:
            self.future.get_loop().call_soon(self.step, self._course.throw, error)

    def _finish(self, answer: Answer) -> None:
        if type(answer) is Outcome and answer[0] is _REFUSED and self._order is not None:
            self._store.on_refused(self._order, answer, self._began)
        self.future.set_result(answer)

    def _close(self, _: object) -> None:
        self._course.close()


class CourseAttempt:
    """One attempt within a course."""

    __slots__ = ("_run", "future", "order", "request", "sent_at", "timeout")
    request: Any
    timeout: float

    def __init__(self, run: CourseRun, order: Order) -> None:
        self._run, self.order, self.sent_at = run, order, 0.0
        self.future: asyncio.Future[Any] | Completable = run.future

    def resolve(self, answer: Answer, _: int) -> None:
        """Go on with the course."""
        self.future = ENDED
        self._run.resolve(answer)

    def reject(self, error: Exception) -> None:
        """Go on with the course."""
        self.future = ENDED
        self._run.reject(self.order, error, self.sent_at)
