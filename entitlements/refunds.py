"""Double-refund guard for decisions of which the store keeps no record."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

from entitlements._fork import renew_after_fork
from entitlements.errors import StoreError
from entitlements.model.decision_fields import receipt_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.model.decision import Decision


class RefundGuard:
    """
    The decisions that this process has refunded, for as long as they are referenced.

    A store recognises a second refund by the operation id. A decision without one, and
    one that waits in the replay journal, is recognised here.
    """

    def __init__(self) -> None:
        self._refunded: WeakSet[Decision] = WeakSet()
        self.renew()
        renew_after_fork(self)

    def claim(self, decision: Decision) -> bool:
        """Return whether *decision* may be refunded, and mark it as refunded."""
        if receipt_of(decision).operation is not None and decision.via != "journal":
            return True
        with self._lock:
            first = decision not in self._refunded
            self._refunded.add(decision)
        return first

    @contextmanager
    def unclaim_if_undone(self, decision: Decision) -> Iterator[None]:
        """Withdraw the claim if the block raises a `StoreError` that is certain to have changed nothing."""
        try:
            yield
        except StoreError as error:
            if error.undone:
                with self._lock:
                    self._refunded.discard(decision)
            raise

    def renew(self) -> None:
        """Replace the lock; called in a forked child too, where the old one may be held for ever."""
        self._lock = threading.Lock()
