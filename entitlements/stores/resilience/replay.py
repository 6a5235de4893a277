"""
Sans-IO replay: courses that send the entries of the replay journal to the store.

A call replays what waits for its own account before its order, and a little of other accounts of its server. An order that takes
back what was decided without the store goes only after all of it, and waits while another call replays it. Between calls
`in_background` replays: an event loop runs it by a timer, an `Enforcer` with the next call that needs no store.
`drain` replays when the store is closed.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from entitlements.errors import StoreError
from entitlements.model.answers import Outcome, Settled, Status
from entitlements.model.charge import Charge
from entitlements.model.events import Journalled
from entitlements.model.instants import SECOND
from entitlements.model.redaction import redact
from entitlements.model.sequence import is_sequence
from entitlements.stores.errors import Corrupt, Late, Overloaded
from entitlements.stores.orders import account_of, deadline_of, shorten_deadline
from entitlements.stores.resilience.replay_queue import Turn

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Iterator
    from typing import TypeVar

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.stores.resilience.circuit_breaker import Permit
    from entitlements.stores.resilience.policy import Course, OutagePolicy
    from entitlements.stores.resilience.replay_queue import JournalEntry, ReplayQueue

    R = TypeVar("R")
    Replay = Generator[Order | Turn, Answer, R]

REPLAYED_OWN = 64
"""Most journal entries of its own account that a call replays before its order, within half of its deadline."""
REPLAYED_OTHERS = 16
"""Most entries of other accounts that it replays after those, within `QUICK`."""
QUICK = SECOND // 100
DRAIN_TIME = SECOND
"""Microseconds that closing may spend on replaying the journal."""

_log = logging.getLogger("entitlements.stores")


class JournalReplay:
    """
    Replays the journal of one store.

    Args:
        store: Its name in logs; it must not show a password.
        policy: Its outage policy, which records each answer and each failure.
    """

    def __init__(self, store: str, policy: OutagePolicy) -> None:
        self._store, self._policy = store, policy

    @property
    def _queue(self) -> ReplayQueue:
        return self._policy.journal.queue

    def before(self, order: Order, permit: Permit, until: int) -> Replay[StoreError | None]:
        """Replay the account's entries and a few of other accounts before *order*; return the error that stopped it."""
        due = self._due(account_of(order), permit, until - deadline_of(order) // 2)
        error = yield from self._replay(due, permit, until)
        while error is None and self._queue.precedes(order):
            error = yield from self._go_on(account_of(order), permit, until)
        return error

    def _go_on(self, account: str, permit: Permit, until: int) -> Replay[StoreError | None]:
        """Replay the rest of an account's entries, or wait for a call that replays one; return the error that stopped it."""
        if self._policy.clock() >= until:
            return Overloaded(f"{self._store}: orders of this account are still queued for replay; try again")
        ended = self._queue.turn_of(account)
        if ended is None:
            return (yield from self._replay(self._taken(until, account), permit, until))
        yield Turn(ended, until)
        return None

    def in_background(self, time: int) -> Course:
        """
        Return a course that replays entries of all accounts; its answer is True if none of them failed.

        Args:
            time: Most microseconds that it may take.
        """
        policy, is_well = self._policy, True
        for server, until in self._shares(time):
            permit = policy.breaker_at(server).acquire(policy.clock())
            if permit is None:
                is_well = False
                continue
            policy.emit(permit.change)
            try:
                error = yield from self._replay(self._taken(until, server=server), permit, until)
            finally:
                policy.emit(permit.breaker.release(permit, policy.clock()))
            is_well = is_well and error is None
        return is_well

    def _shares(self, time: int) -> Iterator[tuple[Hashable, int]]:
        """Yield each server for which orders wait, and until when it may take: all have fair parts of the time."""
        policy, until = self._policy, self._policy.clock() + time
        servers = self._queue.servers()
        for place, server in enumerate(servers):
            now = policy.clock()
            yield server, now + (until - now) // (len(servers) - place)

    @property
    def pause(self) -> int:
        """The microseconds until a server for which orders wait may be called again; 0 if none has to be waited for."""
        now, policy = self._policy.clock(), self._policy
        return min(filter(None, [policy.breaker_at(each).pause(now) for each in self._queue.servers()]), default=0)

    def drain(self) -> Course:
        """Return the course that replays the journal before the store is closed, in `DRAIN_TIME` at most."""
        policy, replayed, lost = self._policy, 0, 0
        for server, until in self._shares(DRAIN_TIME):
            permit = policy.breaker_at(server).closed_permit  # also while it is open
            with suppress(StoreError):
                for entry in self._taken(until, server=server):
                    done = yield from self._replay_one(entry, permit, until)
                    if isinstance(done, StoreError):
                        break
                    replayed, lost = replayed + done, lost + (not done)
        if replayed or lost:
            policy.tell(Journalled(len(self._queue), replayed, lost))
        policy.outages.lost += lost
        if self._queue or policy.outages.lost:
            _log.warning(
                "%s: closed with %d orders still queued for replay, which are lost when the process ends; %d lost before",
                self._store, len(self._queue), policy.outages.lost,
                extra={"store": self._store, "queued": len(self._queue), "lost": policy.outages.lost},
            )  # fmt: skip
        policy.outages.lost, policy.journal.reported = 0, len(self._queue)
        return False

    def _replay(self, entries: Iterator[JournalEntry], permit: Permit, until: int) -> Replay[StoreError | None]:
        replayed = lost = 0
        try:
            for entry in entries:
                done = yield from self._replay_one(entry, permit, until)
                if isinstance(done, StoreError):
                    return done
                replayed, lost = replayed + done, lost + (not done)
        finally:
            if lost:
                self._policy.outages.record_lost(lost)
            if replayed or lost:
                self._policy.tell(Journalled(len(self._queue), replayed, lost))
        return None

    def _due(self, account: str, permit: Permit, until: int) -> Iterator[JournalEntry]:
        """Yield the entries that a call replays: those of its account, then some of others."""
        policy = self._policy
        quick = min(policy.clock() + QUICK, until)
        yield from islice(self._taken(until, account), REPLAYED_OWN)
        if not permit.breaker.failing:
            yield from islice(self._taken(quick, server=policy.server(account)), REPLAYED_OTHERS)

    def _taken(self, until: int, account: str | None = None, server: Hashable = None) -> Iterator[JournalEntry]:
        """Yield the entries of an account, or of all accounts of a server, until a time."""
        while self._policy.clock() < until and (entry := self._queue.take(account, server)) is not None:
            yield entry

    def _replay_one(self, entry: JournalEntry, permit: Permit, until: int) -> Replay[StoreError | bool]:
        """Replay one entry; return whether it was applied, or the error after which it stays queued."""
        policy, began, kept = self._policy, self._policy.clock(), True
        order = shorten_deadline(entry.order, until - began)
        try:
            if entry.is_too_old(began):
                kept = False
                return False
            answer = yield order
            if isinstance(order, Charge) and isinstance(answer, Outcome) and is_sequence(order.operation):
                self._queue.note_taken(order, answer)  # before the refund may be taken out
            kept = False
        except (Corrupt, Late):
            kept = False
            return False
        except StoreError as error:
            if not error.undone:
                entry.sent = entry.sent or began
            policy.failed(order, error, permit, began)
            return error
        except Exception as error:  # noqa: BLE001 - an order that no store takes must not fail the call that carries it
            kept = False
            text = redact(str(error), account_of(order))
            _log.error(
                "%s: a queued %s is lost: %s",
                self._store,
                type(order).__name__,
                text,
                extra={"store": self._store, "order": type(order).__name__, "problem": text},
            )
            return False
        except BaseException:  # cancelled, possibly applied
            entry.sent = entry.sent or began
            raise
        finally:
            (self._queue.put_back if kept else self._queue.done)(entry)
        policy.succeeded(order, answer, permit, policy.clock())
        return _is_applied(answer)


def _is_applied(answer: Answer) -> bool:
    """Return True if a replayed order has been counted, now or before; a refund may have been made before."""
    if isinstance(answer, Outcome):
        return answer.status in (Status.ADMITTED, Status.REPLAYED)
    return not isinstance(answer, Settled) or answer.done
