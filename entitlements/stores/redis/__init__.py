"""
Redis and Valkey: one script call per order.

Begin with `store.py`. `encoding` and `decoding` translate orders and replies, `scripts`, `shapes`, `keys` and
`lua/` are what runs in the server. `pool` and `connection` serve threads, `pipeline` and `pipeline_protocol` event loops,
`cluster` has one of them for each node of a `topology`; `slots`, `deadlines`, `timed_connections`, `clients` and `url` are what these are made of.
"""

from entitlements.stores.redis.store import AsyncRedisStore, RedisStore

__all__ = ["AsyncRedisStore", "RedisStore"]
