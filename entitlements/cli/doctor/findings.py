"""What the doctor makes of what it sees: facts → findings, pure; the worst come first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.cli.doctor.facts import FindingSeverity, StoreFacts, StoreFinding
from entitlements.cli.doctor.node_findings import CHECKS
from entitlements.cli.doctor.round_trips import judged
from entitlements.cli.formatting import counted
from entitlements.stores.redis.acl import SENTINEL_COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.cli.doctor.facts import ServerFacts

SLOW_SENTINEL = 5_000
"""Milliseconds a primary may be silent before its sentinels call it down; an outage lasts at least as long."""


def findings_of(facts: StoreFacts) -> tuple[StoreFinding, ...]:
    """Return what there is to say, the worst first, of equal ones in the order of the checks; like ones of several nodes are one."""
    found = [
        *(each for node in facts.nodes for each in _of_node(facts, node)),
        *_of_store(facts),
    ]
    order = list(FindingSeverity)[::-1]
    return tuple(sorted(_joined(found, len(facts.nodes)), key=lambda each: order.index(each.severity)))


def _of_node(facts: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    for check in CHECKS:
        for finding in check(facts, node):
            yield replace(finding, places=(node.place,))


def _of_store(facts: StoreFacts) -> Iterator[StoreFinding]:
    yield from _sentinels(facts)
    yield from _charge(facts)
    yield from _way(facts)


def _joined(found: list[StoreFinding], nodes: int) -> list[StoreFinding]:
    """Return findings that differ only in their places as one; where all nodes agree, no place is named."""
    places: dict[StoreFinding, tuple[str, ...]] = {}
    for each in found:
        plain = replace(each, places=())
        places[plain] = places.get(plain, ()) + each.places
    return [replace(each, places=where if len(where) < nodes else ()) for each, where in places.items()]


def _sentinels(facts: StoreFacts) -> Iterator[StoreFinding]:
    if facts.topology != "sentinel":
        return
    mute = [each.place for each in facts.sentinels if each.primaries is None]
    if mute:
        cure = f"bring them back, or correct the URL; their user needs {' '.join(f'+{each}' for each in SENTINEL_COMMANDS)}"
        yield StoreFinding("sentinels", FindingSeverity.WARNING, f"no answer from {', '.join(mute)}", cure)
    said = (each.primaries or {} for each in facts.sentinels)
    known = [primaries[facts.service] for primaries in said if facts.service and facts.service in primaries]
    if not known:
        return
    primaries = sorted({f"{each.get('ip')}:{each.get('port')}" for each in known})
    if len(primaries) > 1:
        yield StoreFinding(
            "sentinels",
            FindingSeverity.PROBLEM,
            f"they name several primaries: {', '.join(primaries)}",
            "wait for the failover to end, then ask again",
        )
    watching, quorum = (
        1 + max(int(each.get("num-other-sentinels", 0)) for each in known),
        int(known[0].get("quorum", 0)),
    )
    silence = max(int(each.get("down-after-milliseconds", 0)) for each in known)
    if watching < 3:
        yield StoreFinding(
            "sentinels",
            FindingSeverity.WARNING,
            f"{counted(watching, 'sentinel')}: one that fails takes failover with it",
            "run three, on three machines",
        )
    if silence > SLOW_SENTINEL:
        found = f"down-after-milliseconds {silence:,}: a failover begins that much after the primary has gone"
        cure = f"SENTINEL SET {facts.service} down-after-milliseconds 1000 on each of them, up to 3000 on a bad network"
        yield StoreFinding("sentinels", FindingSeverity.WARNING, found, cure)
    if watching >= 3 and silence <= SLOW_SENTINEL:
        yield StoreFinding(
            "sentinels",
            FindingSeverity.FINE,
            f"{counted(watching, 'sentinel')}, quorum {quorum}, down after {silence:,} ms",
        )


def _charge(facts: StoreFacts) -> Iterator[StoreFinding]:
    if facts.charge is not None:
        found, _, cure = facts.charge.partition("; ")
        yield StoreFinding("charge", FindingSeverity.PROBLEM, found, cure or "see the other findings")
    elif facts.trips:
        yield StoreFinding("charge", *judged(facts.trips))


def _way(facts: StoreFacts) -> Iterator[StoreFinding]:
    """Judge whether others can read along."""
    if facts.kind == "rediss" and not facts.verifies:
        cure = "leave ssl_cert_reqs=none and ssl_check_hostname out, and name the authority with ssl_ca_certs=PATH"
        yield StoreFinding("tls", FindingSeverity.WARNING, "TLS, but whose certificate it is goes unchecked", cure)
    elif facts.kind == "rediss":
        yield StoreFinding("tls", FindingSeverity.FINE, "TLS, the certificate checked")
    elif facts.is_local:
        yield StoreFinding("tls", FindingSeverity.FINE, "no TLS, and none needed: the way does not leave this machine")
    else:
        cure = "write rediss:// once the server has TLS (tls-port); a private network of your own may do without"
        yield StoreFinding(
            "tls", FindingSeverity.WARNING, "no TLS: password, account ids and counts travel readably", cure
        )
