"""
Whether the store is worth asking: a circuit breaker, pure but for its lock.

*Closed*, every call asks the store. It opens when at least 5 calls of the last second,
or of its last quarter, have failed and they are half of them or more; with much traffic,
when the last 20 have failed and nobody was answered for 75 milliseconds; with little,
when the last 5 have failed and nobody was answered for a second. *Open*, no call asks, for a pause that grows
from a quarter of a second to a second and a quarter, give or take a fifth, so that a store
that is back is used again within two seconds, and not by all processes at once. Then the
next call tries the store, and while it does no other (*half-open*): its answer closes the
breaker, its failure opens it again. A trial that neither ends is given up after three
seconds, so that a caller who vanished blocks nobody.

Verdicts count for the state in which their call began: what was sent before the breaker
opened says nothing of the store since.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import NamedTuple

from entitlements.model.instants import SECOND

FAILURES = 5
"""Failures that open it, where they are also half of the calls."""
WITHIN = SECOND
"""How far back calls are counted."""
MANY = 20
"""Failures with no answer between them that open it as soon as nobody was answered for `SHORTLY`."""
SHORTLY = 3 * SECOND // 40
"""One and a half of the deadline that most limits have: a server that pauses for just that has answered by then."""
FIRST_PAUSE = SECOND // 4
LONGEST_PAUSE = 5 * SECOND // 4
JITTER = 5
"""A pause is longer or shorter by up to this part of it, the fifth."""
TRIAL = 3 * SECOND
"""After this a trial that has not ended makes room for another."""

_SLOTS = 8
_SLOT = WITHIN // _SLOTS
_LATELY = 2


class State(StrEnum):
    """What becomes of a call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


_CLOSED = State.CLOSED  # a member takes longer to find than all that is done with it


class Change(NamedTuple):
    """A change of state, and the pause until the next trial in microseconds."""

    before: State
    after: State
    pause: int = 0


class Ticket(NamedTuple):
    """Leave to ask the store once; *change* is what giving it has changed."""

    era: int
    change: Change | None = None


class Breaker:
    """The breaker before one store; every instant is monotonic, in microseconds."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.failing = False
        """Whether anything has failed since somebody was last answered."""
        self._era = 0
        self.ticket = Ticket(0)
        """Leave to ask while it is closed."""
        self._slots = [[0, 0, 0] for _ in range(_SLOTS)]
        self._slot = self._slots[0]
        self._slot_ends = 0
        self._in_a_row = 0
        self._answered = 0
        self._again = 0
        self._openings = 0
        self._lock = threading.Lock()

    def enter(self, now: int) -> Ticket | None:
        """Return leave to ask the store; None if this call may not."""
        if self.state is State.CLOSED:
            return self.ticket
        with self._lock:
            before: State = self.state  # another call may have closed it meanwhile
            if before is State.CLOSED:
                return self.ticket
            if now < self._again:
                return None
            self._turn(State.HALF_OPEN)
            self._again = now + TRIAL
            return Ticket(self._era, Change(before, State.HALF_OPEN) if before is State.OPEN else None)

    def succeeded(self, ticket: Ticket, now: int) -> Change | None:
        """Take notice that the store has answered."""
        if ticket is self.ticket and self.state is _CLOSED:
            if now >= self._slot_ends:
                self._count(now)
            self._slot[1] += 1
            self._answered = now
            if self.failing:
                self._in_a_row = 0
                self.failing = False
            return None
        with self._lock:
            if ticket.era != self._era or self.state is State.CLOSED:
                return None
            before = self.state
            self._turn(State.CLOSED)
            self._openings = self._in_a_row = 0
            self._answered = now
            self.failing = False
            return Change(before, State.CLOSED)

    def failed(self, ticket: Ticket, now: int, chance: float) -> Change | None:
        """
        Take notice that the store has failed.

        Args:
            ticket: Of the call.
            now: The clock.
            chance: A random number from -1 to 1, for the pause.
        """
        with self._lock:
            if ticket.era != self._era:
                return None
            self.failing = True
            self._in_a_row += 1
            self._count(now)[2] += 1
            if self.state is State.CLOSED and not self._is_broken(now):
                return None
            before = self.state
            pause = min(FIRST_PAUSE << min(self._openings, 8), LONGEST_PAUSE)
            pause += int(pause * chance) // JITTER
            self._turn(State.OPEN)
            self._again = now + pause
            self._openings += 1
            return Change(before, State.OPEN, pause)

    def leave(self, ticket: Ticket, now: int) -> Change | None:
        """Take notice that a call has ended without a verdict: one that tried the store lets the next one try."""
        if self.state is not State.HALF_OPEN or ticket.era != self._era:
            return None
        with self._lock:
            if self.state is not State.HALF_OPEN or ticket.era != self._era:
                return None
            self._turn(State.OPEN)
            self._again = now
            return Change(State.HALF_OPEN, State.OPEN)

    def pause(self, now: int) -> int:
        """Return the microseconds until a call may try the store; 0 while it is asked."""
        return 0 if self.state is State.CLOSED else max(0, self._again - now)

    def silent_for(self, now: int) -> int:
        """Return for how long nobody has been answered."""
        return now - self._answered

    def unlock(self) -> None:
        """Take a fresh lock, as in a forked child, where nobody tries the store either."""
        self._lock = threading.Lock()
        if self.state is State.HALF_OPEN:
            self.state = State.OPEN
            self._again = 0

    def _turn(self, state: State) -> None:
        self.state = state
        self._era += 1
        self.ticket = Ticket(self._era)
        self._slots = [[0, 0, 0] for _ in range(_SLOTS)]
        self._slot = self._slots[0]
        self._slot_ends = 0

    def _count(self, now: int) -> list[int]:
        """Return the counts of the present eighth of a second: its number, answers, failures."""
        number = now // _SLOT
        slot = self._slots[number % _SLOTS]
        if slot[0] != number:
            slot[:] = (number, 0, 0)
        self._slot, self._slot_ends = slot, (number + 1) * _SLOT
        return slot

    def _is_broken(self, now: int) -> bool:
        silent = now - self._answered
        if (self._in_a_row >= FAILURES and silent > WITHIN) or (self._in_a_row >= MANY and silent > SHORTLY):
            return True
        return self._mostly_fails(now // _SLOT - _LATELY) or self._mostly_fails(now // _SLOT - _SLOTS)

    def _mostly_fails(self, before: int) -> bool:
        failures = answers = 0
        for slot, answered, failed in self._slots:
            if slot > before:
                failures += failed
                answers += answered
        return failures >= FAILURES and failures >= answers
