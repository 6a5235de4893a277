"""
Balances: what the entries of an account add up to, by the laws of `rules/`.

Pure: entries in, counters out. An account's entries are added in the order of their instants. A reservation lapses
by itself at its expiry, as it does in a store; a refund and a release take back at most what is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import groupby
from operator import attrgetter

from entitlements.ledger.balance_parts import Booking, Held, HeldBalance, Key, MonthBalance, PeriodBalance, month_of
from entitlements.ledger.entries import Entry


@dataclass(slots=True)
class Balance:
    """
    The counters of one account.

    Args:
        account: Its id.
        quotas: The periods of each quota, by start.
        held: Each allocation.
        bookings: Open reservations, by id.
        lapsed: Reservations that have lapsed, by id.
        assigned: Holders by the operation id of their assignment, for refunds of it.
        months: Units by month, limit and scope, if *watches*.
        late: Entries of closed months, which came too late to count.
    """

    account: str
    quotas: dict[Key, dict[int, PeriodBalance]] = field(default_factory=dict)
    held: dict[Key, HeldBalance] = field(default_factory=dict)
    bookings: dict[str, Booking] = field(default_factory=dict)
    lapsed: dict[str, Booking] = field(default_factory=dict)
    assigned: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    months: dict[tuple[str, str, str], MonthBalance] = field(default_factory=dict)
    watches: bool = False
    since: int = 0
    late: int = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries, which are sorted by their instants; those of one order stand together."""
        for (at, _), group in groupby(entries, attrgetter("at", "entry")):
            rows = list(group)
            if at < self.since:
                self.late += len(rows)
                continue
            self.lapse(at)
            kind = rows[0].kind
            if kind in ("commit", "commit-all", "cancel"):
                self._settle(rows)
            elif kind == "forget":
                self._forget(rows[0])
            else:
                for row in rows:
                    self._add(row)

    def lapse(self, now: int) -> None:
        """End the reservations that have lapsed."""
        for id in [id for id, booking in self.bookings.items() if booking.expires <= now]:
            booking = self.lapsed[id] = self.bookings.pop(id)
            for part in booking.parts:
                self._end(part, 0, booking.expires)

    # -- one entry ---------------------------------------------------------------------

    def _add(self, row: Entry) -> None:
        key, units = (row.limit_name, row.scope or ""), row.units or 0
        if row.limit_kind == "rate":
            self._watch(key, "rate", row.at, units)
        elif row.kind == "set":
            self._set(row, key, units)
        elif row.kind == "refund":
            self._refund(row, key, units)
        elif row.kind == "release":  # so many as the store has released
            self.held.setdefault(key, HeldBalance()).anonymous -= units
            self._watch(key, "allocation", row.at, -units)
        elif row.kind == "unassign":
            self._unassign(key, row.holder or "", row.at)
        elif row.limit_kind == "quota":
            period = self._period(row, key)
            period.used += units
            self._watch(key, "quota", row.at, units)
            self._reserve(row, key, units, period)
        else:
            self._hold(row, key, units)

    def _hold(self, row: Entry, key: Key, units: int) -> None:
        held = self.held.setdefault(key, HeldBalance())
        if row.kind == "assign":
            assert row.holder is not None
            if row.holder in held.holders:
                return
            held.holders.append(row.holder)
            self.assigned[row.operation or row.entry] = (*key, row.holder)
        elif row.kind != "reserve":
            held.anonymous += units
        self._reserve(row, key, units, held)
        self._watch(key, "allocation", row.at, units)

    def _reserve(self, row: Entry, key: Key, units: int, target: PeriodBalance | HeldBalance) -> None:
        if row.kind != "reserve":
            return
        target.reserved += units
        id = row.operation or row.entry
        booking = self.bookings.setdefault(id, Booking(row.expires or row.at, []))
        self.lapsed.pop(id, None)
        booking.parts.append(Held(key, units, target.start if isinstance(target, PeriodBalance) else None))

    def _set(self, row: Entry, key: Key, total: int) -> None:
        if row.limit_kind == "quota":
            period = self._period(row, key)
            self._watch(key, "quota", row.at, total - period.used)
            period.used = total
        else:
            held = self.held.setdefault(key, HeldBalance())
            before = held.used
            held.anonymous = max(0, total - held.reserved - len(held.holders))
            self._watch(key, "allocation", row.at, held.used - before)

    def _refund(self, row: Entry, key: Key, units: int) -> None:
        if row.limit_kind == "quota":
            period = self._period(row, key)
            back = min(units, max(0, period.used - period.reserved))
            period.used -= back
            self._watch(key, "quota", row.at, -back)
        elif (assigned := self.assigned.pop(row.operation or "", None)) is not None:
            self._unassign(assigned[:2], assigned[2], row.at)
        else:
            self._take_back(key, units, row.at)

    def _take_back(self, key: Key, units: int, at: int) -> None:
        held = self.held.setdefault(key, HeldBalance())
        back = min(units, held.anonymous)
        held.anonymous -= back
        self._watch(key, "allocation", at, -back)

    def _unassign(self, key: Key, holder: str, at: int) -> None:
        held = self.held.setdefault(key, HeldBalance())
        if holder in held.holders:
            held.holders.remove(holder)
            self._watch(key, "allocation", at, -1)

    def _forget(self, row: Entry) -> None:
        scope = row.scope or ""
        gone = {key for key in (*self.quotas, *self.held) if key[1] == scope}
        for key in gone:
            self.quotas.pop(key, None)
            held = self.held.pop(key, None)
            if held is not None:
                self._watch(key, "allocation", row.at, -held.used)
        for id, booking in list(self.bookings.items()):
            booking.parts = [part for part in booking.parts if part.key[1] != scope]
            if not booking.parts:  # a commit that comes charges again
                self.lapsed[id] = self.bookings.pop(id)
        self.assigned = {id: each for id, each in self.assigned.items() if each[1] != scope}

    # -- reservations ------------------------------------------------------------------

    def _settle(self, rows: list[Entry]) -> None:
        """Commit or cancel a reservation; one that was settled before does not change."""
        first = rows[0]
        id = first.operation or ""
        booking, lapsed = self.bookings.pop(id, None), self.lapsed.pop(id, None)
        if booking is not None:
            amounts = _amounts(rows, booking)
            for part in booking.parts:
                self._end(part, amounts.get(part.key[0], 0), first.at)
        elif lapsed is not None:
            for row in rows:
                if row.limit_kind in ("quota", "allocation") and row.units:
                    self._charge_again(row, row.units)

    def _end(self, part: Held, kept: int, at: int) -> None:
        """End a reservation of one limit; *kept* of its units stay, or more than it held."""
        if part.start is None:
            held = self.held.setdefault(part.key, HeldBalance())
            held.reserved -= part.units
            held.anonymous += kept
            self._watch(part.key, "allocation", at, kept - part.units)
            return
        period = self.quotas.get(part.key, {}).get(part.start)
        if period is not None:
            period.reserved -= part.units
            period.used += kept - part.units
            self._watch(part.key, "quota", at, kept - part.units)

    def _charge_again(self, row: Entry, kept: int) -> None:
        """Count what a commit kept of a reservation that had lapsed."""
        key = row.limit_name, row.scope or ""
        if row.limit_kind == "quota":
            self._period(row, key).used += kept
        else:
            self.held.setdefault(key, HeldBalance()).anonymous += kept
        self._watch(key, row.limit_kind or "", row.at, kept)

    # -- periods and months ------------------------------------------------------------

    def _period(self, row: Entry, key: Key) -> PeriodBalance:
        start, periods = row.starts or 0, self.quotas.setdefault(key, {})
        period = periods.get(start)
        if period is None:
            period = periods[start] = PeriodBalance(start, row.ends or start)
        period.end = row.ends or period.end
        period.size = row.size or period.size
        return period

    def _watch(self, key: Key, kind: str, at: int, units: int) -> None:
        if not self.watches:
            return
        month = self.months.setdefault((month_of(at), *key), MonthBalance(kind))
        month.units += units
        held = self.held.get(key)
        if kind == "allocation" and held is not None:
            month.held = held.used
            month.peak = max(month.peak, held.used, held.used - units)

    # -- storage -----------------------------------------------------------------------

    def write(self) -> str:
        """Return the counters as JSON, for closed months."""
        return json.dumps(
            {
                "quotas": [[*key, [asdict(each) for each in periods.values()]] for key, periods in self.quotas.items()],
                "held": [[*key, asdict(each)] for key, each in self.held.items()],
                "bookings": {id: asdict(each) for id, each in self.bookings.items()},
                "assigned": self.assigned,
            },
            ensure_ascii=False,
        )

    @classmethod
    def read(cls, account: str, state: str) -> Balance:
        """Return the balance of a text that `write` has written."""
        found = json.loads(state)
        return cls(
            account,
            {
                (limit, scope): {each["start"]: PeriodBalance(**each) for each in periods}
                for limit, scope, periods in found["quotas"]
            },
            {(limit, scope): HeldBalance(**each) for limit, scope, each in found["held"]},
            {
                id: Booking(each["expires"], [Held(tuple(part.pop("key")), **part) for part in each["parts"]])
                for id, each in found["bookings"].items()
            },
            assigned={id: tuple(each) for id, each in found["assigned"].items()},
        )


def _amounts(rows: list[Entry], booking: Booking) -> dict[str, int]:
    """Return the units that a commit keeps, by limit."""
    first = rows[0]
    if first.kind == "cancel":
        return {}
    booked = {part.key[0]: part.units for part in booking.parts}
    if first.kind == "commit-all":
        return booked
    if first.limit_name:
        return {row.limit_name: row.units or 0 for row in rows}
    return dict.fromkeys(booked, first.units or 0)
