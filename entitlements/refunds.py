"""Which decisions this process has refunded: of those of which a store keeps no record, nobody else knows."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

from entitlements._fork import renew_after_fork
from entitlements.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.model.decision import Decision


class Once:
    """Remembers which decisions were refunded, for as long as anybody holds them."""

    def __init__(self) -> None:
        self._seen: WeakSet[Decision] = WeakSet()
        self._lock = threading.Lock()
        renew_after_fork(self)

    def first(self, decision: Decision) -> bool:
        """Say whether *decision* may be refunded as far as is known here, and take notice that it is."""
        if decision.operation is not None and decision.via != "journal":
            return True
        with self._lock:
            first = decision not in self._seen
            self._seen.add(decision)
        return first

    @contextmanager
    def unless_undone(self, decision: Decision) -> Iterator[None]:
        """Let *decision* come once more where what this block asks of a store has certainly come to nothing."""
        try:
            yield
        except StoreError as error:
            if error.undone:
                with self._lock:
                    self._seen.discard(decision)
            raise

    def renew(self) -> None:
        """Take a fresh lock, in a forked child."""
        self._lock = threading.Lock()
