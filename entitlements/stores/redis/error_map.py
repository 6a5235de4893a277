"""Map from redis-py's exceptions to the store's errors, each with its cause and its cure."""

from __future__ import annotations

import re

from redis import exceptions

from entitlements.errors import StoreError
from entitlements.stores.errors import Broken, Corrupt, Misconfigured, Overloaded, Rejected, TimedOut, Unreachable
from entitlements.stores.redis.deadlines import PASSED

VERSIONS = "Redis 6.2, Valkey 7.2 or a later one"
"""Servers that a store can use, for messages."""

_MISCONFIGURED: dict[str, str] = {
    "SENTINEL": "no sentinel listens here; write redis+sentinel://host:26379/mymaster, or redis://host:6379",
    "unknown command ['`]EVALSHA": "this is a sentinel; write redis+sentinel://host:26379/ and the primary's name",
    "must be called with the client already authenticated|NOAUTH": "the server wants a password;"
    " write redis://USER:PASSWORD@host:port, or redis://:PASSWORD@host:port",
    "without any password configured": "the server has no password; leave it out of the store's URL",
    "WRONGPASS|invalid username-password|invalid password|AuthenticationError": "the server refuses the user name"
    " or the password; correct them in the store's URL",
    "permissions to access|can't access": "this user may not touch the store's keys; allow it ~<namespace>1:*"
    " (docs/operating-redis.md has the whole ACL)",
    "permissions to run|can't run this command|NoPermission|NOPERM": "this user may not run what the store needs;"
    " `entitlements doctor` with this URL names what is missing, docs/operating-redis.md has the whole ACL",
    "MOVED|MovedError|AskError|CROSSSLOT|CrossSlot": "this server is one node of a cluster; write redis+cluster://host:port",
    "unknown command": f"the server does not know a command that the store needs; {VERSIONS} is needed",
    "luster mode is not enabled|luster support disabled": "this server is no cluster; write redis://host:port",
    "DB index is out of range": "the server has no database of this number; correct it in the store's URL",
}
"""Cures of errors that waiting does not end, by a pattern of the error's class or text; the first that matches."""

_REJECTED: dict[str, str] = {
    "OutOfMemory|OOM": "the server's memory is full; raise maxmemory (with maxmemory-policy noeviction)",
    "ReadOnly|READONLY": "this server is a replica; name the primary, or use redis+sentinel://",
    "previous master is now a slave": "the primary has changed; the next order asks the sentinels for the new one",
    "NOREPLICAS": "too few replicas are in touch with the server (min-replicas-to-write); bring them back, or lower it",
    "BusyLoading|LOADING": "the server is loading its data; it answers once that is done",
    "BUSY": "a long script of another client holds the server up; end it with SCRIPT KILL",
    "MasterDown": "this server is a replica that has lost its primary; name the primary",
    "ClusterDown|CLUSTERDOWN": "the cluster is down or does not serve this slot; mend it with redis-cli --cluster fix",
    "TryAgain": "the slot is moving to another node; repeat the call",
    "MISCONF": "the server cannot save to disk and refuses writes; look into its log",
    "NoScript": "the server loses scripts as soon as they are loaded; look for SCRIPT FLUSH in a loop",
}
"""Cures of other errors with which the server replies."""

_CORRUPT: dict[str, str] = {
    "WRONGTYPE": "a value of another kind stands under a key of this store, and was left alone;"
    " another program shares its names: give this one a namespace of its own (?namespace=…)",
    "CORRUPT": "a field of the record is not what this store writes, and was left alone;"
    " forget() the account, or restore the key",
}

_CONNECTING: dict[str, str] = {
    "Protocol error": "what listens there does not speak Redis's protocol; correct host and port",
    "WRONG_VERSION_NUMBER": "what listens there does not speak TLS; write redis://, or correct the port",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not of an authority trusted here, or of another host;"
    " name the authority with ?ssl_ca_certs=PATH",
    "": "check that it runs, and its address",
}
"""Cures of errors while connecting."""

_NO_PRIMARY = (
    "no sentinel names a primary; check that the sentinels run, that one of them is reached,"
    " and the primary's name (SENTINEL MASTERS lists them)"
)
_ELSEWHERE = re.compile("ReadOnly|READONLY|MasterDown|MASTERDOWN|BusyLoading|LOADING")


def _cure(cures: dict[str, str], text: str) -> str | None:
    return next((cure for pattern, cure in cures.items() if re.search(pattern, text)), None)


def map_error(error: BaseException, server: str) -> StoreError:
    """
    Return the store's error for redis-py's *error*.

    Args:
        error: Raised by redis-py, or returned by the server.
        server: URL of the server, without a password.
    """
    said = _said(error)
    for kind, cures in ((Corrupt, _CORRUPT), (Misconfigured, _MISCONFIGURED), (Rejected, _REJECTED)):
        if cure := _cure(cures, f"{type(error).__name__} {said}"):
            return kind(f"store {server}: {cure} (the server said: {_short(said)})")
    if isinstance(error, exceptions.MaxConnectionsError):
        return Overloaded(f"store {server}: no connection is free; raise max_connections")
    if "No master found" in said:
        return Unreachable(f"store {server}: {_NO_PRIMARY}")
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return TimedOut(f"store {server}: no answer in time; whether it was done is unknown ({_short(said)})")
    if isinstance(error, exceptions.ResponseError):  # a proxy may say it after the server has worked
        return StoreError(f"store {server}: an unknown error; whether the order was done is unknown ({_short(said)})")
    if isinstance(error, exceptions.RedisClusterException):
        return Unreachable(
            f"store {server}: the cluster cannot be reached; check that its nodes run"
            f"{_tls_cure(error, server)} ({_short(said)})"
        )
    return Broken(f"store {server}: the connection broke; whether it was done is unknown ({_short(said)})")


def endless(error: exceptions.AskError, server: str) -> StoreError:
    """Return the store's error for an order that the nodes of a cluster redirect to each other: none carried it out."""
    return Rejected(
        f"store {server}: its nodes redirect the order from one to the other; if that goes on, mend the cluster with"
        f" redis-cli --cluster fix (slot {error.slot_id}, at last to {error.host}:{error.port})"
    )


def is_elsewhere(error: BaseException) -> bool:
    """Return whether an error means that another server should be called: the connection is not worth keeping."""
    return bool(_ELSEWHERE.search(f"{type(error).__name__} {error}"))


def is_refused(error: BaseException) -> bool:
    """Return whether the connection was refused, so that nothing was sent."""
    return isinstance(error, ConnectionRefusedError) or "Error 111 " in str(error) or "onnection refused" in str(error)


def unreachable(error: BaseException, server: str) -> StoreError:
    """Return the store's error for an *error* while connecting: nothing was sent."""
    found = map_error(error, server)
    if found.undone:
        return found
    said = _said(error)
    cure = f"{_cure(_CONNECTING, said)}{_tls_cure(error, server)}"
    return Unreachable(f"store {server}: cannot connect; {cure} ({_short(said)})")


def _tls_cure(error: BaseException, server: str) -> str:
    """
    Return the cure of an error that TLS on one side only may explain; '' for another error.

    A server without TLS reads a TLS handshake as the beginning of a command and waits for the
    rest until the deadline. A server with TLS closes a connection that begins without.
    """
    said, (scheme, sign, place) = str(error), server.partition("://")
    if scheme.startswith("rediss") and (isinstance(error, TimeoutError) or "imeout connecting" in said):
        return f"; a server without TLS waits in silence: if it has none, write {scheme.replace('ss', 's', 1)}{sign}{place}"
    if scheme.startswith("redis") and any(word in said for word in ("closed by server", "reset by peer")):
        return f"; a server with TLS hangs up: if it has that, write {scheme.replace('s', 'ss', 1)}{sign}{place}"
    return ""


def _said(error: BaseException) -> str:
    """Return the text of an error; those of asyncio's timeouts have none."""
    return str(error) or (PASSED if isinstance(error, TimeoutError) else type(error).__name__)


def _short(said: str) -> str:
    return said if len(said) <= 200 else f"{said[:200]}…"
