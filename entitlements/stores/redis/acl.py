"""
What a user of the server must be allowed: the one list, for tests, messages, `doctor` and the documentation.

A command is written as an ACL writes it, `script|load` for the part of a container. Servers
before 7.0 know no parts of these and take the whole container; what a server does not
have at all (`client|setinfo` came with 7.2) it refuses to name.
"""

from __future__ import annotations

from entitlements.stores.redis.keys import LAYOUT

Version = tuple[int, int]
"""Major and minor."""

OLDEST: Version = (6, 2)
"""The first Redis that has what the scripts need; every Valkey has."""

COMMANDS = (
    "hello", "client|setinfo", "script|load", "evalsha", "time", "hget", "hmget", "hset", "hdel", "hkeys", "hlen", "del",
    "pttl", "pexpire", "persist",
)  # fmt: skip
"""What every store runs: itself, or inside of its scripts."""

CLUSTER_COMMANDS = ("cluster|slots", "command", "asking", "eval")
"""What a cluster's client runs besides: to find the node of a key, and to follow a slot that moves."""

DATABASE_COMMANDS = ("select",)
"""What a connection to another database than 0 runs besides."""

SENTINEL_COMMANDS = ("hello", "client|setinfo", "sentinel|masters")
"""What the user of the sentinels runs, who is another one."""

DOCTOR_COMMANDS = ("ping", "info", "config|get", "acl|whoami", "acl|getuser", "cluster|info")
"""What `entitlements doctor` looks at besides, where it may; the store itself needs none of it."""

_SINCE: dict[str, Version] = {"client|setinfo": (7, 2)}
_PARTS_SINCE: Version = (7, 0)


def keys_of(namespace: str) -> str:
    """Return the pattern that all keys of a namespace fit, and no key of another."""
    return f"{namespace}{LAYOUT}:*"


def needed(*, cluster: bool = False, database: bool = False) -> tuple[str, ...]:
    """Return the commands that a store needs, on a *cluster* or on another *database* than 0."""
    return COMMANDS + CLUSTER_COMMANDS * cluster + DATABASE_COMMANDS * database


def on(version: Version, commands: tuple[str, ...]) -> tuple[str, ...]:
    """Return *commands* as a server of this version knows them."""
    known = (each for each in commands if version >= _SINCE.get(each, version))
    if version >= _PARTS_SINCE:
        return tuple(known)
    return tuple(dict.fromkeys(each.partition("|")[0] for each in commands))


def rules(namespace: str, version: Version, commands: tuple[str, ...] = COMMANDS) -> tuple[str, ...]:
    """Return the ACL rules, behind `ACL SETUSER name on >password`, that allow the keys of *namespace* and *commands*."""
    return (f"~{keys_of(namespace)}", *(f"+{each}" for each in on(version, commands)))
