"""
What the doctor asks a server. A question that is refused leaves its fact unknown.

It writes one account of its own, with a name that no account has, and deletes it.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from secrets import token_hex
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any

import redis
from redis.exceptions import NoPermissionError, RedisClusterException, RedisError, ResponseError

from entitlements.cli.doctor.facts import ClockOffset, SentinelFacts, ServerFacts, StoreFacts, UserRights
from entitlements.errors import StoreError
from entitlements.model.charge import Charge, Forget, Part
from entitlements.model.instants import MINUTE, SECOND
from entitlements.model.limits import Rate
from entitlements.stores.redis.acl import known_commands, required_commands
from entitlements.stores.redis.clients import make_cluster, make_pool
from entitlements.stores.redis.error_map import unreachable
from entitlements.stores.redis.keys import account_key
from entitlements.stores.redis.scripts import SLIDING
from entitlements.stores.redis.store import RedisStore
from entitlements.stores.redis.url import target_from_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.stores.redis.url import Target

SETTINGS = (
    "save",
    "appendonly",
    "appendfsync",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-replicas-max-lag",
)
_READINGS = 9
"""Of a clock; the one with the shortest round trip is the most certain (Cristian, 1989)."""
_WARM_UP = 5


def facts_of(url: str, samples: int) -> StoreFacts:
    """
    Return what can be seen of the store at *url*.

    Args:
        url: Of a networked store.
        samples: How many round trips to measure.

    Raises:
        ValueError: For a URL that cannot be right.
        StoreError: Where nobody lets us in.
    """
    target = target_from_url(url)
    try:
        nodes, sentinels = _cluster(target, samples) if target.is_cluster else _single(target, samples)
    except (RedisError, RedisClusterException, OSError) as error:
        raise unreachable(error, target.shown) from error
    charge, trips = _charged(url, samples)
    options = target.settings
    return StoreFacts(
        target.shown,
        target.namespace,
        target.kind,
        "cluster" if target.is_cluster else "sentinel" if target.hosts else "single",
        nodes,
        is_local=target.kind == "unix" or all(_is_here(node.place.rpartition(":")[0]) for node in nodes),
        verifies=options.get("ssl_cert_reqs", "required") not in ("none", None)
        and options.get("ssl_check_hostname", True) is not False,
        database=int(options.get("db") or 0),
        service=target.service,
        sentinels=sentinels,
        charge=charge,
        trips=trips,
    )


def _single(target: Target, samples: int) -> tuple[tuple[ServerFacts, ...], tuple[SentinelFacts, ...]]:
    pool: Any = make_pool(target)
    with redis.Redis(connection_pool=pool) as client:
        try:
            if not target.hosts:
                place = (
                    target.settings.get("path")
                    or f"{target.settings.get('host', 'localhost')}:{target.settings.get('port', 6379)}"
                )
                return (_node(client, place, target, samples),), ()
            host, port = pool.get_master_address()
            sentinels = tuple(_sentinel(each) for each in pool.sentinel_manager.sentinels)
            return (_node(client, f"{host}:{port}", target, samples),), sentinels
        finally:
            pool.disconnect()


def _cluster(target: Target, samples: int) -> tuple[tuple[ServerFacts, ...], tuple[SentinelFacts, ...]]:
    with make_cluster(target) as cluster:
        primaries = sorted(cluster.get_primaries(), key=lambda each: str(each.name))
        return tuple(
            _node(cluster.get_redis_connection(each), str(each.name), target, samples) for each in primaries
        ), ()


def _node(client: redis.Redis, place: str, target: Target, samples: int) -> ServerFacts:
    hello = _hello(client)
    node = ServerFacts(place, hello, UserRights("default"))
    return ServerFacts(
        place,
        hello,
        _rights(client, target, node.version),
        _asked(client.info),
        _settings(client),
        _offset(client),
        _pings(client, samples),
        _cluster_info(client) if target.is_cluster else None,
    )


def _asked(question: Callable[..., Any], *words: Any) -> Any:
    """Return the answer to a question, or None where the server does not give one."""
    try:
        return question(*words)
    except ResponseError:
        return None


def _hello(client: redis.Redis) -> dict[str, str]:
    said = _asked(client.execute_command, "HELLO") or {}
    pairs = said.items() if isinstance(said, dict) else zip(said[::2], said[1::2], strict=False)
    return {_text(name): _text(value) for name, value in pairs if isinstance(value, bytes | str)}


def _settings(client: redis.Redis) -> dict[str, str]:
    """Return the settings one by one: all at once would bring passwords along."""
    found: dict[str, str] = {}
    for name in SETTINGS:
        found |= {_text(each): _text(value) for each, value in (_asked(client.config_get, name) or {}).items()}
    return found


def _cluster_info(client: redis.Redis) -> dict[str, str] | None:
    said = _asked(client.execute_command, "CLUSTER INFO")
    if said is None or isinstance(said, dict):
        return said
    return dict(line.split(":", 1) for line in _text(said).split() if ":" in line)


def _offset(client: redis.Redis) -> ClockOffset | None:
    read = []
    for _ in range(_READINGS):
        began, at = perf_counter_ns(), time_ns()
        said = _asked(client.time)
        if said is None:
            return None
        trip = perf_counter_ns() - began
        read.append((trip, said[0] * SECOND + said[1] - (at + trip // 2) // 1000))
    trip, ahead = min(read)
    return ClockOffset(ahead, trip // 2000 + 1)


def _pings(client: redis.Redis, samples: int) -> tuple[int, ...]:
    if _asked(client.ping) is None:
        return ()
    return _timed(client.ping, samples)


def _timed(ask: Callable[[], object], samples: int) -> tuple[int, ...]:
    """Return how long each of so many calls took, in microseconds, after some that were not measured."""
    took = []
    for _ in range(_WARM_UP + samples):
        began = perf_counter_ns()
        ask()
        took.append((perf_counter_ns() - began) // 1000)
    return tuple(took[_WARM_UP:])


def _charged(url: str, samples: int) -> tuple[str | None, tuple[int, ...]]:
    """Charge an account that nobody has, and forget it; return what went wrong, or the round trips."""
    nobody = f"entitlements-doctor-{token_hex(8)}"
    rate = Rate("doctor", MINUTE, deadline=2 * SECOND)
    charge = Charge(nobody, (Part(rate, 2**32 - 1),))
    store = RedisStore(url)
    try:
        return None, _timed(lambda: store.execute(charge), samples)
    except StoreError as error:
        return str(error).removeprefix(f"store {target_from_url(url).shown}: "), ()
    finally:
        with suppress(StoreError):
            store.execute(Forget(nobody))
        store.close()


def _sentinel(client: redis.Redis) -> SentinelFacts:
    settings = client.connection_pool.connection_kwargs
    place = f"{settings['host']}:{settings['port']}"
    try:
        said: Any = client.sentinel_masters()
    except (RedisError, OSError):
        return SentinelFacts(place, None)
    return SentinelFacts(place, {_text(name): about for name, about in said.items()})


def _is_here(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host in ("localhost", "") or host.startswith("/")


def _text(said: Any) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


# -- rights --------------------------------------------------------------------------------


def _rights(client: redis.Redis, target: Target, version: tuple[int, int]) -> UserRights:
    """
    Return what the user may do, by trying.

    Each command that the store needs is sent once, on a key of our own; servers check a
    user's rights before all else, so that a refusal for any other reason is a yes.
    """
    user = _asked(client.acl_whoami)
    user = _text(user) if user else str(target.settings.get("username") or "default")
    key = account_key(target.namespace, f"entitlements-doctor-{token_hex(8)}")
    commands = required_commands(cluster=target.is_cluster, database=bool(target.settings.get("db")))
    refusals = {each: _refusal(client, _TRIES[each], key, target) for each in known_commands(version, commands)}
    rule = _asked(client.acl_getuser, user)
    strange = _refusal(client, _TRIES["hget"], b"no-key-of-" + key, target)
    return UserRights(
        user,
        tuple(each for each, why in refusals.items() if why == "command"),
        "key" not in refusals.values(),
        None if refusals.get("hget") else strange is None,
        None if rule is None else (*rule.get("categories", ()), *rule.get("commands", ())),
        () if rule is None else tuple(_text(each).removeprefix("~") for each in rule.get("keys", ())),
    )


def _refusal(client: redis.Redis, words: tuple[Any, ...], key: bytes, target: Target) -> str | None:
    """Return whether the command or the key was refused; None where neither was."""
    filled = (key if word is _KEY else target.settings.get("db", 0) if word is _DB else word for word in words)
    try:
        client.execute_command(*filled)  # type: ignore[no-untyped-call]
    except NoPermissionError as error:
        return "key" if any(word in str(error) for word in ("access a key", "access one of the keys")) else "command"
    except ResponseError:
        pass
    return None


_KEY, _DB = object(), object()
_TRIES: dict[str, tuple[Any, ...]] = {
    "hello": ("HELLO",),
    "client|setinfo": ("CLIENT SETINFO", "LIB-NAME", "redis-py"),
    "client": ("CLIENT SETNAME", "entitlements-doctor"),
    "script|load": ("SCRIPT LOAD", SLIDING.text),
    "script": ("SCRIPT LOAD", SLIDING.text),
    "evalsha": ("EVALSHA", "0" * 40, 1, _KEY),
    "eval": ("EVAL", "return 1", 1, _KEY),
    "time": ("TIME",),
    "hget": ("HGET", _KEY, "r"),
    "hmget": ("HMGET", _KEY, "r", "q"),
    "hset": ("HSET", _KEY, "r", ""),
    "hkeys": ("HKEYS", _KEY),
    "hlen": ("HLEN", _KEY),
    "pttl": ("PTTL", _KEY),
    "persist": ("PERSIST", _KEY),
    "pexpire": ("PEXPIRE", _KEY, 1),
    "hdel": ("HDEL", _KEY, "r"),
    "del": ("DEL", _KEY),
    "cluster|slots": ("CLUSTER SLOTS",),
    "cluster": ("CLUSTER SLOTS",),
    "command": ("COMMAND COUNT",),
    "asking": ("ASKING",),
    "select": ("SELECT", _DB),
}
"""How to try each right; the field that is written is empty, and does not stay."""
