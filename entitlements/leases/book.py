"""
Lease book: the units that this process holds of each limit, what to take next, and what to return. No I/O.

How many units a process takes follows its demand. A charge leases if the one before it was less than a lease's life
ago; a slow account is charged unit by unit. Units that were not spent in time make the next lease as small as what was
spent. A lease that was spent in time makes the next one twice as large, up to what the policy allows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements._fork import renew_after_fork
from entitlements.clock import elapsed
from entitlements.model.answers import Outcome, Status
from entitlements.model.limits import Rate
from entitlements.model.names import MAX_COUNT
from entitlements.rules.leases import LEASE_TTL, lease_of, rest_of, spendable_for, units_to_lease
from entitlements.stores.sequence import Producer

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Charge, Part, Refund
    from entitlements.model.decision import Decision
    from entitlements.model.entitlements import Entitlements
    from entitlements.rules.decisions import DecisionBuilder
    from entitlements.rules.planning import PreparedCharge
    from entitlements.stores.sequence import Numbering

MAX_METERS = 10_000
"""Most meters, of a limit of an account each, whose demand is kept; the one charged longest ago is dropped."""
VIA = "lease"

_ADMITTED = Status.ADMITTED

MeterId = tuple[str, str, str | None]
"""Account, limit, and the scope of a limit with a `per`."""


class Meter:
    """The demand of this process for one meter, and the units that it holds."""

    __slots__ = ("id", "lease", "lock", "paused_until", "pending", "seen", "spare", "taking", "units", "used", "wanted")

    def __init__(self, id: MeterId) -> None:
        self.id = id
        self.lease: Lease | None = None
        self.spare: deque[Lease] = deque()
        """Leases that were taken at the same time, to be spent after it."""
        self.units = MAX_COUNT
        """Units that the next lease should have, if the policy allows so many."""
        self.used = 0
        """Units used when the store last told."""
        self.pending = 0
        """Units of the leases that are being taken."""
        self.seen = self.paused_until = 0
        self.wanted: Wanted | None = None
        """The latest lease that was wanted, which is wanted again as long as it has as many units."""
        self.taking: Any = None
        """The latest task that takes a lease, and those who wait for it."""
        self.lock = threading.Lock()
        """Held by the thread that takes a lease now."""


class Wanted(NamedTuple):
    """A lease to take: its meter, the charge, what decides about it, what the account may do, and what it was made of."""

    meter: Meter
    charge: Charge
    decide: DecisionBuilder
    owner: Entitlements
    part: Part
    units: int


class Lease:
    """Units of one meter that this process holds by a charge, which *decision* is about; they end with their owner."""

    __slots__ = ("charge", "decision", "first", "left", "line", "meter", "name", "now", "owner", "spent", "until")

    def __init__(
        self, wanted: Wanted, charge: Charge, decision: Decision, outcome: Outcome, until: int, names: tuple[str, int]
    ) -> None:
        self.meter, self.owner, self.charge, self.decision = wanted.meter, wanted.owner, charge, decision
        self.now, self.line, self.until = outcome.now, outcome.lines[0], until
        self.left = self.line.taken
        self.name, self.first = names
        """With the number of units that were left before it, the operation id of each charge that spends some."""
        self.spent: dict[int, Outcome] = {}

    def outcome(self, units: int) -> Outcome:
        """Return the outcome of a charge that spends units: all that is leased counts as used."""
        found = self.spent.get(units)
        if found is None:
            found = self.spent[units] = Outcome(_ADMITTED, self.now, (self.line._replace(taken=units),), via=VIA)
        return found


class LeaseBook:
    """
    The leases of one enforcer; safe from any thread.

    Args:
        numbers: Gives charges their operation ids; only from a store that recognises sequences units are leased.
        processes: Returns how many processes share the limits.
        clock: Microseconds of a clock that never goes back.
        tell: Takes each decision to spend; None if no hook listens.
    """

    def __init__(
        self,
        numbers: Numbering,
        processes: Callable[[], int],
        clock: Callable[[], int] = elapsed,
        tell: Callable[[Decision], object] | None = None,
    ) -> None:
        self._numbers = numbers if isinstance(numbers, Producer) else None
        self._clock, self._tell = clock, tell
        self._processes = processes() if self._numbers else 1
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Hold nothing in a forked child: the units are the parent's."""
        self._lock = threading.Lock()
        self._meters: OrderedDict[MeterId, Meter] = OrderedDict()
        self._open: deque[Lease] = deque()
        """Leases that may have units left, in the order in which they were taken."""
        self._given_up: list[Lease] = []

    def spend(self, prepared: PreparedCharge, owner: Entitlements, scope: str | None) -> Decision | None:
        """Spend leased units of all parts of a charge; return None, and spend nothing, if any of them is not held."""
        account, parts, now = owner.account, prepared.parts, self._clock()
        if len(parts) == 1:
            limit, _, cost, _ = parts[0]
            meter = self._meters.get((account, limit.name, scope if limit.per else None))
            if meter is None:
                return None
            with self._lock:
                lease = meter.lease
                if lease is None or lease.left < cost or now >= lease.until or lease.owner is not owner:
                    return None
                lease.left = left = lease.left - cost
                if not left:
                    self._exhausted(lease, now)
            if not left:
                self.settle(lease)
            outcome = lease.spent.get(cost) or lease.outcome(cost)
        else:
            found = self._spend_all(prepared, owner, scope, now)
            if found is None:
                return None
            outcome, lease, left = found
        operation = f"{lease.name}{lease.first + left}" if prepared.counted else None
        decision = prepared.decide(account, outcome, VIA, operation, scope)
        if self._tell is not None:
            self._tell(decision)
        return decision

    def _spend_all(
        self, prepared: PreparedCharge, owner: Entitlements, scope: str | None, now: int
    ) -> tuple[Outcome, Lease, int] | None:
        """Spend leased units of several parts; return the outcome, and the first lease with what is left; or None."""
        leases: list[Lease] = []
        spent: list[Lease] = []
        with self._lock:
            for part in prepared.parts:
                meter = self._meters.get(_id(owner, part, scope))
                lease = None if meter is None else meter.lease
                if lease is None or lease.left < part.cost or now >= lease.until or lease.owner is not owner:
                    return None
                leases.append(lease)
            for lease, part in zip(leases, prepared.parts, strict=True):
                lease.left -= part.cost
                if not lease.left:
                    self._exhausted(lease, now)
                    spent.append(lease)
            left = leases[0].left
        for lease in spent:
            self.settle(lease)
        lines = tuple([lease.outcome(part.cost).lines[0] for lease, part in zip(leases, prepared.parts, strict=True)])
        return Outcome(_ADMITTED, max(lease.now for lease in leases), lines, via=VIA), leases[0], left

    def wanted(self, prepared: PreparedCharge, owner: Entitlements, scope: str | None) -> Wanted | None:
        """Return a lease that a charge needs to be spent here; None if it must ask the store itself."""
        now, found = self._clock(), None
        with self._lock:
            for at, part in enumerate(prepared.parts):
                meter = self._meters.get(_id(owner, part, scope))
                if meter is None:
                    return None
                lease = meter.lease
                if lease is not None and lease.owner is not owner:  # what is known is of another plan
                    self._forget(meter)
                    return None
                while lease is not None and (lease.left < part.cost or now >= lease.until):
                    self._detach(lease, now)
                    self._given_up.append(lease)
                    lease = meter.lease
                if lease is not None:
                    continue
                units = units_to_lease(part, meter.units, meter.used + meter.pending, self._processes)
                if now - meter.seen > LEASE_TTL or now < meter.paused_until or units < max(2, part.cost):
                    return None
                found = found or (meter, at, units)
        if found is None:
            return None
        meter, at, units = found
        kept = meter.wanted
        if kept is None or kept.owner is not owner or kept.part is not prepared.parts[at] or kept.units != units:
            kept = meter.wanted = Wanted(
                meter, *lease_of(prepared, owner, at, units, scope), owner, prepared.parts[at], units
            )
        return kept

    def begin(self, wanted: Wanted) -> tuple[Charge, int]:
        """Return the charge that takes a lease, as the store gets it, and the time; `take` must follow."""
        charge, now = wanted.charge, self._clock()
        with self._lock:
            wanted.meter.pending += charge.parts[0].cost
        if isinstance(charge.parts[0].limit, Rate):
            return charge, now
        return self._numbers.open(charge)[0], now  # type: ignore[union-attr]

    def take(self, wanted: Wanted, charge: Charge, sent: int, answer: Answer) -> Decision | None:
        """
        Hold what the store has leased; return the decision about it, or None if it leased nothing.

        Args:
            wanted: The lease.
            charge: The charge as it was sent.
            sent: The time before it was sent.
            answer: The store's answer; None if it has failed.
        """
        meter, decision = wanted.meter, None
        with self._lock:
            meter.pending -= charge.parts[0].cost
        if type(answer) is Outcome and answer.lines and not answer.fallbacks:
            line = answer.lines[0]
            meter.used = line.used or 0
            if answer.status is _ADMITTED and line.taken == charge.parts[0].cost:
                decision = wanted.decide(charge.account, answer, "store", charge.operation, charge.scope)
        else:
            meter.paused_until = sent + LEASE_TTL
        if decision is None:
            self._close(charge)
            return None
        until = sent + spendable_for(charge.parts[0], line, answer.now)  # type: ignore[union-attr]
        names = self._numbers.names(line.taken)  # type: ignore[union-attr]
        lease = Lease(wanted, charge, decision, answer, until, names)  # type: ignore[arg-type]
        with self._lock:
            if meter.lease is None:
                meter.lease = lease
            else:
                meter.spare.append(lease)
            meter.seen = self._clock()
            self._open.append(lease)
            if self._meters.get(meter.id) is not meter:  # forgotten meanwhile
                self._forget(meter)
        return decision

    def observe(self, prepared: PreparedCharge, owner: Entitlements, answer: Outcome, scope: str | None) -> None:
        """Note what the store told of the limits of a charge that it decided."""
        if self._numbers is None or answer.fallbacks or answer.via or not answer.lines:
            return
        now = self._clock()
        with self._lock:
            for part, line in zip(prepared.parts, answer.lines, strict=True):
                id = _id(owner, part, scope)
                meter = self._meters.get(id)
                if meter is None:
                    while len(self._meters) >= MAX_METERS:
                        self._forget(next(iter(self._meters.values())))
                    meter = self._meters[id] = Meter(id)
                elif now - meter.seen <= LEASE_TTL:
                    meter.units = min(MAX_COUNT, 2 * meter.units)
                self._meters.move_to_end(id)
                meter.used, meter.seen = line.used or 0, now

    @property
    def is_used(self) -> bool:
        """True while a lease is held."""
        return bool(self._open)

    @property
    def is_due(self) -> bool:
        """True if `ended` may have something to return."""
        kept = self._open
        try:
            return bool(self._given_up) or (bool(kept) and self._clock() >= kept[0].until)
        except IndexError:  # another thread has taken it out
            return True

    def ended(self) -> list[tuple[Lease, Decision, Refund]]:
        """Return the leases that are over with units left, which are not spent any more, and how to return those."""
        now = self._clock()
        with self._lock:
            over, self._given_up = self._given_up, []
            while self._open and (now >= self._open[0].until or not self._open[0].left):
                over.append(self._open.popleft())
            found = [(lease, units) for lease in over if (units := self._end(lease, now))]
        return [(lease, *self._rest(lease, units)) for lease, units in found]

    def give_up(self, account: str | None = None, limit: str | None = None) -> None:
        """End the leases of a limit of an account, or all; `ended` returns them."""
        with self._lock:
            for meter in [*self._meters.values()]:
                if account in (None, meter.id[0]) and limit in (None, meter.id[1]):
                    self._forget(meter)

    def settle(self, lease: Lease) -> None:
        """Settle the number of a lease that is spent or returned."""
        self._close(lease.charge)

    def held(self, account: str, scope: str | None) -> dict[str, int]:
        """Return the units by limit that this process holds of an account, and of a scope of it."""
        now = self._clock()
        found: dict[str, int] = {}
        with self._lock:
            for lease in self._open:
                owner, name, kept_for = lease.meter.id
                if owner == account and kept_for in (None, scope) and now < lease.until:
                    found[name] = found.get(name, 0) + lease.left
        return found

    def _close(self, charge: Charge) -> None:
        if charge.sequence is not None:
            self._numbers.close(charge)  # type: ignore[union-attr]

    def _rest(self, lease: Lease, units: int) -> tuple[Decision, Refund]:
        decision, order = rest_of(lease.decision, units)
        return decision, replace(order, sequence=lease.charge.sequence)

    def _exhausted(self, lease: Lease, now: int) -> None:
        meter = lease.meter
        if meter.lease is lease:
            meter.lease = meter.spare.popleft() if meter.spare else None
            meter.seen, meter.units = now, min(MAX_COUNT, 2 * meter.units)
        while self._open and not self._open[0].left:
            self._open.popleft()

    def _end(self, lease: Lease, now: int) -> int:
        """End a lease; return its units that were not spent."""
        self._detach(lease, now)
        units, lease.left = lease.left, 0
        return units

    def _detach(self, lease: Lease, now: int) -> None:
        """Spend no more of a lease with units left; after one that is over, the next is as large as what was spent of it."""
        meter, spent = lease.meter, lease.line.taken - lease.left
        if meter.lease is lease:
            meter.lease = meter.spare.popleft() if meter.spare else None
        elif lease in meter.spare:
            meter.spare.remove(lease)
        else:
            return
        if now >= lease.until:
            meter.units, meter.seen = max(1, spent), now if spent else meter.seen

    def _forget(self, meter: Meter) -> None:
        if self._meters.get(meter.id) is meter:
            del self._meters[meter.id]
        if meter.lease is not None:
            self._given_up += [meter.lease, *meter.spare]
            meter.lease = None
            meter.spare.clear()


def _id(owner: Entitlements, part: Part, scope: str | None) -> MeterId:
    return owner.account, part.limit.name, scope if part.limit.per else None
