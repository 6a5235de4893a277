"""
Errors of a networked store, by cause.

They differ in one fact that matters to a caller: whether the order may have been carried out.
After `TimedOut`, `Broken` and a plain `StoreError` that is unknown; an operation id makes a repeat safe.
After any other error the order was not carried out.
"""

from __future__ import annotations

from entitlements.errors import StoreError


class Unreachable(StoreError):
    """No connection could be made; nothing was sent."""

    undone = True


class Closed(StoreError, RuntimeError):
    """The enforcer was closed, and is used again."""

    undone = True


class Overloaded(StoreError):
    """No connection was free in time; nothing was sent, and the store may be healthy."""

    undone = True


class TimedOut(StoreError):
    """No reply in time; whether the order was carried out is unknown."""


class Broken(StoreError):
    """The connection broke; whether the order was carried out is unknown."""


class Rejected(StoreError):
    """The server replied with an error and did not carry out the order."""

    undone = True


class Misconfigured(Rejected):
    """The server will reply with this error until the URL, the ACL or the server is corrected."""

    lasts = True


class Corrupt(StoreError):
    """A key of this store holds a value that the store did not write; nothing was changed."""

    undone = True


class Late(StoreError):
    """The order came after the store had dropped what it kept of its producer; this attempt changed nothing."""

    def __init__(self, now: int) -> None:
        super().__init__(
            "the store keeps nothing of this process from when the charge was made, ten minutes ago or more;"
            " an earlier attempt may have been carried out"
        )
        self.now = now
        """The store's clock, in microseconds."""
