"""
Circuit breaker; takes the time as an argument and is pure but for its lock.

*Closed*, every call may go to the store. The breaker opens when

- at least 5 calls of the last second, or of its last quarter, have failed, and those are half of them or more;
- the last 20 calls have failed and no reply arrived for 75 milliseconds (much traffic);
- the last 5 calls have failed and no reply arrived for a second (little traffic).

*Open*, no call goes to the store for a pause that grows from 0.25 s to 0.75 s, with a jitter of a fifth.
So a store that has recovered is used again within a second, and not by all processes at once. Then the
breaker is *half-open*: one call probes the store. Its reply closes the breaker, its failure opens it again.
A probe that ends in neither is given up after three seconds, so that a caller who vanished blocks no other.

A result counts for the state in which its call began: what was sent before the breaker opened says
nothing about the store since.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import NamedTuple

from entitlements.model.instants import SECOND

FAILURES = 5
"""Failures that open the breaker if they are also half of the calls."""
WINDOW = SECOND
"""Microseconds for which calls are counted."""
CONSECUTIVE_FAILURES = 20
"""Failures in a row that open the breaker once no reply has arrived for `MIN_SILENCE`."""
MIN_SILENCE = 3 * SECOND // 40
"""
Microseconds without a reply that open the breaker after `CONSECUTIVE_FAILURES`.

One and a half of the default deadline of rates: a server that pauses for one deadline has replied by then.
"""
FIRST_PAUSE = SECOND // 4
"""Microseconds of the first pause; each further one is twice as long."""
LONGEST_PAUSE = 3 * SECOND // 4
"""Most microseconds of a pause, without its jitter: a store that is back is called within a second."""
JITTER = 5
"""A pause is longer or shorter by up to a fifth of it."""
PROBE_TIMEOUT = 3 * SECOND
"""Microseconds after which a probe that has not ended makes room for another."""

_SLOTS = 8
"""Slots that the window is divided into; each counts its calls."""
_SLOT = WINDOW // _SLOTS
"""Microseconds of a slot."""
_RECENT_SLOTS = 2
"""Slots that are looked at alone as well, so that a sudden failure of a busy store is seen at once."""


class State(StrEnum):
    """The state of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


_CLOSED = State.CLOSED  # a member takes longer to find than all that is done with it


class Transition(NamedTuple):
    """A change of state; *pause* is the microseconds until the next probe."""

    before: State
    after: State
    pause: int = 0


class Permit(NamedTuple):
    """
    Permission to call the store once.

    Args:
        generation: The number of state changes before it was granted; a result of an older one counts for nothing.
        breaker: The breaker that granted it, and counts its result.
        change: The change of state that granting it made.
    """

    generation: int
    breaker: CircuitBreaker
    change: Transition | None = None


class CircuitBreaker:
    """The breaker of one server; every instant is in monotonic microseconds."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.failing = False
        """True if a call has failed since the last reply."""
        self._generation = 0
        self.closed_permit = Permit(0, self)
        """The permit of every call while the breaker is closed."""
        self._slots = [[0, 0, 0] for _ in range(_SLOTS)]
        self._slot = self._slots[0]
        self._slot_ends = 0
        self._failures_in_row = 0
        self._replied_at = 0
        self._probe_at = 0
        self._openings = 0
        self._lock = threading.Lock()

    def acquire(self, now: int) -> Permit | None:
        """Return a permit to call the store; None if this call may not."""
        if self.state is State.CLOSED:
            return self.closed_permit
        with self._lock:
            before: State = self.state  # another call may have closed it meanwhile
            if before is State.CLOSED:
                return self.closed_permit
            if now < self._probe_at:
                return None
            self._enter(State.HALF_OPEN)
            self._probe_at = now + PROBE_TIMEOUT
            change = Transition(before, State.HALF_OPEN) if before is State.OPEN else None
            return Permit(self._generation, self, change)

    def succeeded(self, permit: Permit, now: int) -> Transition | None:
        """Record a reply of the store."""
        if permit is self.closed_permit and self.state is _CLOSED:
            if now >= self._slot_ends:
                self._count(now)
            self._slot[1] += 1
            self._replied_at = now
            if self.failing:
                self._failures_in_row = 0
                self.failing = False
            return None
        with self._lock:
            if permit.generation != self._generation or self.state is State.CLOSED:
                return None
            before = self.state
            self._enter(State.CLOSED)
            self._openings = self._failures_in_row = 0
            self._replied_at = now
            self.failing = False
            return Transition(before, State.CLOSED)

    def failed(self, permit: Permit, now: int, jitter: float) -> Transition | None:
        """
        Record a failure of the store.

        Args:
            permit: The permit of the call.
            now: Monotonic microseconds.
            jitter: A random number from -1 to 1, for the jitter of the pause.
        """
        with self._lock:
            if permit.generation != self._generation:
                return None
            self.failing = True
            self._failures_in_row += 1
            self._count(now)[2] += 1
            if self.state is State.CLOSED and not self._is_broken(now):
                return None
            before = self.state
            pause = min(FIRST_PAUSE << min(self._openings, 8), LONGEST_PAUSE)
            pause += int(pause * jitter) // JITTER
            self._enter(State.OPEN)
            self._probe_at = now + pause
            self._openings += 1
            return Transition(before, State.OPEN, pause)

    def release(self, permit: Permit, now: int) -> Transition | None:
        """Record that a call has ended without a result; if it was the probe, the next call may probe."""
        if self.state is not State.HALF_OPEN or permit.generation != self._generation:
            return None
        with self._lock:
            if self.state is not State.HALF_OPEN or permit.generation != self._generation:
                return None
            self._enter(State.OPEN)
            self._probe_at = now
            return Transition(State.HALF_OPEN, State.OPEN)

    def probe_now(self) -> None:
        """End the pause of an open breaker: the next call probes the store."""
        with self._lock:
            self._probe_at = 0

    def pause(self, now: int) -> int:
        """Return the microseconds until a call may probe the store; 0 while the breaker is closed."""
        return 0 if self.state is State.CLOSED else max(0, self._probe_at - now)

    def silent_for(self, now: int) -> int:
        """Return the microseconds since the last reply."""
        return now - self._replied_at

    def renew(self) -> None:
        """Replace the lock in a forked child; a probe of the parent does not count there."""
        self._lock = threading.Lock()
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN
            self._probe_at = 0

    def _enter(self, state: State) -> None:
        self.state = state
        self._generation += 1
        self.closed_permit = Permit(self._generation, self)
        self._slots = [[0, 0, 0] for _ in range(_SLOTS)]
        self._slot = self._slots[0]
        self._slot_ends = 0

    def _count(self, now: int) -> list[int]:
        """Return the counts of the current eighth of a second: its number, replies, failures."""
        number = now // _SLOT
        slot = self._slots[number % _SLOTS]
        if slot[0] != number:
            slot[:] = (number, 0, 0)
        self._slot, self._slot_ends = slot, (number + 1) * _SLOT
        return slot

    def _is_broken(self, now: int) -> bool:
        silent = now - self._replied_at
        if (self._failures_in_row >= FAILURES and silent > WINDOW) or (
            self._failures_in_row >= CONSECUTIVE_FAILURES and silent > MIN_SILENCE
        ):
            return True
        return self._mostly_fails(now // _SLOT - _RECENT_SLOTS) or self._mostly_fails(now // _SLOT - _SLOTS)

    def _mostly_fails(self, before: int) -> bool:
        failures = answers = 0
        for slot, answered, failed in self._slots:
            if slot > before:
                failures += failed
                answers += answered
        return failures >= FAILURES and failures >= answers
