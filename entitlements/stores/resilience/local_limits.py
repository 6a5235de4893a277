"""
Local limits: this process's part of every rate while the store is away.

A `MemoryStore` applies the same law at ⌈N / processes⌉, starting from what this process last saw used.
The last seen usage is kept for the accounts that were charged most recently. A local meter goes on from
one outage to the next, so that a store that fails repeatedly hands out no unit twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.charge import Charge, Part
from entitlements.model.limits import Rate
from entitlements.rules.fallbacks import fallbacks_of, local_charge
from entitlements.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.answers import Fallback, Outcome
    from entitlements.model.charge import MeterKey, ResetRate

MAX_SEEN = 50_000
"""Meters whose last seen usage is kept: twice as many at most, 30 MB."""


class LocalLimits:
    """
    Decides rates in this process while the store is away.

    Args:
        processes: The number of processes that share each limit.
        clock: Monotonic microseconds.
        start: The time in microseconds since 1970, until the store's own is known.
    """

    def __init__(self, processes: int, clock: Callable[[], int], start: int) -> None:
        self.processes = processes
        self._clock = clock
        self.clock_offset = start - clock()
        """Microseconds by which the store's clock is ahead of the monotonic one."""
        self._meters = MemoryStore(self.now)
        self._recent: dict[MeterKey, tuple[int, int]] = {}
        self._previous: dict[MeterKey, tuple[int, int]] = {}

    def now(self) -> int:
        """Return the store's time as estimated here: its last reply plus the monotonic time since."""
        return self._clock() + self.clock_offset

    def observe(self, order: Charge, outcome: Outcome, now: int) -> None:
        """
        Keep the usage and the time that the store replied with.

        Args:
            order: The charge.
            outcome: The store's reply.
            now: When it arrived, on the clock.
        """
        at, lines = outcome[1], outcome[2]
        self.clock_offset = at - now
        if len(self._recent) >= MAX_SEEN:
            self._previous, self._recent = self._recent, {}
        derived = order.derived
        if derived.meters is None:
            meters = [(place, order.meter_of(part)) for place, part in enumerate(order.parts)]
            derived.meters = tuple([(place, meter) for place, meter in meters if meter is not None])
        if lines:
            for place, meter in derived.meters:
                if used := lines[place][1]:
                    self._recent[meter] = (used, at)

    def reset(self, order: ResetRate) -> None:
        """Forget what is known here of a meter that was emptied."""
        limit = order.part.limit
        assert isinstance(limit, Rate)
        meter = order.account, limit.meter_name, order.scope
        self._recent.pop(meter, None)
        self._previous.pop(meter, None)
        self._meters.execute(order)

    def charge(self, order: Charge) -> tuple[tuple[Fallback, ...], Outcome | None]:
        """Return the fallback of each part, and the outcome of those that are limited in this process, if any."""
        derived = order.derived
        if derived.local is None or derived.local[0] != self.processes:
            fallbacks = fallbacks_of(order)
            derived.local = (self.processes, fallbacks, local_charge(order, fallbacks, self.processes))
        _, fallbacks, local = derived.local
        if local is None:
            return fallbacks, None
        for part in local.parts:
            self._resume(local, part)
        return fallbacks, self._meters.execute(local)  # type: ignore[return-value]  # of a charge

    def _resume(self, order: Charge, part: Part) -> None:
        meter = order.meter_of(part)
        assert meter is not None, "local_charge() leaves no other parts"
        older, seen = self._previous.pop(meter, None), self._recent.pop(meter, None)
        seen = seen or older
        if seen is not None and part.size:
            self._meters.resume_rate(order.account, meter[2], part, *seen)
