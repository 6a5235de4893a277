"""A store in memory that fails on command, behind the outage policy of a networked store, on a clock that a test moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from entitlements.stores.errors import Broken, TimedOut, Unreachable
from entitlements.stores.memory import MemoryStore
from entitlements.stores.resilience.store import AsyncResilientStore, ResilientStore

if TYPE_CHECKING:
    from types import TracebackType

    from entitlements.errors import StoreError
    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.ports import Clock

G = TypeVar("G", ResilientStore, AsyncResilientStore)

_REFUSED = {"down": Unreachable, "silent": TimedOut}


class Fault:
    """
    Toggles for the store of a test: it is up until one of them is called.

    Each returns itself and is a context manager: `with fault.down():` lets the store fail in the block alone.
    """

    def __init__(self) -> None:
        self._mode = "up"
        self._stores: list[ResilientStore | AsyncResilientStore] = []

    def __repr__(self) -> str:
        return f"<Fault: the store is {self._mode}>"

    @property
    def mode(self) -> str:
        """The state of the store: `up`, `down`, `silent` or `lossy`."""
        return self._mode

    def down(self) -> Self:
        """Refuse connections: no order reaches the store."""
        return self._become("down")

    def silent(self) -> Self:
        """Let every order time out; none is carried out."""
        return self._become("silent")

    def lossy(self) -> Self:
        """Lose every reply: orders are carried out, and the caller does not learn it."""
        return self._become("lossy")

    def up(self) -> Self:
        """Let the store answer again; the next order reaches it, without the pause of the circuit breaker."""
        for store in self._stores:
            store.policy.breaker.probe_now()
        return self._become("up")

    def __enter__(self) -> Self:
        """Return itself; the toggle was set by the call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the store answer again."""
        self.up()

    def attach(self, store: G) -> G:
        """Have `up()` close the circuit breaker of *store* with its next call; return the store."""
        self._stores.append(store)
        return store

    def _become(self, mode: str) -> Self:
        self._mode = mode
        return self


class FaultyStore:
    """
    A `MemoryStore` whose calls fail as a `Fault` says.

    Args:
        clock: Returns the time in microseconds.
        fault: The toggles.
    """

    via = "memory"

    def __init__(self, clock: Clock, fault: Fault) -> None:
        self._store, self._clock = MemoryStore(clock), clock
        self._fault = fault

    def __repr__(self) -> str:
        return "<FaultyStore>"

    def guarded(self) -> ResilientStore:
        """Return this store behind the outage policy, for an `Enforcer`."""
        return self._fault.attach(ResilientStore(self, processes=1, clock=self._clock))

    def guarded_async(self) -> AsyncResilientStore:
        """Return this store behind the outage policy, for an `AsyncEnforcer`."""
        return self._fault.attach(AsyncResilientStore(AsyncFaultyStore(self), processes=1, clock=self._clock))

    def execute(self, order: Order, /) -> Answer:
        """Carry out one order, or fail."""
        mode = self._fault.mode
        error: type[StoreError] | None = _REFUSED.get(mode)
        if error is not None:
            raise error(f"the test has switched the store to {mode}")
        answer = self._store.execute(order)
        if mode == "lossy":
            raise Broken("the test has switched the store to lossy: the reply is lost")
        return answer

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class AsyncFaultyStore:
    """`FaultyStore` for an event loop."""

    via = "memory"

    def __init__(self, store: FaultyStore) -> None:
        self._store = store

    def __repr__(self) -> str:
        return repr(self._store)

    async def execute(self, order: Order, /) -> Answer:
        """Carry out one order, or fail."""
        return self._store.execute(order)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
