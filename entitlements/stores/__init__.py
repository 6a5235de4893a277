"""Stores of counters: a store executes an order and returns its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entitlements.ports import AsyncDispatcher, AsyncStore, InvalidationSource, Store, VersionedStore
from entitlements.stores.memory import AsyncMemoryStore, MemoryStore
from entitlements.stores.sequence import Producer, RandomIds, SequencedStore, SettledNumbers
from entitlements.stores.workers import check_processes, warn_if_divided

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.events import Event
    from entitlements.ports import Clock
    from entitlements.stores.resilience.store import ResilientStore
    from entitlements.stores.sequence import Numbering

__all__ = ["AsyncMemoryStore", "MemoryStore"]

_NETWORKED = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_VALKEY_SCHEMES = {
    scheme: f"write {ours}://host:6379, which is right for Valkey too"
    for scheme, ours in (("valkey", "redis"), ("valkeys", "rediss"))
}


def open_store(store: str | Store, clock: Clock) -> Store:
    """
    Return the store of a URL, or a given store.

    Args:
        store: `memory://`, the URL of a Redis or a Valkey, a client of redis-py, or any
            object with `via`, `execute` and `close`.
        clock: Clock of an embedded store; a networked store uses its server's.

    Raises:
        ValueError: For an invalid URL, and for a `FakeClock` with a networked store.
        TypeError: For an asyncio client, and for an object that is no store.
    """
    if _is_embedded(store):
        return MemoryStore(clock)
    if _is_networked(store):
        from entitlements.stores.redis.store import RedisStore

        _check_clock(clock)
        return RedisStore(store)
    if not isinstance(store, Store):
        raise TypeError(
            f"{_kind(store)} is no store; give memory:// or redis://host:6379 as a str, or an object with via, execute and close"
        )
    _check_given(store, clock)
    return store


def open_async_store(store: str | Store | AsyncStore, clock: Clock) -> AsyncStore:
    """Return the store of a URL, or a given store, for an event loop; a `MemoryStore` is wrapped. See `open_store()`."""
    if _is_embedded(store):
        return AsyncMemoryStore(MemoryStore(clock))
    if _is_networked(store):
        from entitlements.stores.redis.store import AsyncRedisStore

        _check_clock(clock)
        return AsyncRedisStore(store)
    if isinstance(store, MemoryStore):
        return AsyncMemoryStore(store)
    if not isinstance(store, AsyncStore):
        what = "blocks" if isinstance(store, Store) else "is no store"
        raise TypeError(f"{_kind(store)} {what}; AsyncEnforcer needs one with via, async execute and aclose")
    _check_given(store, clock)
    return store


def operation_ids(store: Store | AsyncStore) -> Numbering:
    """Return what gives the charges for a store their operation ids: numbers, if it recognises them."""
    if isinstance(store, MemoryStore | AsyncMemoryStore):
        return SettledNumbers()
    return Producer() if isinstance(store, SequencedStore) else RandomIds()


def guard_store(store: Store, tell: Callable[[Event], object], processes: int | None) -> Store:
    """
    Return *store* behind a deny cache and the outage policy.

    A `MemoryStore` never fails and is as quick, so it is returned as it is, with a warning for several processes; so is a store that is wrapped already, whose events go to
    *tell* unless something takes them.

    Args:
        store: The result of `open_store()`.
        tell: Takes events.
        processes: How many processes share the limits; None if the application has not said.

    Raises:
        ValueError: For a number of processes below 1.
    """
    check_processes(processes)
    if isinstance(store, MemoryStore):
        warn_if_divided(processes)
        return store
    from entitlements.stores.deny_cache import DenyCache
    from entitlements.stores.resilience.store import ResilientStore

    if isinstance(store, ResilientStore | DenyCache):
        if (resilient := resilient_store(store)) is not None:
            resilient.policy.tell.connect(tell)
        return store
    return DenyCache(ResilientStore(store, tell=tell, processes=processes))


def resilient_store(store: Store) -> ResilientStore | None:
    """Return the store with the outage policy, of a store that `guard_store()` returned; None if there is none."""
    if isinstance(store, MemoryStore):
        return None
    from entitlements.stores.deny_cache import DenyCache
    from entitlements.stores.resilience.store import ResilientStore

    inner = store._store if isinstance(store, DenyCache) else store  # noqa: SLF001 - its own room
    return inner if isinstance(inner, ResilientStore) else None


def guard_async_store(
    store: AsyncStore | AsyncDispatcher, tell: Callable[[Event], object], processes: int | None
) -> AsyncDispatcher:
    """Return *store* behind a deny cache and the outage policy, for an event loop; see `guard_store()`."""
    check_processes(processes)
    if isinstance(store, AsyncMemoryStore):
        warn_if_divided(processes)
    from entitlements.stores.deny_cache import AsyncDenyCache, Denials
    from entitlements.stores.resilience.store import AsyncResilientStore

    if isinstance(store, AsyncDispatcher):
        inner = store._store if isinstance(store, AsyncDenyCache) else store  # noqa: SLF001 - its own room
        if isinstance(inner, AsyncResilientStore):
            inner.policy.tell.connect(tell)
        return store
    denials = Denials()
    resilient = AsyncResilientStore(store, tell=tell, processes=processes, on_refused=denials.record)
    return AsyncDenyCache(resilient, denials)


def keeps_versions(store: object) -> bool:
    """Return True if a store, or the one that it was put around, keeps versions of accounts."""
    bare = _bare(store)
    return isinstance(bare, VersionedStore) and bare.keeps_versions


def invalidation_sources(*candidates: object) -> list[InvalidationSource]:
    """Return the stores and sources of accounts among *candidates*, or below them, that have messages about changed accounts."""
    return [bare for bare in map(_bare, candidates) if isinstance(bare, InvalidationSource)]


def _bare(thing: Any) -> Any:
    """Return the store or the source that wrappers of this package were put around."""
    while type(thing).__module__.startswith("entitlements.") and not isinstance(thing, InvalidationSource):
        inner = [vars(thing)[name] for name in ("_store", "transport", "_source") if name in vars(thing)]
        if not inner:
            break
        thing = inner[0]
    return thing


def _is_embedded(store: object) -> bool:
    """Return whether *store* is the URL of the embedded store; it has no use for a namespace, as it is not shared."""
    return isinstance(store, str) and (store == "memory://" or store.startswith("memory://?namespace="))


def _kind(store: object) -> str:
    """Return an object's type for messages; its text may be a URL with a password."""
    return f"store of type {type(store).__name__}"


def _check_given(store: Store | AsyncStore, clock: Clock) -> None:
    """Check the clock given with a store, which has a clock of its own unless it is embedded."""
    if store.via == "store":
        _check_clock(clock)


def _is_networked(store: Any) -> bool:
    """Return whether *store* is the URL of a networked store, or a client of redis-py; do not import that."""
    if not isinstance(store, str):
        return any(kind.__module__.partition(".")[0] == "redis" for kind in type(store).__mro__)
    scheme, sign, _ = store.partition("://")
    if not sign:  # not shown: a password may stand anywhere in it
        raise ValueError("the store URL has no scheme; write memory:// or redis://host:6379")
    if scheme not in _NETWORKED:
        cure = _VALKEY_SCHEMES.get(scheme, "write memory:// or redis://host:6379")
        raise ValueError(f"store URL of scheme {scheme!r} is not known; {cure}")
    return True


def _check_clock(clock: Clock) -> None:
    if getattr(clock, "is_fake", False):
        raise ValueError(
            "a FakeClock cannot move the server's clock, which is a networked store's only one;"
            " leave clock= out, or use memory://"
        )
