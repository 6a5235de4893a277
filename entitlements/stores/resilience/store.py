"""
A store around a store that may fail: two thin shells around `policy.py`.

Charges never fail because the store does: each limit does what its `on_outage` says. What
only the store can answer (usage, holders, …) raises `StoreError` until the store replies again.
"""

from __future__ import annotations

import logging
from asyncio import _get_running_loop, get_running_loop, sleep
from concurrent.futures import wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from entitlements._fork import renew_after_fork
from entitlements.clock import monotonic, system_clock
from entitlements.errors import StoreError
from entitlements.model.answers import Outcome
from entitlements.model.instants import SECOND
from entitlements.ports import AsyncTransport, PartitionedStore
from entitlements.stores.batch import execute_many
from entitlements.stores.errors import Overloaded
from entitlements.stores.pending import AbandonableFuture
from entitlements.stores.resilience.attempts import CourseRun, FirstAttempt
from entitlements.stores.resilience.local_limits import LocalLimits
from entitlements.stores.resilience.policy import OutagePolicy
from entitlements.stores.resilience.replay_queue import Turn
from entitlements.stores.resilience.replay_timer import ReplayTimer
from entitlements.stores.transport import TaskTransport
from entitlements.stores.workers import processes_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Charge, Order
    from entitlements.model.events import Event
    from entitlements.ports import AsyncStore, Clock, Store
    from entitlements.stores.resilience.policy import Course

_log = logging.getLogger("entitlements.stores")

MOMENT = SECOND // 20
"""Microseconds that a call which needs no store may spend on replaying the journal."""


class ResilientStore:
    """
    Calls a store for as long as it replies.

    Args:
        store: The store that counts.
        tell: Takes events: degraded states, unknown outcomes, the replay journal. None leaves them to the first enforcer
            that is given the store.
        processes: How many processes share the limits; None reads `WEB_CONCURRENCY`.
        clock: The clock of the outage policy, for tests; the system's clocks by default.

    Raises:
        ValueError: For a number of processes below 1.
    """

    def __init__(
        self,
        store: Store,
        *,
        tell: Callable[[Event], object] | None = None,
        processes: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self.via = store.via
        self.policy = _policy_of(store, tell, processes, clock)
        self._has_warned = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self._store!r}>"

    def execute(self, order: Order, /) -> Answer:
        """
        Carry out one order, or decide it without the store.

        Raises:
            StoreError: For an order that only the store can answer.
        """
        if _get_running_loop() is not None:
            self._warn_once()
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

    def execute_many(self, orders: Sequence[Order], /) -> Sequence[Answer]:
        """
        Carry out orders that only read.

        Raises:
            StoreError: If the store does not answer.
        """
        policy = self.policy
        permit = policy.fast_permit(orders[0]) if orders else None
        if permit is None:
            return [self.execute(order) for order in orders]
        began = policy.clock()
        try:
            answers = execute_many(self._store, orders)
        except StoreError as error:
            if policy.server_of is not None:  # it may be the error of another order's server
                return [self.execute(order) for order in orders]
            course = policy.recover(orders[0], error, permit, began)
            return [self._run(course), *map(self.execute, orders[1:])]
        policy.succeeded(orders[0], answers[0], permit, policy.clock())
        return answers

    def _warn_once(self) -> None:
        """Warn that a call blocks an event loop, the first time."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "store %r: a blocking Enforcer is used on an event loop, which stands still until the store replies;"
                " use AsyncEnforcer, or call it by asyncio.to_thread", self._store, extra={"store": repr(self._store)},
            )  # fmt: skip

    def _run(self, course: Course) -> Answer:
        try:
            order = next(course)
            while True:
                if isinstance(order, Turn):
                    wait([order.ended], max(0, order.until - self.policy.clock()) / SECOND)
                    order = course.send(None)
                    continue
                try:
                    answer = self._store.execute(order)
                except BaseException as error:  # noqa: BLE001 - the course raises what it does not know
                    order = course.throw(error)
                else:
                    order = course.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    @property
    def waits(self) -> bool:
        """True while orders wait to be replayed."""
        return bool(self.policy.journal.queue)

    def on_waiting(self, listener: Callable[[], object]) -> None:
        """Call the method *listener* whenever `waits` has changed."""
        self.policy.journal.queue.listen(listener)

    def replay(self) -> None:
        """Replay what waits, for a moment, if the store may be called."""
        if self.policy.journal.queue:
            with suppress(StoreError):
                self._run(self.policy.replay.in_background(MOMENT))

    def close(self) -> None:
        """Replay the journal for a second at most, and close the store's connections."""
        try:
            self._run(self.policy.replay.drain())
        finally:
            self._store.close()


class AsyncResilientStore:
    """
    `ResilientStore` for event loops, any number of them: they share the breaker, the journal and the local limits.

    Args:
        store: A transport to the store that counts, or any `AsyncStore`.
        tell: As for `ResilientStore`.
        processes: How many processes share the limits; None reads `WEB_CONCURRENCY`.
        on_refused: Takes each refused charge, its outcome, and when it was sent in monotonic microseconds.
        clock: As for `ResilientStore`.

    Raises:
        ValueError: For a number of processes below 1.
    """

    def __init__(
        self,
        store: AsyncStore | AsyncTransport,
        *,
        tell: Callable[[Event], object] | None = None,
        processes: int | None = None,
        on_refused: Callable[[Order, Outcome, int], object] = lambda *_: None,
        clock: Clock | None = None,
    ) -> None:
        self.transport: AsyncTransport = store if isinstance(store, AsyncTransport) else TaskTransport(store)
        self.on_refused = on_refused
        self.via = store.via
        self.policy = _policy_of(store, tell, processes, clock)
        self.policy.on_open = self.transport.expire
        self._replay_timer = ReplayTimer(self.policy, self._run)
        self._closed_at: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()
        """By loop, when the store was last closed, in monotonic microseconds."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} around {self.transport!r}>"

    def try_now(self, _: Charge, /) -> None:
        """Return None: every charge is submitted."""

    def submit(
        self, order: Order, /, abandoned: Callable[[Answer | Exception], object] | None = None
    ) -> Awaitable[Answer]:
        """
        Carry out one order, or decide it without the store.

        Args:
            order: The order.
            abandoned: Takes what the order ends with if its caller has been cancelled; None drops it.

        Raises:
            StoreError: On await, for an order that only the store can answer.
        """
        policy, future = self.policy, get_running_loop().create_future()
        completed: Any = future if abandoned is None else AbandonableFuture(future, abandoned)
        permit = policy.fast_permit(order)
        if permit is None:
            self._replay_timer.start()
            CourseRun(self, order, policy.course(order), completed, policy.clock()).start()
            return future
        attempt = FirstAttempt(self, order, permit, completed)
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
        self._replay_timer.cancel()
        await sleep(0)  # so that what it has taken out is back in the journal
        try:
            await self._run(self.policy.replay.drain())
        finally:
            self._closed_at[get_running_loop()] = self.policy.clock()
            await self.transport.aclose()

    def _run(self, course: Course) -> asyncio.Future[Any]:
        """Drive a course that belongs to no order, and return the future of its answer."""
        future = get_running_loop().create_future()
        CourseRun(self, None, course, future, self.policy.clock()).start()
        return future

    def was_closed_since(self, began: int) -> bool:
        """Return True if the store was closed on the running loop after *began*, in monotonic microseconds."""
        return began <= self._closed_at.get(get_running_loop(), -1)


def _complete(future: asyncio.Future[Any], policy: OutagePolicy, order: Order, error: Overloaded) -> None:
    """Complete the future of an order that was not sent because too many wait."""
    try:
        future.set_result(policy.shed(order, error))
    except StoreError as raised:
        future.set_exception(raised)


def _policy_of(
    store: object, tell: Callable[[Event], object] | None, processes: int | None, clock: Clock | None
) -> OutagePolicy:
    passing, now = clock or monotonic, clock or system_clock
    local_limits = LocalLimits(processes_of(processes), passing, now())
    server_of = store.server_of if isinstance(store, PartitionedStore) else None
    policy = OutagePolicy(f"store {store!r}", local_limits, tell, passing, server_of)
    renew_after_fork(policy)
    return policy
