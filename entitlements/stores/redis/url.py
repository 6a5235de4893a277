"""
From a store's URL, or a client that somebody already has, to where its server is and how to get in.

Nothing here connects. Of a client only the settings are taken, never its connections:
redis-py's own defaults repeat a write whose answer was lost, and take seconds to fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
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

_OURS = ("namespace", "max_connections")
_SETTINGS = frozenset({
    "host", "port", "path", "db", "username", "password", "credential_provider", "client_name", "protocol",
    "socket_keepalive", "socket_keepalive_options", "socket_type", "socket_read_size",
})  # fmt: skip
_CLASSES = {"redis": (Connection, AsyncConnection), "rediss": (SSLConnection, AsyncSSLConnection),
            "unix": (UnixConnection, AsyncUnixConnection)}  # fmt: skip

_HOST = re.compile(r"(?:[^:/@\[\]]+|\[[^/@\[\]]+\])?(?::[0-9]+)?")
_ASSIGNED = re.compile(r"([^?&=/]+)=([^&]*)")
_PARTS = re.compile(r"[:/?#@&=%]")
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
    Where a store's server is, and how to get in.

    Args:
        shown: For messages; no password stands in it.
        kind: `redis`, `rediss` or `unix`: how a connection is made.
        settings: Of a connection, in redis-py's words.
        namespace: Stands before every key.
        max_connections: Most connections at once.
        hosts: Sentinels, or nodes of a cluster; empty for a single server.
        service: What Sentinel calls the primary; None for a cluster.
        sentinel_settings: Of a connection to a sentinel.
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
        """Whether redis-py's routing finds the node of a key."""
        return bool(self.hosts) and self.service is None

    @property
    def is_named(self) -> bool:
        """Whether a host's name, or its address, says where the one server is."""
        return not self.hosts and self.kind != "unix"


def target_from_url(url: str, namespace: str = DEFAULT_NAMESPACE, max_connections: int = MAX_CONNECTIONS) -> Target:
    """
    Return where a store URL leads.

    Args:
        url: Of one of the schemes above.
        namespace: Where the URL names none.
        max_connections: Where the URL says nothing of it.

    Raises:
        ValueError: For a URL that cannot be right; a password in it is not repeated.
    """
    shown = redacted(url)
    try:
        return _target(url, shown, namespace, max_connections)
    except ValueError as error:
        said = str(error)
    # Not raised from the error: its text may hold a part of the password, and a chain is printed whole.
    raise ValueError(f"store URL {shown!r}: {_unreadable(url) if shown.endswith('…') or _tells(said, url) else said}")


def _unreadable(url: str) -> str:
    """Return what to write instead of *url*, none of which is shown: without `@` it has no password, or no host."""
    scheme, _, rest = url.partition("://")
    return _UNREADABLE if "@" in rest or "+" in scheme or ":" not in rest else _NO_PORT


def redacted(url: str) -> str:
    """
    Return *url* without user name, password and options; only its scheme where it is not clear which is which.

    A `/`, a `?` or a `#` in a password ends the part where passwords stand, and a URL
    without `@` may have lost its host.
    """
    scheme, _, rest = url.partition("://")
    place, mark, more = re.fullmatch(r"([^?#]*)([?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    before, at, after = place.rpartition("@")
    is_split = "/" in before or (bool(mark) and "@" in more)
    hosts, _, path = after.partition("/")
    is_named = ":" not in hosts or (
        scheme.endswith("sentinel") and not hosts.startswith(":")
    )  # a database or a primary
    is_plain = all(map(_HOST.fullmatch, hosts.split(","))) and (is_named or path.strip("0123456789/") == "")
    is_place = bool(at) or scheme == "unix" or is_plain
    return f"{scheme}://{after}" if is_place and not is_split else f"{scheme}://…"


def _tells(said: str, url: str) -> bool:
    """Say whether a message holds a part of what stands before a URL's last `@`, or of a password among its options."""
    rest = url.partition("://")[2]
    secrets = [rest.rpartition("@")[0]]
    secrets += [text for name, text in _ASSIGNED.findall(rest) if "password" in name.lower()]
    words = {word for secret in secrets for each in (secret, unquote(secret)) for word in _PARTS.split(each)}
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", said) for word in words if word)


def _target(url: str, shown: str, namespace: str, max_connections: int) -> Target:
    split = urlsplit(url)
    kind, _, topology = split.scheme.partition("+")
    options = {name: values[-1] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
    namespace = check_namespace(options.pop("namespace", namespace))
    most = _positive(options.pop("max_connections", str(max_connections)), "max_connections")
    if not topology:
        settings = _parsed(url.partition("?")[0], _checked(options, kind))
        settings.pop("connection_class", None)
        if kind == "unix" and not settings.get("path"):
            raise ValueError("no path; write unix:///run/redis.sock")
        if kind != "unix" and split.path.strip("/") and "db" not in settings:
            raise ValueError(f"database {split.path.strip('/')!r} is no number; write redis://host:6379/0")
        return Target(shown, kind, settings, namespace, most)
    return _several(split.netloc, split.path, options, Target(shown, kind, {}, namespace, most), topology)


def _parsed(place: str, query: str) -> dict[str, Any]:
    return dict(parse_url(f"{place}?{query}"))  # type: ignore[no-untyped-call]


def _several(netloc: str, path: str, options: dict[str, str], plain: Target, topology: str) -> Target:
    credentials, _, places = netloc.rpartition("@")
    port = 26379 if topology == "sentinel" else 6379
    hosts = tuple(_host(place, port) for place in places.split(","))
    of_sentinel = {name[9:]: options.pop(name) for name in list(options) if name.startswith("sentinel_")}
    settings = _parsed("redis://", _checked(options, plain.kind))
    user, _, password = credentials.partition(":")
    settings |= {"username": unquote(user)} if user else {}
    settings |= {"password": unquote(password)} if password else {}
    if topology == "cluster":
        if path.strip("/") not in ("", "0"):
            raise ValueError("a cluster has only database 0; leave the path out")
        return Target(plain.shown, plain.kind, settings, plain.namespace, plain.max_connections, hosts)
    service, _, db = path.strip("/").partition("/")
    if not service:
        raise ValueError("no name of the primary; write redis+sentinel://host:26379/mymaster")
    if db:
        settings["db"] = _number(db, "database")
    return Target(
        plain.shown, plain.kind, settings, plain.namespace, plain.max_connections, hosts, service, of_sentinel
    )


def _host(place: str, port: int) -> Host:
    split = urlsplit(f"//{place}")
    if not split.hostname:
        raise ValueError("a host is missing; write host:port,host:port")
    return split.hostname, split.port or port


def _checked(options: dict[str, str], kind: str) -> str:
    for name, value in options.items():
        known = name in _SETTINGS or (name.startswith("ssl_") and kind == "rediss")
        if not known or name in ("host", "port", "path"):
            shown = f" {name!r}" if value else ", without a value,"  # that may be what stands behind a & in a password
            raise ValueError(f"option{shown} is not known; {', '.join(_OURS)} and redis-py's connection options are")
        if name in URL_QUERY_ARGUMENT_PARSERS and not value:
            raise ValueError(f"option {name!r} is empty")
    if options.get("protocol", "3") not in ("2", "3"):
        raise ValueError(f"protocol {options['protocol']!r} is not known; write 2 or 3")
    return urlencode(options)


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{what} {text!r} is no number")
    return int(text)


def _positive(text: str, what: str) -> int:
    if (number := _number(text, what)) < 1:
        raise ValueError(f"{what} must be at least 1")
    return number


# -- a client that somebody already has ----------------------------------------------------


def is_client(thing: object) -> bool:
    """Say whether *thing* is a client of redis-py, sync or async."""
    return isinstance(thing, redis.Redis | redis.RedisCluster | redis.asyncio.Redis | redis.asyncio.RedisCluster)


def is_async_client(thing: object) -> bool:
    """Say whether *thing* is a client of redis-py for an event loop."""
    return isinstance(thing, redis.asyncio.Redis | redis.asyncio.RedisCluster)


def target_from_client(client: Any, namespace: str, max_connections: int) -> Target:
    """Return where a client of redis-py leads; its connections stay its own."""
    check_namespace(namespace)
    if isinstance(client, redis.RedisCluster | redis.asyncio.RedisCluster):
        nodes = tuple((str(node.host), int(node.port)) for node in client.nodes_manager.startup_nodes.values())
        kwargs = (
            client.nodes_manager.connection_kwargs
            if isinstance(client, redis.RedisCluster)
            else client.connection_kwargs
        )
        kind = "rediss" if kwargs.get("ssl") or kwargs.get("connection_class") in _CLASSES["rediss"] else "redis"
        return Target(_places(nodes), kind, _kept(kwargs), namespace, max_connections, nodes)
    pool = client.connection_pool
    kwargs = pool.connection_kwargs
    if isinstance(pool, SentinelConnectionPool | AsyncSentinelConnectionPool):
        kind = "rediss" if issubclass(pool.connection_class, SSLConnection | AsyncSSLConnection) else "redis"
        sentinels = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
        nodes = tuple((str(each["host"]), int(each["port"])) for each in sentinels)
        entry = {name: value for name, value in _kept(sentinels[0]).items() if name not in ("host", "port", "db")}
        service = str(pool.service_name)
        return Target(_places(nodes), kind, _kept(kwargs), namespace, max_connections, nodes, service, entry)
    kinds = [kind for kind in ("unix", "rediss", "redis") if issubclass(pool.connection_class, _CLASSES[kind])]
    if not kinds:
        raise TypeError(f"a client with connections of {pool.connection_class.__name__} is not known; pass a store URL")
    kind = kinds[0]
    place = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    return Target(f"{kind}://{place}", kind, _kept(kwargs), namespace, max_connections)


def _kept(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in kwargs.items()
        if (name in _SETTINGS or name.startswith("ssl_")) and value is not None
    }


def _places(nodes: tuple[Host, ...]) -> str:
    return ",".join(f"{host}:{port}" for host, port in nodes)
