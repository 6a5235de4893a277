"""
Reservation steps, pure: validate a reservation, commit it and cancel it.

A lapsed reservation is charged again when it is committed, if the caller knows its units.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from entitlements.errors import ReservationExpired
from entitlements.model import events
from entitlements.model.answers import Settled
from entitlements.model.charge import Charge, Settle, Verb
from entitlements.model.decision import Decision
from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import Allocation, Quota, Rate
from entitlements.model.names import MAX_ID, check_count, check_id, shown
from entitlements.model.resolution import resolution_of
from entitlements.rules.commit_decisions import commit_decision, committed_units
from entitlements.rules.ledger import OPERATION_TTL
from entitlements.rules.planning import Wanted, limit_named, per_of, plan, wanted_units
from entitlements.rules.steps import Step


def reserved_units(entitlements: Entitlements, what: Wanted, n: int) -> dict[str, int]:
    """
    Return the units by limit that a reservation holds.

    Raises:
        UnknownFeature: For a name that is not a limit.
        ValueError: For units that are no int from 1 to 2^53-1.
    """
    wanted = wanted_units(what, n)
    for name in wanted:
        limit_named(entitlements, name, (Rate, Quota, Allocation), "reserve")
    return wanted


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
) -> Step[Decision]:
    """
    Return the step that commits a reservation: so many units are used, also more than were reserved.

    Args:
        entitlements: The account's present entitlements, for the decision and for charging a lapsed reservation again.
        now: The application's clock.
        reservation: The reservation's id.
        held: The reserved units by limit; None if the caller does not know them.
        n: None for all, an int for a single limit, or a mapping by limit.
        lapses_at: The instant at which it lapses by the store's clock. From ten minutes
            later on its units cannot be charged again.

    Raises:
        ValueError: For amounts below 0 or above 2^53-1, and for limits that were not reserved.
    """
    rates = {name for name, limit in entitlements.policy.limits.items() if isinstance(limit, Rate)}
    amounts = _amounts(held, n, rates)
    kept = {} if held is None else _kept(held, amounts, rates)
    operation, scope = split_reservation_id(reservation)
    recharge = None if held is None else _recharge(entitlements, now, operation, held, kept, scope)
    until = None if lapses_at is None else lapses_at + OPERATION_TTL
    order = Settle(entitlements.account, operation, amounts, recharge, until, scope=scope)

    def finish(answer: Settled, via: str) -> Decision:
        if answer.excess is not None and held is None:  # else a server has evicted the record of the scope
            holds = "several limits; pass {name: units}" if answer.excess == "*" else f"no {answer.excess!r}"
            raise ValueError(f"commit of {n!r}: reservation {reservation!r} holds {holds}")
        if not answer.done:
            raise ReservationExpired(
                f"reservation {reservation!r} of account {entitlements.account!r} is gone, and its units"
                " could not be charged again; reserve again, with a longer ttl"
            )
        return commit_decision(entitlements, answer, kept, via)

    def settled(decision: Decision) -> list[events.Event]:
        if decision.replayed:
            return []
        committed = committed_units(decision)
        return [events.Settlement(entitlements.account, reservation, committed, scope, decision)]

    calendar = resolution_of(entitlements).calendar
    return Step(order, finish, calendar, events=settled, set_to=lambda answer: finish(answer, ""))


def cancel(account: str, reservation: str, *, given_up: bool = False) -> Step[bool]:
    """
    Return the step that cancels a reservation: all its units are returned; a settled one does not change.

    With *given_up* it stays for another caller that was given it by the same key; the result is False then.
    """
    operation, scope = split_reservation_id(reservation)
    event = events.Settlement(account, reservation, (), scope)
    order = Settle(account, operation, (), given_up=given_up, scope=scope)
    return Step(order, lambda answer, _: answer.excess is None, events=lambda is_cancelled: [event] * is_cancelled)


def _amounts(
    held: Mapping[str, int] | None, n: object, rates: Container[str]
) -> tuple[tuple[str, int], ...] | int | None:
    """Return the amounts of a `Settle` order, checked against the reserved limits if they are known."""
    if n is None:
        return None
    if isinstance(n, Mapping):
        amounts = {name: check_count(units, f"commit of {shown(name)}", least=0) for name, units in n.items()}
        unknown = [name for name in amounts if held is not None and name not in held]
        if unknown:
            holds = ", ".join(held or ())
            raise ValueError(f"commit of {shown(unknown[0])}: the reservation holds none of it, it holds {holds}")
        return tuple(amounts.items())
    units = check_count(n, "commit", least=0)
    if held is None:
        return units
    names = [name for name in held if name not in rates or len(held) == 1]
    if len(names) != 1:
        raise ValueError(f"commit of {n!r}: several limits are reserved; pass {{name: units}} for {list(held)}")
    return ((names[0], units),)


def _kept(
    held: Mapping[str, int], amounts: tuple[tuple[str, int], ...] | int | None, rates: Container[str]
) -> dict[str, int]:
    """Return the units that a commit keeps of each limit: a rate that it leaves out stays as it was taken."""
    if amounts is None or isinstance(amounts, int):
        return dict(held)
    left_out = {name: units for name, units in held.items() if name in rates and amounts}
    return {name: units for name, units in (left_out | dict(amounts)).items() if units}


def _recharge(
    entitlements: Entitlements,
    now: int,
    operation: str,
    held: Mapping[str, int],
    kept: Mapping[str, int],
    scope: str | None,
) -> Charge | None:
    """
    Return the charge that takes *kept* again; None if the resolution alone refuses it, or nothing is kept.

    Of a rate it takes what is beyond the reserved units: those were taken, and leave with their window.
    """
    if not kept:
        return None
    limits, id = entitlements.policy.limits, f"{operation}:recharge"
    wanted = {name: n - held[name] if isinstance(limits.get(name), Rate) else n for name, n in kept.items()}
    wanted = {name: n for name, n in wanted.items() if n > 0}
    if not wanted:
        return Charge(entitlements.account, (), operation=id)
    scope = scope if per_of(limits.get(name) for name in wanted) else None
    order = plan(entitlements, Verb.CONSUME, wanted, now, operation=id, scope=scope).order
    return order if isinstance(order, Charge) else None
