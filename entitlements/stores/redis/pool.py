"""
Connection pool to one server, for threads.

Each call takes a slot, sends one EVALSHA and reads one reply, all before its deadline. Nothing
is sent twice, except after NOSCRIPT: then the server has not run the script.
redis-py connects: handshake, TLS and discovery. Calls then use the bare socket.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from entitlements.errors import StoreError
from entitlements.stores.errors import Misconfigured, Overloaded
from entitlements.stores.redis.acl import OLDEST
from entitlements.stores.redis.clients import make_pool
from entitlements.stores.redis.connection import Connection
from entitlements.stores.redis.deadlines import StartUp, longest_wait
from entitlements.stores.redis.encoding import pack_command
from entitlements.stores.redis.error_map import VERSIONS, is_elsewhere, map_error, unreachable
from entitlements.stores.redis.scripts import MAX_LOADS
from entitlements.stores.redis.slots import Slots
from entitlements.stores.redis.timed_connections import call_deadline, resolve_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from entitlements.stores.redis.encoding import Request
    from entitlements.stores.redis.url import Target

ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError, hiredis.HiredisError)
"""Exceptions of redis-py and of sockets that mean a failure of the server or of the network."""


def sentinel_clients(pool: Any) -> list[Any]:
    """Return the clients that a pool asks for the primary; none without Sentinel."""
    manager = getattr(pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


def resolve_target(target: Target) -> tuple[str, ...]:
    """Return the addresses of a single server named by host; none if they cannot be resolved now."""
    if target.is_named:
        with suppress(OSError):
            settings = target.settings
            return resolve_host(settings.get("host", "localhost"), settings.get("port", 6379))
    return ()


def check_version(hello: Any, shown: str) -> None:
    """
    Check the reply to HELLO: a map, or under RESP2 a list of names and values.

    Raises:
        Misconfigured: For a server that is too old.
        Exception: The reply, if it is an error.
    """
    if isinstance(hello, Exception):
        raise hello
    known = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2], strict=False))
    version = known.get(b"version", b"").decode()
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if len(numbers) == 2 and numbers < OLDEST:
        raise Misconfigured(f"store {shown}: version {version} is too old; {VERSIONS} is needed")


def acquire_slot(slots: Slots, timeout: float, started: float, shown: str) -> tuple[Any, float]:
    """
    Wait for a slot, and return what it keeps and the deadline of the call.

    Raises:
        Overloaded: If none was free, or too late to leave the server enough time.
    """
    try:
        kept = slots.acquire(timeout)
    except TimeoutError:
        raise Overloaded(f"store {shown}: no connection was free in time; raise max_connections") from None
    deadline = min(max(started, slots.answered_at) + timeout, started + longest_wait(timeout))
    if deadline - monotonic() < timeout / 4:  # other calls used the time: a timeout would not be the server's fault
        slots.release(kept)
        raise Overloaded(f"store {shown}: a connection was free too late; raise max_connections")
    return kept, deadline


class ConnectionPool:
    """
    Connection pool to one server, for threads.

    Args:
        target: The server.
        addresses: Its addresses, where they are resolved already.
        start_up: The time for first connections, where other pools share it.
    """

    def __init__(self, target: Target, addresses: tuple[str, ...] = (), start_up: StartUp | None = None) -> None:
        self._shown = target.shown
        self._pool = make_pool(target)
        self._candidates = 1 + len(target.hosts)
        self._keeps_addresses = target.is_named
        self._addresses = addresses
        """Kept until a connection fails: CPython cannot resolve a name with a deadline."""
        self._slots = Slots(target.max_connections)
        self._is_connected = False
        self._start_up = start_up or StartUp()

    def execute(self, request: Request) -> Any:
        """Send a request and return the reply."""
        started, slots = monotonic(), self._slots
        timeout = request[2] if self._is_connected else self._start_up.timeout(request[2], started)
        deadline = started + timeout
        try:
            connection = slots.free.pop()
        except IndexError:
            connection, deadline = acquire_slot(slots, timeout, started, self._shown)
        kept = None
        try:
            if connection is None or not connection.is_usable():
                connection = self._open(connection, deadline)
            reply = connection.execute(request[1], deadline)
            if isinstance(reply, Exception):
                reply = _load_script(connection, request, reply, deadline)
            kept = None if isinstance(reply, Exception) and is_elsewhere(reply) else connection
            if slots.waiting and not isinstance(reply, Exception):  # before a waiter gets the slot
                slots.answered_at = monotonic()
        except ERRORS as error:
            raise map_error(error, self._shown) from error
        finally:
            try:
                if kept is None and connection is not None:
                    connection.close()
            finally:
                slots.release(kept)
        if isinstance(reply, Exception):
            if kept is None:  # the name may point to the new primary by now
                self._addresses = ()
            raise map_error(reply, self._shown) from reply
        return reply

    def read(self, requests: Sequence[Request]) -> list[Any]:
        """Send requests that only read in one round trip, and return the replies."""
        if len(requests) == 1 or not self._is_connected:
            return [self.execute(requests[0]), *(self.read(requests[1:]) if requests[1:] else ())]
        replies = self.exchange([request.command for request in requests], requests[0].timeout)
        # What a server refuses for itself (a script that it lacks, a move) is sent again as a call of its own.
        return [
            self.execute(request) if isinstance(reply, Exception) else reply
            for request, reply in zip(requests, replies, strict=True)
        ]

    def exchange(self, commands: Sequence[bytes], timeout: float) -> list[Any]:
        """Send commands over one connection at once, and return their replies, errors of the server among them."""
        connection, deadline = acquire_slot(self._slots, timeout, monotonic(), self._shown)
        kept = None
        try:
            if connection is None or not connection.is_usable():
                connection = self._open(connection, deadline)
            replies: list[Any] = connection.pipeline(b"".join(commands), len(commands), deadline)
            kept = connection
        except ERRORS as error:
            raise map_error(error, self._shown) from error
        finally:
            try:
                if kept is None and connection is not None:
                    connection.close()
            finally:
                self._slots.release(kept)
        return replies

    def close(self) -> None:
        """Close every connection that is not in use."""
        slots = self._slots
        for _ in range(len(slots.free)):
            with suppress(IndexError):
                connection = slots.free.pop()
                try:
                    if connection is not None:
                        connection.close()
                finally:
                    slots.release()
        for sentinel in sentinel_clients(self._pool):
            sentinel.close()

    def _open(self, stale: Connection | None, deadline: float) -> Connection:
        """Return an open connection in place of one that the server has closed."""
        if stale is None:
            return self._connect(self._pool.make_connection(), deadline)
        stale.close()
        return self._connect(stale.redis_connection, deadline)

    def _connect(self, redis_connection: Any, deadline: float) -> Connection:
        redis_connection.addresses = self._addresses
        try:
            with call_deadline(deadline, self._candidates):
                redis_connection.connect()
            connection = Connection(redis_connection)
            if not self._is_connected:
                check_version(connection.execute(pack_command(b"HELLO"), deadline), self._shown)
        except BaseException as error:
            redis_connection.disconnect()
            if not isinstance(error, Exception) or isinstance(error, StoreError):
                raise
            self._keep_addresses(redis_connection.addresses)
            raise unreachable(error, self._shown) from error
        self._keep_addresses((connection.address,))
        self._is_connected = True
        return connection

    def _keep_addresses(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses if self._keeps_addresses else ()


def _load_script(connection: Connection, request: Request, reply: Any, deadline: float) -> Any:
    """Return *reply*; if the server lacks the script, load that, send the request again, and return the new reply."""
    for _ in range(MAX_LOADS):
        if not isinstance(reply, NoScriptError):
            break
        connection.execute(pack_command(b"SCRIPT", b"LOAD", request.call.script.text), deadline)
        reply = connection.execute(request.command, deadline)
    return reply
