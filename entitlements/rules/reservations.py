"""
Reservation steps, pure: validate a reservation, commit it and cancel it.

A lapsed reservation is charged again when it is committed, if the caller knows its units.
"""

from __future__ import annotations

from collections.abc import Mapping

from entitlements.errors import ReservationExpired
from entitlements.model import events
from entitlements.model.answers import Settled
from entitlements.model.charge import Charge, Settle, Verb
from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import Allocation, Quota, Rate
from entitlements.model.names import MAX_ID, check_count, check_id, shown
from entitlements.model.resolution import resolution_of
from entitlements.rules.ledger import OPERATION_TTL
from entitlements.rules.planning import Wanted, limit_named, per_of, plan, wanted_units
from entitlements.rules.steps import Step


def reserved_units(entitlements: Entitlements, what: Wanted, n: int) -> dict[str, int]:
    """
    Return the units by limit that a reservation holds: those of quotas and allocations.

    Raises:
        UnknownFeature: For a name that is not a limit.
        ValueError: For rates alone: rates are consumed and stay consumed.
    """
    wanted = wanted_units(what, n)
    limits = {name: limit_named(entitlements, name, (Rate, Quota, Allocation), "reserve") for name in wanted}
    held = {name: units for name, units in wanted.items() if not isinstance(limits[name], Rate)}
    if not held:
        raise ValueError(f"{', '.join(wanted)}: a rate cannot be reserved; consume it")
    return held


def reservation_id(operation: str | None, scope: str | None) -> str:
    """Return the id of a reservation: its operation id, after the scope if it has one; "" for one that was refused."""
    return operation or "" if scope is None or not operation else f"@{len(scope)}:{scope}:{operation}"


def split_reservation_id(id: str) -> tuple[str, str | None]:
    """Return the operation id of a reservation and its scope, if it has one."""
    length, _, rest = id[1:].partition(":")
    if not id.startswith("@") or not (length.isascii() and length.isdigit() and len(length) < 4):
        return id, None
    size = int(length)
    return (rest[size + 1 :], rest[:size]) if rest[size : size + 1] == ":" else (id, None)


def check_reservation_id(id: str) -> str:
    """
    Return *id* if it is a valid reservation id: a key or operation id with a prefix of two characters, and its scope.

    Raises:
        ValueError: For anything else, and for the empty id of a reservation that was refused.
    """
    if id == "":
        raise ValueError("reservation id '' is that of a refused reservation, which holds nothing; check it before")
    return check_id(id, "reservation id", most=2 * MAX_ID + 8)


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
    Return the step that commits a reservation: some or all of its units stay used.

    Args:
        entitlements: The account's present entitlements, for charging a lapsed reservation again.
        now: The application's clock.
        reservation: The reservation's id.
        held: The reserved units by limit; None if the caller does not know them.
        n: None for all, an int for a single limit, or a mapping by limit.
        lapses_at: The instant at which it lapses by the store's clock. From ten minutes
            later on its units cannot be charged again.

    Raises:
        ValueError: For amounts above the reserved ones.
    """
    amounts = _amounts(held, n)
    kept = _kept(held, amounts)
    operation, scope = split_reservation_id(reservation)
    recharge = None if held is None else _recharge(entitlements, now, operation, kept, scope)
    until = None if lapses_at is None else lapses_at + OPERATION_TTL
    order = Settle(entitlements.account, operation, amounts, recharge, until, scope=scope)

    def finish(answer: Settled, _: str) -> None:
        if answer.excess is not None:
            less = (
                "several limits; pass {name: units}" if answer.excess == "*" else f"less of {answer.excess!r}, or none"
            )
            raise ValueError(f"commit of {n!r}: reservation {reservation!r} holds {less}")
        if not answer.done:
            raise ReservationExpired(
                f"reservation {reservation!r} of account {entitlements.account!r} is gone, and its units"
                " could not be charged again; reserve again, with a longer ttl"
            )

    event = events.Settlement(entitlements.account, reservation, tuple(kept.items()), scope)
    return Step(order, finish, resolution_of(entitlements).calendar, events=lambda _: [event])


def cancel(account: str, reservation: str, *, given_up: bool = False) -> Step[bool]:
    """
    Return the step that cancels a reservation: all its units are returned; a settled one does not change.

    With *given_up* it stays for another caller that was given it by the same key; the result is False then.
    """
    operation, scope = split_reservation_id(reservation)
    event = events.Settlement(account, reservation, (), scope)
    order = Settle(account, operation, (), given_up=given_up, scope=scope)
    return Step(order, lambda answer, _: answer.excess is None, events=lambda is_cancelled: [event] * is_cancelled)


def _amounts(held: Mapping[str, int] | None, n: object) -> tuple[tuple[str, int], ...] | int | None:
    """Return the amounts of a `Settle` order, checked against the reserved units if they are known."""
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


def _recharge(
    entitlements: Entitlements, now: int, operation: str, kept: dict[str, int], scope: str | None
) -> Charge | None:
    """Return the charge that takes *kept* again; None if the resolution alone refuses it."""
    if not kept:
        return None
    scope = scope if per_of(entitlements.policy.limits.get(name) for name in kept) else None
    order = plan(entitlements, Verb.CONSUME, kept, now, operation=f"{operation}:recharge", scope=scope).order
    return order if isinstance(order, Charge) else None
