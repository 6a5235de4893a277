"""Where counters live: a store takes an order and gives back its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.stores.memory import AsyncMemoryStore, MemoryStore

if TYPE_CHECKING:
    from entitlements.ports import AsyncStore, Clock, Store

__all__ = ["AsyncMemoryStore", "MemoryStore", "open_async_store", "open_store"]


def open_store(store: str | Store, clock: Clock) -> Store:
    """
    Return the store that a URL names, or the store itself.

    Args:
        store: `memory://`, or any object with `execute` and `close`.
        clock: The clock of an embedded store.

    Raises:
        ValueError: For a URL whose scheme no store answers to.
    """
    if not isinstance(store, str):
        return store
    _check_scheme(store)
    return MemoryStore(clock)


def open_async_store(store: str | Store | AsyncStore, clock: Clock) -> AsyncStore:
    """Same as `open_store()` but for an event loop; a `MemoryStore` is wrapped."""
    if isinstance(store, str):
        _check_scheme(store)
        return AsyncMemoryStore(MemoryStore(clock))
    if isinstance(store, MemoryStore):
        return AsyncMemoryStore(store)
    if not hasattr(store, "aclose"):
        raise TypeError(f"store {store!r} blocks; AsyncEnforcer needs one with async execute and aclose")
    return store  # type: ignore[return-value]


def _check_scheme(url: str) -> None:
    scheme = url.partition("://")[0]
    if url != "memory://":
        raise ValueError(f"store URL of scheme {scheme!r} is not known; write memory://")
