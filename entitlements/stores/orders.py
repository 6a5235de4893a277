"""Properties of any order: account, deadline, and whether it may be repeated."""

from __future__ import annotations

from dataclasses import replace

from entitlements.model.charge import (
    Charge,
    Invalidate,
    Order,
    Part,
    Read,
    ReadHistory,
    ReadHolders,
    ReadScopes,
    Recall,
    Refund,
    ResetRate,
    Settle,
    SetUsage,
)
from entitlements.model.instants import SECOND

_DEADLINE = SECOND // 4
"""Deadline of an order without a limit's definition; it is the default of quotas and allocations."""
_IDEMPOTENT = (Settle, SetUsage, ResetRate, Read, ReadHistory, ReadHolders, ReadScopes, Recall, Invalidate)


def account_of(order: Order) -> str:
    """Return the account of an order."""
    return order.charge.account if isinstance(order, Recall) else order.account


def deadline_of(order: Order) -> int:
    """Return the deadline of an order, in microseconds: the longest of its limits' deadlines."""
    match order:
        case Charge():
            return order.deadline or _longest(order.parts)
        case Recall():
            return order.charge.deadline or _longest(order.charge.parts)
        case Read():
            return _longest(order.parts)
        case SetUsage() | ResetRate() | ReadHistory():
            return order.part.limit.deadline
        case Refund() | Settle():
            return order.deadline or _DEADLINE
        case _:
            return _DEADLINE


def _longest(parts: tuple[Part, ...]) -> int:
    if len(parts) == 1:
        return parts[0].limit.deadline
    return max([part.limit.deadline for part in parts], default=_DEADLINE)


def shorten_deadline(order: Order, left: int) -> Order:
    """Return *order* with a deadline of at most *left* microseconds."""
    if isinstance(order, Charge | Refund | Settle) and left < deadline_of(order):
        return replace(order, deadline=max(1, left))
    return order


def is_idempotent(order: Order) -> bool:
    """Return whether executing *order* twice has the same effect as once."""
    if isinstance(order, Charge | Refund):
        return order.operation is not None
    if isinstance(order, Settle) and order.given_up:
        return False
    return isinstance(order, _IDEMPOTENT)
