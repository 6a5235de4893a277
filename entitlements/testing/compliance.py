"""
Compliance suite of stores: compares every answer to random orders about one account with a reference store.

The reference is the memory store, which runs the laws of `rules/`, at the instant of the store's
decision. If the store uses the suite's clock, that instant is exact. A store with a clock of its
own gives the instant in most answers. If it does not, the instant lies between the readings
before and after the order. Then the answer may be that of either instant, or of one at which a
reservation expired in between.
"""

from __future__ import annotations

from asyncio import Runner
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest import TestCase
from uuid import uuid4

from hypothesis.stateful import RuleBasedStateMachine, rule

from entitlements.model.answers import Answer, Outcome, ScopePage, Settled, Status
from entitlements.model.calendars import UTC_CALENDAR
from entitlements.model.charge import Charge, Forget, Order, Part, Read, ReadScopes, Verb
from entitlements.model.limits import UNLIMITED, Quota, Size
from entitlements.model.versions import NO_VERSION
from entitlements.ports import AsyncStore, Store
from entitlements.rules.periods import ends_of
from entitlements.stores import keeps_versions
from entitlements.stores.memory import MemoryStore
from entitlements.testing.fakes import FakeClock
from entitlements.testing.order_templates import OrderTemplate, order_templates
from entitlements.testing.sample_limits import (
    AGENTS,
    CALLS,
    DAILY,
    LEADS,
    LIFELONG,
    PETS,
    RATES,
    SCOPES,
    SEATS,
    TRIALS,
    YEARLY,
)
from entitlements.testing.simulated_client import SimulatedClient

_START = datetime(2026, 11, 2, 15, 4, 5, 678_901, tzinfo=UTC)


def store_test_case(make: Callable[[FakeClock], Store]) -> type[TestCase]:
    """Return the test case of the stores that *make* returns."""

    class StoreCompliance(StoreStateMachine):
        def open(self) -> Store:
            return make(self.clock)

    return StoreCompliance.TestCase


def async_store_test_case(make: Callable[[FakeClock], AsyncStore]) -> type[TestCase]:
    """Return the test case of the async stores that *make* returns."""
    return store_test_case(lambda clock: BlockingStore(make, clock))


class StoreStateMachine(RuleBasedStateMachine):
    """Stateful test: one account in a store, and in a reference store."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(_START)
        self.store = self.open()
        self.reference = _ReferenceStore()
        versions = [NO_VERSION] if keeps_versions(self.store) else None
        self.client = SimulatedClient(f"compliance-{uuid4().hex}", versions=versions)
        self.now = self.clock()
        self.check_usage()
        self.uses_our_clock = self.client.exact = self.now == self.clock()
        """True if the store's clock is that of the test."""

    def open(self) -> Store:
        """Return the store under test."""
        raise NotImplementedError

    @rule(template=order_templates())
    def execute(self, template: OrderTemplate) -> None:
        """Move the clock, execute one order, and compare its answer and the usage after it."""
        self.clock.advance(timedelta(microseconds=max(template.move, -self.clock())))
        before = self.now = self.clock() if self.uses_our_clock else self.now
        order = self.client.order(template, before)
        answer = self.store.execute(order)
        decided_at = before if self.uses_our_clock else _instant_of(answer)
        if decided_at is None:
            reading, usage = self.read()
            self.compare(order, answer, [before, *self.reference.expirations(before, self.now), self.now])
            self.compare(reading, usage, [self.now])
        else:
            self.compare(order, answer, [decided_at])
            self.check_usage()
        self.client.record(order, answer)

    def check_usage(self) -> None:
        """Read the usage and compare it."""
        reading, usage = self.read()
        self.compare(reading, usage, [self.now])

    def read(self) -> tuple[Read, Answer]:
        """Read every quota and allocation, and a rate of each name, in one scope."""
        rates = {rate.name: Part(rate, 10) for rate in reversed(RATES)}
        quotas: dict[Quota, Size] = {LEADS: 10, TRIALS: UNLIMITED, DAILY: 10, YEARLY: 10, LIFELONG: 10}
        counts = [Part(each, size, 1, ends_of(each, UTC_CALENDAR, self.now)) for each, size in quotas.items()]
        counts += (Part(AGENTS, 10), Part(PETS, UNLIMITED))
        order = Read(self.client.account, (*rates.values(), *counts), SCOPES[0])
        answer = self.store.execute(order)
        self.now = _instant_of(answer) or self.now
        return order, answer

    def compare(self, order: Order, answer: Answer, instants: list[int]) -> None:
        """Check that the reference gives this *answer* at one of the *instants*."""
        expected = []
        for instant in instants:
            expected.append(self.reference.execute(order, instant))
            if expected[-1] == answer:
                return
            self.reference.undo()
        right = " or ".join({repr(each): None for each in expected})
        raise AssertionError(f"asked {order!r}\nat {instants}\nthe laws say {right}\nthe store says {answer!r}")

    def check_scopes(self) -> None:
        """Check that the scopes with units are listed in pages, in order, and are forgotten."""
        account = self.client.account
        listed: list[str] = []
        after: str | None = ""
        while after is not None:
            page = self.store.execute(ReadScopes(account, after, 1))
            assert isinstance(page, ScopePage), f"the store answers {page!r} to ReadScopes"
            listed, after = [*listed, *page.scopes], page.after
        assert listed == sorted(set(listed)), f"the scopes {listed} are not in order"
        held = {scope for scope in SCOPES if self._used_in(scope)}
        assert held <= set(listed), f"the scopes {sorted(held)} hold units, and {listed} are listed"
        self.store.execute(Forget(account, SCOPES))
        left = self.store.execute(ReadScopes(account))
        assert left == ScopePage(()), f"{left} are listed after all scopes are forgotten"
        assert not any(map(self._used_in, SCOPES)), "units are used in a scope that is forgotten"

    def _used_in(self, scope: str) -> bool:
        """Return True if units of a quota or an allocation are used in a scope."""
        parts = Part(CALLS, 10, 1, ends_of(CALLS, UTC_CALENDAR, self.now)), Part(SEATS, 10)
        outcome = self.store.execute(Read(self.client.account, parts, scope))
        assert isinstance(outcome, Outcome)
        return any(line.used for line in outcome.lines)

    def teardown(self) -> None:
        """Delete the account, also after a failure, and close the store."""
        try:
            self.check_scopes()
            self.store.execute(Forget(self.client.account))
        finally:
            self.store.close()


class _ReferenceStore:
    """A memory store that takes the instant of each order as an argument, and can undo the last order."""

    def __init__(self) -> None:
        self._history: list[tuple[Order, int, Answer]] = []
        self._memory = MemoryStore(self._clock)

    def execute(self, order: Order, now: int) -> Answer:
        self._now = now
        answer = self._memory.execute(order)
        self._history.append((order, now, answer))
        return answer

    def undo(self) -> None:
        """Undo the last order: replay all earlier ones in a new store."""
        earlier = self._history[:-1]
        self._history, self._memory = [], MemoryStore(self._clock)
        for order, now, _ in earlier:
            self.execute(order, now)

    def expirations(self, after: int, until: int) -> list[int]:
        """Return the instants in between at which a reservation expires, settled ones included."""
        expirations = [
            answer.now + order.ttl
            for order, _, answer in self._history
            if isinstance(order, Charge) and order.verb is Verb.RESERVE and isinstance(answer, Outcome)
        ]
        return sorted(each for each in expirations if after < each < until)

    def _clock(self) -> int:
        return self._now


def _instant_of(answer: Answer) -> int | None:
    """Return the instant of the decision; None if the answer has none, or that of the first call of a repeat."""
    if isinstance(answer, Outcome) and answer.status is Status.REPLAYED:
        return None
    if isinstance(answer, Settled) and answer.replayed:
        return None
    return getattr(answer, "now", None)


class BlockingStore:
    """Blocking adapter of an async store: runs each order to completion on its own event loop."""

    def __init__(self, make: Callable[[FakeClock], AsyncStore], clock: FakeClock) -> None:
        self._runner = Runner()
        self._store = self._runner.run(_make_on_loop(make, clock))
        self.via = self._store.via
        self.keeps_versions = keeps_versions(self._store)

    def execute(self, order: Order, /) -> Answer:
        """Execute one order."""
        return self._runner.run(self._store.execute(order))

    def close(self) -> None:
        """Close the store and its loop."""
        with self._runner:
            self._runner.run(self._store.aclose())


async def _make_on_loop(make: Callable[[FakeClock], AsyncStore], clock: FakeClock) -> AsyncStore:
    return make(clock)
