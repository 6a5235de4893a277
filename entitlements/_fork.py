"""
Renewal of locks and connections in forked child processes.

A child inherits every lock in the state in which it was at the fork, but not the thread that
would release it. It also shares the parent's sockets. Both must be replaced before use.
"""

from __future__ import annotations

import os
import socket
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """An object with state that a forked child must not share: locks, sockets, work in progress."""

    def renew(self) -> None:
        """Replace that state; called in the child, right after the fork."""
        ...


_SILENT: list[tuple[socket.socket, socket.socket]] = []
_REGISTERED: WeakSet[Renewable] = WeakSet()


def renew_after_fork(renewable: Renewable) -> None:
    """Call `renew` of *renewable* in every child that this process forks; no reference to it is kept."""
    _REGISTERED.add(renewable)


def disown_socket(descriptor: int) -> None:
    """
    Put a silent socket in place of the parent's, under the same descriptor of this child.

    An event loop that goes on in the child would read the parent's replies. To close the socket would not help:
    a loop then removes it from the selector, which is the parent's too.
    """
    pair = socket.socketpair()
    pair[0].setblocking(False)
    _SILENT.append(pair)
    os.dup2(pair[0].fileno(), descriptor)


def _renew_all() -> None:
    for renewable in list(_REGISTERED):
        renewable.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
