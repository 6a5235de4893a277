"""Servers of the tests: they are of the named versions, are reset between tests, and are always stopped."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot
from topologies import wait_until


def is_listening(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


# --- One server ---------------------------------------------------------------------------------------------------


def test_each_kind_is_of_the_version_that_its_name_says(server, request):
    family = request.node.callspec.params["server"].rpartition("-")[2]
    with server.client() as client:
        assert client.ping()
        assert server.pid == client.info("server")["process_id"]
        assert server.version.startswith(f"{family}.")


def test_a_client_gives_bytes_back(valkey):
    with valkey.client() as client:
        client.set("key", "value")
        assert b"value" == client.get("key")


def test_a_stopped_server_does_not_answer_and_goes_on_where_it_was(valkey):
    with valkey.client() as client, valkey.client(socket_timeout=0.2) as hasty:
        client.set("key", "value")
        valkey.stop()
        with pytest.raises(redis.TimeoutError):
            hasty.get("key")
        valkey.cont()
        assert b"value" == client.get("key")


def test_a_killed_server_refuses_and_starts_again_empty_on_its_port(valkey):
    port, pid = valkey.port, valkey.pid
    with valkey.client() as client:
        client.set("key", "value")
        valkey.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("key")
        valkey.restart()
        assert client.get("key") is None
    assert port == valkey.port
    assert pid != valkey.pid


def test_a_reset_leaves_nothing_of_what_a_test_has_done(server):
    server.user("+get", "~*")
    with server.client(decode_responses=True) as client:
        before = client.config_get("maxmemory*")
        script = client.script_load("return 1")
        client.set("key", "value")
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.replicaof("127.0.0.1", "1")
        server.reset()
        assert 0 == client.dbsize()
        assert [False] == client.script_exists(script)
        assert before == client.config_get("maxmemory*")
        assert "master" == client.execute_command("ROLE")[0]
        assert ["default"] == client.acl_users()
        assert "cmdstat_set" not in client.info("commandstats")


@pytest.mark.parametrize("harm", ["stop", "kill", "restart"])
def test_a_reset_brings_a_server_back(valkey, harm):
    getattr(valkey, harm)()
    valkey.reset()
    with valkey.client() as client:
        assert client.ping()


def is_answering(client):
    """Return whether the server answers a client; one that runs a script for too long refuses."""
    with suppress(redis.ResponseError):
        return client.ping()
    return False


def test_a_reset_ends_a_script_that_does_not(valkey):
    with valkey.client() as client, ThreadPoolExecutor(1) as pool, valkey.client() as other:
        client.config_set("lua-time-limit", 1)
        running = pool.submit(client.eval, "while true do end", 0)
        while is_answering(other):
            pass
        valkey.reset()
        with pytest.raises(redis.RedisError):
            running.result()
    with valkey.client() as client:
        assert client.ping()


def test_a_server_takes_more_configuration(rack):
    extra = rack.start("valkey-9", "requirepass secret", "maxmemory 4mb", url="redis://:secret@127.0.0.1:{port}")
    with extra.client() as client, extra.client(f"redis://127.0.0.1:{extra.port}") as stranger:
        assert {"maxmemory": "4194304"} == client.config_get("maxmemory")
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
    rack.remove(extra)
    assert not is_listening(extra.port)


def test_a_server_that_cannot_start_says_why(rack):
    with pytest.raises(RuntimeError, match="nonsense"):
        rack.start("valkey-9", "nonsense yes")


# --- Ways to it ---------------------------------------------------------------------------------------------------


def test_a_unix_socket_is_the_only_way_to_its_server(unix_server):
    with unix_server.client() as client:
        assert client.ping()
        assert {"port": "0"} == client.config_get("port")
    assert unix_server.url == f"unix://{unix_server.folder}/socket"


def test_tls_is_the_only_way_to_its_server(tls_server, certificate):
    with tls_server.client() as client:
        assert client.ping()
    with socket.create_connection(("127.0.0.1", tls_server.port), timeout=60) as plain:
        plain.sendall(b"PING\r\n")
        with suppress(ConnectionError):
            assert b"PONG" not in plain.recv(100)
    trusting = ssl.create_default_context(cafile=certificate[0])
    with (
        socket.create_connection(("127.0.0.1", tls_server.port), timeout=60) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as secret,
    ):
        secret.sendall(b"PING\r\n")
        assert b"+PONG\r\n" == secret.recv(100)
        assert secret.version() in {"TLSv1.2", "TLSv1.3"}


def test_a_client_refuses_a_certificate_of_an_authority_it_does_not_trust(tls_server):
    with (
        tls_server.client(f"rediss://127.0.0.1:{tls_server.port}") as client,
        pytest.raises(redis.ConnectionError, match="certificate"),
    ):
        client.ping()


def test_a_user_may_do_what_the_rules_allow_and_nothing_else(acl_server):
    url = acl_server.user("~ent:*", "+get", "+ping")
    with acl_server.client(url) as client:
        assert client.ping()
        assert client.get("ent:key") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("another")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("ent:key", "value")
    with (
        acl_server.client(f"redis://127.0.0.1:{acl_server.port}") as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()


# --- Several servers ----------------------------------------------------------------------------------------------


def test_a_slot_moves_with_its_keys_while_clients_go_on(cluster):
    keys, slot = [f"{{home}}:{number}" for number in range(250)], key_slot(b"home")
    with cluster.client() as client:
        for key in keys[:200]:
            client.set(key, key)
        source = cluster.owner(slot)
        with cluster.migrating(slot) as move:
            for key in keys[200:225]:
                client.set(key, key)
            move()
            for key in keys[225:]:
                client.set(key, key)
        target = cluster.owner(slot)
        assert keys == [client.get(key).decode() for key in keys]
    assert source is not target
    with source.client() as left, target.client() as right:
        assert (0, len(keys)) == (left.dbsize(), right.dbsize())


@pytest.mark.slow
def test_a_cluster_is_whole_again_after_any_harm(cluster):
    cluster.nodes[0].kill()
    cluster.nodes[1].stop()
    cluster.reset()
    with cluster.client() as client:
        assert all(client.set(f"key:{number}", number) for number in range(100))


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["stop", "kill"])
def test_sentinels_make_the_replica_the_master_once_the_master_is_silent(sentinel, harm):
    old, new = sentinel.master, sentinel.replica
    with old.client() as client:
        client.set("key", "value")
        assert 1 == client.wait(1, 5000)
    getattr(old, harm)()
    assert new is sentinel.failed_over(old)
    assert new is sentinel.master
    with sentinel.client() as client:
        assert b"value" == client.get("key")
        assert client.set("key", "another")


# --- The end ------------------------------------------------------------------------------------------------------

DOOMED = """
import os, signal
from servers import Rack

rack = Rack()
servers = [rack.start("valkey-9") for _ in range(2)]
servers[1].stop()
print(rack.folder, *(server.port for server in servers), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_server_and_no_file_outlives_tests_that_are_killed():
    done = subprocess.run(
        [sys.executable, "-c", DOOMED],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1] / "helpers")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=300,
    )
    assert -signal.SIGKILL == done.returncode
    folder, *ports = done.stdout.split()
    wait_until(lambda: not Path(folder).exists(), "no more files", within=60)
    wait_until(lambda: not any(is_listening(port) for port in ports), "no more servers", within=60)


def test_a_rack_that_is_closed_leaves_nothing(rack):
    other = type(rack)()
    server = other.start("valkey-9")
    other.close()
    assert not is_listening(server.port)
    assert not other.folder.exists()
