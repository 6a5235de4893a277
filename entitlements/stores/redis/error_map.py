"""Map from redis-py's exceptions to the store's errors, each with its cause and its cure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis import exceptions

from entitlements.stores.errors import Broken, Corrupt, Misconfigured, Overloaded, Rejected, TimedOut, Unreachable

if TYPE_CHECKING:
    from entitlements.errors import StoreError

_UNKNOWN_USER = "the server refuses the user name or the password; correct them in the store's URL"
_NO_PASSWORD = "the server wants a password; write redis://USER:PASSWORD@host:port, or redis://:PASSWORD@host:port"
_NO_SENTINEL = "no sentinel listens here; write redis+sentinel://host:26379/mymaster, or redis://host:6379"
_NO_KEYS = (
    "this user may not touch the store's keys; allow it ~<namespace>1:* (docs/operating-redis.md has the whole ACL)"
)
_A_SENTINEL = "this is a sentinel; write redis+sentinel://host:26379/ and the primary's name"
_NO_CLUSTER = "this server is no cluster; write redis://host:port"
_NO_RIGHT = (
    "this user may not run what the store needs; `entitlements doctor` with this URL names what is missing,"
    " docs/operating-redis.md has the whole ACL"
)
_NO_PRIMARY = (
    "no sentinel names a primary; check that the sentinels run, that one of them is reached,"
    " and the primary's name (SENTINEL MASTERS lists them)"
)
_A_CLUSTER = "this server is one node of a cluster; write redis+cluster://host:port"

_CURES: dict[str, str] = {
    "SENTINEL": _NO_SENTINEL,
    "unknown command 'EVALSHA'": _A_SENTINEL,
    "unknown command `EVALSHA`": _A_SENTINEL,
    "must be called with the client already authenticated": _NO_PASSWORD,
    "WRONGPASS": _UNKNOWN_USER,
    "invalid username-password": _UNKNOWN_USER,
    "invalid password": _UNKNOWN_USER,
    "NOAUTH": _NO_PASSWORD,
    "without any password configured": "the server has no password; leave it out of the store's URL",
    "AuthenticationError": _UNKNOWN_USER,
    "permissions to access": _NO_KEYS,
    "can't access": _NO_KEYS,
    "permissions to run": _NO_RIGHT,
    "can't run this command": _NO_RIGHT,
    "NoPermission": _NO_RIGHT,
    "NOPERM": _NO_RIGHT,
    "OutOfMemory": "the server's memory is full; raise maxmemory (with maxmemory-policy noeviction)",
    "OOM": "the server's memory is full; raise maxmemory (with maxmemory-policy noeviction)",
    "ReadOnly": "this server is a replica; name the primary, or use redis+sentinel://",
    "READONLY": "this server is a replica; name the primary, or use redis+sentinel://",
    "previous master is now a slave": "the primary has changed; the next order asks the sentinels for the new one",
    "NOREPLICAS": "too few replicas are in touch with the server (min-replicas-to-write); bring them back, or lower it",
    "BusyLoading": "the server is loading its data; it answers once that is done",
    "LOADING": "the server is loading its data; it answers once that is done",
    "BUSY": "a long script of somebody else holds the server up; end it with SCRIPT KILL",
    "MasterDown": "this server is a replica that has lost its primary; name the primary",
    "ClusterDown": "the cluster is down or does not serve this slot; mend it with redis-cli --cluster fix",
    "CLUSTERDOWN": "the cluster is down or does not serve this slot; mend it with redis-cli --cluster fix",
    "MovedError": _A_CLUSTER,
    "MOVED": _A_CLUSTER,
    "CROSSSLOT": _A_CLUSTER,
    "CrossSlot": _A_CLUSTER,
    "TryAgain": "the slot is moving to another node; repeat the call",
    "MISCONF": "the server cannot save to disk and refuses writes; look into its log",
    "unknown command": "the server does not know a command that the store needs;"
    " Redis 6.2, Valkey 7.2 or a later one is needed",
    "luster mode is not enabled": _NO_CLUSTER,
    "luster support disabled": _NO_CLUSTER,
    "DB index is out of range": "the server has no database of this number; correct it in the store's URL",
    "NoScript": "the server loses scripts as soon as they are loaded; look for SCRIPT FLUSH in a loop",
}
"""What to do, by a word of the error's class or text; the first that fits. Nothing was carried out."""

_SLIPS = frozenset({
    _UNKNOWN_USER, _NO_PASSWORD, _NO_SENTINEL, _NO_KEYS, _A_SENTINEL, _NO_CLUSTER, _NO_RIGHT, _A_CLUSTER,
    _CURES["without any password configured"], _CURES["unknown command"], _CURES["DB index is out of range"],
})  # fmt: skip
"""Cures of what is no outage: it never worked, and waiting does not help."""

_ENTRANCES: dict[str, str] = {
    "Protocol error": "what listens there does not speak Redis's protocol; correct host and port",
    "WRONG_VERSION_NUMBER": "what listens there does not speak TLS; write redis://, or correct the port",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not of an authority trusted here, or of another host;"
    " name the authority with ?ssl_ca_certs=PATH",
}
"""What to do about an error while connecting, by a word of its text."""

_CORRUPTED: dict[str, str] = {
    "WRONGTYPE": "a value of another kind stands under a key of this store, and was left alone;"
    " another program shares its names: give this one a namespace of its own (?namespace=…)",
    "CORRUPT": "a field of the record is not what this store writes, and was left alone;"
    " forget() the account, or restore the key",
}


def failure(error: BaseException, server: str) -> StoreError:
    """
    Return what to raise instead of the client's *error*.

    Args:
        error: What the client raised.
        server: Where, without a password.
    """
    said = _said(error)
    named = f"{type(error).__name__} {said}"
    for kind, cures in ((Corrupt, _CORRUPTED), (Rejected, _CURES)):
        for word, cure in cures.items():
            if word in named:
                kind = Misconfigured if cure in _SLIPS else kind  # noqa: PLW2901
                return kind(f"store {server}: {cure} (the server said: {_short(said)})")
    if isinstance(error, exceptions.MaxConnectionsError):
        return Overloaded(f"store {server}: no connection is free; raise max_connections")
    if "No master found" in said:
        return Unreachable(f"store {server}: {_NO_PRIMARY}")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return TimedOut(f"store {server}: no answer in time; whether it was done is unknown ({_short(said)})")
    if isinstance(error, exceptions.ResponseError):
        return Rejected(f"store {server}: the server refused the order: {_short(said)}")
    if isinstance(error, exceptions.RedisClusterException):
        return Unreachable(
            f"store {server}: the cluster cannot be reached; check that its nodes run"
            f"{_tls_cure(error, server)} ({_short(said)})"
        )
    return Broken(f"store {server}: the connection broke; whether it was done is unknown ({_short(said)})")


def is_elsewhere(error: BaseException) -> bool:
    """Say whether a refusal means that another server should be asked: the connection is not worth keeping."""
    named = f"{type(error).__name__} {error}"
    return any(word in named for word in ("ReadOnly", "READONLY", "MasterDown", "MASTERDOWN", "BusyLoading", "LOADING"))


def is_refused(error: BaseException) -> bool:
    """Say whether a connection could not even be made, so that nothing was sent."""
    return isinstance(error, ConnectionRefusedError) or "Error 111 " in str(error) or "onnection refused" in str(error)


def unreachable(error: BaseException, server: str) -> StoreError:
    """Return what to raise instead of an *error* that came while connecting: nothing was sent."""
    found = failure(error, server)
    if isinstance(found, TimedOut | Broken):
        said = _said(error)
        cure = next((cure for word, cure in _ENTRANCES.items() if word in said), "check that it runs, and its address")
        return Unreachable(f"store {server}: cannot connect; {cure}{_tls_cure(error, server)} ({_short(said)})")
    return found


def _tls_cure(error: BaseException, server: str) -> str:
    """
    Say what to write where one side may speak TLS and the other not.

    A server without TLS takes our greeting for the beginning of a command and waits for
    the rest, in silence until the deadline; one with TLS hangs up on ours without.
    """
    said, (scheme, sign, place) = str(error), server.partition("://")
    if scheme.startswith("rediss") and (isinstance(error, TimeoutError) or "imeout connecting" in said):
        return f"; a server without TLS waits in silence: if it has none, write {scheme.replace('ss', 's', 1)}{sign}{place}"
    if scheme.startswith("redis") and any(word in said for word in ("closed by server", "reset by peer")):
        return f"; a server with TLS hangs up: if it has that, write {scheme.replace('s', 'ss', 1)}{sign}{place}"
    return ""


def too_old(version: str, server: str) -> StoreError:
    """Return what to raise for a server that is too old."""
    return Misconfigured(
        f"store {server}: version {version} is too old; Redis 6.2, Valkey 7.2 or a later one is needed"
    )


def _said(error: BaseException) -> str:
    """Return what an error says; those of asyncio's deadlines say nothing."""
    return str(error) or ("its deadline has passed" if isinstance(error, TimeoutError) else type(error).__name__)


def _short(said: str) -> str:
    return said if len(said) <= 200 else f"{said[:200]}…"
