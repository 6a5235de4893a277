"""Findings about a store: all checks, pure, ordered by severity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from entitlements.cli.doctor.facts import FindingSeverity, Judgement, StoreFacts, StoreFinding
from entitlements.cli.doctor.round_trips import judge
from entitlements.cli.doctor.server_checks import SERVER_CHECKS
from entitlements.presentation.formatting import format_count
from entitlements.stores.redis.acl import SENTINEL_COMMANDS

FINE, _, WARNING, PROBLEM = FindingSeverity

SLOW_SENTINEL = 5_000
"""Milliseconds of silence before sentinels call a primary down; an outage lasts at least as long."""


def findings_of(facts: StoreFacts) -> tuple[StoreFinding, ...]:
    """Return the findings, the worst first, otherwise in the order of the checks; equal ones of several servers are one."""
    found = [
        StoreFinding(check, *judgement, (server.address,))
        for server in facts.servers
        for check, judgements in SERVER_CHECKS.items()
        for judgement in judgements(facts, server)
    ]
    found += [
        StoreFinding(check, *judgement) for check, judgements in STORE_CHECKS.items() for judgement in judgements(facts)
    ]
    order = list(FindingSeverity)[::-1]
    return tuple(sorted(_merge(found, len(facts.servers)), key=lambda each: order.index(each.severity)))


def _merge(found: list[StoreFinding], servers: int) -> list[StoreFinding]:
    """Merge findings that differ only in their server; one that applies to all servers names none."""
    addresses: dict[StoreFinding, tuple[str, ...]] = {}
    for each in found:
        key = replace(each, servers=())
        addresses[key] = addresses.get(key, ()) + each.servers
    return [replace(each, servers=of if len(of) < servers else ()) for each, of in addresses.items()]


def _sentinels(facts: StoreFacts) -> Iterator[Judgement]:
    if facts.topology != "sentinel":
        return
    silent = [each.address for each in facts.sentinels if each.primaries is None]
    if silent:
        rights = " ".join(f"+{each}" for each in SENTINEL_COMMANDS)
        cure = f"bring them back, or correct the URL; their user needs {rights}"
        yield WARNING, f"no answer from {', '.join(silent)}", cure
    replies = (each.primaries or {} for each in facts.sentinels)
    known = [primaries[facts.service] for primaries in replies if facts.service and facts.service in primaries]
    if not known:
        return
    primaries = sorted({f"{each.get('ip')}:{each.get('port')}" for each in known})
    if len(primaries) > 1:
        found = f"they name several primaries: {', '.join(primaries)}"
        yield PROBLEM, found, "wait for the failover to end, then ask again"
    count = 1 + max(int(each.get("num-other-sentinels", 0)) for each in known)
    silence = max(int(each.get("down-after-milliseconds", 0)) for each in known)
    sentinels = format_count(count, "sentinel")
    if count < 3:
        yield WARNING, f"{sentinels}: one that fails takes failover with it", "run three, on three machines"
    if silence > SLOW_SENTINEL:
        found = f"down-after-milliseconds {silence:,}: a failover begins that much after the primary has gone"
        cure = f"SENTINEL SET {facts.service} down-after-milliseconds 1000 on each of them, up to 3000 on a bad network"
        yield WARNING, found, cure
    elif count >= 3:
        yield FINE, f"{sentinels}, quorum {int(known[0].get('quorum', 0))}, down after {silence:,} ms", ""


def _charge(facts: StoreFacts) -> Iterator[Judgement]:
    if facts.charge_error is not None:
        found, _, cure = facts.charge_error.partition("; ")
        yield PROBLEM, found, cure or "see the other findings"
    elif facts.round_trips:
        yield judge(facts.round_trips)


def _tls(facts: StoreFacts) -> Iterator[Judgement]:
    if facts.scheme == "rediss" and not facts.verifies:
        cure = "leave ssl_cert_reqs=none and ssl_check_hostname out, and name the authority with ssl_ca_certs=PATH"
        yield WARNING, "TLS, but whose certificate it is goes unchecked", cure
    elif facts.scheme == "rediss":
        yield FINE, "TLS, the certificate checked", ""
    elif facts.is_local:
        yield FINE, "no TLS, and none needed: the way does not leave this machine", ""
    else:
        cure = "write rediss:// once the server has TLS (tls-port); a private network of your own may do without"
        yield WARNING, "no TLS: password, account ids and counts travel readably", cure


STORE_CHECKS: dict[str, Callable[[StoreFacts], Iterator[Judgement]]] = {
    "sentinels": _sentinels,
    "charge": _charge,
    "tls": _tls,
}
"""The checks of the whole store by name, in the order of the output."""
