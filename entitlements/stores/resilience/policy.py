"""
The course of one order past a store that may fail, for threads and event loops alike.

A course is a generator: it yields the orders that the store is to be asked, is sent each
answer or thrown each error, and returns what the caller gets. It does no I/O and waits
for nothing, so that two shells of a few lines drive it. In order: the breaker, then what
the journal holds, then the order itself, repeated once where its outcome is unknown and
its operation id makes that exact, and at last what `on_outage` says.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING

from entitlements.errors import StoreError
from entitlements.model.answers import Outcome, Status, Way
from entitlements.model.charge import Charge, Recall, Refund, Settle
from entitlements.model.events import BreakerChanged, Journalled, OutcomeUnknown
from entitlements.model.instants import SECOND
from entitlements.rules.outages import answered, journalled, not_journalled, to_journal, undone, ways_of
from entitlements.stores.errors import Corrupt, Misconfigured, Overloaded, TimedOut, Unreachable
from entitlements.stores.orders import account_of, deadline_of, is_exact, within
from entitlements.stores.resilience.circuit_breaker import Breaker, State
from entitlements.stores.resilience.outage_log import Trouble
from entitlements.stores.resilience.owing import Owing
from entitlements.stores.resilience.replay_journal import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.events import Event
    from entitlements.stores.resilience.circuit_breaker import Change, Ticket
    from entitlements.stores.resilience.local_limits import Shares
    from entitlements.stores.resilience.replay_journal import Journal

    Course = Generator[Order, Answer, Answer]

REPLAYED_FIRST = 64
"""Entries of its own account that a call brings to the store in half of its time, before it asks for itself."""
REPLAYED_BESIDE = 16
"""Entries of other accounts that it brings along, if that is quick."""
QUICK = SECOND // 100
STALLED = SECOND // 50
"""A timeout that comes later than its deadline by this, and by half of it, says something of us."""
FAREWELL = SECOND
"""How long closing may take for what waits for the store."""

_REPLAYED, _CLOSED = Status.REPLAYED, State.CLOSED

_log = logging.getLogger("entitlements.stores")


class Degrading:
    """
    What is known of one store that may fail, and the courses past it.

    Args:
        store: What it is called in logs; it must not show a password.
        shares: This process's shares of the rates.
        tell: Takes events.
        clock: Monotonic microseconds.
    """

    def __init__(self, store: str, shares: Shares, tell: Callable[[Event], object], clock: Callable[[], int]) -> None:
        self.breaker = Breaker()
        self._store = store
        self._shares = shares
        self._tell = tell
        self.clock = clock
        self.opened: Callable[[], object] = lambda: None
        """Is called when the breaker has opened: from then on nobody need wait."""
        self._was_answered = False
        self._trouble = Trouble(store)
        self.owing = Owing(store, shares, self._trouble, tell, clock)

    @property
    def journal(self) -> Journal:
        """What must still be brought to the store."""
        return self.owing.journal

    def course(self, order: Order) -> Course:
        """
        Return the course of *order*.

        Raises:
            StoreError: For an order that nobody but the store can answer, for what is
                corrupt there, and for a store that has never worked and that waiting
                does not mend.
        """
        began = self.clock()
        ticket = self.breaker.enter(began)
        if ticket is None:
            return self._without(order, None)
        self._changed(ticket.change)
        try:
            asked, until = order, began + deadline_of(order)
            if self.journal:
                error = yield from self._replay(order, ticket, until)
                if error is not None or self.clock() >= until:
                    return self._without(order, error)
                answer = self.owing.answer(order)
                if answer is not None:
                    return answer
                asked = within(order, until - self.clock())
            began, earliest = self.clock(), self._shares.now()
            try:
                answer = yield asked
            except StoreError as error:
                return (yield from self._again(order, error, ticket, began, until, earliest))
            self.succeeded(order, answer, ticket, self.clock())
            return answer
        finally:
            self._changed(self.breaker.leave(ticket, self.clock()))

    def at_ease(self, order: Order) -> Ticket | None:
        """Return leave to ask at once, with nothing to be done before; None where `course()` must be taken."""
        breaker = self.breaker
        if breaker.state is not _CLOSED or self.owing.journal.count or (type(order) is Charge and order.keyed):
            return None
        return breaker.ticket

    def after(self, order: Order, error: StoreError, ticket: Ticket, began: int) -> Course:
        """
        Return the course of an order that was asked `at_ease()`, and failed.

        Args:
            order: What was asked.
            error: What the store raised.
            ticket: The leave.
            began: When, on `clock`.
        """
        try:
            return (yield from self._again(order, error, ticket, began, began + deadline_of(order)))
        finally:
            self._changed(self.breaker.leave(ticket, self.clock()))

    def turned_away(self, order: Order, error: StoreError) -> Answer:
        """
        Return what an order gets that was not sent as too many wait; that says nothing of the store.

        Raises:
            StoreError: For an order that nobody but the store can answer.
        """
        self._trouble.blame(error, account_of(order))
        return self._without(order, error)

    def farewell(self) -> Course:
        """Return the course that brings what waits to the store before it is closed, in a second at most."""
        until, brought, lost = self.clock() + FAREWELL, 0, 0
        with suppress(StoreError):
            while self.clock() < until and (entry := self.journal.take()) is not None:
                done = yield from self._bring(entry, self.breaker.ticket, until)  # whatever the breaker says
                if isinstance(done, StoreError):
                    break
                brought, lost = brought + done, lost + (not done)
        if brought or lost:
            self._tell(Journalled(len(self.journal), brought, lost))
        self._trouble.lost += lost
        if self.journal or self._trouble.lost:
            _log.warning(
                "%s is closed, and %d orders still wait to be brought to it; %d were lost before, and those are once the process ends",
                self._store, len(self.journal), self._trouble.lost,
            )  # fmt: skip
        self._trouble.lost = 0
        return False

    def renew(self) -> None:
        """Start anew in a forked child: fresh locks, an empty journal, nobody trying the store."""
        self.owing.renew()
        self._trouble.unlock()
        self.breaker.unlock()

    # -- asking ------------------------------------------------------------------------

    def _again(
        self, order: Order, error: StoreError, ticket: Ticket, began: int, until: int, earliest: int = 0
    ) -> Course:
        """Go on after a failure: repeat the order once where that is exact, else go without the store."""
        self._failed(order, error, ticket, began)
        sent = not error.undone
        if not sent or not self._may_repeat(order, began, until):
            return self._without(order, error, sent=sent)
        began = self.clock()
        try:
            answer = yield within(order, until - began)
        except StoreError as repeated:
            self._failed(order, repeated, ticket, began)
            return self._without(order, repeated, sent=True)
        answer = True if type(order) is Refund else _first(order, answer, earliest)  # given back by the first, or now
        self.succeeded(order, answer, ticket, self.clock())
        return answer

    def _may_repeat(self, order: Order, began: int, until: int) -> bool:
        """Say whether a second try is exact and in time; tell of an unknown outcome."""
        in_time = 4 * (self.clock() - began) <= until - began
        repeats = in_time and is_exact(order) and self.breaker.state is not State.OPEN
        self._tell(OutcomeUnknown(type(order).__name__, repeats))
        return repeats

    def succeeded(self, order: Order, answer: Answer, ticket: Ticket, now: int) -> None:
        """Take notice of an answer, and of when it came."""
        change = self.breaker.succeeded(ticket, now)
        self._was_answered = True
        if type(order) is Charge and type(answer) is Outcome and answer[0] is not _REPLAYED:
            self._shares.see(order, answer, now)
        if self._trouble.since is not None:
            self._trouble.over(now, len(self.journal), at_once=change is not None)
        if change is not None:
            self._changed(change)

    def _failed(self, order: Order, error: StoreError, ticket: Ticket, began: int) -> None:
        """Count a failure of the store; raise what is none, and cannot be decided without it."""
        if isinstance(error, Corrupt) or (isinstance(error, Misconfigured) and not self._was_answered):
            raise error
        self._trouble.blame(error, account_of(order))
        if not self._is_ours(order, error, began):
            change = self.breaker.failed(ticket, self.clock(), random.uniform(-1, 1))  # noqa: S311 - jitter
            self._changed(change)
            if change is not None:
                self.opened()

    def _is_ours(self, order: Order, error: StoreError, began: int) -> bool:
        """Say whether we are at fault: a full pool, or a loop that stalled so that the timer itself came late."""
        if isinstance(error, Overloaded):
            return True
        if not isinstance(error, TimedOut):
            return False
        now, deadline = self.clock(), deadline_of(order)
        late = now - began - deadline
        return late > max(STALLED, deadline // 2) and self.breaker.silent_for(now) < SECOND + late

    # -- what waits for the store --------------------------------------------------------

    def _replay(self, order: Order, ticket: Ticket, until: int) -> Generator[Order, Answer, StoreError | None]:
        """Bring the account's entries to the store, and a few of others; return what it failed with."""
        brought = lost = 0
        try:
            for entry in self._due(account_of(order), until - deadline_of(order) // 2):
                done = yield from self._bring(entry, ticket, until)
                if isinstance(done, StoreError):
                    return done
                brought, lost = brought + done, lost + (not done)
        finally:
            if brought or lost:
                self._trouble.lost += lost
                self._tell(Journalled(len(self.journal), brought, lost))
        return None

    def _due(self, account: str, until: int) -> Iterator[Entry]:
        """Take out what this call brings: of its account, as the answer should count it, and some beside."""
        quick = min(self.clock() + QUICK, until)
        for _ in range(REPLAYED_FIRST):
            if self.clock() >= until or (entry := self.journal.take(account)) is None:
                break
            yield entry
        for _ in range(0 if self.breaker.failing else REPLAYED_BESIDE):
            if self.clock() >= quick or (entry := self.journal.take()) is None:
                return
            yield entry

    def _bring(self, entry: Entry, ticket: Ticket, until: int) -> Generator[Order, Answer, StoreError | bool]:
        """Bring one entry to the store; say whether it has arrived, or return the error after which it waits again."""
        began, kept = self.clock(), True
        order = within(entry.order, until - began)
        try:
            if entry.is_too_old(began):
                kept = False
                return False
            answer = yield order
            kept = False
        except Corrupt:
            kept = False
            return False
        except StoreError as error:
            if not error.undone:
                entry.sent = entry.sent or began
            self._failed(order, error, ticket, began)
            return error
        except BaseException:  # cancelled, and perhaps carried out
            entry.sent = entry.sent or began
            raise
        finally:
            (self.journal.put_back if kept else self.journal.done)(entry)
        self.succeeded(order, answer, ticket, self.clock())
        return not (isinstance(answer, Outcome) and answer.status is Status.STALE)

    # -- without the store ---------------------------------------------------------------

    def _without(self, order: Order, error: StoreError | None, *, sent: bool = False) -> Answer:
        """
        Return what an order gets without the store.

        Args:
            order: The order.
            error: Why; None where the store was not asked.
            sent: Whether the store may have carried it out.
        """
        self._trouble.note(self.clock())
        match order:
            case Charge():
                return self._without_charge(order, sent=sent)
            case Recall():
                return self.owing.recalled(order.charge) or Outcome(Status.UNKNOWN, self._shares.now())
            case Refund() if order.operation is not None:
                return self.owing.given_back(order)
            case Settle() if settled := self.owing.settled(order):
                return settled
        raise error or Unreachable(
            f"{self._store} is not asked, because it fails: {self._trouble.said};"
            f" it is tried again in {self.breaker.pause(self.clock()) / SECOND:.1f} s"
        )

    def _without_charge(self, order: Charge, *, sent: bool) -> Outcome:
        if not order.keyed:
            return self._decided_here(order, sent=sent)
        with self.owing.naming:  # its caller may repeat it while it is entered
            return self._decided_here(order, sent=sent)

    def _decided_here(self, order: Charge, *, sent: bool) -> Outcome:
        waiting = None if order.operation is None else self.owing.recalled(order)
        if waiting is not None:
            return waiting
        now, ways = self._shares.now(), ways_of(order)
        retry_at = now + max(SECOND, self.breaker.pause(self.clock()))
        local, shared = self._shares.charge(order, ways), self._shares.processes > 1
        outcome = answered(order, ways, local, now, retry_at, shared=shared)
        if order.is_one_rate:  # nothing is journalled, and nothing undone
            return outcome
        began = self.clock() if sent else None
        counted = to_journal(order, outcome)
        if counted is not None:
            promised = journalled(order, outcome)
            if self.owing.enter(Entry(counted, order, promised, began)):
                return promised if Way.JOURNAL in promised.ways else outcome
            return not_journalled(outcome)
        if sent and outcome.status is Status.REFUSED and (undoing := undone(order)):
            self.owing.enter(*(Entry(each, sent=began if isinstance(each, Charge) else None) for each in undoing))
        return outcome

    # -- telling -------------------------------------------------------------------------

    def _changed(self, change: Change | None) -> None:
        if change is not None:
            self._tell(BreakerChanged(change.before.value, change.after.value, change.pause))


def _first(order: Order, answer: Answer, earliest: int) -> Answer:
    """Return the answer to an order that we have repeated as its first one, where that was ours."""
    if not isinstance(order, Charge) or not isinstance(answer, Outcome) or answer.status is not Status.REPLAYED:
        return answer
    if order.keyed and answer.now < earliest:  # its caller had made it before
        return answer
    return answer._replace(status=Status.ADMITTED, sizes=())
