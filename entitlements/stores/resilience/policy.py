"""
Sans-IO retry and fallback for one order.

A course is a generator. It yields the orders to send to the store, is sent each answer or thrown
each error, and returns what the caller gets. A `Turn` that it yields is waited for. It does no I/O
and never waits itself, so a shell of a few lines drives it, for threads and event loops alike. The steps: the circuit breaker, the replay
journal (`replay.py`), the order itself (repeated once if its outcome is unknown and its operation id
makes the repeat exact), and at last the fallback that `on_outage` names.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import finalize

from entitlements.errors import StoreError
from entitlements.model.answers import Outcome, Status
from entitlements.model.charge import Charge, Refund, ResetRate
from entitlements.model.events import BreakerChanged, OutcomeUnknown
from entitlements.model.instants import SECOND
from entitlements.stores.errors import Corrupt, Late, Misconfigured, Overloaded, TimedOut, Unreachable
from entitlements.stores.orders import account_of, deadline_of, is_idempotent, shorten_deadline
from entitlements.stores.resilience.circuit_breaker import CircuitBreaker, State
from entitlements.stores.resilience.fallback import FallbackDecisions
from entitlements.stores.resilience.outage_log import OutageLog
from entitlements.stores.resilience.replay import JournalReplay
from entitlements.stores.resilience.replay_journal import ReplayJournal
from entitlements.stores.sequence import refresh

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Hashable

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.events import Event
    from entitlements.stores.resilience.circuit_breaker import Permit, Transition
    from entitlements.stores.resilience.local_limits import LocalLimits
    from entitlements.stores.resilience.replay_queue import Turn

    Course = Generator[Order | Turn, Answer, Answer]

STALLED = SECOND // 50
"""A timeout later than its deadline by this, and by half of the deadline, is this process's stall, not the store's failure."""

_SEVERITY = (State.CLOSED, State.HALF_OPEN, State.OPEN).index
_REPLAYED, _CLOSED = Status.REPLAYED, State.CLOSED

_log = logging.getLogger("entitlements.stores")


class EventRelay:
    """Passes events on, once something takes them."""

    def __init__(self, tell: Callable[[Event], object] | None) -> None:
        self._tell = tell

    def __call__(self, event: Event) -> None:
        """Pass an event on."""
        if self._tell is not None:
            self._tell(event)

    def connect(self, tell: Callable[[Event], object]) -> None:
        """Have *tell* take events, if nothing does."""
        self._tell = self._tell or tell


class OutagePolicy:
    """
    The state of one store that may fail, and the course of each order to it.

    Args:
        store: Its name in logs; it must not show a password.
        local_limits: Decides rates in this process.
        tell: Takes events; None leaves them to the first enforcer that is given the store.
        clock: Monotonic microseconds.
        server_of: Names the server of an account, where the store has several that fail separately.
    """

    def __init__(
        self,
        store: str,
        local_limits: LocalLimits,
        tell: Callable[[Event], object] | None,
        clock: Callable[[], int],
        server_of: Callable[[str], Hashable] | None = None,
    ) -> None:
        self.breaker = CircuitBreaker()
        """That of a store on one server, and of accounts whose server is not known."""
        self.server_of = server_of
        self._breakers: dict[Hashable, CircuitBreaker] = {None: self.breaker}
        self._store = store
        self._local_limits = local_limits
        self.tell = EventRelay(tell)
        self.clock = clock
        self.on_open: Callable[[], object] = lambda: None
        """Called when the breaker opens."""
        self._has_replied = False
        self._told = State.CLOSED
        """The state that hooks know, of a store on several servers."""
        self.outages = OutageLog(store)
        self.journal = ReplayJournal(store, local_limits, self.outages, self.tell, clock, server_of)
        self._fallback = FallbackDecisions(local_limits, self.journal)
        self.replay = JournalReplay(store, self)
        finalize(self, _log_unclosed, store, self.journal)

    def course(self, order: Order) -> Course:
        """
        Return the course of *order*.

        Raises:
            StoreError: For an order that only the store can answer, for a corrupt record,
                and for a misconfigured store that has never replied.
        """
        began, breaker = self.clock(), self.breaker_of(account_of(order))
        permit = breaker.acquire(began)
        if permit is None:
            return self._fall_back(order, None)
        self.emit(permit.change)
        try:
            to_send, until = order, began + deadline_of(order)
            if self.journal.queue:
                error = yield from self.replay.before(order, permit, until)
                if error is not None or self.clock() >= until:
                    return self._fall_back(order, error)
                answer = self.journal.answer(order)
                if answer is not None:
                    return answer
                to_send = shorten_deadline(order, until - self.clock())
            began, earliest = self.clock(), self._local_limits.now()
            try:
                answer = yield to_send
            except StoreError as error:
                return (yield from self._retry(order, error, permit, began, until, earliest))
            self.succeeded(order, answer, permit, self.clock())
            return answer
        finally:
            self.emit(breaker.release(permit, self.clock()))

    def fast_permit(self, order: Order) -> Permit | None:
        """Return a permit to send *order* right away; None if it needs a `course()`: breaker not closed, journal, key."""
        breaker, waits = self.breaker, self.journal.queue.count
        if self.server_of is not None:
            account = order.account if type(order) is Charge else account_of(order)
            server = self.server_of(account)
            breaker = self._breakers.get(server) or self.breaker_at(server)
            waits = waits and self.journal.queue.concerns(account)
        if breaker.state is not _CLOSED or waits or (type(order) is Charge and order.keyed):
            return None
        return breaker.closed_permit

    def breaker_of(self, account: str) -> CircuitBreaker:
        """Return the breaker of an account's server."""
        return self.breaker_at(self.server(account))

    def server(self, account: str) -> Hashable:
        """Return the server of an account; None if there is one server, or it is not known."""
        return None if self.server_of is None else self.server_of(account)

    def breaker_at(self, server: Hashable) -> CircuitBreaker:
        """Return the breaker of a server."""
        return self._breakers.get(server) or self._breakers.setdefault(server, CircuitBreaker())

    def recover(self, order: Order, error: StoreError, permit: Permit, began: int) -> Course:
        """
        Return the course of an order that was sent on a `fast_permit()` and failed.

        Args:
            order: The order.
            error: The error of the store.
            permit: The permit that it was sent on.
            began: When it was sent, on `clock`.
        """
        try:
            return (yield from self._retry(order, error, permit, began, began + deadline_of(order)))
        finally:
            self.emit(permit.breaker.release(permit, self.clock()))

    def shed(self, order: Order, error: StoreError) -> Answer:
        """
        Decide an order that was not sent because too many wait; this does not count against the store.

        Raises:
            StoreError: For an order that only the store can answer.
        """
        self.outages.record_error(error, account_of(order))
        return self._fall_back(order, error)

    def renew(self) -> None:
        """Renew locks, journal and breaker in a forked child."""
        self.journal.renew()
        self.outages.renew()
        for breaker in self._breakers.values():
            breaker.renew()

    # -- sending -----------------------------------------------------------------------

    def _retry(
        self, order: Order, error: StoreError, permit: Permit, began: int, until: int, earliest: int = 0
    ) -> Course:
        """Repeat a failed order once if that is exact, else fall back."""
        if isinstance(error, Late):
            permit.breaker.succeeded(permit, self.clock())  # it replies
            fresh = refresh(order, error.now)
        else:
            fresh = False
            self.failed(order, error, permit, began)
        sent = not error.undone
        if not fresh and (not sent or not self._may_repeat(order, permit.breaker, began, until)):
            return self._fall_back(order, error, sent=sent)
        began = self.clock()
        try:
            answer = yield shorten_deadline(order, until - began)
        except StoreError as repeated:
            self.failed(order, repeated, permit, began)
            return self._fall_back(order, repeated, sent=True)
        answer = True if type(order) is Refund else _first(order, answer, earliest)  # refunded by either attempt
        self.succeeded(order, answer, permit, self.clock())
        return answer

    def _may_repeat(self, order: Order, breaker: CircuitBreaker, began: int, until: int) -> bool:
        """Return True if a second attempt is exact and in time; emit `OutcomeUnknown`."""
        in_time = 4 * (self.clock() - began) <= until - began
        repeats = in_time and is_idempotent(order) and breaker.state is not State.OPEN
        self.tell(OutcomeUnknown(type(order).__name__, repeats))
        return repeats

    def succeeded(self, order: Order, answer: Answer, permit: Permit, now: int) -> None:
        """Record an answer and when it arrived."""
        change = permit[1].succeeded(permit, now)
        self._has_replied = True
        if type(order) is Charge and type(answer) is Outcome and answer[0] is not _REPLAYED:
            self._local_limits.observe(order, answer, now)
        elif type(order) is ResetRate:
            self._local_limits.reset(order)
        if self.outages.since is not None:
            self.outages.recovered(now, len(self.journal.queue), at_once=change is not None)
        if change is not None:
            self.emit(change)

    def failed(self, order: Order, error: StoreError, permit: Permit, began: int) -> None:
        """Record a failure of the store; raise errors that no fallback may hide."""
        if isinstance(error, Corrupt) or (isinstance(error, Misconfigured) and not self._has_replied):
            raise error
        self.outages.record_error(error, account_of(order))
        if not self._is_ours(order, error, permit.breaker, began):
            change = permit.breaker.failed(permit, self.clock(), random.uniform(-1, 1))  # noqa: S311 - jitter
            self.emit(change)
            if change is not None:
                self.on_open()

    def abandoned(self, order: Order, error: Exception, permit: Permit, began: int) -> None:
        """Record the failure of an order whose caller has been cancelled meanwhile."""
        if isinstance(error, StoreError):
            with suppress(StoreError):
                self.failed(order, error, permit, began)

    def _is_ours(self, order: Order, error: StoreError, breaker: CircuitBreaker, began: int) -> bool:
        """Return True if this process is at fault: its pool is full, or its loop stalled so that the timer fired late."""
        if isinstance(error, Overloaded):
            return True
        if not isinstance(error, TimedOut | Unreachable):
            return False
        now, deadline = self.clock(), deadline_of(order)
        late = now - began - deadline
        return late > max(STALLED, deadline // 2) and breaker.silent_for(now) < SECOND + late

    def _fall_back(self, order: Order, error: StoreError | None, *, sent: bool = False) -> Answer:
        """Decide an order without the store; *sent* is True if the store may have carried it out."""
        now = self.clock()
        pause = self.breaker_of(account_of(order)).pause(now)
        self.outages.record_fallback(now)
        answer = self._fallback.decide(order, pause, now if sent else None)
        if answer is not None:
            return answer
        raise error or Unreachable(
            f"{self._store} is not called, because it fails: {self.outages.last_error};"
            f" the next attempt is in {pause / SECOND:.1f} s"
        )

    # -- events --------------------------------------------------------------------------

    def emit(self, change: Transition | None) -> None:
        """Report a change of a breaker's state to hooks, if there was one; of several servers, of the worst state."""
        if change is None:
            return
        before, worst = self._told, max((each.state for each in list(self._breakers.values())), key=_SEVERITY)
        if len(self._breakers) == 1:
            before, worst = change.before, change.after
        if before is not worst:
            self._told = worst
            self.tell(BreakerChanged(before.value, worst.value, change.pause))


def _log_unclosed(store: str, journal: ReplayJournal) -> None:
    """Log what is lost with a store that is dropped, or whose process ends, without `close()`."""
    if len(journal.queue) > journal.reported:
        _log.warning(
            "%s: ended without close(); %d orders queued for replay are lost",
            store, len(journal.queue), extra={"store": store, "queued": len(journal.queue)},
        )  # fmt: skip


def _first(order: Order, answer: Answer, earliest: int) -> Answer:
    """Return the answer to a repeated order as that of its first attempt, unless its caller had made it before."""
    if not isinstance(order, Charge) or not isinstance(answer, Outcome) or answer.status is not Status.REPLAYED:
        return answer
    if order.keyed and answer.now < earliest:
        return answer
    return answer._replace(status=Status.ADMITTED, sizes=())
