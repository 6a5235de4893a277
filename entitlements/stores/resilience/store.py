"""
A store around a store that may fail: two thin shells around `policy.py`.

Charges never fail because the store does: each limit does what its `on_outage` says. What
only the store can answer (usage, holders, …) raises `StoreError` until the store replies again.
"""

from __future__ import annotations

from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any

from entitlements._fork import renew_after_fork
from entitlements.clock import monotonic, system_clock
from entitlements.errors import StoreError
from entitlements.model.answers import Outcome, Status
from entitlements.model.instants import SECOND
from entitlements.ports import AsyncTransport
from entitlements.stores.errors import Overloaded
from entitlements.stores.pending import ENDED
from entitlements.stores.resilience.local_limits import LocalLimits, processes_of
from entitlements.stores.resilience.policy import OutagePolicy
from entitlements.stores.transport import TaskTransport

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Charge, Order
    from entitlements.model.events import Event
    from entitlements.ports import AsyncStore, Completable, Store
    from entitlements.stores.resilience.circuit_breaker import Permit
    from entitlements.stores.resilience.policy import Course

_REFUSED = Status.REFUSED


class ResilientStore:
    """
    Calls a store for as long as it replies.

    Args:
        store: The store that counts.
        tell: Takes events: degraded states, unknown outcomes, the replay journal.
        processes: How many processes share the limits; None reads `WEB_CONCURRENCY`.

    Raises:
        ValueError: For a number of processes below 1.
    """

    def __init__(
        self, store: Store, *, tell: Callable[[Event], object] = lambda _: None, processes: int | None = None
    ) -> None:
        self._store = store
        self.via = store.via
        self.policy = _policy_of(store, tell, processes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self._store!r}>"

    def execute(self, order: Order, /) -> Answer:
        """
        Carry out one order, or decide it without the store.

        Raises:
            StoreError: For an order that only the store can answer.
        """
        policy = self.policy
        permit = policy.fast_permit(order)
        if permit is None:
            return self._run(policy.course(order))
        began = policy.clock()
        try:
            answer = self._store.execute(order)
        except StoreError as error:
            course = policy.recover(order, error, permit, began)
        else:
            policy.succeeded(order, answer, permit, policy.clock())
            return answer
        return self._run(course)

    def _run(self, course: Course) -> Answer:
        try:
            order = next(course)
            while True:
                try:
                    answer = self._store.execute(order)
                except BaseException as error:  # noqa: BLE001 - the course raises what it does not know
                    order = course.throw(error)
                else:
                    order = course.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def close(self) -> None:
        """Replay the journal for a second at most, and close the store's connections."""
        try:
            self._run(self.policy.drain())
        finally:
            self._store.close()


class AsyncResilientStore:
    """
    `ResilientStore` for event loops, any number of them: they share the breaker, the journal and the local limits.

    Args:
        store: A transport to the store that counts, or any `AsyncStore`.
        tell: Takes events.
        processes: How many processes share the limits; None reads `WEB_CONCURRENCY`.
        on_refused: Takes each refused charge, its outcome, and when it was sent in monotonic microseconds.

    Raises:
        ValueError: For a number of processes below 1.
    """

    def __init__(
        self,
        store: AsyncStore | AsyncTransport,
        *,
        tell: Callable[[Event], object] = lambda _: None,
        processes: int | None = None,
        on_refused: Callable[[Order, Outcome, int], object] = lambda *_: None,
    ) -> None:
        self.transport: AsyncTransport = store if isinstance(store, AsyncTransport) else TaskTransport(store)
        self.on_refused = on_refused
        self.via = store.via
        self.policy = _policy_of(store, tell, processes)
        self.policy.on_open = self.transport.expire

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self.transport!r}>"

    def try_now(self, _: Charge, /) -> None:
        """Return None: every charge is submitted."""

    def submit(self, order: Order, /) -> Awaitable[Answer]:
        """
        Carry out one order, or decide it without the store.

        Raises:
            StoreError: On await, for an order that only the store can answer.
        """
        policy, future = self.policy, get_running_loop().create_future()
        permit = policy.fast_permit(order)
        if permit is None:
            _Run(self, order, policy.course(order), future, policy.clock()).start()
            return future
        attempt = _Attempt(self, order, permit, future)
        try:
            self.transport.send(attempt)
        except Overloaded as error:
            _complete(future, policy, order, error)
        except StoreError as error:
            attempt.sent_at = policy.clock() / SECOND
            attempt.reject(error)
        return future

    async def execute(self, order: Order, /) -> Answer:
        """Carry out one order, as `submit` does."""
        return await self.submit(order)

    async def open(self) -> None:
        """
        Connect now instead of at the first order.

        Raises:
            StoreError: If the store cannot be reached.
        """
        await self.transport.open()

    async def aclose(self) -> None:
        """Replay the journal for a second at most, and close the connections of this loop."""
        future = get_running_loop().create_future()
        try:
            _Run(self, None, self.policy.drain(), future, 0).start()
            await future
        finally:
            await self.transport.aclose()


class _Attempt:
    """The first attempt of an order while the breaker is closed and the journal is empty: nothing but the reply is needed."""

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
        order, store = self.order, self._store
        store.policy.succeeded(order, answer, self._permit, now)
        if type(answer) is Outcome and answer[0] is _REFUSED:
            store.on_refused(order, answer, int(self.sent_at * SECOND))
        self.future.set_result(answer)  # type: ignore[union-attr]

    def reject(self, error: Exception) -> None:
        future: Any = self.future
        self.future = ENDED
        if not isinstance(error, StoreError):
            future.set_exception(error)
            return
        began = int(self.sent_at * SECOND)
        course = self._store.policy.recover(self.order, error, self._permit, began)
        run = _Run(self._store, self.order, course, future, began)
        future.get_loop().call_soon(run.start)  # the transport goes on first


class _Run:
    """
    Drives a course: sends the orders that it yields, one after the other, and completes the caller's future.

    A caller that is cancelled closes the course.
    """

    def __init__(
        self, store: AsyncResilientStore, order: Order | None, course: Course, future: asyncio.Future[Any], began: int
    ) -> None:
        self._store, self._order, self._course, self._began = store, order, course, began
        self.future = future
        future.add_done_callback(self._close)

    def start(self) -> None:
        """Run the course up to its first order."""
        self.step(self._course.send, None)

    def step(self, resume: Callable[[Any], Order], value: Any) -> None:
        """Resume the course with an answer or an error, and send the order that it yields next."""
        if self.future.done():
            return
        try:
            self._advance(resume, value)
        except Exception as error:  # noqa: BLE001 - it is the caller's, who waits for nothing else
            self.future.set_exception(error)

    def _advance(self, resume: Callable[[Any], Order], value: Any) -> None:
        try:
            attempt = _CourseAttempt(self, resume(value))
        except StopIteration as done:
            self._finish(done.value)
            return
        try:
            self._store.transport.send(attempt)
        except Exception as error:  # noqa: BLE001 - the course raises what it does not know
            attempt.reject(error)

    def resume_later(self, resume: Callable[[Any], Order], value: Any) -> None:
        """Resume the course in the loop's next turn: the transport goes on first."""
        self.future.get_loop().call_soon(self.step, resume, value)

    def resolve(self, answer: Answer) -> None:
        """Resume the course with an answer."""
        self.resume_later(self._course.send, answer)

    def reject(self, error: Exception) -> None:
        """Resume the course with an error."""
        self.resume_later(self._course.throw, error)

    def _finish(self, answer: Answer) -> None:
        if type(answer) is Outcome and answer[0] is _REFUSED and self._order is not None:
            self._store.on_refused(self._order, answer, self._began)
        self.future.set_result(answer)

    def _close(self, _: object) -> None:
        self._course.close()


class _CourseAttempt:
    """One attempt within a course."""

    __slots__ = ("_run", "future", "order", "request", "sent_at", "timeout")
    request: Any
    sent_at: float
    timeout: float

    def __init__(self, run: _Run, order: Order) -> None:
        self._run, self.order = run, order
        self.future: asyncio.Future[Any] | Completable = run.future

    def resolve(self, answer: Answer, _: int) -> None:
        self.future = ENDED
        self._run.resolve(answer)

    def reject(self, error: Exception) -> None:
        self.future = ENDED
        self._run.reject(error)


def _complete(future: asyncio.Future[Any], policy: OutagePolicy, order: Order, error: Overloaded) -> None:
    """Complete the future of an order that was not sent because too many wait."""
    try:
        future.set_result(policy.shed(order, error))
    except StoreError as raised:
        future.set_exception(raised)


def _policy_of(store: object, tell: Callable[[Event], object], processes: int | None) -> OutagePolicy:
    limits = LocalLimits(processes_of(processes), monotonic, system_clock())
    policy = OutagePolicy(f"store {store!r}", limits, tell, monotonic)
    renew_after_fork(policy)
    return policy
