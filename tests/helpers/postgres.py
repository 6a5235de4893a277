"""A PostgreSQL server for the tests: Debian's, on a free port, started once and cleaned for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from servers import HOST, START_TIMEOUT, free_port

FAST = (
    "fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=60",
    "autovacuum=off", "max_wal_senders=4", "wal_level=replica", "hot_standby=on",
)  # fmt: skip


class Postgres:
    """A server process that can be frozen, killed and started again on its port, with its data."""

    def __init__(self, folder, port, group, source=None, settings=()):
        self.folder, self.port, self._group, self._settings = folder, port, group, (*FAST, *settings)
        self._user = database_user()
        self.data = folder / "data"
        if source is None:
            self._run("initdb", "-D", self.data, "-U", "app", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        else:  # a standby of another server
            address = f"host={HOST} port={source.port} user=app"
            self._run("pg_basebackup", "-D", self.data, "-d", address, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self.start()

    def url(self, driver="psycopg"):
        """Return the URL of the database for SQLAlchemy."""
        return f"postgresql+{driver}://app@{HOST}:{self.port}/postgres"

    def connect(self, **options):
        """Return a connection of psycopg that commits each statement."""
        return psycopg.connect(f"host={HOST} port={self.port} user=app dbname=postgres", autocommit=True, **options)

    def start(self):
        """Start the server, and return once it replies."""
        settings = [f"-c{each}" for each in (*self._settings, f"unix_socket_directories={self.folder}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary("postgres"), "-D", self.data, "-h", HOST, "-p", str(self.port), *settings],
                process_group=self._group, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **self._user,
            )  # fmt: skip
        until = time.monotonic() + START_TIMEOUT
        while True:
            with suppress(psycopg.OperationalError), self.connect(connect_timeout=5):
                return
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                said = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"postgres does not start; it says: {said[-2000:]}")
            time.sleep(0.02)

    def kill(self):
        """End the server at once, as a crash would; what was committed is there after `start`."""
        self.cont()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:  # a process that was frozen between two of its signals may stay
            self._signal(signal.SIGKILL)
            self.process.wait(60)

    def restart(self):
        """Kill the server, and start it again on the same port."""
        self.kill()
        self.start()

    def stop(self):
        """Freeze every process of the server: connections stay open without replies."""
        self._signal(signal.SIGSTOP)

    def cont(self):
        """Continue the frozen processes."""
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        pids = [self.process.pid, *children(self.process.pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def reset(self):
        """Reset the server: running, and empty."""
        self.cont()
        if self.process.poll() is not None:
            self.start()
        with self.connect() as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
            connection.execute("alter role app reset all")
            connection.execute("drop schema public cascade")
            connection.execute("create schema public")

    def _run(self, program, *arguments):
        done = subprocess.run(
            [binary(program), *arguments], capture_output=True, text=True, timeout=300, check=False, **self._user
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")


def children(pid):
    """Return the processes that a process has started."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except FileNotFoundError:
        return []


def database_user():
    """Return the user under whom the server runs, as arguments of Popen: PostgreSQL refuses to run as root."""
    if os.getuid():
        return {}
    with suppress(KeyError):
        found = pwd.getpwnam("postgres")
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    found = pwd.getpwnam("nobody")
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def binary(program):
    """Return the newest installed program of PostgreSQL; skip the test if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1]
    return shutil.which(program) or pytest.skip("no PostgreSQL (on Debian: apt install postgresql)")


def start(rack, **options):
    """Start a server in the rack's folder and process group."""
    binary("postgres")
    rack.folder.chmod(0o711)  # its own user must come through
    folder = Path(tempfile.mkdtemp(dir=rack.folder))
    user = database_user()
    if user:
        os.chown(folder, user["user"], user["group"])
    server = Postgres(folder, free_port(), rack.group, **options)
    rack.servers.append(server)
    return server


@pytest.fixture
def postgres(rack, monkeypatch):
    """A PostgreSQL server, empty; a call that names no timeout has two minutes, however busy the machine is."""
    from entitlements.accounts.sql import AsyncSqlAccounts, SqlAccounts  # later than the start of the trace
    from entitlements.ledger import SqlLedger

    for kind in (SqlAccounts, AsyncSqlAccounts, SqlLedger):
        monkeypatch.setitem(kind.__init__.__kwdefaults__, "timeout", 120)
    return rack.shared("postgres", lambda: start(rack))


@pytest.fixture(params=["sqlite", "psycopg"])
def database(request, tmp_path):
    """The URL of an empty database for threads: SQLite in a file, and PostgreSQL by psycopg 3."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'accounts.db'}"
    return request.getfixturevalue("postgres").url()


@pytest.fixture(params=["aiosqlite", "psycopg", "asyncpg"])
def async_database(request, tmp_path):
    """The URL of an empty database for event loops: SQLite in a file, and PostgreSQL by psycopg 3 and asyncpg."""
    if request.param == "aiosqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'accounts.db'}"
    return request.getfixturevalue("postgres").url(request.param)
