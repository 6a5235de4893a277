"""
A store around a store, which remembers for a moment that a rate is used up.

What the server has refused for want of a rate is refused here again, without asking, for
as long as that is certain: until the instant that the server named, counted from when the
charge was *sent*, for the same rate of the same size at the same cost. A larger cost would
not fit either, but only the server knows when it will. Only a refund, a `forget` or another
size can make it fit before, so nothing is remembered for longer than `LONGEST`; what this
process gives back, and its charges of another size, show at once. Nothing is ever admitted
here, and charges with a key always reach the server, as do those that a quota or an
allocation refuses, unless a rate of theirs is remembered here. Source of the proof: the
server decided no earlier than the charge was sent, so it will admit no earlier than that
much later on any clock that runs as fast.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements._fork import renew_after_fork
from entitlements.clock import monotonic
from entitlements.model.answers import Line, Outcome, Status
from entitlements.model.charge import Charge, Read, ReadHistory, ReadHolders, Recall, Verb
from entitlements.model.instants import SECOND
from entitlements.model.limits import Mode, Rate
from entitlements.stores.pending import known

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order, Part
    from entitlements.model.limits import Limit, Size
    from entitlements.ports import AsyncStore, Store

LONGEST = SECOND
"""Microseconds after which the server is asked again: a refund or a larger limit elsewhere shows by then."""
KEPT = 10_000
"""Refusals that are kept, each of one rate, scope and cost: twice as many at most, 20 MB."""
VIA = "deny-cache"

_REFUSED, _CONSUME = Status.REFUSED, Verb.CONSUME
_NOT_ASKED = Line(True, None)
_made = tuple.__new__  # a named tuple's own constructor costs three times as much

Key = tuple[str, str | None]
"""A rate, and the scope where it is kept for one."""


class _Denied(NamedTuple):
    heard: int
    until: int
    now: int
    lines: tuple[Line]


class _Meter(NamedTuple):
    """What was refused of one rate while it had one size, by cost."""

    limit: Limit
    size: Size
    costs: dict[int, _Denied]


class Denials:
    """
    What was refused lately, for want of which rate.

    Args:
        clock: Monotonic microseconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.young: dict[str, dict[Key, _Meter]] = {}
        """By account; empty until anything is refused."""
        self._old: dict[str, dict[Key, _Meter]] = {}
        self._noted = 0
        self._dropped = -1
        self._lock = threading.Lock()
        renew_after_fork(self)

    def find(self, order: Order) -> Outcome | None:
        """Return how a charge is refused again; None where only the server knows."""
        if not self.young or type(order) is not Charge:
            return None
        kept = self.young.get(order.account) or self._old.get(order.account)
        if not kept:
            return None
        clock, parts = self._clock(), order.parts
        asks = order.keyed or order.verb is not _CONSUME
        if len(parts) == 1:
            denied = _known_of(kept, order, parts[0], clock)
            if denied is None or asks:
                return None
            return _made(Outcome, (_REFUSED, denied.now + clock - denied.heard, denied.lines, 0, (), (), VIA))
        found = [_known_of(kept, order, part, clock) for part in parts]
        if asks:
            return None
        latest = max((denied.now + clock - denied.heard for denied in found if denied), default=None)
        if latest is None:
            return None
        return Outcome(_REFUSED, latest, tuple(denied.lines[0] if denied else _NOT_ASKED for denied in found), via=VIA)

    def refused(self, order: Order, answer: Outcome, sent: int) -> None:
        """
        Take notice of what was refused.

        Args:
            order: What a store was asked.
            answer: How it was refused.
            sent: Our clock before it was asked.
        """
        if type(order) is not Charge or answer.ways:
            return
        refused = [
            (part, line)
            for part, line in zip(order.parts, answer.lines, strict=True)
            if not line.fits and part.limit.mode is not Mode.SHADOW
        ]
        if all(isinstance(part.limit, Rate) for part, _ in refused):  # else the caller is to hear of the rest again
            for part, line in refused:
                self._note(order, part, line, answer.now, sent)

    def changes(self, order: Order) -> bool:
        """Say whether an order may make room, so that it must be followed by `drop`."""
        return type(order) is not Charge and type(order) not in _LOOKS

    def drop(self, order: Order) -> None:
        """Forget what was refused to the account of an order, and whatever refusal is still on its way."""
        with self._lock:
            self._dropped = self._clock()
            self.young.pop(order.account, None)  # type: ignore[union-attr]
            self._old.pop(order.account, None)  # type: ignore[union-attr]

    def renew(self) -> None:
        """Take a fresh lock: in a forked child the old one may be held for ever."""
        self._lock = threading.Lock()

    def _note(self, order: Charge, part: Part, line: Line, now: int, sent: int) -> None:
        lasts = LONGEST if line.retry_at is None else min(line.retry_at - now, LONGEST)
        with self._lock:
            if sent <= self._dropped:
                return
            if self._noted >= KEPT:
                self.young, self._old, self._noted = {}, self.young, 0
            kept = self.young.get(order.account)
            if kept is None:
                kept = self.young[order.account] = {}
            key = _key(order, part)
            meter = kept.get(key)
            if meter is None or not _is_of(meter, part):
                meter = kept[key] = _Meter(part.limit, part.size, {})
            self._noted += part.cost not in meter.costs
            meter.costs[part.cost] = _Denied(self._clock(), sent + lasts, now, (line,))


class DenyCache:
    """
    A store that remembers refusals.

    Args:
        store: What counts.
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
            return self._beside(order)
        if denials.young and (denied := denials.find(order)) is not None:
            return denied
        sent = self._clock()
        answer = self._store.execute(order)
        if type(answer) is Outcome and answer[0] is _REFUSED:
            denials.refused(order, answer, sent)
        return answer

    def _beside(self, order: Order) -> Answer:
        """Carry out what is no charge."""
        if not self._denials.changes(order):
            return self._store.execute(order)
        try:
            return self._store.execute(order)
        finally:  # also where its outcome is unknown
            self._denials.drop(order)

    def close(self) -> None:
        """Let go of the store's connections."""
        self._store.close()


class AsyncDenyCache:
    """
    Same as `DenyCache` for event loops.

    A store that has `listen`, as `AsyncOutage` does, tells what it refuses, and then nobody
    waits here: one coroutine less for each of a thousand tasks is a third of their memory.
    It tells when it sent them by the clock of the system, so *clock* is for other stores.
    """

    def __init__(self, store: AsyncStore, *, clock: Callable[[], int] = monotonic) -> None:
        self._store, self._clock = store, clock
        self._denials = Denials(clock)
        self.beyond = getattr(store, "beyond", store.execute)
        """Same as `execute` for what `at_once` does not know."""
        self.after = getattr(store, "after", None)
        """Goes on where `beyond` has raised `Failed`."""
        self._undenied: Callable[[Order], Coroutine[Any, Any, Answer]] = store.execute
        listen = getattr(store, "listen", None)
        if listen is None:
            self._undenied = self.beyond = self._hear
        else:
            listen(self._denials.refused)
        self.at_once = self._denials.find
        """What is known without waiting; None where the store must be asked."""
        self.via = store.via

    def __repr__(self) -> str:
        return f"<AsyncDenyCache around {self._store!r}>"

    def execute(self, order: Order, /) -> Coroutine[Any, Any, Answer]:
        """Same as `DenyCache.execute`."""
        if self._denials.changes(order):
            return self._drop(order)
        denied = self._denials.find(order)
        return self._undenied(order) if denied is None else known(denied)

    async def _drop(self, order: Order) -> Answer:
        try:
            return await self._store.execute(order)
        finally:  # also where its outcome is unknown
            self._denials.drop(order)

    async def _hear(self, order: Order) -> Answer:
        sent = self._clock()
        answer = await self._store.execute(order)
        if type(answer) is Outcome and answer[0] is _REFUSED:
            self._denials.refused(order, answer, sent)
        return answer

    async def open(self) -> None:
        """
        Connect now, where the store can.

        Raises:
            StoreError: Where it cannot be reached.
        """
        opening = getattr(self._store, "open", None)
        if opening is not None:
            await opening()

    async def aclose(self) -> None:
        """Let go of the store's connections."""
        await self._store.aclose()


def _known_of(kept: dict[Key, _Meter], order: Charge, part: Part, clock: int) -> _Denied | None:
    """Return the refusal that still stands for this part; what was of another size or definition is forgotten."""
    key = _key(order, part)
    meter = kept.get(key)
    if meter is None:
        return None
    if not _is_of(meter, part):
        kept.pop(key, None)
        return None
    denied = meter.costs.get(part.cost)
    return denied if denied and clock < denied.until else None


def _is_of(meter: _Meter, part: Part) -> bool:
    return meter.limit is part.limit and meter.size == part.size


def _key(order: Charge, part: Part) -> Key:
    limit = part.limit
    return limit.name, order.scope if isinstance(limit, Rate) and limit.per else None


_LOOKS = frozenset({Read, ReadHistory, ReadHolders, Recall})
"""Orders that change nothing."""
