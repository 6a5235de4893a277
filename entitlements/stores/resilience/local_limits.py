"""
This process's share of every rate, for as long as the store is away.

The same law as everywhere, run by a `MemoryStore` at ⌈N / processes⌉, and starting from
what this process last saw used. What was seen is kept for the accounts that were charged
most lately. A share goes on counting from one outage to the next, so that a store that
comes and goes hands out nothing twice.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from entitlements.model.answers import Outcome
from entitlements.model.charge import Charge, Part
from entitlements.model.names import MAX_COUNT
from entitlements.rules.outages import local_charge
from entitlements.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.answers import Way
    from entitlements.model.charge import MeterKey

SEEN = 50_000
"""Meters of which is kept what was last seen used: twice as many at most, 30 MB."""

_log = logging.getLogger("entitlements.stores")


def check_processes(expected: object) -> None:
    """
    Check how many processes the application says that there are.

    Raises:
        ValueError: For anything but None or an int of at least 1.
    """
    if expected is not None and (type(expected) is not int or not 1 <= expected <= MAX_COUNT):
        raise ValueError(f"expected_processes {expected!r} must be an int of at least 1")


def processes_of(expected: int | None) -> int:
    """
    Return how many processes share the limits.

    Args:
        expected: What the application says; None asks `WEB_CONCURRENCY`, and supposes 1
            with a warning where that says nothing.

    Raises:
        ValueError: For anything but an int of at least 1.
    """
    check_processes(expected)
    if expected is not None:
        return expected
    said = os.environ.get("WEB_CONCURRENCY", "")
    if said.isascii() and said.isdigit() and int(said) > 0:
        return int(said)
    _warn_once(
        f"WEB_CONCURRENCY {said!r} is no number of processes" if said else "how many share the limits is not known"
    )
    return 1


class Shares:
    """
    The rates of this process while the store is away.

    Args:
        processes: How many share each limit.
        clock: Monotonic microseconds.
        start: Microseconds since 1970 until the store has told its own.
    """

    def __init__(self, processes: int, clock: Callable[[], int], start: int) -> None:
        self.processes = processes
        self._clock = clock
        self.ahead = start - clock()
        """How far the store's clock is ahead of ours."""
        self._meters = MemoryStore(self.now)
        self._young: dict[MeterKey, tuple[int, int]] = {}
        self._old: dict[MeterKey, tuple[int, int]] = {}

    def now(self) -> int:
        """Return the store's clock, as far as it can be known here: it moves on by the monotonic one."""
        return self._clock() + self.ahead

    def see(self, order: Charge, outcome: Outcome, now: int) -> None:
        """
        Remember what the store said is used, and what time it is there.

        Args:
            order: What was asked.
            outcome: What it said.
            now: Our clock when it had said so.
        """
        at, lines = outcome[1], outcome[2]
        self.ahead = at - now
        if len(self._young) >= SEEN:
            self._old, self._young = self._young, {}
        if order.is_one_rate:
            if order.meter is not None and lines and lines[0][1]:
                self._young[order.meter] = (lines[0][1], at)
            return
        for part, line in zip(order.parts, lines):  # noqa: B905 - some outcomes have no lines
            if line.used and (meter := order.meter_of(part)):
                self._young[meter] = (line.used, at)

    def charge(self, order: Charge, ways: tuple[Way, ...]) -> Outcome | None:
        """Return what the parts that this process limits by itself get; None where there are none."""
        local = self._local(order, ways)
        if local is None:
            return None
        for part in local.parts:
            self._go_on(local, part)
        outcome = self._meters.execute(local)
        assert isinstance(outcome, Outcome)
        return outcome

    def _local(self, order: Charge, ways: tuple[Way, ...]) -> Charge | None:
        """Return the charge of what is limited here; one rate is charged again and again, so it carries its own."""
        if not order.is_one_rate:
            return local_charge(order, ways, self.processes)
        found: tuple[int, Charge | None] | None = order.shared
        if found is None or found[0] != self.processes:
            found = (self.processes, local_charge(order, ways, self.processes))
            object.__setattr__(order, "shared", found)
        return found[1]

    def _go_on(self, order: Charge, part: Part) -> None:
        meter = order.meter_of(part)
        assert meter is not None, "local_charge() leaves no other parts"
        older, seen = self._old.pop(meter, None), self._young.pop(meter, None)
        seen = seen or older
        if seen is not None and part.size:
            self._meters.go_on(order.account, meter[2], part, *seen)


_warned = False


def _warn_once(why: str) -> None:
    global _warned  # noqa: PLW0603 - once per process is what was promised
    if not _warned:
        _warned = True
        _log.warning(
            "%s, so 1 process is supposed while the store is away; pass expected_processes=, or set WEB_CONCURRENCY",
            why,
        )
