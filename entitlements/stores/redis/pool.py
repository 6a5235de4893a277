"""
Connections to one server, for threads.

Each call waits its turn for a connection, sends one EVALSHA and reads one answer, all
before its deadline; nothing is sent twice but a script that the server did not know.
Connecting, the handshake, TLS and discovery are redis-py's; a call to a single server
then goes over the bare socket.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from entitlements.stores.errors import Overloaded
from entitlements.stores.redis.acl import OLDEST
from entitlements.stores.redis.clients import START_UP, pool_of
from entitlements.stores.redis.connection import Line
from entitlements.stores.redis.deadlines import longest
from entitlements.stores.redis.encoding import packed
from entitlements.stores.redis.error_map import failure, is_elsewhere, too_old, unreachable
from entitlements.stores.redis.scripts import LOADED
from entitlements.stores.redis.slots import Turns
from entitlements.stores.redis.timed_connections import addresses_of, by

if TYPE_CHECKING:
    from entitlements.stores.redis.encoding import Request
    from entitlements.stores.redis.url import Target

ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError, hiredis.HiredisError)
"""Whatever redis-py raises where the server, or the way to it, is at fault."""


def sentinels(pool: Any) -> list[Any]:
    """Return the clients that a pool asks for the primary; none where it knows."""
    manager = getattr(pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


def found(target: Target) -> tuple[str, ...]:
    """Look up where a single server is; nowhere yet where its name leads nowhere: the first order tells that."""
    if target.is_named:
        with suppress(OSError):
            settings = target.settings
            return addresses_of(settings.get("host", "localhost"), settings.get("port", 6379))
    return ()


def check_version(hello: Any, shown: str) -> None:
    """Check the server's answer to HELLO: a map, or under RESP2 a list of names and values; raise an error of its."""
    if isinstance(hello, Exception):
        raise hello
    known = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2], strict=False))
    version = known.get(b"version", b"").decode()
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if len(numbers) == 2 and numbers < OLDEST:
        raise too_old(version, shown)


class Link:
    """
    Connections to one server, for threads.

    Args:
        target: Where it is.
        addresses: What its name was `found` to lead to.
    """

    def __init__(self, target: Target, addresses: tuple[str, ...] = ()) -> None:
        self._shown = target.shown
        self._pool = pool_of(target)
        self._candidates = 1 + len(target.hosts)
        self._keeps_address = target.is_named
        self._addresses = addresses
        """Where its name has led, until a connection fails: CPython knows no deadline for looking one up."""
        self._turns = Turns(target.max_connections)
        self._connected = False
        self._start_up_ends = inf
        """When calls stop to be as patient as the first connection may need; counted from the first call."""

    def run(self, request: Request) -> Any:
        """Send a request, and return the reply."""
        came, turns = monotonic(), self._turns
        patience = request[2] if self._connected else self._at_first(request, came)
        until = came + patience
        try:
            line = turns.free.pop()
        except IndexError:
            line, until = self._wait(patience, came)
        kept = None
        try:
            if line is None or not line.is_quiet():
                line = self._opened(line, until)
            reply = line.ask(request[1], until)
            if isinstance(reply, Exception):
                reply = _loaded(line, request, reply, until)
            kept = None if isinstance(reply, Exception) and is_elsewhere(reply) else line
            if turns.waiting and not isinstance(reply, Exception):  # before whoever waits has the place
                turns.answered = monotonic()
        except ERRORS as error:
            raise failure(error, self._shown) from error
        finally:
            try:
                if kept is None and line is not None:
                    line.close()
            finally:
                turns.leave(kept)
        if isinstance(reply, Exception):
            if kept is None:  # a name may lead to the new primary by now
                self._addresses = ()
            raise failure(reply, self._shown) from reply
        return reply

    def close(self) -> None:
        """Let go of every connection that nobody uses."""
        turns = self._turns
        for _ in range(len(turns.free)):
            with suppress(IndexError):
                line = turns.free.pop()
                try:
                    if line is not None:
                        line.close()
                finally:
                    turns.leave()
        for sentinel in sentinels(self._pool):
            sentinel.close()

    def _at_first(self, request: Request, came: float) -> float:
        """Return for how long a call may wait before anybody was connected."""
        if self._start_up_ends is inf:
            self._start_up_ends = came + START_UP
        return request.patience if came > self._start_up_ends else START_UP

    def _wait(self, patience: float, came: float) -> tuple[Line | None, float]:
        """Return a place that has become free, and until when its call may take."""
        turns = self._turns
        try:
            line = turns.enter(patience)
        except TimeoutError:
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections") from None
        until = min(max(came, turns.answered) + patience, came + longest(patience))
        if until - monotonic() < patience / 4:  # others have had it: this says nothing of the server
            turns.leave(line)
            raise Overloaded(f"store {self._shown}: a connection was free too late; raise max_connections")
        return line, until

    def _opened(self, line: Line | None, until: float) -> Line:
        """Return a connection that is open, in the place of one that the server has closed."""
        if line is None:
            return self._connect(self._pool.make_connection(), until)
        line.close()
        return self._connect(line.connection, until)

    def _connect(self, connection: Any, until: float) -> Line:
        connection.addresses = self._addresses
        try:
            with by(until, self._candidates):
                connection.connect()
            line = Line(connection)
            if not self._connected:
                check_version(line.ask(packed(b"HELLO"), until), self._shown)
        except ERRORS as error:
            self._keep(connection.addresses)
            connection.disconnect()
            raise unreachable(error, self._shown) from error
        except BaseException:
            connection.disconnect()
            raise
        self._keep((line.address,))
        self._connected = True
        return line

    def _keep(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses if self._keeps_address else ()


def _loaded(line: Line, request: Request, reply: Any, until: float) -> Any:
    """Return the reply to a request, once the server knows the script that it lacked; any other reply as it is."""
    for _ in range(LOADED):
        if not isinstance(reply, NoScriptError):
            break
        line.ask(packed(b"SCRIPT", b"LOAD", request.call.script.text), until)
        reply = line.ask(request.command, until)
    return reply
