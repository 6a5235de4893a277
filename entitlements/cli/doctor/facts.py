"""What the doctor sees of a store, and what it makes of it: values, and nothing that asks a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class FindingSeverity(StrEnum):
    """What a finding means: nothing to do, not to be seen from here, worth a change, or in the way."""

    FINE = "fine"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """
    One thing that was looked at.

    Args:
        check: What, in a word.
        severity: What it means.
        found: What is so.
        cure: What to do about it; empty where there is nothing to do.
        places: The servers where it is so, of several.
    """

    check: str
    severity: FindingSeverity
    found: str
    cure: str = ""
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """
    How far a server's clock is ahead of this machine's.

    Args:
        ahead: Microseconds; negative where it is behind.
        within: The uncertainty: half the round trip that read it, in microseconds.
    """

    ahead: int
    within: int


@dataclass(frozen=True, slots=True)
class UserRights:
    """
    What the user of the store's URL may do.

    Args:
        user: Its name.
        missing: Commands that the store needs and the user may not run.
        keys: Whether it may touch the keys of the namespace.
        strange_keys: Whether it may read keys outside of it; None where that cannot be told.
        commands: The rules of its commands as the server lists them, `+hget` or `+@all`; None where it may not ask.
        patterns: Of the keys it may touch.
    """

    user: str
    missing: tuple[str, ...] = ()
    keys: bool = True
    strange_keys: bool | None = None
    commands: tuple[str, ...] | None = None
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """
    One server that holds meters: the only one, the primary, or a primary of a cluster.

    Args:
        place: `host:port`, or the path of a socket.
        hello: What it says of itself: `server`, `version`, `mode`, `role`.
        rights: What the user may do there.
        info: Its INFO by redis-py's names; None where the user may not ask, or the server will not say.
        config: Its settings by name; one that cannot be read is not there.
        offset: Of its clock.
        trips: Round trips of PING in microseconds; empty where the user may not send it.
        cluster: Its CLUSTER INFO; None where there is none, or it cannot be read.
    """

    place: str
    hello: Mapping[str, str]
    rights: UserRights
    info: Mapping[str, Any] | None = None
    config: Mapping[str, str] = ()  # type: ignore[assignment]
    offset: ClockOffset | None = None
    trips: tuple[int, ...] = ()
    cluster: Mapping[str, str] | None = None

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor."""
        major, minor = (*self.hello.get("version", "").split(".")[:2], "0", "0")[:2]
        return int(major or 0), int(minor)


@dataclass(frozen=True, slots=True)
class SentinelFacts:
    """
    What one sentinel says.

    Args:
        place: `host:port`.
        primaries: What it says of each primary that it watches; None where it does not answer.
    """

    place: str
    primaries: Mapping[str, Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """
    All that was seen.

    Args:
        store: The URL, without user, password and options.
        namespace: Before every key.
        kind: `redis`, `rediss` or `unix`.
        topology: `single`, `sentinel` or `cluster`.
        nodes: The servers that hold meters.
        is_local: Whether the way there never leaves this machine.
        verifies: Whether TLS checks the server's certificate and name.
        database: Other than 0.
        service: What the sentinels call the primary.
        sentinels: What they say.
        charge: What went wrong with a charge; None where it went through.
        trips: Round trips of a charge of one rate, in microseconds.
    """

    store: str
    namespace: str
    kind: str
    topology: str
    nodes: tuple[ServerFacts, ...]
    is_local: bool = True
    verifies: bool = True
    database: int = 0
    service: str | None = None
    sentinels: tuple[SentinelFacts, ...] = ()
    charge: str | None = None
    trips: tuple[int, ...] = ()
