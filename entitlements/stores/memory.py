"""
Embedded store: the records of one process in a dict behind a lock.

It keeps at most `max_keys` records. A new record evicts an idle one: its windows have passed, its
periods are over, and it holds no units. A counter that still counts is never evicted, because that
would give its limit out again. A charge that finds no room gets the outcome of `when_full`.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from heapq import nsmallest
from typing import TYPE_CHECKING, Literal

from entitlements._fork import renew_after_fork
from entitlements.clock import system_clock
from entitlements.model.answers import Answer, Outcome, Outdated, ScopePage, Settled, Status, Totalled
from entitlements.model.charge import Charge, Forget, Order, Part, ReadScopes, Settle, SetUsage, Verb
from entitlements.model.pickling import not_picklable
from entitlements.model.sequence import is_sequence
from entitlements.rules import ledger as law
from entitlements.rules.fallbacks import raise_meter
from entitlements.rules.ledger import Ledger
from entitlements.rules.orders import execute_order, scope_of
from entitlements.rules.prepared_charges import charge_prepared, takes_of
from entitlements.stores.orders import account_of

if TYPE_CHECKING:
    from entitlements.ports import Clock

_log = logging.getLogger("entitlements.stores")

_MAX_EXAMINED = 8
"""Records of each kind that one order examines for an idle one; the next order examines others."""

_Key = str | tuple[str, str]
"""Key of a record: an account, or an account and a scope."""


@not_picklable("make one in each process, or share a redis:// store")
class MemoryStore:
    """
    Store in the memory of this process.

    Args:
        clock: Returns the time in microseconds; the system's clock by default.
        max_keys: Most records: one per account and one per scope. A record takes about 1.5 KB with
            a sliding rate, and 0.8 KB more for each key, reservation and refund that it keeps (4,096 at most).
        when_full: Outcome of a new account's charge while no record is idle: `deny` or
            `allow`, both marked as degraded.
    """

    via = "memory"

    def __init__(
        self, clock: Clock = system_clock, *, max_keys: int = 100_000, when_full: Literal["deny", "allow"] = "deny"
    ) -> None:
        if max_keys < 1:
            raise ValueError(f"max_keys {max_keys} must be at least 1")
        if when_full not in ("deny", "allow"):
            raise ValueError(f"when_full {when_full!r} must be 'deny' or 'allow'")
        self._clock = clock
        self._max_keys = max_keys
        self._when_full = Status.WAIVED if when_full == "allow" else Status.UNAVAILABLE
        self._rates: OrderedDict[_Key, Ledger] = OrderedDict()
        """Records that hold only rates, which are idle sooner; the one examined longest ago comes first."""
        self._counts: OrderedDict[_Key, Ledger] = OrderedDict()
        """All other records, in the same order."""
        self._scopes: dict[str, set[str]] = {}
        """The scopes of each account that have a record."""
        self._was_full = False
        self._lock = threading.Lock()
        renew_after_fork(self)

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self)} records, {self._max_keys} at most>"

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._rates) + len(self._counts)

    def execute(self, order: Order, /) -> Answer:
        """Carry out one order under the lock."""
        with self._lock:
            now = self._clock()
            if type(order) is Charge:
                takes = order.derived.takes
                if takes is None:
                    takes = takes_of(order)
                    order.derived.keep_takes(takes)
                is_plain = order.operation is None or order.operation.startswith("s:")  # without a record
                if takes and is_plain and order.version is None:
                    key, scope = order.account, order.scope
                    found = scoped = self._rates.get(key) or self._counts.get(key)
                    if scope is not None:
                        of_scope = (key, scope)
                        scoped = self._rates.get(of_scope) or self._counts.get(of_scope)
                        if found is None and takes.is_scoped:
                            found = scoped
                    if found is not None and scoped is not None:
                        outcome = charge_prepared((found, scoped), takes, now)
                        if outcome is not None:
                            return outcome
                return self._charge(order, now)
            return self._other(order, now)

    def resume_rate(self, account: str, scope: str | None, part: Part, used: int, at: int) -> None:
        """Raise a rate's meter to what was counted elsewhere: at least *used* units, as of *at*."""
        key = account if scope is None else (account, scope)
        with self._lock:
            ledger = self._find(key)
            if ledger is None and not self._make_room(at, 1):
                return
            ledger = ledger or Ledger()
            raise_meter(ledger, part, used, at)
            self._place(key, ledger)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def renew(self) -> None:
        """Take a new lock in a forked child, where the old one may never be released."""
        self._lock = threading.Lock()

    def _charge(self, order: Charge, now: int) -> Outcome | Outdated:
        key, scope = order.account, order.scope
        scoped_key: _Key = key if scope is None else (key, scope)
        found = self._find(key)
        found_scoped = found if scope is None else self._find(scoped_key)
        newcomers = (found is None and _counts_in_account(order)) + (scope is not None and found_scoped is None)
        if newcomers and order.verb is not Verb.PEEK and not self._make_room(now, newcomers, (key, scoped_key)):
            return self._full(now)
        ledger = found or Ledger()
        scoped = ledger if scope is None else found_scoped or Ledger()
        outcome = law.charge(ledger, scoped, order, now)
        self._place(key, ledger)
        if scoped is not ledger:
            self._place(scoped_key, scoped)
        return outcome

    def _full(self, now: int) -> Outcome:
        """Return the outcome of a charge that finds no room; the first is logged."""
        if not self._was_full:
            self._was_full = True
            _log.warning(
                "the memory store holds %d records and is full; raise max_keys, or share a Redis",
                len(self),
                extra={"records": len(self)},
            )
        return Outcome(self._when_full, now)

    def _other(self, order: Order, now: int) -> Answer:
        key, scope = account_of(order), scope_of(order)
        found = self._find(key)
        if isinstance(order, ReadScopes):
            return self._read_scopes(order, now)
        if isinstance(order, Forget):
            self._forget(order, now)
            return None
        scoped_key: _Key = key if scope is None else (key, scope)
        found_scoped = found if scope is None else self._find(scoped_key)
        newcomers = (found is None) + (scope is not None and found_scoped is None)
        if (
            newcomers
            and isinstance(order, SetUsage | Settle)
            and not self._make_room(now, newcomers, (key, scoped_key))
        ):
            return Totalled(None, full=True, now=now) if isinstance(order, SetUsage) else Settled(False, now=now)
        ledger = found or Ledger()
        scoped = ledger if scope is None else found_scoped or Ledger()
        answer = execute_order(ledger, scoped, order, now)
        self._place(key, ledger)
        if scoped is not ledger:
            self._place(scoped_key, scoped)
        return answer

    def _read_scopes(self, order: ReadScopes, now: int) -> ScopePage:
        """Return scopes of an account; each page takes time for all of them."""
        kept = self._scopes.get(order.account, ())
        later = (each for each in kept if each > order.after and not self._holds_nothing((order.account, each), now))
        page = nsmallest(order.most, later)
        return ScopePage(tuple(page), page[-1] if len(page) == order.most else None)

    def _holds_nothing(self, key: _Key, now: int) -> bool:
        ledger = self._find(key)
        return ledger is None or (not ledger.quotas and ledger.is_idle(now))

    def _forget(self, order: Forget, now: int) -> None:
        if order.scopes is not None:
            for scope in order.scopes:
                self._drop((order.account, scope))
            return
        found = self._find(order.account)
        self._drop(order.account)
        if found is not None and found.keeps_version(now):
            self._place(order.account, Ledger(version=found.version))

    def _drop(self, key: _Key) -> None:
        self._rates.pop(key, None)
        self._counts.pop(key, None)
        if isinstance(key, tuple) and (scopes := self._scopes.get(key[0])):
            scopes.discard(key[1])
            if not scopes:
                del self._scopes[key[0]]

    def _find(self, key: _Key) -> Ledger | None:
        return self._rates.get(key) or self._counts.get(key)

    def _place(self, key: _Key, ledger: Ledger) -> None:
        """Keep a record that holds anything."""
        if key in self._counts:
            return
        if not ledger.rates_only:
            self._rates.pop(key, None)
            self._counts[key] = ledger
        elif ledger.rates or ledger.operations or ledger.keyed_operations or ledger.version:
            self._rates[key] = ledger
        else:
            return
        if isinstance(key, tuple):
            self._scopes.setdefault(key[0], set()).add(key[1])

    def _make_room(self, now: int, newcomers: int, spared: tuple[_Key, ...] = ()) -> bool:
        """Evict idle records until *newcomers* fit; a record that stays is examined last again."""
        excess = len(self) + newcomers - self._max_keys
        if not newcomers or excess <= 0:
            return True
        for records in (self._rates, self._counts):
            for _ in range(min(len(records), _MAX_EXAMINED + excess)):
                key = next(iter(records))
                if key in spared or not records[key].is_idle(now):
                    records.move_to_end(key)
                    continue
                self._drop(key)
                excess -= 1
                if excess == 0:
                    return True
        return False


def _counts_in_account(order: Charge) -> bool:
    """Return whether a charge writes the record of the account, and not only that of its scope."""
    has_record = order.operation is not None and not is_sequence(order.operation)
    return order.scope is None or has_record or not all(part.limit.per for part in order.parts)


class AsyncMemoryStore:
    """
    The embedded store for an event loop: an order takes microseconds, so it never waits.

    Args:
        store: The store that counts.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.try_now = store.execute
        """Carry out a charge now."""
        self.via = store.via

    def __repr__(self) -> str:
        return f"<AsyncMemoryStore around {self._store!r}>"

    async def execute(self, order: Order, /) -> Answer:
        """Carry out one order under the lock."""
        return self._store.execute(order)

    async def submit(self, order: Order, /, abandoned: object = None) -> Answer:
        """Carry out one order, as `execute` does."""
        return self._store.execute(order)

    async def open(self) -> None:
        """Do nothing: there is no connection."""

    async def aclose(self) -> None:
        """Do nothing: there is no connection."""
