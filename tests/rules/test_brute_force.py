"""The laws again, by brute force: a list of everything admitted, added up anew for each charge."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from deadlines import LONG
from histories import Clock, TimedRedis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import ends_around

from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part
from entitlements.model.instants import DAY, HOUR, MINUTE, SECOND
from entitlements.model.limits import Algorithm, Allocation, Quota, Rate
from entitlements.stores import MemoryStore

WINDOW = HOUR
WIDTH = WINDOW // 60
LIMITS = {
    "sliding": Rate("sliding", WINDOW, deadline=LONG),
    "fixed": Rate("fixed", WINDOW, Algorithm.FIXED, deadline=LONG),
    "bucket": Rate("bucket", WINDOW, Algorithm.TOKEN_BUCKET, deadline=LONG),
    "leads": Quota("leads", deadline=LONG),
    "agents": Allocation("agents", deadline=LONG),
    "per-user": Rate("per-user", WINDOW, per="user", deadline=LONG),
}


@dataclass
class Oracle:
    """Everything admitted, by meter: when, how many units, and of which size the limit was then."""

    admitted: dict[tuple[str, str | None], list[tuple[int, int, int]]] = field(default_factory=dict)

    def charge(self, parts, scope, now):
        """Return whether every part fits, and add all or nothing."""
        meters = [(part, (part.limit.name, scope if getattr(part.limit, "per", None) else None)) for part in parts]
        fits = all(self._fits(part, self.admitted.get(meter, []), now) for part, meter in meters)
        for part, meter in meters if fits else ():
            self.admitted.setdefault(meter, []).append((now, part.cost, part.size))
        return fits

    def _fits(self, part, log, now):
        if isinstance(part.limit, Allocation):
            return sum(cost for _, cost, _ in log) + part.cost <= part.size
        if isinstance(part.limit, Quota):
            _, start, end, _ = ends_around(None, now)
            return sum(cost for at, cost, _ in log if start <= at < end) + part.cost <= part.size
        if part.limit.algorithm is Algorithm.SLIDING:
            return sum(cost for at, cost, _ in log if at // WIDTH > now // WIDTH - 61) + part.cost <= part.size
        if part.limit.algorithm is Algorithm.FIXED:
            return sum(cost for at, cost, _ in log if at // WINDOW == now // WINDOW) + part.cost <= part.size
        return self._level(log, part.size, now) + part.cost <= part.size

    @staticmethod
    def _level(log, size, now):
        """Return what a bucket holds that drains at the larger of its present size and that of its last charge."""
        level, last, before = Fraction(0), 0, 0
        for at, cost, of in [*log, (now, 0, size)]:
            level = max(Fraction(0), level - Fraction(max(of, before) * (at - last), WINDOW)) + cost
            last, before = at, of
        return level


def ends(now):
    _, start, end, after = ends_around(None, now)
    return start, end, after, ends_around(None, after)[2]


@st.composite
def charges(draw):
    """Return how far the clock moves, the parts of a charge with sizes that change, and its scope."""
    names = draw(st.lists(st.sampled_from(sorted(LIMITS)), min_size=1, max_size=4, unique=True))
    sizes = st.sampled_from([7, 10, 10, 10, 13])
    parts = [(name, draw(sizes), draw(st.integers(1, 5) | st.just(10))) for name in names]
    moves = st.sampled_from(
        [0, 1, SECOND, WIDTH - 1, WIDTH, 10 * MINUTE, WINDOW - WIDTH, WINDOW, WINDOW + WIDTH, 9 * DAY]
    )
    return draw(moves), parts, draw(st.sampled_from(["ann", "zoë"]))


@pytest.mark.parametrize("kind", ["memory", "valkey"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(asked=st.lists(charges(), min_size=5, max_size=40))
def test_a_charge_is_admitted_exactly_if_all_its_limits_have_room_for_it(request, kind, asked):
    clock, oracle = Clock(), Oracle()
    with nullcontext() if kind == "memory" else request.getfixturevalue("valkey").client() as client:
        if client is None:
            store = MemoryStore(clock)
        else:
            client.flushdb()
            store = TimedRedis(client, clock)
        for number, (move, written, scope) in enumerate(asked):
            clock.now += move
            parts = tuple(
                Part(LIMITS[name], size, cost, ends(clock.now) if name == "leads" else None)
                for name, size, cost in written
            )
            is_scoped = any(name == "per-user" for name, *_ in written)
            only_rates = all(isinstance(part.limit, Rate) for part in parts)
            charge = Charge(
                "acme", parts, scope=scope if is_scoped else None, operation=None if only_rates else f"o:{number}"
            )

            assert oracle.charge(parts, scope, clock.now) == (store.execute(charge).status is Status.ADMITTED)
