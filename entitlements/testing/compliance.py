"""
What every store must pass: random orders about one account, answered as the laws say, in every field.

The laws are those of `rules/`, run in memory at the instant at which the store says that it
decided. A store on a clock that the machine moves is asked to the microsecond. One with
a clock of its own tells the instant in most answers; where it does not, the instant lies
between those of the two looks around the order, and the laws may have answered at either,
or when a reservation lapsed in between.
"""

from __future__ import annotations

from asyncio import Runner
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest import TestCase
from uuid import uuid4

from hypothesis.stateful import RuleBasedStateMachine, rule

from entitlements.model.answers import Answer, Outcome, Status
from entitlements.model.charge import Charge, Forget, Order, Part, Read, Verb
from entitlements.model.limits import UNLIMITED
from entitlements.ports import AsyncStore, Store
from entitlements.rules.periods import month_ends
from entitlements.stores.memory import MemoryStore
from entitlements.testing.fakes import FakeClock
from entitlements.testing.orders import AGENTS, LEADS, PETS, RATES, SCOPES, TRIALS, Player, Step, steps

_STARTS = datetime(2026, 11, 2, 15, 4, 5, 678_901, tzinfo=UTC)


def store_case(make: Callable[[FakeClock], Store]) -> type[TestCase]:
    """Return the test case of the stores that *make* makes."""

    class ComplianceOfStore(StoreMachine):
        def open(self) -> Store:
            return make(self.clock)

    return ComplianceOfStore.TestCase


def async_store_case(make: Callable[[FakeClock], AsyncStore]) -> type[TestCase]:
    """Return the test case of the stores for an event loop that *make* makes."""
    return store_case(lambda clock: Waited(make, clock))


class StoreMachine(RuleBasedStateMachine):
    """One account of a store, and the same account by the laws."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(_STARTS)
        self.store = self.open()
        self.laws = _Laws()
        self.player = Player(f"compliance-{uuid4().hex}")
        self.now = self.clock()
        self.look()
        self.follows = self.player.exact = self.now == self.clock()
        """Whether the store tells the time by our clock."""

    def open(self) -> Store:
        """Return the store to look at."""
        raise NotImplementedError

    @rule(step=steps())
    def ask(self, step: Step) -> None:
        """Move the clock, ask, and look at what stands."""
        self.clock.advance(timedelta(microseconds=max(step.move, -self.clock())))
        asked_at = self.now = self.clock() if self.follows else self.now
        order = self.player.order(step, asked_at)
        answer = self.store.execute(order)
        told = asked_at if self.follows else _instant_of(answer)
        if told is None:
            reading, read = self.read()
            self.compare(order, answer, [asked_at, *self.laws.lapses(asked_at, self.now), self.now])
            self.compare(reading, read, [self.now])
        else:
            self.compare(order, answer, [told])
            self.look()
        self.player.note(order, answer)

    def look(self) -> None:
        """Check what stands."""
        reading, read = self.read()
        self.compare(reading, read, [self.now])

    def read(self) -> tuple[Read, Answer]:
        """Read every quota and allocation, and a rate of each name, in one scope."""
        ends = month_ends(None, self.now)
        rates = {rate.name: Part(rate, 10) for rate in reversed(RATES)}
        counts = (Part(LEADS, 10, 1, ends), Part(TRIALS, UNLIMITED, 1, ends), Part(AGENTS, 10), Part(PETS, UNLIMITED))
        order = Read(self.player.account, (*rates.values(), *counts), SCOPES[0])
        answer = self.store.execute(order)
        self.now = _instant_of(answer) or self.now
        return order, answer

    def compare(self, order: Order, answer: Answer, instants: list[int]) -> None:
        """Check that the laws give this *answer* at one of the *instants*."""
        expected = []
        for instant in instants:
            expected.append(self.laws.execute(order, instant))
            if expected[-1] == answer:
                return
            self.laws.undo()
        right = " or ".join({repr(each): None for each in expected})
        raise AssertionError(f"asked {order!r}\nat {instants}\nthe laws say {right}\nthe store says {answer!r}")

    def teardown(self) -> None:
        """Forget the account, whatever has happened, and close the store."""
        try:
            self.store.execute(Forget(self.player.account))
        finally:
            self.store.close()


class _Laws:
    """The laws in memory, at an instant told with each order; the last order can be undone."""

    def __init__(self) -> None:
        self._past: list[tuple[Order, int, Answer]] = []
        self._memory = MemoryStore(self._clock)

    def execute(self, order: Order, now: int) -> Answer:
        self._now = now
        answer = self._memory.execute(order)
        self._past.append((order, now, answer))
        return answer

    def undo(self) -> None:
        """Be as before the last order, by doing everything before it once more."""
        past = self._past[:-1]
        self._past, self._memory = [], MemoryStore(self._clock)
        for order, now, _ in past:
            self.execute(order, now)

    def lapses(self, after: int, until: int) -> list[int]:
        """Return the instants between at which a reservation has lapsed, or would have."""
        booked = [
            answer.now + order.ttl
            for order, _, answer in self._past
            if isinstance(order, Charge) and order.verb is Verb.RESERVE and isinstance(answer, Outcome)
        ]
        return sorted(each for each in booked if after < each < until)

    def _clock(self) -> int:
        return self._now


def _instant_of(answer: Answer) -> int | None:
    """Return when the store decided; None where an answer does not tell, or tells of the first time."""
    if isinstance(answer, Outcome) and answer.status is Status.REPLAYED:
        return None
    return getattr(answer, "now", None)


class Waited:
    """A store for an event loop as one that blocks: each order runs to its end on a loop of its own."""

    def __init__(self, make: Callable[[FakeClock], AsyncStore], clock: FakeClock) -> None:
        self._runner = Runner()
        self._store = self._runner.run(_made(make, clock))
        self.via = self._store.via

    def execute(self, order: Order, /) -> Answer:
        """Carry out one order."""
        return self._runner.run(self._store.execute(order))

    def close(self) -> None:
        """Close the store, and end its loop."""
        with self._runner:
            self._runner.run(self._store.aclose())


async def _made(make: Callable[[FakeClock], AsyncStore], clock: FakeClock) -> AsyncStore:
    return make(clock)
