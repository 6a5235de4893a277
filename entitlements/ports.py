"""The Protocols between layers. `Store` or `AsyncStore` is all that a store of your own implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from entitlements.model.account import Account
    from entitlements.model.answers import Answer, Outcome
    from entitlements.model.charge import Charge, Order
    from entitlements.model.decision import Decision
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
class OrderHook(Protocol):
    """
    A hook that takes the orders of an enforcer with their answers, in place of events; a ledger is one.

    It is called in the caller's thread or loop after each order that the store has answered, so it must not wait. Its
    errors are logged and dropped.
    """

    def __call__(self, event: Event, /) -> object:
        """Take one event; an enforcer does not call it."""
        ...

    def record_order(self, order: Order | None, answer: Answer, decision: Decision | None, /) -> None:
        """
        Take notice of one order.

        Args:
            order: The order; None for a charge that consumes without a key, of which *decision* tells everything.
            answer: The answer to it.
            decision: The decision that a charge led to, or that was refunded; else None.
        """


@runtime_checkable
class Accounts(Protocol):
    """A directory of accounts."""

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        ...


@runtime_checkable
class AsyncAccounts(Protocol):
    """A directory of accounts, for `AsyncEnforcer`."""

    async def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        ...


class InvalidationFeed(Protocol):
    """
    Messages about accounts that were invalidated, over one connection.

    A store or a source of accounts that has them is an `InvalidationSource`. The feed is used by one thread at a time,
    and shared by no processes.
    """

    def connect(self, timeout: float) -> None:
        """
        Connect and subscribe, within *timeout* seconds; called in a thread for an event loop.

        Raises:
            Exception: Any, if that fails; it is logged, and tried again later.
        """

    def fileno(self) -> int:
        """Return the descriptor that is readable once something has arrived."""
        ...

    def read(self) -> list[tuple[str, int | None]] | None:
        """
        Return what has arrived, without waiting: ids of accounts, each with its version, or None if it has none.

        An empty list stands for any other sign of life, None for nothing at all.

        Raises:
            Exception: Any, if the connection has ended.
        """
        ...

    def ping(self) -> None:
        """Ask for a sign of life, without waiting for it."""

    def close(self) -> None:
        """Close the connection; `connect` may follow."""

    def disown(self) -> None:
        """Leave the connection to the parent, in a forked child; `connect` may follow."""


@runtime_checkable
class InvalidationSource(Protocol):
    """A store, or a source of accounts, that tells other processes which accounts have changed."""

    def invalidations(self) -> InvalidationFeed | None:
        """Return a new feed, not connected yet; None if there are no messages."""
        ...


@runtime_checkable
class VersionedStore(Protocol):
    """
    A store that keeps a version of each account.

    It carries out `Invalidate`, and answers orders of another version with `Outdated`. With any other store
    `invalidate` does what `refresh` does.
    """

    keeps_versions: bool


@runtime_checkable
class PartitionedStore(Protocol):
    """
    A store over several servers that fail separately: each has a circuit breaker of its own.

    `server_of` returns the server that holds what is counted for an account, as far as it is known, or None. It is
    None itself for a store on one server.
    """

    server_of: Callable[[str], Hashable] | None


@runtime_checkable
class Store(Protocol):
    """Holds the meters: each order is decided and written atomically, all or nothing."""

    via: str
    """Names the path in `Decision.via`: `memory`, `store`."""

    def execute(self, order: Order, /) -> Answer:
        """
        Carry out one order; the answer's type is the one that the order names.

        Raises:
            StoreError: If the store did not answer or could not carry it out. `undone` is True where
                nothing can have been written.
        """
        ...

    def close(self) -> None:
        """Close connections; counters stay."""
        ...


@runtime_checkable
class BatchStore(Protocol):
    """A `Store` that reads many records in few round trips, if it has `execute_many` as well."""

    def execute_many(self, orders: Sequence[Order], /) -> Sequence[Answer]:
        """Carry out orders that only read; return their answers in the same order; raises what `execute` raises."""
        ...


@runtime_checkable
class AsyncStore(Protocol):
    """`Store` for an event loop: all that a store of your own needs."""

    via: str

    async def execute(self, order: Order, /) -> Answer:
        """Carry out one order, as `Store.execute` does."""
        ...

    async def aclose(self) -> None:
        """Close the connections of this loop; counters stay."""
        ...


@runtime_checkable
class Openable(Protocol):
    """An `AsyncStore` that connects when the application starts, if it has `open` as well."""

    async def open(self) -> None:
        """
        Connect now instead of at the first order.

        Raises:
            StoreError: If the store cannot be reached.
        """
        ...


@runtime_checkable
class AsyncDispatcher(Protocol):
    """
    The store as `AsyncEnforcer` calls it: what is known here is answered at once, the rest is submitted.

    No coroutine stands between a caller and the reply. `stores.guard_async_store` makes one of any `AsyncStore`.
    """

    via: str

    def try_now(self, charge: Charge, /) -> Outcome | None:
        """Return the outcome of a charge without waiting; None if it must be submitted."""
        ...

    def submit(
        self, order: Order, /, abandoned: Callable[[Answer | Exception], object] | None = None
    ) -> Awaitable[Answer]:
        """
        Carry out one order; the result is awaited once.

        Args:
            order: The order.
            abandoned: Takes what the order ends with if its caller has been cancelled; None drops it.

        Raises:
            StoreError: On await, for an order that only the store can answer.
        """
        ...

    async def open(self) -> None:
        """
        Connect now instead of at the first order.

        Raises:
            StoreError: If the store cannot be reached.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections of this loop; counters stay."""
        ...


class Completable(Protocol):
    """The half of `asyncio.Future` that a transport needs."""

    def done(self) -> bool:
        """Return True once nothing more is wanted."""
        ...

    def set_exception(self, error: Exception, /) -> None:
        """Raise *error* in the caller."""


class Pending(Protocol):
    """
    One attempt to carry out an order.

    `request`, `sent_at` and `timeout` belong to the transport: what travels, when it was handed over
    (monotonic seconds), and how long it may take (seconds).
    """

    request: Any
    sent_at: float
    timeout: float

    @property
    def order(self) -> Order | None:
        """The order; None for a command of the transport's own."""
        ...

    @property
    def future(self) -> Completable:
        """Done once the attempt has ended, or its caller has been cancelled: then the reply is dropped."""
        ...

    def resolve(self, answer: Any, now: int, /) -> None:
        """
        End the attempt with its answer.

        Args:
            answer: The answer to the order.
            now: When it arrived, in monotonic microseconds.
        """

    def reject(self, error: Exception, /) -> None:
        """End the attempt with an error, also one whose caller has been cancelled: the store has failed all the same."""


@runtime_checkable
class AsyncTransport(Protocol):
    """
    Carries pending orders to a store that may fail, and nothing else.

    `AsyncRedisStore` is one; `stores.transport.TaskTransport` makes one of any `AsyncStore`.
    """

    via: str

    def send(self, pending: Pending, /) -> None:
        """
        Carry out an order, and resolve or reject *pending* later, never during this call.

        Raises:
            StoreError: If the order cannot be sent; nothing was written.
        """
        ...

    def expire(self) -> None:
        """Reject what has waited for its timeout while no reply arrived."""
        ...

    async def open(self) -> None:
        """
        Connect now instead of at the first order.

        Raises:
            StoreError: If the store cannot be reached.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections of this loop; counters stay."""
        ...
