"""Counters of a store, read and set by its orders: no policy and no account is needed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from entitlements.errors import StoreError
from entitlements.ledger.entries import read_size
from entitlements.model.answers import Line, Outcome, Periods, ScopePage
from entitlements.model.charge import (
    Charge,
    Ends,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    ReadScopes,
    Refund,
    Release,
    Unassign,
    Verb,
)
from entitlements.model.instants import NEVER, SECOND
from entitlements.model.limits import UNLIMITED, Allocation, Quota
from entitlements.model.names import MAX_COUNT
from entitlements.model.sequence import sequence_id
from entitlements.stores.batch import execute_many

if TYPE_CHECKING:
    from entitlements.ledger.balance_parts import Booking, Key, PeriodBalance
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.ports import Store

_ANY: Ends = (0, 0, MAX_COUNT - 1, MAX_COUNT)
"""Period ends under which a store reads the period that runs, whichever it is."""
_DEADLINE = 10 * SECOND


@dataclass(slots=True)
class QuotaCount:
    """
    A quota as a store counts it.

    Args:
        used: Units used by the start of each kept period.
        start: The start of the running period; None if none has begun.
        reserved: Units reserved in the running period.
    """

    used: dict[int, int] = field(default_factory=dict)
    start: int | None = None
    reserved: int = 0


@dataclass(slots=True)
class HeldCount:
    """An allocation as a store counts it."""

    used: int = 0
    reserved: int = 0
    holders: tuple[str, ...] = ()

    @property
    def anonymous(self) -> int:
        """Units that no name and no reservation holds."""
        return max(0, self.used - self.reserved - len(self.holders))


@dataclass(slots=True)
class Counters:
    """
    The counters of one account, each by limit and scope.

    Args:
        cuts: The instant at which each scope was read, by the store's clock; "" is the account itself.
        quotas: Its quotas.
        held: Its allocations.
    """

    cuts: dict[str, int] = field(default_factory=dict)
    quotas: dict[Key, QuotaCount] = field(default_factory=dict)
    held: dict[Key, HeldCount] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """The earliest of its instants."""
        return min(self.cuts.values())


def limit_of(key: Key, kind: str) -> Quota | Allocation:
    """Return a limit of that name, for orders: a store knows limits by name, and by whether they have scopes."""
    name, scope = key
    per = "scope" if scope else None
    if kind == "quota":
        return Quota(name, deadline=_DEADLINE, per=per)
    return Allocation(name, deadline=_DEADLINE, per=per)


def read_counters(store: Store, wanted: Mapping[str, Sequence[tuple[Key, str]]]) -> dict[str, Counters]:
    """
    Read the counters of accounts, in few round trips.

    Args:
        store: The store.
        wanted: By account, the limits and scopes to read, each with its kind: `quota` or `allocation`.

    Raises:
        StoreError: If the store failed.
    """
    asked = [
        (account, scope, tuple(_part(key, kind) for key, kind in limits if key[1] == scope))
        for account, limits in wanted.items()
        for scope in sorted({key[1] for key, _ in limits})
    ]
    orders = [order for account, scope, parts in asked for order in _reads(account, scope or None, parts)]
    answers = iter(execute_many(store, orders))
    found: dict[str, Counters] = {}
    for account, scope, parts in asked:
        _add_counters(found, account, scope, parts, answers)
    return found


def _part(key: Key, kind: str) -> Part:
    return Part(limit_of(key, kind), UNLIMITED, 1, _ANY if kind == "quota" else None)


def _reads(account: str, scope: str | None, parts: tuple[Part, ...]) -> Iterator[Order]:
    yield Read(account, parts, scope)
    for part in parts:
        if isinstance(part.limit, Quota):
            yield ReadHistory(account, part, scope)
        else:
            yield ReadHolders(account, part.limit.name, scope)


def _add_counters(
    found: dict[str, Counters], account: str, scope: str, parts: tuple[Part, ...], replies: Iterator[Answer]
) -> None:
    """Add the counters of one scope."""
    whole = next(replies)
    if not isinstance(whole, Outcome) or not whole.lines:
        raise StoreError(f"the counters of account {account!r} cannot be read: {whole!r}")
    counters = found.setdefault(account, Counters())
    counters.cuts[scope] = whole.now
    for part, line in zip(parts, whole.lines, strict=True):
        more, key = next(replies), (part.limit.name, scope)
        if isinstance(part.limit, Quota):
            assert isinstance(more, Periods)
            used = {each.start: each.used for each in more.counts if each.used}
            started = bool(line.used) or line.mark in used
            if started:
                used[line.mark] = line.used or 0
            counters.quotas[key] = QuotaCount(used, line.mark if started else None, line.reserved)
        else:
            counters.held[key] = HeldCount(line.used or 0, line.reserved, more)  # type: ignore[arg-type]


def read_scopes(store: Store, account: str) -> set[str]:
    """Return the scopes of an account that have a record in a store."""
    found: set[str] = set()
    after = ""
    while True:
        page = store.execute(ReadScopes(account, after))
        assert isinstance(page, ScopePage)
        found.update(page.scopes)
        if page.after is None:
            return found
        after = page.after


# --- Orders that set a counter ------------------------------------------------------------------------------------


def adjust_quota(account: str, key: Key, period: PeriodBalance, units: int, now: int) -> Order:
    """Return the order that adds units, or takes them back if negative, in a period of a quota."""
    end, limit, scope = max(period.end, period.start + 1), limit_of(key, "quota"), key[1] or None
    ends = (period.start, period.start, end, min(end + 1, NEVER))
    if units < 0:
        line = Line(True, None, mark=period.start, taken=-units)
        return Refund(account, _operation(), taken=((Part(limit, read_size(period.size), 1, ends), line),), scope=scope)
    made_at = None if period.end > now else period.start
    return Charge(account, (Part(limit, UNLIMITED, units, ends),), scope=scope, operation=_operation(), made_at=made_at)


def adjust_held(account: str, key: Key, units: int) -> Order:
    """Return the order that adds anonymous units of an allocation, or takes them back if negative."""
    if units < 0:
        return Release(account, key[0], -units, key[1] or None)
    part = Part(limit_of(key, "allocation"), UNLIMITED, units)
    return Charge(account, (part,), scope=key[1] or None, operation=_operation())


def adjust_holder(account: str, key: Key, holder: str, *, holds: bool) -> Order:
    """Return the order that gives a holder a unit, or takes it."""
    if not holds:
        return Unassign(account, key[0], holder, key[1] or None)
    part, operation = Part(limit_of(key, "allocation"), UNLIMITED), f"o:{secrets.token_hex(8)}"
    return Charge(account, (part,), Verb.ASSIGN, key[1] or None, operation, holder=holder)


def reserve_again(account: str, id: str, booking: Booking, ends: Mapping[Key, Ends], now: int) -> Charge:
    """Return the order that makes an open reservation again; one that is still there is recognised by its id."""
    parts = tuple(
        Part(limit_of(part.key, "allocation"), UNLIMITED, part.units)
        if part.start is None
        else Part(limit_of(part.key, "quota"), UNLIMITED, part.units, ends[part.key])
        for part in booking.parts
    )
    scope = next((part.key[1] for part in booking.parts if part.key[1]), None)
    left = max(1, booking.expires - now)
    return Charge(account, parts, Verb.RESERVE, scope, id, id.startswith("k:"), left)


def _operation() -> str:
    """Return an operation id of a producer of its own, so that nothing that is open elsewhere is settled by it."""
    return sequence_id(secrets.token_hex(8), 1)
