"""Stale answers: the period ends of an order do not fit the store's clock, and it is sent once more with those that do."""

from __future__ import annotations

from dataclasses import replace

from entitlements.errors import StoreError
from entitlements.model.answers import Answer, Outcome, Outdated, Periods, Settled, Status, Totalled
from entitlements.model.calendars import Calendar
from entitlements.model.charge import Charge, Order, Read, ReadHistory, Settle, SetUsage
from entitlements.rules.planning import charge_with_period_ends, with_period_ends


def is_stale(answer: Answer) -> bool:
    """Return True if the store found the period ends of an order stale."""
    if type(answer) is Outcome:
        return answer.status is Status.STALE
    return isinstance(answer, Settled | Totalled | Periods) and answer.stale


def is_final(answer: Answer) -> bool:
    """Return True if a store's answer needs no repeat: neither period ends nor the account are outdated."""
    return not is_stale(answer) and type(answer) is not Outdated


def with_fresh_ends(order: Order, answer: Answer, calendar: Calendar) -> Order:
    """Return a stale order with the period ends around the store's time."""
    assert isinstance(answer, Outcome | Settled | Totalled | Periods)
    now = answer.now
    match order:
        case Charge():
            return charge_with_period_ends(order, calendar, now)
        case Read():
            return replace(order, parts=tuple(with_period_ends(part, calendar, now) for part in order.parts))
        case SetUsage() | ReadHistory():
            return replace(order, part=with_period_ends(order.part, calendar, now))
        case Settle() if order.recharge is not None:
            return replace(order, recharge=charge_with_period_ends(order.recharge, calendar, now))
        case _:
            raise StoreError(f"the store calls {order!r} stale, which carries no period ends")


def reject_stale(answer: Answer) -> Answer:
    """
    Return the answer to a repeated order.

    Raises:
        StoreError: If the store calls it stale a second time.
    """
    if is_stale(answer):
        raise StoreError("the store's clock moved by whole periods between two calls; look after its clock")
    return answer
