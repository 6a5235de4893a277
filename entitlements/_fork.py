"""A forked child starts with fresh locks: the thread that held one is not there to release it."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Locked(Protocol):
    """Holds a lock, and perhaps work that other threads have begun."""

    def unlock(self) -> None:
        """Take a fresh lock, and forget what threads of the parent were doing."""
        ...


_ALL: WeakSet[Locked] = WeakSet()


def unlock_in_children(locked: Locked) -> None:
    """Unlock *locked*, as long as it lives, in every child that this process forks."""
    _ALL.add(locked)


def _unlock_all() -> None:
    for locked in list(_ALL):
        locked.unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)
