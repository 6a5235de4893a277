"""
Queries of the doctor to a server. A query that the server refuses leaves its fact unknown.

The test charge writes one account with a random name, and deletes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from secrets import token_hex
from time import perf_counter_ns, time_ns
from typing import Any

import redis
from redis.exceptions import NoPermissionError, RedisClusterException, RedisError, ResponseError

from entitlements.cli.doctor.facts import ClockOffset, SentinelFacts, ServerFacts, StoreFacts, UserRights
from entitlements.errors import StoreError
from entitlements.model.charge import Charge, Forget, Part
from entitlements.model.instants import MINUTE, SECOND
from entitlements.model.limits import Rate
from entitlements.stores.redis.acl import known_commands, required_commands
from entitlements.stores.redis.clients import make_cluster, make_pool
from entitlements.stores.redis.deadlines import START_UP
from entitlements.stores.redis.error_map import unreachable
from entitlements.stores.redis.keys import account_key, channel_name
from entitlements.stores.redis.scripts import CHARGE
from entitlements.stores.redis.store import RedisStore
from entitlements.stores.redis.url import Target, target_from_url

SETTINGS = (
    "save",
    "appendonly",
    "appendfsync",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-replicas-max-lag",
)
_CLOCK_READINGS = 9
"""The reading with the shortest round trip is the most certain (Cristian, 1989)."""
_WARM_UP = 5
"""Calls before the first measured one."""


def facts_of(url: str, samples: int) -> StoreFacts:
    """
    Return the facts about the store at *url*.

    Args:
        url: Of a networked store.
        samples: The number of round trips to measure.

    Raises:
        ValueError: For an invalid URL.
        StoreError: If no connection is possible.
    """
    target = target_from_url(url)
    try:
        servers, sentinels = (_cluster_facts if target.is_cluster else _primary_facts)(target, samples)
    except (RedisError, RedisClusterException, OSError) as error:
        raise unreachable(error, target.shown) from error
    charge_error, round_trips = _test_charge(url, samples)
    options = target.settings
    return StoreFacts(
        target.shown,
        target.namespace,
        target.kind,
        "cluster" if target.is_cluster else "sentinel" if target.hosts else "single",
        servers,
        is_local=target.kind == "unix" or all(_is_local(each.address.rpartition(":")[0]) for each in servers),
        verifies=options.get("ssl_cert_reqs", "required") not in ("none", None)
        and options.get("ssl_check_hostname", True) is not False,
        database=int(options.get("db") or 0),
        service=target.service,
        sentinels=sentinels,
        charge_error=charge_error,
        round_trips=round_trips,
    )


def _primary_facts(target: Target, samples: int) -> tuple[tuple[ServerFacts, ...], tuple[SentinelFacts, ...]]:
    pool: Any = make_pool(target)
    with redis.Redis(connection_pool=pool) as client:
        try:
            if not target.hosts:
                host, port = target.settings.get("host", "localhost"), target.settings.get("port", 6379)
                address = target.settings.get("path") or f"{host}:{port}"
                return (_server_facts(client, address, target, samples),), ()
            host, port = pool.get_master_address()
            sentinels = tuple(_sentinel_facts(each) for each in pool.sentinel_manager.sentinels)
            return (_server_facts(client, f"{host}:{port}", target, samples),), sentinels
        finally:
            pool.disconnect()


def _cluster_facts(target: Target, samples: int) -> tuple[tuple[ServerFacts, ...], tuple[SentinelFacts, ...]]:
    with make_cluster(target) as cluster:
        primaries = sorted(cluster.get_primaries(), key=lambda each: str(each.name))
        return tuple(
            _server_facts(cluster.get_redis_connection(each), str(each.name), target, samples) for each in primaries
        ), ()


def _server_facts(client: redis.Redis, address: str, target: Target, samples: int) -> ServerFacts:
    server = ServerFacts(address, _hello(client))
    return replace(
        server,
        rights=_rights(client, target, server.version),
        info=_query(client.info),
        config=_config(client),
        offset=_clock_offset(client),
        round_trips=() if _query(client.ping) is None else _measure(client.ping, samples),
        cluster=_cluster_info(client) if target.is_cluster else None,
    )


def _query(command: Callable[..., Any], *args: Any) -> Any:
    """Return the reply to a command, or None if the server refuses it."""
    try:
        return command(*args)
    except ResponseError:
        return None


def _hello(client: redis.Redis) -> dict[str, str]:
    reply = _query(client.execute_command, "HELLO") or {}
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=False)
    return {_text(name): _text(value) for name, value in pairs if isinstance(value, bytes | str)}


def _config(client: redis.Redis) -> dict[str, str]:
    """Return the settings, read one by one: reading all would return passwords too."""
    found: dict[str, str] = {}
    for name in SETTINGS:
        found |= {_text(each): _text(value) for each, value in (_query(client.config_get, name) or {}).items()}
    return found


def _cluster_info(client: redis.Redis) -> dict[str, str] | None:
    reply = _query(client.execute_command, "CLUSTER INFO")
    if reply is None or isinstance(reply, dict):
        return reply
    return dict(line.split(":", 1) for line in _text(reply).split() if ":" in line)


def _clock_offset(client: redis.Redis) -> ClockOffset | None:
    readings = []
    for _ in range(_CLOCK_READINGS):
        started, local_time = perf_counter_ns(), time_ns()
        server_time = _query(client.time)
        if server_time is None:
            return None
        round_trip = perf_counter_ns() - started
        ahead = server_time[0] * SECOND + server_time[1] - (local_time + round_trip // 2) // 1000
        readings.append((round_trip, ahead))
    round_trip, ahead = min(readings)
    return ClockOffset(ahead, round_trip // 2000 + 1)


def _measure(call: Callable[[], object], samples: int) -> tuple[int, ...]:
    """Return the durations of *samples* calls in microseconds, measured after a warm-up."""
    durations = []
    for _ in range(_WARM_UP + samples):
        started = perf_counter_ns()
        call()
        durations.append((perf_counter_ns() - started) // 1000)
    return tuple(durations[_WARM_UP:])


def _test_charge(url: str, samples: int) -> tuple[str | None, tuple[int, ...]]:
    """Charge an account with a random name, and delete it; return the error, or the round trips."""
    account = f"entitlements-doctor-{token_hex(8)}"
    rate = Rate("doctor", MINUTE, deadline=2 * SECOND)
    charge = Charge(account, (Part(rate, 2**32 - 1),))
    store = RedisStore(url)
    try:
        return None, _measure(lambda: store.execute(charge), samples)
    except StoreError as error:
        return str(error).removeprefix(f"store {target_from_url(url).shown}: "), ()
    finally:
        with suppress(StoreError):
            store.execute(Forget(account))
        store.close()


def _sentinel_facts(client: redis.Redis) -> SentinelFacts:
    settings = client.connection_pool.connection_kwargs
    address = f"{settings['host']}:{settings['port']}"
    try:
        reply: Any = client.sentinel_masters()
    except (RedisError, OSError):
        return SentinelFacts(address, None)
    return SentinelFacts(address, {_text(name): primary for name, primary in reply.items()})


def _is_local(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in ("localhost", "") or host.startswith("/")


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


# --- Rights ---------------------------------------------------------------------------


def _rights(client: redis.Redis, target: Target, version: tuple[int, int]) -> UserRights:
    """
    Return the user's rights, found by running commands.

    Each command that the store needs runs once, on a key with a random name. A server checks
    rights first, so any other error means that the user has the right.
    """
    user = _query(client.acl_whoami)
    user = _text(user) if user else str(target.settings.get("username") or "default")
    key = account_key(target.namespace, f"entitlements-doctor-{token_hex(8)}")
    commands = required_commands(cluster=target.is_cluster, database=bool(target.settings.get("db")))
    refusals = {each: _refusal(client, _TEST_COMMANDS[each], key, target) for each in known_commands(version, commands)}
    rule = _query(client.acl_getuser, user)
    other_keys = _refusal(client, _TEST_COMMANDS["hget"], b"no-key-of-" + key, target)
    return UserRights(
        user,
        tuple(each for each, why in refusals.items() if why == "command"),
        "key" not in refusals.values(),
        "channel" not in refusals.values(),
        None if refusals.get("hget") else other_keys is None,
        None if rule is None else (*rule.get("categories", ()), *rule.get("commands", ())),
        () if rule is None else tuple(_text(each).removeprefix("~") for each in rule.get("keys", ())),
    )


def _refusal(client: redis.Redis, command: tuple[Any, ...], key: bytes, target: Target) -> str | None:
    """Return `command`, `key` or `channel`, whichever the server refuses to the user; None if it refuses nothing."""
    values = {_KEY: key, _DB: target.settings.get("db", 0), _CHANNEL: channel_name(target.namespace)}
    words = [values.get(word, word) for word in command]
    try:
        if words[0] == "SUBSCRIBE":  # on a connection of its own, which can do nothing else afterwards
            with client.pubsub() as subscriber:  # type: ignore[no-untyped-call]
                subscriber.subscribe(*words[1:])
                subscriber.get_message(timeout=START_UP)
        else:
            client.execute_command(*words)  # type: ignore[no-untyped-call]
    except NoPermissionError as error:
        kinds = (kind for kind in ("key", "channel") if re.search(f"access (a|one of the) {kind}", str(error)))
        return next(kinds, "command")
    except ResponseError:
        pass
    return None


_KEY, _DB, _CHANNEL = object(), object(), object()
_TEST_COMMANDS: dict[str, tuple[Any, ...]] = {
    "hello": ("HELLO",),
    "client|setinfo": ("CLIENT SETINFO", "LIB-NAME", "redis-py"),
    "client": ("CLIENT SETNAME", "entitlements-doctor"),
    "script|load": ("SCRIPT LOAD", CHARGE.text),
    "script": ("SCRIPT LOAD", CHARGE.text),
    "evalsha": ("EVALSHA", "0" * 40, 1, _KEY),
    "eval": ("EVAL", "return 1", 1, _KEY),
    "time": ("TIME",),
    "hget": ("HGET", _KEY, "r"),
    "hmget": ("HMGET", _KEY, "r", "q"),
    "hset": ("HSET", _KEY, "r", ""),
    "hkeys": ("HKEYS", _KEY),
    "pttl": ("PTTL", _KEY),
    "persist": ("PERSIST", _KEY),
    "pexpire": ("PEXPIRE", _KEY, 1),
    "zadd": ("ZADD", _KEY, "XX", 0, "r"),
    "zrem": ("ZREM", _KEY, "r"),
    "zrange": ("ZRANGE", _KEY, 0, 0),
    "zcard": ("ZCARD", _KEY),
    "publish": ("PUBLISH", _CHANNEL, b""),
    "subscribe": ("SUBSCRIBE", _CHANNEL),
    "ping": ("PING",),
    "hdel": ("HDEL", _KEY, "r"),
    "del": ("DEL", _KEY),
    "cluster|slots": ("CLUSTER SLOTS",),
    "cluster": ("CLUSTER SLOTS",),
    "command": ("COMMAND COUNT",),
    "asking": ("ASKING",),
    "select": ("SELECT", _DB),
}
"""A command that tests each right. The field that HSET writes is empty, and is deleted."""
