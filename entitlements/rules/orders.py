"""Orders, carried out on the ledgers of an account and of a scope of it. A networked store runs a translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.errors import StoreError
from entitlements.model.charge import (
    Charge,
    Invalidate,
    Order,
    Read,
    ReadHistory,
    ReadHolders,
    Recall,
    Refund,
    Release,
    ResetRate,
    Settle,
    SetUsage,
    Unassign,
)
from entitlements.rules import settlement
from entitlements.rules.ledger import charge, invalidate, recall

if TYPE_CHECKING:
    from entitlements.model.answers import Answer
    from entitlements.rules.ledger import Ledger


def scope_of(order: Order) -> str | None:
    """Return the scope of which an order needs the ledger, in addition to that of its account; None for none."""
    return order.charge.scope if isinstance(order, Recall) else getattr(order, "scope", None)


def execute_order(ledger: Ledger, scoped: Ledger, order: Order, now: int) -> Answer:
    """
    Carry out one order on ledgers, which it changes.

    Args:
        ledger: The account's ledger.
        scoped: That of the order's scope; the same one without a scope.
        order: Any order but `Forget` and `ReadScopes`, which work on the set of ledgers.
        now: The store's clock, in microseconds.

    Raises:
        StoreError: If the order is of an unknown type.
    """
    match order:
        case Charge():
            return charge(ledger, scoped, order, now)
        case Recall():
            return recall(ledger, scoped, order.charge, now)
        case Read():
            return settlement.read(ledger, scoped, order, now)
        case Settle():
            return settlement.settle(ledger, scoped, order, now)
        case Refund():
            return settlement.refund(ledger, scoped, order, now)
        case SetUsage():
            return settlement.set_usage(scoped, order, now)
        case ResetRate():
            settlement.reset_rate(scoped, order)
            return None
        case Release():
            return settlement.release(scoped, order.limit, order.amount, now)
        case Unassign():
            return settlement.unassign(scoped, order.limit, order.holder, now)
        case ReadHistory():
            return settlement.history(scoped, order, now)
        case ReadHolders():
            return settlement.holders(scoped, order.limit)
        case Invalidate():
            return invalidate(ledger, now)
        case _:
            raise StoreError(f"order {order!r} is of an unknown type")
