"""
Leases: units that a process takes in advance, and then spends without asking the store. Pure.

A lease is a charge that is made before its units are needed (`Verb.LEASE`). So a unit counts from the time at which it
is taken, and the store admits no more than the limit by the laws of `meters.py` and `counted_meters.py`. What remains
is when a unit may be spent: only while a charge that the store carried out would count in the same place as the unit.

- A quota's units are spent in the period in which they were taken.
- A fixed window's units are spent in the window in which they were taken.
- A sliding window's units are spent in the sub-bucket in which they were taken.
- An allocation's units have no such end.

*No window of a sliding rate ever holds more than the limit.* Proof: take the units that were spent in a window that
ends at t, and of those the one that was taken last. The sub-buckets of all of them touch the window, so they are among
the 61 that end with that of t. All of them were taken no later than the last one, in the same sub-buckets, and the
store has summed them when it admitted that. For a quota and a fixed window the same holds of the one period or window.

To spend a sliding window's units in a later sub-bucket is not exact, even if they still count there: they leave the
sum a window after they were taken, and a window after that they were spent as many have been taken again.

A token bucket drains from the moment at which a unit is taken, so there is no such place, and it has no lease.

A process reads the end on its own clock: that of sending the order, and the time that was left when the store decided,
which was no earlier. Neither clock need be right; they must run equally fast, within `DRIFT`. Units that are not spent
go back by a refund, once, where they were taken; those of a process that has died stay counted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.model.charge import Charge, Part, Verb
from entitlements.model.decision import Decision
from entitlements.model.decision_fields import fields_of
from entitlements.model.instants import SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Mode, Quota, Rate
from entitlements.model.names import MAX_COUNT
from entitlements.model.overage import most_of
from entitlements.model.resolution import charges_of
from entitlements.rules.decisions import DecisionBuilder, refund_of
from entitlements.rules.meters import SUB_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.model.answers import Line
    from entitlements.model.charge import Refund
    from entitlements.model.entitlements import Entitlements
    from entitlements.rules.planning import PreparedCharge

LEASE_TTL = SECOND
"""Microseconds that units are held at most; an account that has changed is charged by the old plan no longer than that."""
DRIFT = 1000
"""The clocks of two machines differ by less than one part in so many while a lease lasts; NTP slews by 500 in a million."""


def all_leased(parts: Iterable[Part]) -> bool:
    """Return True if every part is of an enforced limit with a lease, so that a charge of them needs no store."""
    return all(part.limit.lease is not None and part.limit.mode is Mode.ENFORCE for part in parts)


def lease_of(
    prepared: PreparedCharge, owner: Entitlements, at: int, units: int, scope: str | None
) -> tuple[Charge, DecisionBuilder]:
    """Return the charge of *owner* that leases units of the part at position *at* of a prepared one, and what decides about it."""
    limit_plan = next(each for each in prepared.limits if each.facts.feature == prepared.parts[at].limit.name)
    part = prepared.parts[at]._replace(cost=units)
    home = scope if part.limit.per else None
    charge = Charge(owner.account, (part,), Verb.LEASE, home, version=charges_of(owner).version)
    return charge, DecisionBuilder((replace(limit_plan, cost=units, part=part),), (part,))


def spendable_for(part: Part, line: Line, now: int) -> int:
    """
    Return the microseconds, from the sending of the lease on, in which its units may be spent; 0 or less for none.

    Args:
        part: The part of the lease.
        line: The store's line about it.
        now: The store's clock when it decided.
    """
    limit, left = part.limit, LEASE_TTL
    if isinstance(limit, Rate):
        length = limit.window if limit.algorithm is Algorithm.FIXED else -(-limit.window // SUB_BUCKETS)
        left = min(left, length, line.mark + length - now)
    elif isinstance(limit, Quota) and line.resets_at is not None:
        left = min(left, line.resets_at - now)
    return left - left // DRIFT - 1


def units_to_lease(part: Part, wanted: int, used: int, processes: int) -> int:
    """
    Return how many units to lease: at most *wanted*, and a fair part of what is left.

    All processes together lease at most half of what is left, so each of them asks for fewer units the fewer are left,
    and at last for single ones. Units that a limit includes and units beyond are not leased together.
    """
    most, lease = most_of(part.size), part.limit.lease or 0
    left = (MAX_COUNT if most is UNLIMITED else most) - used
    included = int(part.size) - used if isinstance(part.size, int) else left
    return max(0, min(wanted, lease, left // (2 * processes), included if included > 0 else left))


def rest_of(lease: Decision, units: int) -> tuple[Decision, Refund]:
    """Return the decision about the *units* that are left of a lease, and the order that returns them."""
    allowed, reason, facts, receipt, line, _ = fields_of(lease)
    assert line is not None
    rest = Decision(allowed, reason, facts, receipt, line._replace(taken=units))
    order = refund_of(rest, rates=True)
    assert order is not None
    return rest, order
