"""
ACL of a store's user: the single list for tests, error messages, `doctor` and the documentation.

Commands are written as in an ACL, subcommands as `script|load`. Servers before 7.0 know no
subcommands and need the whole command. A server rejects a rule for a command that it
does not have: `client|setinfo` came with 7.2.
"""

from __future__ import annotations

from entitlements.stores.redis.keys import LAYOUT, channel_name

Version = tuple[int, int]
"""Major and minor."""

OLDEST: Version = (6, 2)
"""Oldest Redis that can run the scripts; every Valkey can."""

COMMANDS = (
    "hello", "client|setinfo", "script|load", "evalsha", "time", "hget", "hmget", "hset", "hdel", "hkeys", "del",
    "pttl", "pexpire", "persist", "zadd", "zrem", "zrange", "zcard", "publish", "subscribe", "ping",
)  # fmt: skip
"""Commands that every store runs, directly or inside its scripts."""

MESSAGE_COMMANDS = ("publish", "subscribe", "ping")
"""Those of them that pass invalidations on; without them charges are exact all the same."""

CLUSTER_COMMANDS = ("cluster|slots", "asking", "command")
"""Further commands on a cluster: to find the node of a key, to follow a slot that moves, and for redis-py in the doctor."""

DATABASE_COMMANDS = ("select",)
"""Further commands on a connection to another database than 0."""

SENTINEL_COMMANDS = ("hello", "client|setinfo", "sentinel|masters")
"""Commands that the user of the sentinels runs; sentinels have users of their own."""

DOCTOR_COMMANDS = ("info", "config|get", "acl|whoami", "acl|getuser", "cluster|info")
"""Further commands of `entitlements doctor`, which skips those it may not run; the store needs none of them."""

_SINCE: dict[str, Version] = {"client|setinfo": (7, 2)}
_SUBCOMMANDS_SINCE: Version = (7, 0)


def key_pattern(namespace: str) -> str:
    """Return the pattern that matches all keys of a namespace, and no key of another."""
    return f"{namespace}{LAYOUT}:*"


def channel_pattern(namespace: str) -> str:
    """Return the rule that allows the channel of a namespace."""
    return f"&{channel_name(namespace).decode()}"


def required_commands(*, cluster: bool = False, database: bool = False) -> tuple[str, ...]:
    """Return the commands that a store runs, on a *cluster* or on another *database* than 0."""
    return COMMANDS + CLUSTER_COMMANDS * cluster + DATABASE_COMMANDS * database


def known_commands(version: Version, commands: tuple[str, ...]) -> tuple[str, ...]:
    """Return *commands* as a server of this version knows them."""
    known = (each for each in commands if version >= _SINCE.get(each, version))
    if version >= _SUBCOMMANDS_SINCE:
        return tuple(known)
    return tuple(dict.fromkeys(each.partition("|")[0] for each in commands))


def acl_rules(namespace: str, version: Version, commands: tuple[str, ...] = COMMANDS) -> tuple[str, ...]:
    """Return the ACL rules, behind `ACL SETUSER name on >password`, for keys and channel of *namespace* and *commands*."""
    # Before 7.0 a new user may use every channel until that is taken back.
    channels = ("resetchannels",) * (version < _SUBCOMMANDS_SINCE) + (channel_pattern(namespace),)
    return (f"~{key_pattern(namespace)}", *channels, *(f"+{each}" for each in known_commands(version, commands)))
