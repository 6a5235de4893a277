"""
An order in flight on an event loop.

A transport (`ports.AsyncTransport`) carries a pending order to a server and back. It resolves the order with
its answer, or rejects it with an error, and knows nothing else of the caller, who awaits `future`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from entitlements.errors import StoreError
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.ports import Completable, Pending


class PendingOrder:
    """
    An attempt whose answer and errors go to the caller as they are.

    Args:
        order: The order; None for a command of the transport's own.
        future: What the caller awaits.
        request: What travels, if it is known already.
    """

    __slots__ = ("future", "order", "request", "sent_at", "timeout")

    def __init__(self, order: Order | None, future: asyncio.Future[Any], request: Any = None) -> None:
        self.order, self.request = order, request
        self.future: asyncio.Future[Any] | Completable = future
        self.sent_at = self.timeout = 0.0

    def resolve(self, answer: Any, _: int) -> None:
        """Return *answer* to the caller."""
        self.future.set_result(answer)  # type: ignore[union-attr]

    def reject(self, error: Exception) -> None:
        """Raise *error* in the caller."""
        future, self.future = self.future, ENDED
        if not future.done():
            future.set_exception(error)


class AbandonableFuture:
    """
    The future of an order that goes on without its caller, and whose answer is wanted by another then.

    Args:
        future: What the caller awaits.
        abandoned: Takes the answer or the error once the caller has been cancelled.
    """

    __slots__ = ("_abandoned", "_future")

    def __init__(self, future: asyncio.Future[Any], abandoned: Callable[[Any], object]) -> None:
        self._future, self._abandoned = future, abandoned

    def done(self) -> bool:
        """Return False for a caller that was cancelled: the answer is still wanted."""
        return self._future.done() and not self._future.cancelled()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the caller."""
        return self._future.get_loop()

    def add_done_callback(self, callback: object) -> None:
        """Do nothing: the order goes on if its caller is cancelled."""

    def set_result(self, answer: Any) -> None:
        """Return the answer to the caller, or pass it on."""
        (self._abandoned if self._future.cancelled() else self._future.set_result)(answer)

    def set_exception(self, error: Exception) -> None:
        """Raise the error in the caller, or pass it on."""
        (self._abandoned if self._future.cancelled() else self._future.set_exception)(error)


class Ended:
    """The future of an attempt that has ended while its caller waits for another one."""

    @staticmethod
    def done() -> bool:
        """Return True: a late reply is dropped."""
        return True

    @staticmethod
    def set_exception(_: Exception) -> None:
        """Drop an error that comes late."""


ENDED = Ended()


def reject_all(attempts: Iterable[Pending], error: StoreError, cause: BaseException | None = None) -> None:
    """Reject each attempt that has not ended, with a copy of *error*: raising adds to an error's traceback."""
    for attempt in attempts:
        if attempt.future is not ENDED:
            own = type(error)(*error.args)
            own.__cause__ = cause
            attempt.reject(own)


def run_in_task(work: Coroutine[Any, Any, Answer], pending: Pending, *, goes_on: bool = False) -> asyncio.Task[Answer]:
    """
    Resolve or reject an attempt by a coroutine, in a task that is returned.

    Args:
        work: Returns the answer, or raises.
        pending: The attempt.
        goes_on: The task is not cancelled with its caller, so that a store that is silent until the deadline is
            known to have failed.
    """
    task, future = asyncio.ensure_future(work), cast("asyncio.Future[Any]", pending.future)
    if not goes_on:
        future.add_done_callback(lambda _: task.cancel())
    task.add_done_callback(partial(_complete, pending))
    return task


def _complete(pending: Pending, task: asyncio.Task[Answer]) -> None:
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    if isinstance(error, Exception):
        pending.reject(error)
    elif pending.future.done():
        return
    elif error is None:
        try:
            pending.resolve(task.result(), monotonic_ns() // 1000)
        except Exception as wrong:  # noqa: BLE001 - what an answer raises is its caller's, who waits for nothing else
            pending.future.set_exception(wrong)
    else:
        pending.future.set_exception(error)  # type: ignore[arg-type]
