"""
Our sliding window and token bucket for programs that use `limits`, such as slowapi and Flask-Limiter.

After `register()` they are adopted by a storage URL and a strategy's name, sync and async:

    entitlements+redis://localhost:6379           entitlements-sliding
    async+entitlements+redis://localhost:6379     entitlements-token-bucket

A meter belongs to `item.key_for(*identifiers)`, as everywhere in `limits`: another amount is
another meter, because two limits of one window may count different things. The counters
stand apart from those of an `Enforcer` on the same server, under `<namespace>.limits`.
"""

from __future__ import annotations

from typing import Any, cast

import limits.aio.strategies
import limits.strategies

from entitlements.integrations.limits.answers import PREFIX
from entitlements.integrations.limits.storages import AsyncStorage, Storage
from entitlements.integrations.limits.strategies import (
    AsyncSlidingWindow,
    AsyncTokenBucket,
    SlidingWindow,
    TokenBucket,
)

__all__ = [
    "SLIDING",
    "TOKEN_BUCKET",
    "AsyncSlidingWindow",
    "AsyncStorage",
    "AsyncTokenBucket",
    "SlidingWindow",
    "Storage",
    "TokenBucket",
    "register",
]

SLIDING, TOKEN_BUCKET = "entitlements-sliding", "entitlements-token-bucket"
"""What the strategies are called."""

_STORES = ("memory", "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_SCHEMES = [PREFIX + store for store in _STORES]


def register() -> None:
    """Make the storages known to `limits` by their URLs and the strategies by their names; again changes nothing."""
    if SLIDING in limits.strategies.STRATEGIES:
        return
    # To derive a class that names its schemes is how `limits` learns of a storage.
    type("EntitlementsStorage", (Storage,), {"STORAGE_SCHEME": _SCHEMES})
    type("AsyncEntitlementsStorage", (AsyncStorage,), {"STORAGE_SCHEME": [f"async+{each}" for each in _SCHEMES]})
    cast("dict[str, Any]", limits.aio.strategies.STRATEGIES).update(
        {SLIDING: AsyncSlidingWindow, TOKEN_BUCKET: AsyncTokenBucket}
    )
    cast("dict[str, Any]", limits.strategies.STRATEGIES).update({SLIDING: SlidingWindow, TOKEN_BUCKET: TokenBucket})
