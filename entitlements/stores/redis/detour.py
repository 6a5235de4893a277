"""Calls of an event loop that do not go straight to their node of a cluster."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from entitlements.errors import StoreError
from entitlements.stores.errors import TimedOut
from entitlements.stores.redis.deadlines import PASSED, ExtendableTimer

if TYPE_CHECKING:
    from entitlements.ports import Completable, Pending


class Detour:
    """
    A call that did not go straight to the node that carries it out: it waits, or goes from node to node.

    It keeps the deadline of the call, which the pipelines on its way do not know.

    Args:
        call: The call; it has been sent before, or its time has begun.
        shown: The cluster, in errors.
    """

    __slots__ = ("_call", "_shown", "_timer", "began", "redirects", "refusal", "request", "sent_at", "timeout")

    def __init__(self, call: Pending, shown: str) -> None:
        self._call, self._shown = call, shown
        self.request, self.began = call.request, call.sent_at
        self.sent_at = self.timeout = 0.0
        self.redirects = 0
        self.refusal: StoreError | None = None
        """The error if no node has carried it out; None while it is on its way, so that this is not known."""
        self._timer = ExtendableTimer(max(0.0, call.sent_at + call.timeout - monotonic()), self._expire)

    @property
    def order(self) -> Any:
        """The order of the call."""
        return self._call.order

    @property
    def future(self) -> Completable:
        """The future of the call."""
        return self._call.future

    def go(self, send: Any) -> None:
        """Send it once more; reject it if that is refused."""
        self.refusal = None
        try:
            send(self)
        except StoreError as error:
            self.reject(error)

    def resolve(self, answer: Any, now: int) -> None:
        """Resolve the call."""
        self._timer.cancel()
        self._call.resolve(answer, now)

    def reject(self, error: Exception) -> None:
        """Reject the call."""
        self._timer.cancel()
        self._call.reject(error)

    def _expire(self) -> None:
        """Reject the call at its deadline."""
        if not self.future.done():
            late = TimedOut(f"store {self._shown}: no answer in time; whether it was done is unknown ({PASSED})")
            self._call.reject(self.refusal or late)
