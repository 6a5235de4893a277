"""
Reservations as pure steps: what can be held, for how long, and how it ends.

A reservation that has lapsed is charged anew when it is committed, by whoever still
knows what it held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from entitlements.errors import ReservationExpired
from entitlements.model import events
from entitlements.model.answers import Settled
from entitlements.model.charge import Charge, Settle, Verb
from entitlements.model.instants import check_duration
from entitlements.model.limits import Allocation, Quota, Rate
from entitlements.model.names import MAX_ID, check_count, check_id, shown
from entitlements.rules.ledger import OPERATION_TTL
from entitlements.rules.planning import Wanted, limit_named, plan, wanted_units
from entitlements.rules.steps import Step

if TYPE_CHECKING:
    from datetime import timedelta

    from entitlements.model.entitlements import Entitlements


def reserved_units(entitlements: Entitlements, what: Wanted, n: int) -> dict[str, int]:
    """
    Return the units by limit that a reservation will hold: those of quotas and allocations.

    Raises:
        UnknownFeature: For a name that is no limit.
        ValueError: Where nothing can be reserved: rates are consumed and stay consumed.
    """
    wanted = wanted_units(what, n)
    limits = {name: limit_named(entitlements.policy, name, (Rate, Quota, Allocation), "reserve") for name in wanted}
    held = {name: units for name, units in wanted.items() if not isinstance(limits[name], Rate)}
    if not held:
        raise ValueError(f"{', '.join(wanted)}: a rate cannot be reserved; consume it")
    return held


def lifetime(ttl: float | timedelta) -> int:
    """
    Return a reservation's time to live in microseconds.

    Raises:
        ValueError: For anything but a timedelta or a number of seconds above 0.
    """
    return check_duration(ttl, "ttl")


def check_reservation_id(id: str) -> str:
    """
    Return *id* if it may be a reservation's: its key may be as long as any, with two characters before it.

    Raises:
        ValueError: For anything else; an empty one is that of a reservation which was refused.
    """
    return id if id == "" else check_id(id, "reservation id", most=MAX_ID + 2)


def commit(
    entitlements: Entitlements,
    now: int,
    reservation: str,
    held: Mapping[str, int] | None,
    n: object,
    *,
    lapses_at: int | None = None,
) -> Step[None]:
    """
    End a reservation, and keep some or all of its units.

    Args:
        entitlements: What the account may do now, for a reservation that has lapsed.
        now: The application's clock.
        reservation: Its id.
        held: What it holds by limit; None where the caller does not know.
        n: None for all, an int where one limit was reserved, or a mapping by limit.
        lapses_at: When it lapses by the store's clock; ten minutes later it is too late
            to charge its units anew.

    Raises:
        ValueError: For amounts that are not within what was reserved.
    """
    amounts = _amounts(held, n)
    kept = _kept(held, amounts)
    anew = None if held is None else _recharge(entitlements, now, reservation, kept)
    until = None if lapses_at is None else lapses_at + OPERATION_TTL
    order = Settle(entitlements.account, reservation, amounts, anew, until)

    def finish(answer: Settled, _: str) -> None:
        if answer.excess is not None:
            less = (
                "several limits; pass {name: units}" if answer.excess == "*" else f"less of {answer.excess!r}, or none"
            )
            raise ValueError(f"commit of {n!r}: reservation {reservation!r} holds {less}")
        if not answer.done:
            raise ReservationExpired(
                f"reservation {reservation!r} of account {entitlements.account!r} is gone, and its units"
                " could not be charged anew; reserve again, with a longer ttl"
            )

    told = events.Settlement(entitlements.account, reservation, tuple(kept.items()))
    return Step(order, finish, entitlements.anchor, events=lambda _: [told])


def cancel(account: str, reservation: str) -> Step[None]:
    """End a reservation, and give all of it back; nothing happens if it has ended."""
    told = events.Settlement(account, reservation, ())
    return Step(Settle(account, reservation, ()), lambda *_: None, events=lambda _: [told])


def _amounts(held: Mapping[str, int] | None, n: object) -> tuple[tuple[str, int], ...] | int | None:
    """Return what to commit in an order's terms, checked against what is held if that is known."""
    if n is None:
        return None
    if isinstance(n, Mapping):
        amounts = {name: check_count(units, f"commit of {shown(name)}", least=0) for name, units in n.items()}
    else:
        units = check_count(n, "commit", least=0)
        if held is None:
            return units
        if len(held) > 1:
            raise ValueError(f"commit of {n!r}: several limits are reserved; pass {{name: units}} for {list(held)}")
        amounts = dict.fromkeys(held, units)
    if held is not None:
        _check_within(held, amounts)
    return tuple(amounts.items())


def _check_within(held: Mapping[str, int], amounts: Mapping[str, int]) -> None:
    for name, units in amounts.items():
        if name not in held:
            raise ValueError(f"commit of {shown(name)}: the reservation holds none of it, it holds {', '.join(held)}")
        if units > held[name]:
            raise ValueError(f"commit of {units} of {name!r}: only {held[name]} are reserved; consume the rest")


def _kept(held: Mapping[str, int] | None, amounts: tuple[tuple[str, int], ...] | int | None) -> dict[str, int]:
    if amounts is None or isinstance(amounts, int):
        return dict(held or {})
    return {name: units for name, units in amounts if units}


def _recharge(entitlements: Entitlements, now: int, reservation: str, kept: dict[str, int]) -> Charge | None:
    """Return the charge that takes *kept* again, if the account may have them at all."""
    if not kept:
        return None
    order = plan(entitlements, Verb.CONSUME, kept, now, operation=f"{reservation}:anew").order
    return order if isinstance(order, Charge) else None
