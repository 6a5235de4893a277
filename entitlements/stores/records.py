"""
Records: the counters of an account as values, for a store that keeps them in a database of its own.

In one transaction such a store loads the records that an order needs, carries the order out on them,
and writes them back. docs/store-examples.md shows one. A record can be pickled; its form belongs to the
version of this library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from entitlements.rules import orders
from entitlements.rules.ledger import Ledger
from entitlements.stores.orders import account_of, deadline_of

if TYPE_CHECKING:
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order

__all__ = ["Record", "account_of", "deadline_of", "execute_order", "scopes_of"]

Record = Ledger
"""All counters of an account, or of one scope of it. `Record()` is an empty one; records compare by their content."""


def scopes_of(order: Order) -> tuple[str | None, ...]:
    """Return the scopes whose records an order needs: None is the account's own record."""
    scope = orders.scope_of(order)
    return (None,) if scope is None else (None, scope)


def execute_order(order: Order, records: Mapping[str | None, Record], now: int) -> Answer:
    """
    Carry out one order on records, which it changes, and return the answer.

    Args:
        order: Any order but `Forget`, for which a store deletes the account's own record, or those of its `scopes`, and
            `ReadScopes`, for which it lists them. If `record.keeps_version(now)` is True it keeps
            `Record(version=record.version)` of the account's own.
        records: The record of each scope of `scopes_of(order)`.
        now: The store's clock, in microseconds.

    Raises:
        StoreError: If the order is of an unknown type.
    """
    return orders.execute_order(records[None], records[orders.scope_of(order)], order, now)
