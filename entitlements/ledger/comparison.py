"""
Comparison of counters with the ledger, at one instant of the store's clock.

The counters of an account are read at an instant *t* of the store. What the ledger adds up to at *t* is what they must
be: later entries do not matter, so charges may go on meanwhile. Entries reach the ledger within a moment (`settle`),
for which the comparison waits. Refunds and releases have no instant of the store's own, only that of their reply, so
an account with one of them around *t* is read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from entitlements.ledger import reading
from entitlements.ledger.balance_parts import HeldBalance, Key, PeriodBalance
from entitlements.ledger.balances import Balance
from entitlements.ledger.counters import Counters, HeldCount, QuotaCount, read_counters, read_scopes
from entitlements.ledger.entries import Entry, is_uncertain
from entitlements.ledger.errors import AccountBusy
from entitlements.model.display import fields_in_json
from entitlements.model.instants import SECOND, to_datetime
from entitlements.model.names import nearest, shown
from entitlements.rules.counted_meters import KEPT_PERIODS

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from entitlements.ports import Store

Counts = Mapping[str, Callable[[str], int]]
"""By limit, a function that counts what an account holds in a database of the application."""

_ATTEMPTS = 5
_MOMENT = SECOND // 2


@dataclass(frozen=True, slots=True)
class Drift:
    """
    A counter that differs from the ledger, or from a count of the application.

    Args:
        account: The account.
        limit: The limit.
        what: `used`, `reserved`, `holders`, `period` (a past one) or `count`.
        store: The value in the store: units, or the holders that the ledger does not know.
        ledger: The value by the ledger: units, or the holders that the store does not know.
        counted: The application's count; None unless *what* is `count`.
        period: The first instant of the quota's period, aware UTC; else None.
        scope: The scope of a limit with a `per`; None for a limit of the account.
    """

    account: str
    limit: str
    what: str
    store: int | tuple[str, ...]
    ledger: int | tuple[str, ...]
    counted: int | None = None
    period: datetime | None = None
    scope: str | None = None

    to_dict = fields_in_json

    def __str__(self) -> str:
        """Return one line for people."""
        when = f" of {self.scope}" if self.scope else ""
        when += f" in the period of {self.period.isoformat()}" if self.period else ""
        if self.what == "holders":
            extra = (
                [f"unknown to the ledger: {', '.join(self.store)}"]
                if isinstance(self.store, tuple) and self.store
                else []
            )
            gone = [f"missing: {', '.join(self.ledger)}"] if isinstance(self.ledger, tuple) and self.ledger else []
            return f"{self.account}: holders of {self.limit}{when}: {'; '.join(extra + gone)}"
        told = f", {self.counted} counted" if self.counted is not None else ""
        what = "used" if self.what in ("period", "count") else self.what
        return (
            f"{self.account}: {self.limit}{when}: {self.store} {what} in the store, {self.ledger} by the ledger{told}"
        )


@dataclass(slots=True)
class Compared:
    """An account's counters and its balance at the same instant, and what differs."""

    balance: Balance
    counters: Counters
    drifts: list[Drift]


def compare(
    engine: Engine,
    store: Store,
    accounts: Iterable[Sequence[str]],
    *,
    settle: float,
    counts: Counts | None = None,
    limits: Mapping[str, str] | None = None,
    flush: Callable[[], None] = lambda: None,
) -> Iterator[Compared]:
    """
    Compare accounts, page by page.

    Args:
        engine: The engine of the ledger.
        store: The store.
        accounts: Pages of ids.
        settle: Seconds within which entries reach the ledger.
        counts: Counts of the application.
        limits: Kinds of further limits.
        flush: Writes what this process has recorded.

    Raises:
        AccountBusy: For an account whose units come back without pause.
        ValueError: For a count of a limit that the ledger does not know, and *limits* does not name.
    """
    known = _known_limits(engine, counts or {}, limits or {})
    for page in accounts:
        left = list(page)
        for _ in range(_ATTEMPTS):
            counters = read_counters(store, _wanted(engine, store, left, known))
            read = int(time.time() * SECOND)
            flush()
            if settle:
                time.sleep(settle)
                flush()
            took = int(time.time() * SECOND) - read
            busy = []
            with engine.connect() as connection:
                cuts = {id: each.cuts for id, each in counters.items()}
                for balance, later in reading.balances(connection, list(counters), cuts):
                    found = counters[balance.account]
                    if _is_busy(later, found.now, took):
                        busy.append(balance.account)
                    else:
                        yield Compared(balance, found, differences(balance, found, counts))
            left = busy
            if not left:
                break
        else:
            raise AccountBusy(
                f"account {left[0]!r} gets units back without pause, so that its counters have no instant to compare at;"
                " pause its refunds and releases, or try again"
            )


def _known_limits(engine: Engine, counts: Counts, limits: Mapping[str, str]) -> dict[tuple[str, bool], str]:
    """Return the kinds of all limits, by name and by whether they have a scope."""
    with engine.connect() as connection:
        known = reading.limits_of(connection)
        for name, kind in limits.items():
            known.setdefault((name, False), kind)
        if any((name, False) not in known for name in counts):  # it may have had no entry for months
            for keys in reading.kept_limits(connection).values():
                known |= {(name, False): kind for (name, scope), kind in keys.items() if not scope}
    counted = {name for (name, has_scope), kind in known.items() if kind != "rate" and not has_scope}
    for name in counts:
        if name not in counted:
            cure = f"if it has never been charged, name its kind: limits={{{name!r}: 'allocation'}}"
            raise ValueError(
                f"count of {shown(name)}: the ledger has no quota and no allocation of that name"
                f"{nearest(name, counted)}; {cure}"
            )
    return known


def _wanted(
    engine: Engine, store: Store, accounts: Sequence[str], known: Mapping[tuple[str, bool], str]
) -> dict[str, list[tuple[Key, str]]]:
    """Return the limits and scopes to read of each account; those of scopes, where any limit has some."""
    counted = {each: kind for each, kind in known.items() if kind != "rate"}
    with engine.connect() as connection:
        kept = reading.kept_limits(connection, accounts)
        is_scoped = any(has_scope for _, has_scope in counted) or any(key[1] for keys in kept.values() for key in keys)
        scopes = reading.scopes_of(connection, accounts) if is_scoped else {}
    wanted = {}
    for id in accounts:
        own: dict[Key, str] = {(name, ""): kind for (name, has_scope), kind in counted.items() if not has_scope}
        own |= kept.get(id, {})
        if is_scoped:
            scoped = {name: kind for (name, has_scope), kind in counted.items() if has_scope}
            scoped |= {name: kind for (name, scope), kind in kept.get(id, {}).items() if scope}
            for scope in sorted(scopes.get(id, set()) | read_scopes(store, id)):
                own |= {(name, scope): kind for name, kind in scoped.items()}
        wanted[id] = list(own.items())
    return wanted


def _is_busy(later: list[Entry], cut: int, took: int) -> bool:
    """Return True if an entry may have been carried out on the other side of the cut than its instant says."""
    return any(is_uncertain(entry.kind) and entry.at <= cut + max(_MOMENT, took // 2) for entry in later)


def differences(balance: Balance, counters: Counters, counts: Counts | None = None) -> list[Drift]:
    """Return what differs between an account's counters and its balance."""
    found: list[Drift] = []
    id = balance.account
    for key, quota in counters.quotas.items():
        found += _quota_drifts(id, key, balance.quotas.get(key, {}), quota, counters.now)
    for key, held in counters.held.items():
        found += _held_drifts(id, key, balance.held.get(key, HeldBalance()), held)
    for limit, count in (counts or {}).items():
        counted = _counted(count, id, limit)
        store, ledger = used_now(limit, balance, counters)
        if counted != store or counted != ledger:
            found.append(Drift(id, limit, "count", store, ledger, counted))
    return found


def _counted(count: Callable[[str], int], id: str, limit: str) -> int:
    counted = count(id)
    if type(counted) is not int:
        raise ValueError(f"count of {limit!r} returned {shown(counted)} for account {id!r}; return the units as an int")
    return counted


def used_now(limit: str, balance: Balance, counters: Counters) -> tuple[int, int]:
    """Return the present usage of a limit in the store and by the ledger."""
    key: Key = (limit, "")
    if key in counters.quotas:
        quota = counters.quotas[key]
        running = running_period(balance.quotas.get(key, {}), counters.now)
        store = 0 if quota.start is None else quota.used.get(quota.start, 0)
        return store, 0 if running is None else running.used
    held = counters.held.get(key, HeldCount())
    return held.used, balance.held.get(key, HeldBalance()).used


def running_period(periods: Mapping[int, PeriodBalance], now: int) -> PeriodBalance | None:
    """Return the period of a quota that runs; None if none has begun."""
    newest = max(periods.values(), key=lambda period: period.start, default=None)
    return newest if newest is not None and newest.end > now else None


def _quota_drifts(
    id: str, key: Key, periods: Mapping[int, PeriodBalance], quota: QuotaCount, now: int
) -> Iterator[Drift]:
    limit, scope = key[0], key[1] or None
    running = running_period(periods, now)
    current = quota.start if quota.start is not None else (running.start if running else None)
    kept = sorted({*periods, *quota.used}, reverse=True)[:KEPT_PERIODS]
    for start in kept:
        period = periods.get(start)
        store, ledger = quota.used.get(start, 0), period.used if period else 0
        if store != ledger:
            what = "used" if start == current else "period"
            yield Drift(id, limit, what, store, ledger, period=to_datetime(start), scope=scope)
    reserved = sum(period.reserved for period in periods.values() if period.start == current)
    if reserved != quota.reserved:
        when = None if current is None else to_datetime(current)
        yield Drift(id, limit, "reserved", quota.reserved, reserved, period=when, scope=scope)


def _held_drifts(id: str, key: Key, held: HeldBalance, count: HeldCount) -> Iterator[Drift]:
    limit, scope = key[0], key[1] or None
    if held.used != count.used:
        yield Drift(id, limit, "used", count.used, held.used, scope=scope)
    if held.reserved != count.reserved:
        yield Drift(id, limit, "reserved", count.reserved, held.reserved, scope=scope)
    extra, missing = set(count.holders) - set(held.holders), set(held.holders) - set(count.holders)
    if extra or missing:
        yield Drift(id, limit, "holders", tuple(sorted(extra)), tuple(sorted(missing)), scope=scope)
