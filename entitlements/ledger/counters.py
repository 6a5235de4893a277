"""Counters of a store, read and set by its orders: no policy and no account is needed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from entitlements.errors import StoreError
from entitlements.ledger.entries import read_size
from entitlements.model.answers import Line, Outcome, Periods
from entitlements.model.charge import (
    Charge,
    Ends,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    Refund,
    Release,
    Unassign,
    Verb,
)
from entitlements.model.instants import NEVER, SECOND
from entitlements.model.limits import UNLIMITED, Allocation, Quota, Size
from entitlements.model.names import MAX_COUNT
from entitlements.model.sequence import sequence_id
from entitlements.stores.batch import execute_many

if TYPE_CHECKING:
    from entitlements.ledger.balances import Booking, PeriodBalance
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
    """The counters of one account at *now*, by the store's clock."""

    now: int
    quotas: dict[str, QuotaCount]
    held: dict[str, HeldCount]


def limit_of(name: str, kind: str) -> Quota | Allocation:
    """Return a limit of that name, for orders: a store knows limits by name."""
    return Quota(name, deadline=_DEADLINE) if kind == "quota" else Allocation(name, deadline=_DEADLINE)


def read_counters(store: Store, accounts: Sequence[str], limits: Mapping[str, str]) -> dict[str, Counters]:
    """
    Read the counters of accounts, in few round trips.

    Args:
        store: The store.
        accounts: Their ids.
        limits: The kind of each limit: `quota` or `allocation`; others are left out.

    Raises:
        StoreError: If the store failed.
    """
    known = [limit_of(name, kind) for name, kind in limits.items() if kind != "rate"]
    if not known:
        return {}
    parts = tuple(Part(limit, UNLIMITED, 1, _ANY if isinstance(limit, Quota) else None) for limit in known)
    per_account: list[Order] = []
    for account in accounts:
        per_account.append(Read(account, parts))
        per_account += [
            ReadHistory(account, part) if isinstance(part.limit, Quota) else ReadHolders(account, part.limit.name)
            for part in parts
        ]
    answers = iter(execute_many(store, per_account))
    return {account: _counters(account, parts, answers) for account in accounts}


def _counters(account: str, parts: tuple[Part, ...], answers: Iterable[Answer]) -> Counters:
    replies = iter(answers)
    whole = next(replies)
    if not isinstance(whole, Outcome) or not whole.lines:
        raise StoreError(f"the counters of account {account!r} cannot be read: {whole!r}")
    counters = Counters(whole.now, {}, {})
    for part, line in zip(parts, whole.lines, strict=True):
        more = next(replies)
        if isinstance(part.limit, Quota):
            assert isinstance(more, Periods)
            used = {each.start: each.used for each in more.counts if each.used}
            started = bool(line.used) or line.mark in used
            if started:
                used[line.mark] = line.used or 0
            counters.quotas[part.limit.name] = QuotaCount(used, line.mark if started else None, line.reserved)
        else:
            counters.held[part.limit.name] = HeldCount(line.used or 0, line.reserved, more)  # type: ignore[arg-type]
    return counters


# --- Orders that set a counter ------------------------------------------------------------------------------------


def adjust_quota(account: str, limit: str, period: PeriodBalance, units: int, now: int) -> Order:
    """Return the order that adds units, or takes them back if negative, in a period of a quota."""
    end = max(period.end, period.start + 1)
    ends = (period.start, period.start, end, min(end + 1, NEVER))
    size: Size = read_size(period.size)
    if units < 0:
        part = Part(limit_of(limit, "quota"), size, 1, ends)
        return Refund(account, _operation(), taken=((part, Line(True, None, mark=period.start, taken=-units)),))
    made_at = None if period.end > now else period.start
    return _uncapped(account, Part(limit_of(limit, "quota"), UNLIMITED, units, ends), made_at=made_at)


def adjust_held(account: str, limit: str, units: int) -> Order:
    """Return the order that adds anonymous units of an allocation, or takes them back if negative."""
    if units < 0:
        return Release(account, limit, -units)
    return _uncapped(account, Part(limit_of(limit, "allocation"), UNLIMITED, units))


def adjust_holder(account: str, limit: str, holder: str, *, holds: bool) -> Order:
    """Return the order that gives a holder a unit, or takes it."""
    if not holds:
        return Unassign(account, limit, holder)
    part = Part(limit_of(limit, "allocation"), UNLIMITED)
    return Charge(account, (part,), Verb.ASSIGN, operation=f"o:{secrets.token_hex(8)}", holder=holder)


def reserve_again(account: str, id: str, booking: Booking, ends: Mapping[str, Ends], now: int) -> Charge:
    """Return the order that makes an open reservation again; one that is still there is recognised by its id."""
    parts = tuple(
        Part(limit_of(limit, "allocation"), UNLIMITED, part.units)
        if part.start is None
        else Part(limit_of(limit, "quota"), UNLIMITED, part.units, ends[limit])
        for part in booking.parts
        for limit in [part.key[0]]
    )
    return Charge(
        account, parts, Verb.RESERVE, operation=id, keyed=id.startswith("k:"), ttl=max(1, booking.expires - now)
    )


def _uncapped(account: str, part: Part, made_at: int | None = None) -> Charge:
    return Charge(account, (part,), operation=_operation(), made_at=made_at)


def _operation() -> str:
    """Return an operation id of a producer of its own, so that nothing that is open elsewhere is settled by it."""
    return sequence_id(secrets.token_hex(8), 1)
