"""
What a charge gets while the store cannot be asked, part by part and purely.

`on_outage` says it for each limit. `local` (rates): the same law in this process, at its
share of the limit, ⌈N / processes⌉. `allow`: let through; quotas and allocations are
journalled, to be counted once the store is back, even above the limit. `deny`: refused.
What is unlimited is never refused for the store's sake. All or nothing holds: where one
enforced part is refused, no part is counted anywhere.

The most that a window across the beginning of an outage holds is N from the store plus
⌈N / p⌉ from each of p processes; less where a process saw what was used, because its
share goes on from there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.model.answers import Line, Outcome, Status, Way
from entitlements.model.charge import Charge, Part, Refund, Settle, Verb
from entitlements.model.limits import UNLIMITED, Mode, OnOutage, Rate
from entitlements.rules.meters import fits_law, new_meter

if TYPE_CHECKING:
    from entitlements.rules.ledger import Ledger


_LET_THROUGH = Line(True, None)
# A member takes longer to find than what is done with it:
_LOCAL, _ALLOW, _DENY, _JOURNAL = Way.LOCAL, Way.ALLOW, Way.DENY, Way.JOURNAL
_HERE = (_LOCAL,)
_made = tuple.__new__  # a named tuple's own constructor costs three times as much
_SHADOW, _ON_ALLOW, _ON_LOCAL = Mode.SHADOW, OnOutage.ALLOW, OnOutage.LOCAL


def share_of(size: int, processes: int) -> int:
    """Return one process's share of a limit: ⌈size / processes⌉."""
    return -(-size // processes)


def ways_of(order: Charge) -> tuple[Way, ...]:
    """Return how each part is answered without the store, if no part refuses the whole."""
    if order.is_one_rate and order.meter is not None:
        return _HERE
    return tuple([_way(part, order.verb) for part in order.parts])


def local_charge(order: Charge, ways: tuple[Way, ...], processes: int) -> Charge | None:
    """
    Return the charge of the parts that this process limits by itself, each at its share.

    It takes nothing where another part refuses the whole. None where there are none.
    """
    parts = tuple(
        _shared(part, processes) for part, way in zip(order.parts, ways, strict=True) if way is _LOCAL
    )  # fmt: skip
    if not parts:
        return None
    takes = order.verb is not Verb.PEEK and not any(map(_refuses, order.parts, ways))
    scoped = any(isinstance(part.limit, Rate) and part.limit.per for part in parts)
    verb = Verb.CONSUME if takes else Verb.PEEK
    return Charge(order.account, parts, verb, order.scope if scoped else None)


def answered(
    order: Charge, ways: tuple[Way, ...], local: Outcome | None, now: int, retry_at: int, *, shared: bool = False
) -> Outcome:
    """
    Return the outcome of a charge without the store.

    Args:
        order: The charge.
        ways: `ways_of` it.
        local: What the local parts got; None where there are none.
        now: The local clock, in microseconds.
        retry_at: When the store is tried again, for what is refused for its sake.
        shared: Whether the local parts are shares: then one that is used up does not say
            that the limit is, and the store may admit the charge as soon as it is back.
    """
    if ways == _HERE and local and local.lines and local.lines[0][0]:
        _, _, _, again, resets_at, mark, taken = local.lines[0]
        line = _made(Line, (True, None, 0, again, resets_at, mark, taken))
        return _made(Outcome, (Status.ADMITTED, now, (line,), 0, (), ways, ""))
    counted = iter(local.lines if local else ())
    lines, found, admitted = [], [], True
    for part, asked in zip(order.parts, ways, strict=True):
        line, way = _LET_THROUGH, asked
        if way is _LOCAL:
            here = next(counted, None)
            if here is None or (not here.fits and here.retry_at is None and part.size):  # no room, or above the share
                way = _DENY
            else:
                again = min(here.retry_at, retry_at) if shared and here.retry_at is not None else here.retry_at
                line = Line(here.fits, None, 0, again, here.resets_at, here.mark, here.taken)
        if way is _DENY:
            line = Line(False, None, 0, retry_at)
        lines.append(line)
        found.append(way)
        admitted = admitted and (line.fits or part.limit.mode is _SHADOW)
    if not admitted:
        found = [_ALLOW if way is _JOURNAL else way for way in found]
        lines = [line._replace(taken=0) for line in lines]
    return Outcome(Status.ADMITTED if admitted else Status.REFUSED, now, tuple(lines), 0, (), tuple(found))


def to_journal(order: Charge, outcome: Outcome) -> Charge | None:
    """
    Return the charge that counts, once the store is back, what *outcome* let through; None for nothing.

    Every part becomes unlimited: quotas and allocations are then counted and not refused,
    rates are not counted at all. The operation keeps its name and what it stands for, so
    that one which had reached the store after all is recognised there.
    """
    if order.is_one_rate or outcome.status is not Status.ADMITTED or order.verb is Verb.PEEK:
        return None
    if all(isinstance(part.limit, Rate) for part in order.parts):
        return None
    return uncapped(order)


def uncapped(order: Charge) -> Charge:
    """Return *order* with every part unlimited: under its name, and never refused."""
    return replace(order, parts=tuple(part._replace(size=UNLIMITED) for part in order.parts))


def journalled(order: Charge, outcome: Outcome) -> Outcome:
    """Return *outcome* with the units that the journal holds marked as taken, so that they can be refunded."""
    lines = tuple(
        line._replace(taken=part.cost) if way is _JOURNAL else line
        for part, line, way in zip(order.parts, outcome.lines, outcome.ways, strict=True)
    )
    return outcome._replace(lines=lines)


def not_journalled(outcome: Outcome) -> Outcome:
    """Return *outcome* as it is where the journal has no room."""
    return outcome._replace(ways=tuple(_ALLOW if way is _JOURNAL else way for way in outcome.ways))


def undone(order: Charge) -> tuple[Charge | Refund | Settle, ...]:
    """
    Return what gives back a charge that was refused here and may have been carried out there.

    The charge is made once more under its name, and then refunded: so it counts for
    nothing even if the first one reaches the store later than both; but for rates, whose
    units stay spent where they were taken. A reservation is cancelled, and lapses by itself where it comes later. Nothing is done for a charge
    without a record, and for one that its caller named: the caller will repeat it by that
    name, and then gets what was taken.
    """
    if order.operation is None or order.keyed:
        return ()
    deadline = max(part.limit.deadline for part in order.parts)
    if order.verb is Verb.RESERVE:
        return (Settle(order.account, order.operation, (), deadline=deadline),)
    return uncapped(order), Refund(order.account, order.operation, deadline=deadline)


def lift(ledger: Ledger, part: Part, used: int, at: int) -> None:
    """Let the rate's meter go on from what was counted elsewhere: at least *used*, as of *at*."""
    rate = part.limit
    assert isinstance(rate, Rate)
    assert isinstance(part.size, int)
    meter = ledger.rates.get(rate.name)
    if meter is None or not fits_law(meter, rate):
        meter = ledger.rates[rate.name] = new_meter(rate)
    missing = used - (meter.peek(part.size, 1, at).used or 0)
    if missing > 0:
        meter.take(part.size, missing, at)


def _way(part: Part, verb: Verb) -> Way:
    limit = part.limit
    if part.size is UNLIMITED or limit.on_outage is _ON_ALLOW:
        return _ALLOW if isinstance(limit, Rate) or verb is Verb.PEEK else _JOURNAL
    return _LOCAL if limit.on_outage is _ON_LOCAL else _DENY


def _refuses(part: Part, way: Way) -> bool:
    return way is _DENY and part.limit.mode is not _SHADOW


def _shared(part: Part, processes: int) -> Part:
    limit, size = part.limit, part.size
    assert isinstance(limit, Rate)
    assert isinstance(size, int)
    if limit.burst is not None and processes > 1:
        limit = replace(limit, burst=share_of(limit.burst, processes))
    return part._replace(limit=limit, size=share_of(size, processes))
