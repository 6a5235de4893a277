"""
Fallbacks: the outcome of a charge while the store cannot be called, part by part.

Each limit's `on_outage` names its fallback. `local` (rates): the same law in this process, at its share of
the limit, ⌈N / processes⌉. `allow`: admitted; quotas and allocations are journalled and counted once the
store replies again, even above the limit. `deny`: refused. An unlimited limit is never refused because the
store fails. Units are leased from the store alone. A charge stays all or nothing: if one enforced part is refused, no part is counted anywhere.

A window across the beginning of an outage holds at most N from the store plus ⌈N / p⌉ from each of p
processes; less if a process saw what was used, because its local meter goes on from there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.model.answers import Fallback, Line, Outcome, Status
from entitlements.model.charge import Charge, Part, Refund, Settle, Verb
from entitlements.model.limits import UNLIMITED, Mode, OnOutage, Rate
from entitlements.model.overage import most_of, uncapped_size
from entitlements.rules.meters import meter_of

if TYPE_CHECKING:
    from entitlements.rules.ledger import Ledger


_ADMIT = Line(True, None)
# A member takes longer to find than what is done with it:
_LOCAL, _ALLOW, _DENY, _JOURNAL = Fallback.LOCAL, Fallback.ALLOW, Fallback.DENY, Fallback.JOURNAL
_HERE = (_LOCAL,)
_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much
_SHADOW, _ON_ALLOW, _ON_LOCAL = Mode.SHADOW, OnOutage.ALLOW, OnOutage.LOCAL


def share_of(size: int, processes: int) -> int:
    """Return one process's share of a limit: ⌈size / processes⌉."""
    return -(-size // processes)


def fallbacks_of(order: Charge) -> tuple[Fallback, ...]:
    """Return the fallback of each part, if no part refuses the whole."""
    return tuple([_fallback(part, order.verb) for part in order.parts])


def local_charge(order: Charge, fallbacks: tuple[Fallback, ...], processes: int) -> Charge | None:
    """
    Return the charge of the parts that are limited in this process, each at its share; None if there are none.

    It takes nothing if another part refuses the whole.
    """
    parts = tuple(
        _share_part(part, processes) for part, fallback in zip(order.parts, fallbacks, strict=True) if fallback is _LOCAL
    )  # fmt: skip
    if not parts:
        return None
    takes = order.verb is not Verb.PEEK and not any(map(_refuses, order.parts, fallbacks))
    scoped = any(part.limit.per for part in parts)
    verb = Verb.CONSUME if takes else Verb.PEEK
    return Charge(order.account, parts, verb, order.scope if scoped else None)


def fallback_outcome(
    order: Charge,
    fallbacks: tuple[Fallback, ...],
    local: Outcome | None,
    now: int,
    retry_at: int,
    *,
    shared: bool = False,
) -> Outcome:
    """
    Return the outcome of a charge without the store.

    Args:
        order: The charge.
        fallbacks: The fallback of each part.
        local: The outcome of the local parts; None if there are none.
        now: The local time, in microseconds.
        retry_at: The time of the next call to the store, for parts that are refused because it fails.
        shared: The local parts are shares of their limits. A share that is used up does not mean
            that the limit is, so the store may admit the charge as soon as it replies again.
    """
    if fallbacks == _HERE and local and local.lines and local.lines[0][0]:
        _, _, _, again, resets_at, mark, taken = local.lines[0]
        line = _new_tuple(Line, (True, None, 0, again, resets_at, mark, taken))
        return _new_tuple(Outcome, (Status.ADMITTED, now, (line,), 0, (), fallbacks, ""))
    counted = iter(local.lines if local else ())
    lines, found, admitted = [], [], True
    for part, asked in zip(order.parts, fallbacks, strict=True):
        line, fallback = _ADMIT, asked
        if fallback is _LOCAL:
            here = next(counted, None)
            if here is None or (not here.fits and here.retry_at is None and part.size):  # no room, or above the share
                fallback = _DENY
            else:
                again = min(here.retry_at, retry_at) if shared and here.retry_at is not None else here.retry_at
                line = Line(here.fits, None, 0, again, here.resets_at, here.mark, here.taken)
        if fallback is _DENY:
            line = Line(False, None, 0, retry_at)
        lines.append(line)
        found.append(fallback)
        admitted = admitted and (line.fits or part.limit.mode is _SHADOW)
    if not admitted:
        found = [_ALLOW if fallback is _JOURNAL else fallback for fallback in found]
        lines = [line._replace(taken=0) for line in lines]
    return Outcome(Status.ADMITTED if admitted else Status.REFUSED, now, tuple(lines), 0, (), tuple(found))


def to_journal(order: Charge, outcome: Outcome) -> Charge | None:
    """
    Return the charge that counts in the store later what *outcome* admitted now; None for nothing.

    Every part becomes unlimited: quotas and allocations are counted and never refused, rates are not counted.
    Quotas count in the period of *outcome*, also if the store replies in a later one.
    The operation id stays, so that a charge which had reached the store after all is recognised there.
    """
    if outcome.status is not Status.ADMITTED or order.verb is Verb.PEEK:
        return None
    if all(isinstance(part.limit, Rate) for part in order.parts):
        return None
    return uncapped(order, outcome.now)


def uncapped(order: Charge, made_at: int | None = None) -> Charge:
    """Return *order* without a bound and for any version, under the same operation id, made at that instant."""
    parts = tuple(part._replace(size=uncapped_size(part.size)) for part in order.parts)
    return replace(order, parts=parts, made_at=made_at, version=None)


def mark_journalled(order: Charge, outcome: Outcome) -> Outcome:
    """Return *outcome* with the units in the journal marked as taken, so that they can be refunded."""
    lines = tuple(
        line._replace(taken=part.cost) if fallback is _JOURNAL else line
        for part, line, fallback in zip(order.parts, outcome.lines, outcome.fallbacks, strict=True)
    )
    return outcome._replace(lines=lines)


def without_journal(outcome: Outcome) -> Outcome:
    """Return *outcome* for a journal that has no room."""
    return outcome._replace(
        fallbacks=tuple(_ALLOW if fallback is _JOURNAL else fallback for fallback in outcome.fallbacks)
    )


def undo_orders(order: Charge) -> tuple[Charge | Refund | Settle, ...]:
    """
    Return the orders that undo a charge which was refused here and may have been carried out in the store.

    The charge is repeated under its operation id and then refunded, so it counts for nothing even if the first
    one reaches the store later than both. Units of rates stay spent. A reservation is cancelled, and lapses by
    itself if it arrives later. A charge without a record needs no undo, and a keyed charge gets none: its
    caller repeats it with the key, and then gets what was taken. Nor does an assignment: it is repeated as it
    is, and an undo would take the unit of a repeat that another process has acknowledged.
    """
    if order.operation is None or order.keyed or order.verb is Verb.ASSIGN:
        return ()
    deadline = max(part.limit.deadline for part in order.parts)
    if order.verb is Verb.RESERVE:
        return (Settle(order.account, order.operation, (), deadline=deadline, scope=order.scope),)
    return uncapped(order), Refund(order.account, order.operation, scope=order.scope, deadline=deadline)


def raise_meter(ledger: Ledger, part: Part, used: int, at: int) -> None:
    """Raise a rate's meter to what was counted elsewhere: at least *used* units, as of *at*."""
    rate = part.limit
    assert isinstance(rate, Rate)
    assert isinstance(part.size, int)
    meter = ledger.rates[rate.meter_name] = meter_of(ledger.rates, rate)
    missing = used - (meter.peek(part.size, 1, at).used or 0)
    if missing > 0:
        meter.take(part.size, missing, at)


def _fallback(part: Part, verb: Verb) -> Fallback:
    limit = part.limit
    if verb is Verb.LEASE:
        return _DENY
    if most_of(part.size) is UNLIMITED or limit.on_outage is _ON_ALLOW:
        return _ALLOW if isinstance(limit, Rate) or verb is Verb.PEEK else _JOURNAL
    return _LOCAL if limit.on_outage is _ON_LOCAL else _DENY


def _refuses(part: Part, fallback: Fallback) -> bool:
    return fallback is _DENY and part.limit.mode is not _SHADOW


def _share_part(part: Part, processes: int) -> Part:
    limit, size = part.limit, part.size
    assert isinstance(limit, Rate)
    assert isinstance(size, int)
    if limit.burst is not None and processes > 1:
        limit = replace(limit, burst=share_of(limit.burst, processes))
    return part._replace(limit=limit, size=share_of(size, processes))
