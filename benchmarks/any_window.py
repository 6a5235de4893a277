"""
Measure how many units a limiter admits in *any* window, under traffic that looks for the worst one.

    python -m benchmarks.any_window redis://localhost:6379 [--accounts 60] [--rounds 3]

Each account is a task. It makes the same calls against our sliding window and against the sliding-window
counter of `limits`, at the same instants: one call just after a sub-bucket began, the rest of the limit
just before that window ends, as many as possible just under a window later, and then for one more window
a call on either side of every edge between two sub-buckets.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from limits import RateLimitItemPerSecond
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string
from redis.asyncio import BlockingConnectionPool

from benchmarks.rounds import environment
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part
from entitlements.model.limits import Rate
from entitlements.stores.redis import AsyncRedisStore

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000
SECONDS, LIMIT = 2, 100
WINDOW = SECONDS * SECOND
WIDTH = -(-WINDOW // 60)
NEAR = 0.004
"""Seconds before or after an edge that a call is made."""


class Admission(NamedTuple):
    """
    One admitted call, in microseconds.

    Args:
        earliest: It was counted at this instant or later.
        latest: It was counted at this instant or before.
        cost: Units.
    """

    earliest: int
    latest: int
    cost: int


@dataclass
class Contestant:
    """
    A limiter and what it admitted.

    Args:
        name: Its name in the table.
        hit: Takes an account and a cost; returns the admission, or None.
        admitted: By account.
        calls: How many were made.
    """

    name: str
    hit: Callable
    admitted: dict[str, list[Admission]] = field(default_factory=dict)
    calls: int = 0

    @property
    def most(self) -> dict[str, int]:
        """The most units in any window, by account."""
        return {account: most_in_any_window(admissions) for account, admissions in self.admitted.items()}

    async def take(self, account: str, cost: int) -> None:
        """Make one call and note what it admitted."""
        self.calls += 1
        admission = await self.hit(account, cost)
        if admission:
            self.admitted.setdefault(account, []).append(admission)


def most_in_any_window(admissions: list[Admission], window: int = WINDOW) -> int:
    """Return the most units that certainly fell into one half-open window (t - window, t]."""
    most = 0
    for first in admissions:
        within = [
            each for each in admissions if each.earliest >= first.earliest and each.latest - first.earliest < window
        ]
        most = max(most, sum(each.cost for each in within))
    return most


async def compete(url: str, *, accounts: int, rounds: int = 1, window: int = WINDOW) -> list[Contestant]:
    """
    Play the script for every account against both limiters, and return what each admitted.

    Args:
        url: Of a Redis or a Valkey.
        accounts: How many at once.
        rounds: How often, each time with new accounts.
        window: The window that ours is configured with.
    """
    store = AsyncRedisStore(url)
    pool = BlockingConnectionPool.from_url(url, max_connections=32, timeout=20)  # as many as ours has
    theirs = storage_from_string(f"async+{url}", implementation="redispy", connection_pool=pool)
    contestants = [
        Contestant("entitlements, sliding", ours(store, window)),
        Contestant("limits, sliding-window-counter", sliding_window_counter(theirs)),
    ]
    run = uuid4().hex[:8]
    try:
        for number in range(rounds):
            names = [f"any-window-{run}-{number}-{account}" for account in range(accounts)]
            await asyncio.gather(*(_play(contestants, name) for name in names))
    finally:
        await store.aclose()
        await pool.aclose()
    return contestants


def ours(store: AsyncRedisStore, window: int = WINDOW) -> Callable:
    """Return our sliding window; the reply has the server's time of counting."""
    part = Part(Rate("api", window, deadline=5 * SECOND), LIMIT)

    async def hit(account, cost):
        outcome = await store.execute(Charge(account, (part._replace(cost=cost),)))
        return Admission(outcome.now, outcome.now, cost) if outcome.status is Status.ADMITTED else None

    return hit


def sliding_window_counter(storage) -> Callable:
    """Return the sliding-window counter of `limits`; it counted between call and reply."""
    limiter, item = SlidingWindowCounterRateLimiter(storage), RateLimitItemPerSecond(LIMIT, SECONDS)

    async def hit(account, cost):
        asked = time.time_ns() // 1000
        admitted = await limiter.hit(item, account, cost=cost)
        return Admission(asked, time.time_ns() // 1000, cost) if admitted else None

    return hit


async def _play(contestants: list[Contestant], account: str) -> None:
    """Make the calls of one account, at a different time within the first window."""
    now = time.time() + random.uniform(0.1, SECONDS)
    start = (int(now * SECOND) // WIDTH * WIDTH) / SECOND + NEAR
    await _all(contestants, account, start, [1])
    for burst in (start + SECONDS - 3 * NEAR, start + 2 * SECONDS - 4 * NEAR):
        await _all(contestants, account, burst, [random.randint(5, 15) for _ in range(10)] + [5] * 10)
        await _all(contestants, account, burst, [1] * 15)  # up to the limit
    edges = [start - NEAR + (edge * WIDTH) / SECOND for edge in range(120, 182)]
    for edge in edges:
        await _all(contestants, account, edge - NEAR, [random.randint(1, 9)])
        await _all(contestants, account, edge, [random.randint(1, 9)])


async def _all(contestants: list[Contestant], account: str, at: float, costs: list[int]) -> None:
    """Make these calls at once, at the instant *at*, to every contestant."""
    await asyncio.sleep(max(0, at - time.time()))
    await asyncio.gather(*(each.take(account, cost) for each in contestants for cost in costs))


def table(contestants: list[Contestant]) -> str:
    """Return the results, one line each."""
    lines = [
        f"{f'limit: {LIMIT} in {SECONDS} s':<34}{'most in any window':>20}{'accounts above':>18}{'units admitted':>18}"
    ]
    for each in contestants:
        most = each.most.values()
        above = f"{sum(units > LIMIT for units in most)} of {len(most)}"
        units = sum(admission.cost for admissions in each.admitted.values() for admission in admissions)
        lines.append(f"{each.name:<34}{max(most):>20}{above:>18}{units:>18,}")
    return "\n".join(lines)


def main() -> int:
    """Compete, and print what was the most in any window of each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.any_window", description=__doc__.split("\n\n")[0])
    parser.add_argument("url", help="of a Redis or a Valkey, such as redis://localhost:6379")
    parser.add_argument("--accounts", type=int, default=60, help="at once")
    parser.add_argument("--rounds", type=int, default=3, help="each with new accounts")
    options = parser.parse_args()
    contestants = asyncio.run(compete(options.url, accounts=options.accounts, rounds=options.rounds))
    print(environment())
    print(f"{options.rounds} x {options.accounts} accounts\n")
    print(table(contestants))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
