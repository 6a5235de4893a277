"""
Topology of a cluster: the node of each hash slot, as far as it is known; no I/O.

All connections of one store share it. redis-py computes the slot of a key and parses the reply to CLUSTER SLOTS.
A redirection changes one slot at once. The whole map is read again after a redirection or a failure, by one call,
and at most once in `REFRESH_INTERVAL`: until then, calls to slots that have moved are redirected, one by one.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf
from random import sample
from typing import TYPE_CHECKING, Any

from redis.cluster import parse_cluster_slots
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from entitlements.stores.errors import Rejected
from entitlements.stores.redis.keys import account_key

if TYPE_CHECKING:
    from redis.exceptions import AskError

    from entitlements.stores.redis.url import Host, Target

REFRESH_INTERVAL = 1.0
"""Least seconds between two readings of the map, which costs a node more the larger the cluster is."""
MAX_REDIRECTS = 16
"""MOVED of one call after which the nodes do not agree who serves its slot."""
AT_ONCE = 3
"""MOVED of one call that are followed without a pause; after further ones the nodes get time to agree."""
MAX_CANDIDATES = 3
"""Most nodes that share the time of one reading of the map with those of the URL."""
LEAST_PAUSE, LONGEST_PAUSE = 0.002, 0.1
"""Seconds between two attempts of a call that no node takes yet."""

slot_of = lru_cache(maxsize=65_536)(key_slot)
"""Return the hash slot of a key."""


@lru_cache(maxsize=65_536)
def _slot_of_account(namespace: str, account: str) -> int:
    return key_slot(account_key(namespace, account))


def retry_pause(redirects: int, waited: float) -> float:
    """
    Return the seconds until a call that a node has refused is sent again; each pause doubles the time waited.

    Args:
        redirects: How often it was moved; 0 if it was told to wait.
        waited: Seconds since it was made.
    """
    return 0.0 if 0 < redirects <= AT_ONCE else min(max(LEAST_PAUSE, waited), LONGEST_PAUSE)


def redirected_node(error: AskError, asked: Host) -> Host:
    """Return the node that a redirection names; one that knows its port only is on the host that was asked."""
    return error.host or asked[0], error.port


class Topology:
    """
    The map of one cluster.

    Args:
        target: The cluster; its hosts are asked first.
    """

    def __init__(self, target: Target) -> None:
        self._namespace, self._seeds, self._shown = target.namespace, target.hosts, target.shown
        self.by_slot: list[Host | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        """The node of each slot; None where no node is known to serve it."""
        self.nodes: tuple[Host, ...] = ()
        """The nodes that serve slots; empty until the map has been read."""
        self.is_stale = True
        """True if the map should be read again."""
        self._doubted: Host | None = None
        self._refresh_at = -inf

    def server_of(self, account: str) -> Host | None:
        """Return the node of an account; None if no node is known to serve it."""
        return self.by_slot[_slot_of_account(self._namespace, account)]

    def candidates(self) -> list[Host]:
        """Return nodes that may know the map: a few at random, so that no node is asked by all, then those of the URL."""
        known = [node for node in self.nodes if node != self._doubted]
        few = sample(known, min(len(known), MAX_CANDIDATES))
        return sorted(dict.fromkeys((*few, *self._seeds)), key=lambda node: node == self._doubted)

    def learn(self, reply: Any, asked: Host) -> None:
        """
        Replace the map by a node's reply to CLUSTER SLOTS.

        Raises:
            Rejected: If it names no node, or cannot be read.
        """
        nodes: list[Host | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        try:
            for (first, last), servers in parse_cluster_slots(reply, current_host=asked[0]).items():
                host, port = servers["primary"]
                nodes[first : last + 1] = [(str(host), int(port))] * (last - first + 1)
            known = sorted({node for node in nodes if node is not None})
            self.nodes = (known[0], *known[1:])
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise Rejected(
                f"store {self._shown}: node {asked[0]}:{asked[1]} names no node that serves a slot;"
                f" create the cluster with redis-cli --cluster create (CLUSTER SLOTS: {reply!r:.100})"
            ) from error
        self.by_slot, self.is_stale = nodes, False

    def move(self, error: AskError, asked: Host) -> Host:
        """Note the node that a MOVED names for its slot, and return it."""
        node = self.by_slot[error.slot_id] = redirected_node(error, asked)
        self.is_stale = True
        return node

    def doubt(self, node: Host) -> None:
        """Note that a node has failed: another may serve its slots by now."""
        self._doubted, self.is_stale = node, True

    def take_refresh(self, now: float) -> bool:
        """Return True, to one caller in `REFRESH_INTERVAL`, if the map should be read again."""
        if not self.is_stale or now < self._refresh_at:
            return False
        self._refresh_at = now + REFRESH_INTERVAL
        return True
