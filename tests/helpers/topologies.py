"""Groups of servers: a cluster, and a master with a replica and sentinels."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from functools import partial
from statistics import multimode

import redis
from redis.cluster import RedisCluster

SLOTS = 16384
SERVICE = "main"
"""Name of the master in the sentinels."""


def wait_until(true, what, *, within=60.0):
    """Wait until *true*() is; errors of servers that do not reply yet count as false."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        with suppress(redis.RedisError):
            if true():
                return
        time.sleep(0.01)
    raise TimeoutError(f"waited {within} s in vain: {what}")


# --- Cluster ------------------------------------------------------------------------------------------------------


class Cluster:
    """Three masters, with a third of the slots each; *options* are those of `Rack.start`."""

    def __init__(self, rack, kind, *lines, **options):
        lines = ("cluster-enabled yes", "cluster-node-timeout 5000", *lines)
        self.nodes = [rack.start(kind, *lines, **options) for _ in range(3)]
        self._form()

    @property
    def url(self):
        scheme, _, rest = self.nodes[0].url.partition("://")
        query = rest.partition("?")[2]
        hosts = ",".join(f"{node.host}:{node.port}" for node in self.nodes)
        return f"{scheme}+cluster://{hosts}" + (query and f"?{query}")

    def client(self, **options):
        """Return a cluster client of redis-py."""
        return RedisCluster(host=self.nodes[0].host, port=self.nodes[0].port, **options)

    def owner(self, slot):
        """Return the node that serves this *slot*."""
        ranges = self._ask(self.nodes[0], "SLOTS")
        port = next(master[1] for first, last, master, *_ in ranges if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def migrate(self, slot, to=None):
        """Move a *slot* with its keys to another node, while clients use it."""
        with self.migrating(slot, to):
            pass

    @contextmanager
    def migrating(self, slot, to=None):
        """Keep a *slot* migrating to another node: new keys are made there, and the others are still here.

        Yields a function that moves the keys; they are moved at the end in any case.
        """
        source = self.owner(slot)
        target = to or next(node for node in self.nodes if node is not source)
        self._ask(target, "SETSLOT", slot, "IMPORTING", self._id(source))
        self._ask(source, "SETSLOT", slot, "MIGRATING", self._id(target))
        move = partial(self._move, slot, source, target)
        yield move
        move()
        for node in (target, source, *self.nodes):
            self._ask(node, "SETSLOT", slot, "NODE", self._id(target))

    def _move(self, slot, source, target):
        with source.client() as client:
            while keys := client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                client.execute_command("MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", *keys)

    def reset(self):
        """Reset the cluster: complete, running and empty; slots may have moved."""
        for node in self.nodes:
            node.reset()
        if not all(self._whole(node) for node in self.nodes):
            for node in self.nodes:
                node.kill()
                (node.folder / "nodes.conf").unlink()
                node.start()
            self._form()

    def _form(self):
        for place, node in enumerate(self.nodes):
            self._ask(node, "SET-CONFIG-EPOCH", place + 1)
            self._ask(node, "ADDSLOTS", *range(SLOTS * place // 3, SLOTS * (place + 1) // 3))
        wait_until(self._met, "three nodes that make one cluster", within=300.0)

    def _met(self):
        """Introduce the nodes to each other; return whether they make one cluster. A slow handshake is dropped."""
        for node in self.nodes[1:]:
            self._ask(node, "MEET", self.nodes[0].host, self.nodes[0].port)
        with suppress(TimeoutError):
            wait_until(lambda: all(map(self._whole, self.nodes)), "a handshake", within=20.0)
        return all(map(self._whole, self.nodes))

    def _whole(self, node):
        """Return whether this *node* sees all others and a server for every slot, none of them migrating."""
        info, nodes = self._ask(node, "INFO"), self._ask(node, "NODES")
        signs = ("cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3")
        return all(sign in info for sign in signs) and "[" not in nodes

    def _id(self, node):
        return self._ask(node, "MYID")

    @staticmethod
    def _ask(node, *words):
        with node.client(decode_responses=True) as client:
            return client.execute_command("CLUSTER", *words)


# --- Sentinel -----------------------------------------------------------------------------------------------------


class Sentinels:
    """A master, its replica, and three sentinels that count a master as dead after one second without a reply."""

    service = SERVICE

    def __init__(self, rack, kind):
        first = rack.start(kind)
        second = rack.start(kind, f"replicaof {first.host} {first.port}")
        self.servers = [first, second]
        lines = (
            f"sentinel monitor {SERVICE} {first.host} {first.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} 1000",
            f"sentinel failover-timeout {SERVICE} 2000",
        )
        self.sentinels = [rack.start(kind, *lines, mode=("--sentinel",)) for _ in range(3)]
        self._form()

    @property
    def processes(self):
        return [*self.servers, *self.sentinels]

    @property
    def url(self):
        return f"redis+sentinel://{','.join(f'{each.host}:{each.port}' for each in self.sentinels)}/{SERVICE}"

    def client(self, **options):
        """Return a redis-py client that finds the master by the sentinels."""
        places = [(each.host, each.port) for each in self.sentinels]
        return redis.Sentinel(places, socket_timeout=1).master_for(SERVICE, **options)

    @property
    def master(self):
        """The master by most sentinels: ``sentinel.master.kill()`` starts a failover."""
        said = multimode(self._says(each) for each in self.sentinels if each.alive)
        return next(each for each in self.servers if each.port in said)

    @property
    def replica(self):
        """The server that is not the master."""
        master = self.master
        return next(each for each in self.servers if each is not master)

    def failed_over(self, old):
        """Wait until the server that is not *old* is master, to every sentinel and to itself, and return it."""
        new = next(each for each in self.servers if each is not old)
        wait_until(partial(self._reigns, new), "a new master")
        return new

    def _reigns(self, server):
        with server.client(decode_responses=True) as client:
            role = client.execute_command("ROLE")[0]
        return role == "master" and {self._says(each) for each in self.sentinels if each.alive} == {server.port}

    def _says(self, sentinel):
        """Return the port of the master by this *sentinel*."""
        return int(self._ask(sentinel, "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def _form(self):
        """Let the sentinels run ten times a second until all know all, then at their normal rate."""
        self._set("tilt-trigger", 20_000)  # a sentinel without CPU time for two seconds would do nothing for thirty
        self._set("publish-period", 100)
        self._set("info-period", 100)
        for sentinel in self.sentinels:
            wait_until(partial(self._knows, sentinel), "sentinels that know each other and the replica")
        self._set("publish-period", 2000)
        self._set("info-period", 10_000)

    def _set(self, setting, milliseconds):
        for sentinel in self.sentinels:
            self._ask(sentinel, "DEBUG", setting, milliseconds)

    def _knows(self, sentinel):
        """Return whether this *sentinel* is in touch with the other two and with a replica that is up to date."""
        replicas = self._ask(sentinel, "REPLICAS", SERVICE)
        if replicas and isinstance(replicas[0], list):  # redis-py before 8 gives pairs
            replicas = [dict(zip(each[::2], each[1::2], strict=True)) for each in replicas]
        links = [each["master-link-status"] for each in replicas]
        return links == ["ok"] and self._ask(sentinel, "CKQUORUM", SERVICE).startswith("OK 3 ")

    @staticmethod
    def _ask(sentinel, *words):
        with sentinel.client(decode_responses=True) as client:
            return client.execute_command("SENTINEL", *words)
