"""Errors in a store's URL, server or keys: each is raised at once with its cure, and nothing is overwritten."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
import redis
import redis.asyncio
from deadlines import LONG
from redis.crc import key_slot
from servers import set_start_up
from topologies import SLOTS, wait_until

from entitlements import StoreError
from entitlements.model.charge import Charge, Part, Read
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Rate
from entitlements.stores import open_async_store, open_store
from entitlements.stores.errors import Corrupt, Rejected, Unreachable
from entitlements.stores.redis.acl import (
    CLUSTER_COMMANDS,
    COMMANDS,
    DATABASE_COMMANDS,
    SENTINEL_COMMANDS,
    acl_rules,
    key_pattern,
    known_commands,
    required_commands,
)
from entitlements.stores.redis.keys import account_key

API = Rate("api", HOUR, deadline=LONG)
CHARGE = Charge("acme", (Part(API, 100),))


def epoch():
    return 0


def charged(url, order=CHARGE):
    """Return each store's answer to the order, or the error that it raises."""

    async def later():
        store = open_async_store(url, epoch)
        try:
            return await store.execute(order)
        finally:
            await store.aclose()

    def now():
        store = open_store(url, epoch)
        try:
            return store.execute(order)
        finally:
            store.close()

    found = []
    for ask in (now, lambda: asyncio.run(later())):
        try:
            found.append(ask())
        except StoreError as error:
            found.append(error)
    return found


def check_error(url, kind, *words, order=CHARGE):
    """Check that both stores raise an error of this *kind* in these *words*."""
    for error in charged(url, order):
        assert isinstance(error, kind), error
        assert [word for word in words if word not in str(error)] == [], error
        assert "secret" not in str(error)


# --- The client library -------------------------------------------------------------------------------------------


def stumble(*_, **__):
    """Fail as redis-py does when it closes a connection that another call is about to write to."""
    raise AttributeError("'NoneType' object has no attribute 'writelines'")


@pytest.mark.parametrize(
    ("kind", "client"),
    [
        ("valkey", redis.connection.Connection),
        ("valkey", redis.asyncio.Connection),
        ("cluster", redis.connection.Connection),
        ("cluster", redis.asyncio.Connection),
    ],
)
def test_one_raised_while_connecting_means_that_the_server_is_not_reached(kind, client, request, monkeypatch):
    server = request.getfixturevalue(kind)
    monkeypatch.setattr(client, "connect", stumble)
    sync, later = charged(server.url)
    found = later if "asyncio" in client.__module__ else sync

    assert isinstance(found, Unreachable), found
    assert isinstance(found.__cause__, AttributeError)


# --- The URL ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:6379", "no scheme; write memory:// or redis://host:6379"),
        ("redis:/:secret@host", "no scheme"),
        ("", "no scheme"),
        ("http://:secret@host", "scheme 'http'"),
        ("valkey://host:6379", "write redis://host:6379, which is right for Valkey too"),
        ("valkeys://host:6379", "write rediss://host:6379, which is right for Valkey too"),
        ("redis://localhost:abc", "what stands behind the host's colon is no port"),
        ("redis://:secret@host:abc", "Port could not be cast to integer value as 'abc'"),
        ("redis://:secret@host:99999", "Port out of range"),
        ("redis://:secret@[::1:6379", "Invalid IPv6"),
        ("redis://host?protocol=9", "write 2 or 3"),
        ("redis+cluster://", "a host is missing"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_before_anything_is_asked(url, says):
    for build in (open_store, open_async_store):
        with pytest.raises(ValueError, match=says) as error:
            build(url, epoch)
        assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["redis://nowhere.invalid", "unix:///no/such/socket", "redis://127.0.0.1:1"])
def test_a_place_where_nobody_is_cannot_be_reached(url):
    check_error(url, Unreachable, "cannot connect; check that it runs, and its address")


def test_a_database_that_there_is_not(valkey):
    check_error(f"{valkey.url}/99", Rejected, "no database of this number")


# --- Another server than the URL says -----------------------------------------------------------------------------


def test_a_single_server_is_no_cluster_and_no_sentinel(valkey):
    check_error(valkey.url.replace("redis", "redis+cluster"), Rejected, "no cluster; write redis://")
    check_error(valkey.url.replace("redis", "redis+sentinel") + "/main", Rejected, "no sentinel listens here")


def test_a_node_of_a_cluster_is_no_single_server(cluster):
    with cluster.client() as client:
        owner = client.get_node_from_key(account_key("ent", "acme").decode())
    other = next(node for node in cluster.nodes if node.port != owner.port)
    check_error(other.url, Rejected, "one node of a cluster; write redis+cluster://")


def test_a_sentinel_is_no_server_and_knows_its_primary_by_name(rack):
    alone = rack.start("valkey-9", mode=("--sentinel",))
    check_error(alone.url, Rejected, "this is a sentinel; write redis+sentinel://")
    check_error(alone.url.replace("redis", "redis+sentinel") + "/other", Unreachable, "the primary's name")
    rack.remove(alone)


def test_a_stranger_who_speaks_no_redis_is_recognized():
    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Quiet)) as port:
        check_error(f"redis://127.0.0.1:{port}", Unreachable, "does not speak Redis's protocol; correct host and port")
        check_error(f"rediss://127.0.0.1:{port}", Unreachable, "does not speak TLS")


def test_a_server_without_tls_is_told_from_one_that_is_not_there(valkey, monkeypatch):
    set_start_up(monkeypatch, 4.0)
    url = valkey.url.replace("redis", "rediss")
    order = Charge("acme", (Part(Rate("api", HOUR, deadline=4 * SECOND), 100),))  # all of it is waited for, twice
    check_error(url, Unreachable, "a server without TLS waits in silence", f"write {valkey.url}", order=order)


def test_a_server_with_tls_is_told_from_one_that_is_not_there(tls_server):
    url = f"redis://127.0.0.1:{tls_server.port}"
    check_error(url, Unreachable, "a server with TLS hangs up", f"write rediss://127.0.0.1:{tls_server.port}")
    check_error(url.replace("redis", "rediss"), Unreachable, "?ssl_ca_certs=PATH")


# --- Too old ------------------------------------------------------------------------------------------------------


@contextmanager
def serving(server):
    """Run a server of the standard library on a thread; yield its port."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Forger(BaseRequestHandler):
    """Proxy that replaces the server's version in replies by another one of the same length."""

    def handle(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as there, suppress(OSError):
            back = threading.Thread(target=self._back, args=(there,))
            back.start()
            while sent := self.request.recv(65536):
                there.sendall(sent)
            there.shutdown(socket.SHUT_RDWR)
            back.join()

    def _back(self, there):
        with suppress(OSError):
            while said := there.recv(65536):
                self.request.sendall(said.replace(b"6.2.", b"6.0."))
            self.request.shutdown(socket.SHUT_RDWR)


@contextmanager
def forged(rack, *lines):
    """Yield a server of 6.2, and the port of a proxy through which it is 6.0; *lines* may contain that port."""
    proxy = ThreadingTCPServer(("127.0.0.1", 0), Forger)
    server = rack.start("redis-6.2", *(line.replace("{proxy}", str(proxy.server_address[1])) for line in lines))
    proxy.port = server.port
    with serving(proxy) as port:
        yield server, port
    rack.remove(server)


def own_all_slots(node):
    """Make a cluster of one node."""
    with node.client(decode_responses=True) as admin:
        admin.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
        wait_until(lambda: "cluster_state:ok" in admin.execute_command("CLUSTER", "INFO"), "a cluster of one")


@pytest.mark.parametrize("options", ["", "?protocol=2"])
def test_a_server_that_is_too_old_is_refused_with_its_version(rack, options):
    with forged(rack) as (_, port):
        check_error(f"redis://127.0.0.1:{port}{options}", Rejected, "version 6.0.", "Redis 6.2, Valkey 7.2 or a later")


def test_a_cluster_that_is_too_old_is_refused_with_its_version(rack):
    lines = ("cluster-enabled yes", "cluster-announce-ip 127.0.0.1", "cluster-announce-port {proxy}")
    with forged(rack, *lines) as (server, port):
        own_all_slots(server)
        check_error(f"redis+cluster://127.0.0.1:{port}", Rejected, "version 6.0.", "Redis 6.2, Valkey 7.2 or a later")


def test_a_server_from_before_hello_is_too_old_as_well(rack):
    url = "redis://127.0.0.1:{port}?protocol=2"
    ancient = rack.start("redis-6.2", 'rename-command HELLO ""', url=url)
    check_error(ancient.url.partition("?")[0], Rejected, "does not know a command", "Redis 6.2, Valkey 7.2 or a later")
    rack.remove(ancient)


# --- A server that is asked once, and refuses ---------------------------------------------------------------------


def test_who_is_not_let_in_is_told_what_to_write(rack):
    locked = rack.start("valkey-9", "requirepass secret", url="redis://:secret@127.0.0.1:{port}")
    check_error(locked.url.replace("secret", "secret2"), Rejected, "correct them in the store's URL")
    check_error(locked.url.replace(":secret@", ""), Rejected, "wants a password; write redis://USER:PASSWORD@host")
    rack.remove(locked)


@pytest.mark.parametrize(("setting", "value"), [("maxmemory", "1"), ("min-replicas-to-write", "1")])
def test_a_refused_charge_is_sent_once_over_one_connection(server, setting, value):
    charged(server.url)  # loads the scripts
    with server.client() as admin:
        admin.config_set(setting, value)
        admin.config_resetstat()
        check_error(server.url, Rejected)
        calls, met = admin.info("commandstats"), admin.info("stats")["total_connections_received"]
        admin.config_set(setting, "0")

    assert (2, 2) == (calls["cmdstat_evalsha"]["calls"], met)


def test_a_foreign_value_is_told_once_and_left_alone_on_a_cluster_too(cluster):
    key = account_key("ent", "acme")
    with cluster.client() as admin:
        admin.set(key, "mine")
        check_error(cluster.url, Corrupt, "was left alone", "namespace of its own")
        assert b"mine" == admin.get(key)


# --- Rights -------------------------------------------------------------------------------------------------------


def test_a_right_that_is_missing_is_told_with_where_to_look(acl_server):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    few = [rule for rule in acl_rules("ent", family) if rule != "+hset"]
    check_error(acl_server.user(*few), Rejected, "`entitlements doctor` with this URL", "docs/operating-redis.md")
    check_error(acl_server.user(*acl_rules("other", family)), Rejected, "allow it ~<namespace>1:*")


def test_every_other_database_and_kind_of_server_runs_with_the_listed_rights(acl_server):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    url = acl_server.user(*acl_rules("ent", family, required_commands(database=True)))
    assert [1, 2] == [each.lines[0].used for each in charged(f"{url}/3")]


def test_a_cluster_runs_with_the_listed_rights_also_while_a_slot_moves(cluster):
    urls = [node.user(*acl_rules("ent", (9, 1), required_commands(cluster=True))) for node in cluster.nodes]
    url = urls[0].replace("redis:", "redis+cluster:")

    assert [1, 2] == [each.lines[0].used for each in charged(url)]
    with cluster.migrating(key_slot(account_key("ent", "acme"))) as move:
        assert [3, 4] == [each.lines[0].used for each in charged(url)]
        move()
        assert [5, 6] == [each.lines[0].used for each in charged(url)]


def test_a_cluster_of_6_2_runs_with_the_listed_rights(rack):
    node = rack.start("redis-6.2", "cluster-enabled yes")
    own_all_slots(node)
    url = node.user(*acl_rules("ent", (6, 2), required_commands(cluster=True))).replace("redis:", "redis+cluster:")

    assert [1, 2] == [each.lines[0].used for each in charged(url)]
    rack.remove(node)


def test_the_listed_rights_are_what_the_server_knows():
    assert (*COMMANDS, *CLUSTER_COMMANDS) == required_commands(cluster=True)
    assert (*COMMANDS, *DATABASE_COMMANDS) == required_commands(database=True)
    assert ("~tenant1:*", "&tenant1:invalidated", "+hello", "+script|load") == acl_rules(
        "tenant", (7, 0), ("hello", "client|setinfo", "script|load")
    )
    assert ("hello", "client", "sentinel") == known_commands((6, 2), SENTINEL_COMMANDS)
    assert COMMANDS == known_commands((9, 1), COMMANDS)
    assert account_key("tenant", "acme").decode().startswith(key_pattern("tenant").removesuffix("*"))


def test_reading_needs_no_more_than_charging(acl_server):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    read = Read("acme", (Part(API, 100),))
    assert [0, 0] == [each.lines[0].used for each in charged(acl_server.user(*acl_rules("ent", family)), read)]


@pytest.mark.parametrize("module", ["errors", "resilience.store"])
def test_what_is_not_of_redis_loads_no_module_of_redis_py(module):
    """The errors and the fallback store fit a store of any kind."""
    script = (
        f"import sys, entitlements.stores.{module}; print(*[name for name in sys.modules if name.startswith('redis')])"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert [] == done.stdout.split()
