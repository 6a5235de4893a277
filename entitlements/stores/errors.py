"""
Errors of a networked store, by cause.

They differ in one fact that matters to a caller: whether the order may have been carried out.
After `TimedOut`, `Broken` and a plain `StoreError` that is unknown; an operation id makes a repeat safe.
After any other error the order was not carried out.
"""

from __future__ import annotations

from entitlements.errors import StoreError


class Unreachable(StoreError):
    """
    No connection could be made; nothing was sent.

    Cure: check the URL, the network and that the server runs.
    """

    undone = True


class Closed(StoreError, RuntimeError):
    """
    The enforcer was closed, and is used again.

    Cure: close an enforcer after its last call, or make a new one.
    """

    undone = True


class Overloaded(StoreError):
    """
    No connection was free in time; nothing was sent, and the store may be healthy.

    Cure: allow more connections, or run more processes.
    """

    undone = True


class TimedOut(StoreError):
    """
    No reply in time; whether the order was carried out is unknown.

    Cure: look for slow commands on the server, or give the limit a longer `deadline`; an idempotency key makes a repeat safe.
    """


class Broken(StoreError):
    """
    The connection broke; whether the order was carried out is unknown.

    Cure: look for restarts and limits of clients on the server; an idempotency key makes a repeat safe.
    """


class Rejected(StoreError):
    """
    The server replied with an error and did not carry out the order.

    Cure: the message has the reply of the server.
    """

    undone = True


class Misconfigured(Rejected):
    """
    The server will reply with this error until the URL, the ACL or the server is corrected.

    Cure: the message names what to correct; `entitlements doctor URL` checks it.
    """

    lasts = True


class Corrupt(StoreError):
    """
    A key of this store holds a value that the store did not write; nothing was changed.

    Cure: use a namespace (`?namespace=`) or a database that no other program writes to; `forget` deletes the account's counters.
    """

    undone = True


class Late(StoreError):
    """
    The order came after the store had dropped what it kept of its producer; this attempt changed nothing.

    Cure: make the charge again, if it still counts.
    """

    def __init__(self, now: int) -> None:
        super().__init__(
            "the store keeps nothing of this process from when the charge was made, ten minutes ago or more;"
            " an earlier attempt may have been carried out"
        )
        self.now = now
        """The store's clock, in microseconds."""
