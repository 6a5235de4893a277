"""
Deny cache: a store around a store that remembers for a moment that a rate is used up.

A charge that the server refused because of a rate is refused here again, without a call, for as long
as the refusal is certain: until the instant that the server named, counted from when the charge was
*sent*, for the same rate of the same size at the same cost. A larger cost would not fit either, but
only the server knows when it will.

Only a refund, a `reset`, a `forget` or another size can make the charge fit earlier. So no refusal is kept longer
than `MAX_TTL`; refunds by this process, and its charges of another size, take effect at once. The cache
never admits a charge. Charges with a key always reach the server, and so do those that a quota or an
allocation refuses, unless a rate of theirs is kept here.

Proof: the server decided no earlier than the charge was sent, so on any clock that runs as fast it will
admit no earlier than that much later.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from entitlements._fork import renew_after_fork
from entitlements.clock import monotonic
from entitlements.model.answers import Line, Outcome, Status
from entitlements.model.charge import Charge, Read, ReadHistory, ReadHolders, ReadScopes, Recall, Verb
from entitlements.model.instants import SECOND
from entitlements.model.limits import Mode, Rate
from entitlements.stores.batch import execute_many

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order, Part
    from entitlements.model.limits import Limit, Size
    from entitlements.ports import AsyncDispatcher, Store

MAX_TTL = SECOND
"""Microseconds after which the server is called again, so that a refund or a larger limit elsewhere takes effect."""
CAPACITY = 10_000
"""Refusals that are kept, each of one rate, scope and cost: twice as many at most, 20 MB."""
VIA = "deny-cache"

_REFUSED, _CONSUME = Status.REFUSED, Verb.CONSUME
_NOT_ASKED = Line(True, None)
_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much

RateKey = tuple[str, str | None]
"""A rate, and the scope if it is kept for one."""


class _DeniedCharge(NamedTuple):
    received: int
    until: int
    now: int
    lines: tuple[Line]


class _RateRefusals(NamedTuple):
    """The refusals of one rate while it has one size, by cost."""

    limit: Limit
    size: Size
    costs: dict[int, _DeniedCharge]


class Denials:
    """
    Recent refusals, by account and rate.

    Args:
        clock: Monotonic microseconds.
    """

    def __init__(self, clock: Callable[[], int] = monotonic) -> None:
        self._clock = clock
        self.recent: dict[str, dict[RateKey, _RateRefusals]] = {}
        """By account; empty until a charge is refused."""
        self._previous: dict[str, dict[RateKey, _RateRefusals]] = {}
        self._recorded = 0
        self._dropped = -1
        self._lock = threading.Lock()
        renew_after_fork(self)

    def find(self, order: Order) -> Outcome | None:
        """Return the outcome of a charge that is certain to be refused again; None if only the server knows."""
        if not self.recent or type(order) is not Charge:
            return None
        kept = self.recent.get(order.account) or self._previous.get(order.account)
        if not kept:
            return None
        clock, parts = self._clock(), order.parts
        asks = order.keyed or order.verb is not _CONSUME
        if len(parts) == 1:
            denied = _refusal_of(kept, order, parts[0], clock)
            if denied is None or asks:
                return None
            return _new_tuple(Outcome, (_REFUSED, denied.now + clock - denied.received, denied.lines, 0, (), (), VIA))
        found = [_refusal_of(kept, order, part, clock) for part in parts]
        if asks:
            return None
        latest = max((denied.now + clock - denied.received for denied in found if denied), default=None)
        if latest is None:
            return None
        return Outcome(_REFUSED, latest, tuple(denied.lines[0] if denied else _NOT_ASKED for denied in found), via=VIA)

    def record(self, order: Order, answer: Outcome, sent: int) -> None:
        """
        Record a refusal.

        Args:
            order: The charge.
            answer: Its outcome.
            sent: The clock before the charge was sent.
        """
        if type(order) is not Charge or answer.fallbacks:
            return
        refused = [
            (part, line)
            for part, line in zip(order.parts, answer.lines, strict=True)
            if not line.fits and part.limit.mode is not Mode.SHADOW
        ]
        if all(
            isinstance(part.limit, Rate) for part, _ in refused
        ):  # else the store must count the other refusals again
            for part, line in refused:
                self._keep(order, part, line, answer.now, sent)

    def changes(self, order: Order) -> bool:
        """Return True if an order may make room, so that `drop` must follow it."""
        return type(order) is not Charge and type(order) not in _READS

    def drop(self, order: Order) -> None:
        """Forget the refusals of an order's account, and any that is still in flight."""
        with self._lock:
            self._dropped = self._clock()
            self.recent.pop(order.account, None)  # type: ignore[union-attr]
            self._previous.pop(order.account, None)  # type: ignore[union-attr]

    def renew(self) -> None:
        """Take a fresh lock: in a forked child the old one may be held for ever."""
        self._lock = threading.Lock()

    def _keep(self, order: Charge, part: Part, line: Line, now: int, sent: int) -> None:
        lasts = MAX_TTL if line.retry_at is None else min(line.retry_at - now, MAX_TTL)
        with self._lock:
            if sent <= self._dropped:
                return
            if self._recorded >= CAPACITY:
                self.recent, self._previous, self._recorded = {}, self.recent, 0
            kept = self.recent.get(order.account)
            if kept is None:
                kept = self.recent[order.account] = {}
            key = _key(order, part)
            meter = kept.get(key)
            if meter is None or not _is_of(meter, part):
                meter = kept[key] = _RateRefusals(part.limit, part.size, {})
            self._recorded += part.cost not in meter.costs
            meter.costs[part.cost] = _DeniedCharge(self._clock(), sent + lasts, now, (line,))


class DenyCache:
    """
    A store that remembers refusals.

    Args:
        store: The store that counts.
        clock: Monotonic microseconds.
    """

    def __init__(self, store: Store, *, clock: Callable[[], int] = monotonic) -> None:
        self._store, self._clock = store, clock
        self._denials = Denials(clock)
        self.via = store.via

    def __repr__(self) -> str:
        return f"<DenyCache around {self._store!r}>"

    def execute(self, order: Order, /) -> Answer:
        """Refuse what is certain to be refused; have the store carry out everything else."""
        denials = self._denials
        if type(order) is not Charge:
            return self._other(order)
        if denials.recent and (denied := denials.find(order)) is not None:
            return denied
        sent = self._clock()
        answer = self._store.execute(order)
        if type(answer) is Outcome and answer[0] is _REFUSED:
            denials.record(order, answer, sent)
        return answer

    def execute_many(self, orders: Sequence[Order], /) -> Sequence[Answer]:
        """Carry out orders that only read."""
        return execute_many(self._store, orders)

    def _other(self, order: Order) -> Answer:
        """Carry out an order that is not a charge."""
        if not self._denials.changes(order):
            return self._store.execute(order)
        try:
            return self._store.execute(order)
        finally:  # also if its outcome is unknown
            self._denials.drop(order)

    def close(self) -> None:
        """Close the store's connections."""
        self._store.close()


class AsyncDenyCache:
    """
    `DenyCache` for event loops.

    Refusals are recorded by the store underneath (`AsyncResilientStore(on_refused=denials.record)`), so that no
    coroutine waits here: one less for each of a thousand tasks is a third of their memory.

    Args:
        store: The store that counts.
        denials: The refusals that it records.
    """

    def __init__(self, store: AsyncDispatcher, denials: Denials) -> None:
        self._store, self._denials = store, denials
        self.try_now = denials.find
        """Return the refusal of a charge that is certain to be refused again, or None."""
        self.via = store.via

    def __repr__(self) -> str:
        return f"<AsyncDenyCache around {self._store!r}>"

    def submit(
        self, order: Order, /, abandoned: Callable[[Answer | Exception], object] | None = None
    ) -> Awaitable[Answer]:
        """Carry out one order; forget refusals that it may have made obsolete."""
        if type(order) is Charge or not self._denials.changes(order):
            return self._store.submit(order, abandoned)
        return self._drop_after(order)

    async def execute(self, order: Order, /) -> Answer:
        """Refuse what is certain to be refused; have the store carry out everything else."""
        denied = self._denials.find(order)
        return await self.submit(order) if denied is None else denied

    async def _drop_after(self, order: Order) -> Answer:
        try:
            return await self._store.submit(order)
        finally:  # also if its outcome is unknown
            self._denials.drop(order)

    async def open(self) -> None:
        """
        Connect now instead of at the first order.

        Raises:
            StoreError: If the store cannot be reached.
        """
        await self._store.open()

    async def aclose(self) -> None:
        """Close the store's connections."""
        await self._store.aclose()


def _refusal_of(kept: dict[RateKey, _RateRefusals], order: Charge, part: Part, clock: int) -> _DeniedCharge | None:
    """Return the refusal that still holds for this part; one of another size or definition is dropped."""
    key = _key(order, part)
    meter = kept.get(key)
    if meter is None:
        return None
    if not _is_of(meter, part):
        kept.pop(key, None)
        return None
    denied = meter.costs.get(part.cost)
    return denied if denied and clock < denied.until else None


def _is_of(meter: _RateRefusals, part: Part) -> bool:
    return meter.limit is part.limit and meter.size == part.size


def _key(order: Charge, part: Part) -> RateKey:
    limit = part.limit
    return limit.name, order.scope if limit.per else None


_READS = frozenset({Read, ReadHistory, ReadHolders, ReadScopes, Recall})
"""Orders that change nothing."""
