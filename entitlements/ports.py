"""The Protocols between floors: one or two methods each, over values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from entitlements.model.account import Account
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.events import Event


class Clock(Protocol):
    """Tells the time: microseconds since 1970 in UTC."""

    def __call__(self) -> int:
        """Return the present instant."""
        ...


class Hook(Protocol):
    """Sees every event; cannot change a decision, and its errors are logged and dropped."""

    def __call__(self, event: Event, /) -> object:
        """Take notice of one frozen event."""
        ...


@runtime_checkable
class Accounts(Protocol):
    """Where accounts come from."""

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        ...


@runtime_checkable
class AsyncAccounts(Protocol):
    """Where accounts come from, for `AsyncEnforcer`."""

    async def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        ...


class Store(Protocol):
    """Holds the meters: each order is decided and written atomically, all or nothing."""

    via: str
    """Names the path in `Decision.via`: `memory`, `store`."""

    def execute(self, order: Order, /) -> Answer:
        """Carry out one order; the answer's type is the one that the order names."""
        ...

    def close(self) -> None:
        """Let go of connections; counters stay."""
        ...


class AsyncStore(Protocol):
    """`Store` for an event loop."""

    via: str

    async def execute(self, order: Order, /) -> Answer:
        """Same as `Store.execute`."""
        ...

    async def aclose(self) -> None:
        """Same as `Store.close`."""
        ...
