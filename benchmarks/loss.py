"""
Loss of acknowledged units after a server was killed under load.

    python -m benchmarks.loss [--rounds 3] [--seconds 2.5] [--kind valkey-9]

Four threads charge quotas through `Enforcer`, each charge with its operation id, as fast
as they are answered. Under this load the server gets SIGKILL (or the row's fault) and is
started again on the same folder, or its replica is promoted. *Lost* are units that callers
were granted and that the server no longer counts. If a reply was lost, the server may count
more than callers know of; this shows as 0. A killed process does not lose what the system
has buffered. A power cut would lose that too; no row measures it.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))  # where the servers are

import redis
from servers import KINDS, Rack
from topologies import wait_until

from benchmarks.rounds import environment
from entitlements import Enforcer, Policy

THREADS = 4
ACCOUNTS = [f"account-{number}" for number in range(40)]
POLICY = Policy.parse({
    "policy": {"version": "b"},
    "limits": {"leads": {"kind": "quota", "deadline": "250 ms"}},
    "tiers": {"one": {"rank": 1, "limits": {"leads": 10**12}}},
})  # fmt: skip


@dataclass
class Load:
    """Threads that charge, and the units that each account was granted."""

    url: str
    told: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, 0))
    over: bool = False

    def __enter__(self):
        self.enforcer = Enforcer(POLICY, accounts=dict.fromkeys(ACCOUNTS, "one"), store=self.url)
        self._threads = [threading.Thread(target=self._charge, args=(number,)) for number in range(THREADS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        for thread in self._threads:
            thread.join()
        self.enforcer.close()

    def _charge(self, number):
        mine, turn = ACCOUNTS[number::THREADS], 0
        while not self.over:
            account = mine[turn % len(mine)]
            turn += 1
            decision = self.enforcer.consume(account, "leads")
            if decision.allowed:
                self.told[account] += 1
            else:
                time.sleep(0.001)

    @property
    def total(self):
        """Units granted in total."""
        return sum(self.told.values())


def lost(told, url):
    """Return how many granted units the server at *url* does not count, once it has loaded its data."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        wait_until(lambda: not client.info("persistence")["loading"], "a server that has loaded its data")
    with Enforcer(POLICY, accounts=dict.fromkeys(ACCOUNTS, "one"), store=url) as enforcer:
        return sum(max(0, units - enforcer.usage(each)["leads"].used) for each, units in told.items())


# --- One server ---------------------------------------------------------------------------------------------------


def killed(*lines):
    """Return a row: a server with this configuration is killed under load and started again."""

    def run(rack, kind, seconds):
        server = rack.start(kind, *lines)
        with Load(server.url) as load:
            time.sleep(seconds)
            server.kill()
        server.start()
        gone = lost(load.told, server.url)
        rack.remove(server)
        return load.total, gone

    return run


def paused(rack, kind, seconds):
    """Stop the server under load for a second, and resume it."""
    server = rack.start(kind)
    with Load(server.url) as load:
        time.sleep(seconds / 2)
        server.stop()
        time.sleep(1)
        server.cont()
        time.sleep(seconds / 2)
    gone = lost(load.told, server.url)
    rack.remove(server)
    return load.total, gone


def flushed(rack, kind, seconds):
    """Send FLUSHALL under load."""
    server = rack.start(kind, "appendonly yes", "appendfsync always")
    with Load(server.url) as load:
        time.sleep(seconds)
    with server.client() as client:
        client.flushall()
    gone = lost(load.told, server.url)
    rack.remove(server)
    return load.total, gone


def full(policy):
    """Return a row: another program fills the memory of a server with this policy of eviction."""

    def run(rack, kind, seconds):
        server = rack.start(kind, f"maxmemory-policy {policy}")
        with Load(server.url) as load:
            time.sleep(seconds / 2)
            with server.client() as client:
                client.config_set("maxmemory", client.info("memory")["used_memory"] + 2_000_000)
                _fill(client)
            time.sleep(seconds / 2)
        with server.client() as client:
            client.config_set("maxmemory", 0)
        gone = lost(load.told, server.url)
        rack.remove(server)
        return load.total, gone

    return run


def _fill(client):
    for number in range(20_000):
        try:
            client.set(f"other:{number}", b"x" * 1000)
        except redis.ResponseError:
            return


# --- Two servers --------------------------------------------------------------------------------------------------


def promoted(*lines, early=0.0):
    """
    Return a row: the primary with this configuration is killed, and its replica promoted.

    Args:
        lines: Of the primary's configuration.
        early: For how many seconds the replica has been primary when the old one, which
            callers still reach, ends.
    """

    def run(rack, kind, seconds):
        first = rack.start(kind, *lines)
        second = rack.start(kind, f"replicaof {first.host} {first.port}")
        with second.client(decode_responses=True) as client, first.client(decode_responses=True) as old:
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", "a replica in touch")
            wait_until(lambda: _is_online(old), "a replica that is online")
            with Load(first.url) as load:
                time.sleep(seconds)
                if early:
                    client.replicaof("NO", "ONE")
                    time.sleep(early)
                first.kill()
            client.replicaof("NO", "ONE")
        gone = lost(load.told, second.url)
        rack.remove(first, second)
        return load.total, gone

    return run


def _is_online(client):
    return client.info("replication").get("slave0", {}).get("state") == "online"


SAFE = ("min-replicas-to-write 1", "min-replicas-max-lag 1")

ROWS = (
    ("no persistence", killed()),
    ("snapshots, save 1 1", killed("save 1 1")),
    ("snapshots, save 3600 1", killed("save 3600 1")),
    ("AOF, everysec", killed("appendonly yes", "appendfsync everysec")),
    ("AOF, always", killed("appendonly yes", "appendfsync always")),
    ("replica promoted", promoted()),
    ("replica promoted, min-replicas-to-write 1", promoted(*SAFE)),
    ("replica promoted 1 s before the primary ends", promoted(early=1)),
    ("replica promoted 1 s before, min-replicas-to-write 1", promoted(*SAFE, early=1)),
    ("stopped for a second and resumed", paused),
    ("FLUSHALL", flushed),
    ("memory full, allkeys-lru", full("allkeys-lru")),
    ("memory full, noeviction", full("noeviction")),
)


def main() -> None:
    """Run every row, and print the losses."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loss", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5, help="seconds of charges before the fault")
    parser.add_argument("--kind", choices=KINDS, default="valkey-9")
    options = parser.parse_args()
    logging.getLogger("entitlements").setLevel(logging.ERROR)
    print(
        f"{environment()}; {options.kind}; {options.rounds} rounds, {options.seconds:g} s of charges before the fault"
    )
    print(f"{'':<56}{'told':>8}{'lost, median (min to max)':>30}")
    rack = Rack()
    try:
        for name, run in ROWS:
            found = [run(rack, options.kind, options.seconds) for _ in range(options.rounds)]
            told = int(statistics.median(each for each, _ in found))
            gone = [each for _, each in found]
            said = f"{int(statistics.median(gone)):,} ({min(gone):,} to {max(gone):,})"
            print(f"{name:<56}{told:>8,}{said:>30}", flush=True)
    finally:
        rack.close()


if __name__ == "__main__":
    main()
