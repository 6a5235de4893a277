"""Facts about a store and its servers, and the findings of the checks. Values only; nothing here queries a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class FindingSeverity(StrEnum):
    """The severity of a finding, from nothing to do to a store that cannot work."""

    FINE = "fine"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


Judgement = tuple[FindingSeverity, str, str]
"""The result of a check: the severity, the fact in words, and the cure (empty if there is nothing to do)."""


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """
    The result of one check.

    Args:
        check: The name of the check.
        severity: Of the finding.
        found: The fact in words.
        cure: The change to make; empty if there is nothing to do.
        servers: Addresses of the servers that it applies to; empty for all of them.
    """

    check: str
    severity: FindingSeverity
    found: str
    cure: str = ""
    servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """
    The offset of a server's clock from this machine's.

    Args:
        ahead: Microseconds; negative if the server's clock is behind.
        within: The uncertainty in microseconds: half the round trip that read it.
    """

    ahead: int
    within: int


@dataclass(frozen=True, slots=True)
class UserRights:
    """
    The rights of the user in the store's URL.

    Args:
        user: Name of the user.
        missing: Commands that the store needs and the user may not run.
        keys: True if the user may access the keys of the namespace.
        channel: True if the user may use the channel of the namespace.
        other_keys: True if the user may read keys outside of it; None if that is unknown.
        commands: The command rules that the server lists, `+hget` or `+@all`; None if the user may not read them.
        patterns: The key patterns that the server lists.
    """

    user: str
    missing: tuple[str, ...] = ()
    keys: bool = True
    channel: bool = True
    other_keys: bool | None = None
    commands: tuple[str, ...] | None = None
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """
    One server that holds meters: the only one, the primary, or a primary of a cluster.

    Args:
        address: `host:port`, or the path of a socket.
        hello: Its reply to HELLO: `server`, `version`, `mode`, `role`.
        rights: The user's rights on it.
        info: Its INFO by redis-py's names; None if it cannot be read.
        config: Its settings by name, without those that cannot be read.
        offset: The offset of its clock; None if it cannot be read.
        round_trips: Of PING in microseconds; empty if the user may not send it.
        cluster: Its CLUSTER INFO; None without a cluster, or if it cannot be read.
    """

    address: str
    hello: Mapping[str, str]
    rights: UserRights = UserRights("default")
    info: Mapping[str, Any] | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    offset: ClockOffset | None = None
    round_trips: tuple[int, ...] = ()
    cluster: Mapping[str, str] | None = None

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor = (*self.hello.get("version", "").split(".")[:2], "0", "0")[:2]
        return int(major or 0), int(minor)


@dataclass(frozen=True, slots=True)
class SentinelFacts:
    """
    The reply of one sentinel.

    Args:
        address: `host:port`.
        primaries: Its data about each primary that it watches; None if it does not answer.
    """

    address: str
    primaries: Mapping[str, Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """
    Everything that the doctor has read of a store.

    Args:
        store: The URL, without user, password and options.
        namespace: The prefix of all keys.
        scheme: `redis`, `rediss` or `unix`.
        topology: `single`, `sentinel` or `cluster`.
        servers: The servers that hold meters.
        is_local: True if all servers run on this machine.
        verifies: True if TLS verifies the server's certificate and name.
        database: Number of the database.
        service: The sentinels' name of the primary.
        sentinels: The replies of the sentinels.
        charge_error: Error of a test charge; None if it succeeded.
        round_trips: Of a charge of one rate, in microseconds.
    """

    store: str
    namespace: str
    scheme: str
    topology: str
    servers: tuple[ServerFacts, ...]
    is_local: bool = True
    verifies: bool = True
    database: int = 0
    service: str | None = None
    sentinels: tuple[SentinelFacts, ...] = ()
    charge_error: str | None = None
    round_trips: tuple[int, ...] = ()
