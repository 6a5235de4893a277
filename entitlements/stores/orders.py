"""What can be said of any order: whose it is, how long it may take, whether it may be repeated."""

from __future__ import annotations

from dataclasses import replace

from entitlements.model.charge import (
    Charge,
    Order,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Settle,
    SetUsage,
)
from entitlements.model.instants import SECOND

_DEADLINE = SECOND // 4
"""Of an order that names no limit's definition: what quotas and allocations have."""
_REPEATABLE = (Settle, SetUsage, Read, ReadHistory, ReadHolders, Recall)


def account_of(order: Order) -> str:
    """Return the id of the account that an order is about."""
    return order.charge.account if isinstance(order, Recall) else order.account


def deadline_of(order: Order) -> int:
    """Return how long an order may take, in microseconds: the longest of its limits' deadlines."""
    if isinstance(order, Recall):
        order = order.charge
    if isinstance(order, Charge) and order.deadline:
        return order.deadline
    if isinstance(order, Charge | Read):
        return max(part.limit.deadline for part in order.parts) if order.parts else _DEADLINE
    if isinstance(order, SetUsage | ReadHistory):
        return order.part.limit.deadline
    if isinstance(order, Refund | Settle):
        return order.deadline or _DEADLINE
    return _DEADLINE


def within(order: Order, left: int) -> Order:
    """Return *order* with no more time than *left*, in microseconds."""
    if isinstance(order, Charge | Refund | Settle) and left < deadline_of(order):
        return replace(order, deadline=max(1, left))
    return order


def is_exact(order: Order) -> bool:
    """Say whether carrying *order* out twice is the same as once."""
    if isinstance(order, Charge | Refund):
        return order.operation is not None
    return isinstance(order, _REPEATABLE)
