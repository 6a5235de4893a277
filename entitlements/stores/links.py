"""
Connections to one server or to a cluster, for threads.

Each call waits its turn for a connection, sends one EVALSHA and reads one answer, all
before its deadline; nothing is sent twice but a script that the server did not know.
Connecting, the handshake, TLS and discovery are redis-py's; a call to a single server
then goes over the bare socket.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import hiredis
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from entitlements.stores.connecting import START_UP, cluster_of, hurry, pool_of
from entitlements.stores.failures import Overloaded, failure, is_elsewhere, is_refused, too_old, unreachable
from entitlements.stores.line import Line
from entitlements.stores.rights import OLDEST
from entitlements.stores.turns import Turns
from entitlements.stores.wire import packed

if TYPE_CHECKING:
    from entitlements.stores.connecting import Target
    from entitlements.stores.wire import Call, Request

ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError, hiredis.HiredisError)
"""Whatever redis-py raises where the server, or the way to it, is at fault."""

NEVER_DECODE = "NEVER_DECODE"
"""redis-py's word for: leave the answer's bytes alone, whatever the client decodes otherwise."""


def evalsha(call: Call) -> tuple[Any, ...]:
    """Return a call as a command of redis-py."""
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def sentinels(pool: Any) -> list[Any]:
    """Return the clients that a pool asks for the primary; none where it knows."""
    manager = getattr(pool, "sentinel_manager", None)
    return list(manager.sentinels) if manager else []


def check_version(hello: Any, shown: str) -> None:
    """Check the server's answer to HELLO: a map, or under RESP2 a list of names and values; raise an error of its."""
    if isinstance(hello, Exception):
        raise hello
    known = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2], strict=False))
    version = known.get(b"version", b"").decode()
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if len(numbers) == 2 and numbers < OLDEST:
        raise too_old(version, shown)


def evaluated(client: Any, call: Call) -> Any:
    """Run a script by its text: a slot that is moving may be asked for at a node that has not loaded it."""
    return client.execute_command(
        "EVAL", call.script.text, len(call.keys), *call.keys, *call.args, **{NEVER_DECODE: True}
    )


class Link:
    """Connections to one server, for threads."""

    def __init__(self, target: Target) -> None:
        self._shown = target.shown
        self._pool = pool_of(target)
        self._turns = Turns(target.max_connections)
        self._idle: deque[Line] = deque()
        self._connected = False

    def run(self, request: Request) -> Any:
        """Send a request, and return the reply."""
        patience = request.patience if self._connected else START_UP
        if not self._turns.enter(patience):
            raise Overloaded(f"store {self._shown}: no connection was free in time; raise max_connections")
        try:
            return self._run(request, monotonic() + patience)
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
            if isinstance(reply, NoScriptError):
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
        connection.socket_timeout = connection.socket_connect_timeout = max(0.001, until - monotonic())
        try:
            connection.connect()
            line = Line(connection)
            if not self._connected:
                check_version(line.ask(packed(b"HELLO"), until), self._shown)
        except ERRORS as error:
            connection.disconnect()
            raise unreachable(error, self._shown) from error
        except BaseException:
            connection.disconnect()
            raise
        self._connected = True
        return line


class ClusterLink:
    """A cluster, for threads: redis-py finds the node of each key."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._turns = Turns(target.max_connections)
        self._clients: dict[float, Any] = {}
        """By deadline, of which a policy has few: redis-py knows one timeout for all calls of a client."""
        self._lock = threading.Lock()

    def run(self, request: Request) -> Any:
        """Same as `Link.run`."""
        patience = request.patience
        if not self._turns.enter(patience):
            raise Overloaded(f"store {self._target.shown}: no connection was free in time; raise max_connections")
        try:
            reply = self._answer(self._clients.get(patience) or self._connected(patience), request)
        except ERRORS as error:
            raise (unreachable if is_refused(error) else failure)(error, self._target.shown) from error
        finally:
            self._turns.leave()
        self._turns.answered = monotonic()
        return reply

    def close(self) -> None:
        """Let go of every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _connected(self, patience: float) -> Any:
        if not self._lock.acquire(timeout=START_UP):
            raise Overloaded(f"store {self._target.shown}: others have been connecting for too long")
        try:
            if patience not in self._clients:
                self._clients[patience] = self._connect(patience)
            return self._clients[patience]
        finally:
            self._lock.release()

    def _connect(self, patience: float) -> Any:
        client: Any = None
        try:
            client = cluster_of(self._target)
            hello = client.execute_command("HELLO", target_nodes=client.get_default_node())
            check_version(hello, self._target.shown)
            hurry(client, patience)
        except BaseException as error:
            if client:
                client.close()
            if isinstance(error, ERRORS):
                raise unreachable(error, self._target.shown) from error
            raise
        return client

    @staticmethod
    def _answer(client: Any, request: Request) -> Any:
        call = request.call
        try:
            return client.execute_command(*evalsha(call), **{NEVER_DECODE: True})
        except NoScriptError:
            node = client.get_node_from_key(call.keys[0])
            client.execute_command("SCRIPT LOAD", call.script.text, target_nodes=node)
            return evaluated(client, call)
