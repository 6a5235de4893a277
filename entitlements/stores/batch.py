"""Many reads at once: in few round trips where a store can, else one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from entitlements.ports import BatchStore

if TYPE_CHECKING:
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.ports import Store


def execute_many(store: Store, orders: Sequence[Order]) -> Sequence[Answer]:
    """
    Carry out orders that only read; return their answers in the same order.

    Raises:
        StoreError: If the store failed.
    """
    if isinstance(store, BatchStore):
        return store.execute_many(orders)
    return [store.execute(order) for order in orders]
