"""
Restoration: set the counters of a store to what the ledger adds up to.

Each difference is added to its counter, or taken back from it, by an order of its own, so charges that go on meanwhile
are neither lost nor counted twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.ledger.balance_parts import Booking, HeldBalance, PeriodBalance
from entitlements.ledger.comparison import Compared, Drift, running_period
from entitlements.ledger.counters import (
    Counters,
    HeldCount,
    QuotaCount,
    adjust_held,
    adjust_holder,
    adjust_quota,
    reserve_again,
)
from entitlements.ledger.reading import Tail
from entitlements.model.answers import Outcome, Status
from entitlements.model.charge import Charge
from entitlements.model.display import fields_in_json
from entitlements.model.instants import NEVER, to_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.ledger.balance_parts import Key
    from entitlements.ledger.balances import Balance
    from entitlements.model.charge import Ends, Order
    from entitlements.ports import Store


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """
    The result of `SqlLedger.rebuild`.

    Args:
        accounts: Accounts that were compared.
        restored: The differences that were set right.
        left: Those that were not: a reservation that only the store knows ends by itself, one that the store has a
            record of is not made again, and a past period cannot be counted once a later one has begun in the store.
        tails: Writers whose last entries may be missing from the ledger, and so from the counters.
    """

    accounts: int
    restored: tuple[Drift, ...]
    left: tuple[Drift, ...]
    tails: tuple[Tail, ...]

    to_dict = fields_in_json

    @property
    def units(self) -> int:
        """Units that were added to counters."""
        return sum(
            each.ledger - each.store
            for each in self.restored
            if isinstance(each.ledger, int) and isinstance(each.store, int) and each.ledger > each.store
            if each.what in ("used", "period")
        )


def restore(store: Store, compared: Compared) -> tuple[list[Drift], list[Drift]]:
    """Set the counters of one account right; return the differences that were set right, and those that were not."""
    if not compared.drifts:
        return [], []
    balance, counters = compared.balance, compared.counters
    for each in _past(balance, counters):
        store.execute(each)
    stuck: dict[Key, int] = {}
    for order in _reservations(balance, counters):
        answer = store.execute(order)
        if isinstance(answer, Outcome) and answer.status is not Status.ADMITTED:
            for part in order.parts:
                key = part.limit.name, (order.scope or "") if part.limit.per else ""
                stuck[key] = stuck.get(key, 0) + part.cost
    for each in _present(balance, counters, stuck):
        store.execute(each)
    left = [
        each for each in compared.drifts if (each.limit, each.scope or "") in stuck or _stays(each, balance, counters)
    ]
    return [each for each in compared.drifts if each not in left], left


def _stays(drift: Drift, balance: Balance, counters: Counters) -> bool:
    """Return True for a difference that no order sets right."""
    if drift.what == "reserved":
        return isinstance(drift.store, int) and isinstance(drift.ledger, int) and drift.store > drift.ledger
    if drift.period is not None:
        key, start = (drift.limit, drift.scope or ""), to_instant(drift.period)
        running = running_period(balance.quotas.get(key, {}), counters.now)
        return not _can_count(start, counters.quotas[key], running)
    return drift.what == "count"


def _can_count(start: int, quota: QuotaCount, running: PeriodBalance | None) -> bool:
    """Return True if a store can count in the period of *start*: it has it, or it is newer than all that it has."""
    if running is not None and quota.start is not None and quota.start != running.start:
        return start not in (quota.start, running.start) and start in quota.used
    return start in quota.used or not any(each > start for each in quota.used)


def _reservations(balance: Balance, counters: Counters) -> Iterator[Charge]:
    """Yield the orders that make the reservations again that a store lacks."""
    ends: dict[Key, Ends] = {}
    for key, periods in balance.quotas.items():
        running = running_period(periods, counters.now)
        if running is not None:
            ends[key] = (running.start, running.start, running.end, min(running.end + 1, NEVER))
    for id, booking in balance.bookings.items():
        is_open = all(part.start is None or part.key in ends for part in booking.parts)
        if is_open and _is_missing(booking, balance, counters):
            yield reserve_again(balance.account, id, booking, ends, counters.now)


def _past(balance: Balance, counters: Counters) -> Iterator[Order]:
    """Yield the orders that set periods that are over, the oldest first: a store adds periods at the end."""
    for key, quota in counters.quotas.items():
        periods = balance.quotas.get(key, {})
        running = running_period(periods, counters.now)
        for start in sorted({*periods, *quota.used} - {_current(quota, running)}):
            period = periods.get(start, PeriodBalance(start, _end_after(start, periods)))
            units = period.used - period.reserved - quota.used.get(start, 0)
            if units and _can_count(start, quota, running):
                yield adjust_quota(balance.account, key, period, units, counters.now)


def _present(balance: Balance, counters: Counters, stuck: Mapping[Key, int]) -> Iterator[Order]:
    """Yield the orders that set running periods and allocations; units of reservations that are *stuck* count as used."""
    for key, quota in counters.quotas.items():
        periods = balance.quotas.get(key, {})
        running = running_period(periods, counters.now)
        start = _current(quota, running)
        if start is None or not _can_count(start, quota, running):
            continue
        period = periods.get(start, PeriodBalance(start, counters.now + 1))
        wanted = period.used - period.reserved + stuck.get(key, 0)
        units = wanted - (quota.used.get(start, 0) - quota.reserved)
        if units:
            yield adjust_quota(balance.account, key, period, units, counters.now)
    for key, held in counters.held.items():
        yield from _held_orders(balance, key, held, stuck.get(key, 0))


def _current(quota: QuotaCount, running: PeriodBalance | None) -> int | None:
    """Return the start of the running period of a quota: the store's, if it has one."""
    return quota.start if quota.start is not None else (running.start if running else None)


def _held_orders(balance: Balance, key: Key, count: HeldCount, stuck: int) -> Iterator[Order]:
    held = balance.held.get(key, HeldBalance())
    for holder in set(count.holders) - set(held.holders):
        yield adjust_holder(balance.account, key, holder, holds=False)
    for holder in held.holders:
        if holder not in count.holders:
            yield adjust_holder(balance.account, key, holder, holds=True)
    if held.anonymous + stuck != count.anonymous:
        yield adjust_held(balance.account, key, held.anonymous + stuck - count.anonymous)


def _is_missing(booking: Booking, balance: Balance, counters: Counters) -> bool:
    """Return True if a store has fewer units reserved than the ledger, of a limit of this reservation."""
    for part in booking.parts:
        if part.start is None:
            stored, wanted = counters.held[part.key].reserved, balance.held[part.key].reserved
        else:
            stored = counters.quotas[part.key].reserved
            wanted = sum(period.reserved for period in balance.quotas[part.key].values())
        if stored < wanted:
            return True
    return False


def _end_after(start: int, periods: Mapping[int, PeriodBalance]) -> int:
    """Return the end of a period that only the store knows: the start of the next one, if there is one."""
    return min((each for each in periods if each > start), default=start + 1)
