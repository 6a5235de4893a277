"""
Connections to one server, for threads.

Each call waits its turn for a connection, sends one EVALSHA and reads one answer, all
before its deadline; nothing is sent twice but a script that the server did not know.
Connecting, the handshake, TLS and discovery are redis-py's; a call to a single server
then goes over the bare socket.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from entitlements.stores.dialing import addresses_of, by
from entitlements.stores.failures import Overloaded, failure, is_elsewhere, too_old, unreachable
from entitlements.stores.line import Line
from entitlements.stores.pools import START_UP, pool_of
from entitlements.stores.rights import OLDEST
from entitlements.stores.scripts import LOADED
from entitlements.stores.turns import Turns, longest
from entitlements.stores.wire import packed

if TYPE_CHECKING:
    from entitlements.stores.connecting import Target
    from entitlements.stores.wire import Request

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
        self._idle: deque[Line] = deque()
        self._connected = False
        self._start_up_ends = inf
        """When calls stop to be as patient as the first connection may need; counted from the first call."""

    def run(self, request: Request) -> Any:
        """Send a request, and return the reply."""
        came = monotonic()
        if self._start_up_ends is inf:
            self._start_up_ends = came + START_UP
        patience = request.patience if self._connected or came > self._start_up_ends else START_UP
        if not self._turns.enter(patience):
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        try:
            until = min(max(came, self._turns.answered) + patience, came + longest(patience))
            if until - monotonic() < patience / 4:  # others have had it: this says nothing of the server
                raise Overloaded(f"store {self._shown}: a connection was free too late; raise max_connections")
            return self._run(request, until)
        finally:
            self._turns.leave()

    def close(self) -> None:
        """Let go of every connection."""
        while self._idle:
            with suppress(IndexError):
                self._idle.pop().close()
        for sentinel in sentinels(self._pool):
            sentinel.close()

    def _run(self, request: Request, until: float) -> Any:
        line = self._take(until)
        try:
            reply = line.ask(request.command, until)
            for _ in range(LOADED):
                if not isinstance(reply, NoScriptError):
                    break
                line.ask(packed(b"SCRIPT", b"LOAD", request.call.script.text), until)
                reply = line.ask(request.command, until)
        except ERRORS as error:
            line.close()
            raise failure(error, self._shown) from error
        except BaseException:
            line.close()
            raise
        if isinstance(reply, Exception):
            if is_elsewhere(reply):  # a name may lead to the new primary by now
                self._addresses = ()
                line.close()
            else:
                self._idle.append(line)
            raise failure(reply, self._shown) from reply
        self._turns.answered = monotonic()
        self._idle.append(line)
        return reply

    def _take(self, until: float) -> Line:
        """Return a connection that is open; one that the server has closed meanwhile is opened again."""
        try:
            line = self._idle.pop()
        except IndexError:
            return self._connect(self._pool.make_connection(), until)
        if line.is_quiet():
            return line
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
