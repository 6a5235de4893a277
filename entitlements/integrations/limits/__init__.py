"""
Sliding window and token bucket for programs that use `limits`, such as slowapi and Flask-Limiter.

After `register()` a program selects them by a storage URL and a strategy name, sync and async:

    entitlements+redis://localhost:6379           entitlements-sliding
    async+entitlements+redis://localhost:6379     entitlements-token-bucket

The key of a meter is `item.key_for(*identifiers)`, as everywhere in `limits`: a limit of
another amount has another meter, because two limits of one window may count different things.
The counters are kept apart from those of an `Enforcer` on the same server, under `<namespace>.limits`.

Begin with `strategies`. `queries` makes the orders, `storages` holds the store, `storage_url` parses its URL.
"""

from __future__ import annotations

from typing import Any, cast

import limits.aio.strategies
import limits.strategies

from entitlements.integrations.limits.storage_url import PREFIX
from entitlements.integrations.limits.storages import AsyncStorage, Storage
from entitlements.integrations.limits.strategies import (
    AsyncSlidingWindowRateLimiter,
    AsyncTokenBucketRateLimiter,
    SlidingWindowRateLimiter,
    TokenBucketRateLimiter,
)

__all__ = [
    "SLIDING",
    "TOKEN_BUCKET",
    "AsyncSlidingWindowRateLimiter",
    "AsyncStorage",
    "AsyncTokenBucketRateLimiter",
    "SlidingWindowRateLimiter",
    "Storage",
    "TokenBucketRateLimiter",
    "register",
]

SLIDING = "entitlements-sliding"
TOKEN_BUCKET = "entitlements-token-bucket"
"""The names of the strategies."""

_STORES = ("memory", "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_SCHEMES = [PREFIX + store for store in _STORES]


def register() -> None:
    """Register the storages and the strategies with `limits`; a second call changes nothing."""
    if SLIDING in limits.strategies.STRATEGIES:
        return
    # `limits` registers a storage when a class that names its schemes is derived.
    own = {"__module__": __name__}
    type("EntitlementsStorage", (Storage,), own | {"STORAGE_SCHEME": _SCHEMES})
    type("AsyncEntitlementsStorage", (AsyncStorage,), own | {"STORAGE_SCHEME": [f"async+{each}" for each in _SCHEMES]})
    cast("dict[str, Any]", limits.aio.strategies.STRATEGIES).update(
        {SLIDING: AsyncSlidingWindowRateLimiter, TOKEN_BUCKET: AsyncTokenBucketRateLimiter}
    )
    cast("dict[str, Any]", limits.strategies.STRATEGIES).update(
        {SLIDING: SlidingWindowRateLimiter, TOKEN_BUCKET: TokenBucketRateLimiter}
    )
