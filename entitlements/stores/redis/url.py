"""
Parse a store URL, or the settings of a client of redis-py, into a `Target`.

Nothing here connects. Of a client only the settings are used, never its connections:
redis-py's defaults repeat a write whose reply was lost, and take seconds to fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import redis
import redis.asyncio
from redis.asyncio.connection import Connection as AsyncConnection
from redis.asyncio.connection import SSLConnection as AsyncSSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection as AsyncUnixConnection
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
from redis.connection import URL_QUERY_ARGUMENT_PARSERS, Connection, SSLConnection, parse_url
from redis.connection import UnixDomainSocketConnection as UnixConnection
from redis.sentinel import SentinelConnectionPool

from entitlements.stores.redis.keys import check_namespace

DEFAULT_NAMESPACE = "ent"
MAX_CONNECTIONS = 32

_OWN_OPTIONS = ("namespace", "max_connections")
_SETTINGS = frozenset({
    "host", "port", "path", "db", "username", "password", "credential_provider", "client_name", "protocol",
    "socket_keepalive", "socket_keepalive_options", "socket_type", "socket_read_size",
})  # fmt: skip
CONNECTION_CLASSES = {
    "redis": (Connection, AsyncConnection),
    "rediss": (SSLConnection, AsyncSSLConnection),
    "unix": (UnixConnection, AsyncUnixConnection),
}
"""Classes of redis-py by kind of connection: for threads, and for an event loop."""

_HOST = re.compile(r"(?:[^:/@\[\]]+|\[[^/@\[\]]+\])?(?::[0-9]+)?")
_ASSIGNED = re.compile(r"([^?&=/]+)=([^&]*)")
_SEPARATORS = re.compile(r"[:/?#@&=%]")
_UNREADABLE = (
    "it cannot be read; write redis://USER:PASSWORD@host:port with : as %3A, / as %2F, ? as %3F, # as %23"
    " and @ as %40 in user name and password"
)
_NO_PORT = (
    "what stands behind the host's colon is no port; write redis://host:6379, or with a password"
    " redis://USER:PASSWORD@host:6379"
)

Host = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Target:
    """
    Address and settings of a store's server.

    Args:
        shown: URL for messages, without user name and password.
        kind: Kind of connection: `redis` (TCP), `rediss` (TLS) or `unix`.
        settings: Keyword arguments of a connection of redis-py.
        namespace: Prefix of every key.
        max_connections: Most connections at once.
        hosts: Sentinels, or nodes of a cluster; empty for a single server.
        service: Sentinel's name of the primary; None for a cluster.
        sentinel_settings: Keyword arguments of a connection to a sentinel.
    """

    shown: str
    kind: str
    settings: dict[str, Any] = field(repr=False)
    namespace: str = DEFAULT_NAMESPACE
    max_connections: int = MAX_CONNECTIONS
    hosts: tuple[Host, ...] = ()
    service: str | None = None
    sentinel_settings: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_cluster(self) -> bool:
        """True for a cluster."""
        return bool(self.hosts) and self.service is None

    @property
    def is_named(self) -> bool:
        """True for a single server named by host and port."""
        return not self.hosts and self.kind != "unix"


def single_targets(target: Target) -> list[Target]:
    """Return each known server of a cluster as a target of its own; any other target itself."""
    if not target.is_cluster:
        return [target]
    return [node_target(target, node) for node in target.hosts]


def node_target(target: Target, node: Host) -> Target:
    """Return a node of a cluster as a target of its own."""
    host, port = node
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    settings = target.settings | {"host": host, "port": port}
    return replace(target, shown=f"{target.kind}+cluster://{place}", hosts=(), settings=settings)


def target_from_url(url: str, namespace: str = DEFAULT_NAMESPACE, max_connections: int = MAX_CONNECTIONS) -> Target:
    """
    Parse a store URL.

    Args:
        url: `redis://`, `rediss://`, `unix://`, or one of `redis+sentinel://` and `redis+cluster://`.
        namespace: Default of the option `namespace`.
        max_connections: Default of the option `max_connections`.

    Raises:
        ValueError: For an invalid URL; the message holds no part of a password.
    """
    shown = redacted(url)
    try:
        return _parse(url, shown, namespace, max_connections)
    except ValueError as error:
        message = str(error)
    # Not raised from the error: its text may hold a part of the password, and a traceback prints the chain.
    is_secret = shown.endswith("…") or _has_secret(message, url)
    raise ValueError(f"store URL {shown!r}: {_cure(url) if is_secret else message}")


def _cure(url: str) -> str:
    """Return a cure that shows no part of *url*, for when a password may stand anywhere in it."""
    scheme, _, rest = url.partition("://")
    return _UNREADABLE if "@" in rest or "+" in scheme or ":" not in rest else _NO_PORT


def redacted(url: str) -> str:
    """
    Return *url* without user name, password and options; only its scheme if they cannot be told apart.

    A `/`, `?` or `#` in a password ends the authority of the URL, and a URL without `@` may
    lack its host.
    """
    scheme, _, rest = url.partition("://")
    place, mark, more = re.fullmatch(r"([^?#]*)([?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    before, at, after = place.rpartition("@")
    is_split = "/" in before or (bool(mark) and "@" in more)
    hosts, _, path = after.partition("/")
    may_have_path = ":" not in hosts or (scheme.endswith("sentinel") and not hosts.startswith(":"))
    is_plain = all(map(_HOST.fullmatch, hosts.split(","))) and (may_have_path or path.strip("0123456789/") == "")
    is_place = bool(at) or scheme == "unix" or is_plain
    return f"{scheme}://{after}" if is_place and not is_split else f"{scheme}://…"


def _has_secret(message: str, url: str) -> bool:
    """Return whether a message holds a part of a URL's credentials, or of a password among its options."""
    rest = url.partition("://")[2]
    secrets = [rest.rpartition("@")[0]]
    secrets += [text for name, text in _ASSIGNED.findall(rest) if "password" in name.lower()]
    words = {word for secret in secrets for each in (secret, unquote(secret)) for word in _SEPARATORS.split(each)}
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message) for word in words if word)


def _parse(url: str, shown: str, namespace: str, max_connections: int) -> Target:
    split = urlsplit(url)
    kind, _, topology = split.scheme.partition("+")
    options = {name: values[-1] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
    namespace = check_namespace(options.pop("namespace", namespace))
    most = _number(options.pop("max_connections", str(max_connections)), "max_connections")
    if most < 1:
        raise ValueError("max_connections must be at least 1")
    if not topology:
        settings = _parse_settings(url.partition("?")[0], options, kind)
        settings.pop("connection_class", None)
        if kind == "unix" and not settings.get("path"):
            raise ValueError("no path; write unix:///run/redis.sock")
        if kind != "unix" and split.path.strip("/") and "db" not in settings:
            raise ValueError(f"database {split.path.strip('/')!r} is no number; write redis://host:6379/0")
        return Target(shown, kind, settings, namespace, most)
    return _parse_hosts(split.netloc, split.path, options, Target(shown, kind, {}, namespace, most), topology)


def _parse_hosts(netloc: str, path: str, options: dict[str, str], target: Target, topology: str) -> Target:
    credentials, _, places = netloc.rpartition("@")
    port = 26379 if topology == "sentinel" else 6379
    hosts = tuple(_host(place, port) for place in places.split(","))
    sentinel_settings = {name[9:]: options.pop(name) for name in list(options) if name.startswith("sentinel_")}
    settings = _parse_settings("redis://", options, target.kind)
    user, _, password = credentials.partition(":")
    settings |= {"username": unquote(user)} if user else {}
    settings |= {"password": unquote(password)} if password else {}
    if topology == "cluster":
        if path.strip("/") not in ("", "0"):
            raise ValueError("a cluster has only database 0; leave the path out")
        return replace(target, settings=settings, hosts=hosts)
    service, _, db = path.strip("/").partition("/")
    if not service:
        raise ValueError("no name of the primary; write redis+sentinel://host:26379/mymaster")
    if db:
        settings["db"] = _number(db, "database")
    return replace(target, settings=settings, hosts=hosts, service=service, sentinel_settings=sentinel_settings)


def _host(place: str, port: int) -> Host:
    split = urlsplit(f"//{place}")
    if not split.hostname:
        raise ValueError("a host is missing; write host:port,host:port")
    return split.hostname, split.port or port


def _parse_settings(url: str, options: dict[str, str], kind: str) -> dict[str, Any]:
    """Return redis-py's reading of *url* with the *options* of redis-py, which are checked first."""
    for name, value in options.items():
        known = name in _SETTINGS or (name.startswith("ssl_") and kind == "rediss")
        if not known or name in ("host", "port", "path"):
            shown = f" {name!r}" if value else ", without a value,"  # that may be what stands behind a & in a password
            raise ValueError(
                f"option{shown} is not known; {', '.join(_OWN_OPTIONS)} and redis-py's connection options are"
            )
        if name in URL_QUERY_ARGUMENT_PARSERS and not value:
            raise ValueError(f"option {name!r} is empty")
    if options.get("protocol", "3") not in ("2", "3"):
        raise ValueError(f"protocol {options['protocol']!r} is not known; write 2 or 3")
    return dict(parse_url(f"{url}?{urlencode(options)}"))  # type: ignore[no-untyped-call]


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{what} {text!r} is no number")
    return int(text)


# -- clients of redis-py -----------------------------------------------------------------------


def is_client(thing: object) -> bool:
    """Return whether *thing* is a client of redis-py, sync or async."""
    return isinstance(thing, redis.Redis | redis.RedisCluster) or is_async_client(thing)


def is_async_client(thing: object) -> bool:
    """Return whether *thing* is a client of redis-py for an event loop."""
    return isinstance(thing, redis.asyncio.Redis | redis.asyncio.RedisCluster)


def target_from_client(client: Any, namespace: str, max_connections: int) -> Target:
    """Return the server and the settings of a client of redis-py; its connections are not used."""
    check_namespace(namespace)
    target = partial(Target, namespace=namespace, max_connections=max_connections)
    if isinstance(client, redis.RedisCluster | redis.asyncio.RedisCluster):
        nodes = tuple((str(node.host), int(node.port)) for node in client.nodes_manager.startup_nodes.values())
        kwargs = (client.nodes_manager if isinstance(client, redis.RedisCluster) else client).connection_kwargs
        kind = (
            "rediss" if kwargs.get("ssl") or kwargs.get("connection_class") in CONNECTION_CLASSES["rediss"] else "redis"
        )
        return target(_join(nodes), kind, _connection_settings(kwargs), hosts=nodes)
    pool = client.connection_pool
    kwargs, connection_class = pool.connection_kwargs, pool.connection_class
    settings = _connection_settings(kwargs)
    if isinstance(pool, SentinelConnectionPool | AsyncSentinelConnectionPool):
        kind = "rediss" if issubclass(connection_class, CONNECTION_CLASSES["rediss"]) else "redis"
        sentinels = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
        nodes = tuple((str(each["host"]), int(each["port"])) for each in sentinels)
        entry = {
            name: sentinels[0][name] for name in _connection_settings(sentinels[0]).keys() - {"host", "port", "db"}
        }
        service = str(pool.service_name)
        return target(_join(nodes), kind, settings, hosts=nodes, service=service, sentinel_settings=entry)
    kinds = [kind for kind in ("unix", "rediss", "redis") if issubclass(connection_class, CONNECTION_CLASSES[kind])]
    if not kinds:
        raise TypeError(f"a client with connections of {connection_class.__name__} is not known; pass a store URL")
    place = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    return target(f"{kinds[0]}://{place}", kinds[0], settings)


def _connection_settings(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return those of a connection's keyword arguments that say where it leads and how it authenticates."""
    return {
        name: value
        for name, value in kwargs.items()
        if (name in _SETTINGS or name.startswith("ssl_")) and value is not None
    }


def _join(nodes: tuple[Host, ...]) -> str:
    return ",".join(f"{host}:{port}" for host, port in nodes)
