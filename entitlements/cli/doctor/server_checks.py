"""
The checks of one server: pure functions from facts to judgements.

docs/operating-redis.md has the figures behind the cures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from entitlements.cli.doctor.facts import FindingSeverity, Judgement, ServerFacts, StoreFacts, UserRights
from entitlements.cli.doctor.round_trips import format_micros, judge
from entitlements.presentation.formatting import format_count
from entitlements.stores.redis import acl

FINE, UNKNOWN, WARNING, PROBLEM = FindingSeverity

MAX_CLOCK_OFFSET = 1_000_000
"""Microseconds; a clock that is further off is not synchronised by NTP."""
SLOTS = 16_384

_READ_ELSEWHERE = "look in the provider's console, or ask again as a user with +info and +config|get"
_PERSIST = "here and in the server's configuration file"


def _version(_: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    name = f"{server.hello.get('server', 'server')} {server.hello.get('version', 'of no version')}"
    if server.version < acl.OLDEST:
        yield PROBLEM, f"{name} is too old", "run Redis 6.2, Valkey 7.2 or a later one"
    else:
        yield FINE, name, ""


def _topology(facts: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    """Judge if the URL fits the kind of the server."""
    mode, role = server.hello.get("mode", "standalone"), server.hello.get("role", "master")
    if mode == "cluster" and facts.topology != "cluster":
        yield PROBLEM, "one node of a cluster", "write redis+cluster://host:port,host:port"
    elif mode == "sentinel":
        yield PROBLEM, "a sentinel, which holds no keys", "write redis+sentinel://host:26379/mymaster"
    elif role not in ("master", "primary"):
        cure = "name the primary, or let redis+sentinel:// or redis+cluster:// find it"
        yield PROBLEM, "a replica, which takes no writes", cure
    else:
        names = {"single": "a single server", "sentinel": "the primary of its sentinels"}
        yield FINE, names.get(facts.topology, "a primary of a cluster"), ""


def _cluster(facts: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    if facts.topology != "cluster":
        return
    if server.cluster is None:
        yield UNKNOWN, "the state of the cluster cannot be read", "allow the user +cluster|info"
        return
    state, served = server.cluster.get("cluster_state", "?"), int(server.cluster.get("cluster_slots_ok", 0))
    if state != "ok" or served < SLOTS:
        found = f"the cluster is in state {state}: {served:,} of {SLOTS:,} slots are served"
        yield PROBLEM, found, "bring its nodes back, or run redis-cli --cluster fix"
    else:
        primaries = format_count(len(facts.servers), "primary").replace("primarys", "primaries")
        yield FINE, f"every slot is served, by {primaries}", ""


def _persistence(_: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    aof = _setting(server, "aof_enabled", "appendonly")
    saves, fsync = server.config.get("save"), server.config.get("appendfsync")
    info = server.info or {}
    cure = f"CONFIG SET appendonly yes and appendfsync everysec, {_PERSIST}; managed: turn persistence (AOF) on"
    if aof is None:
        yield UNKNOWN, "whether counts survive a restart cannot be read", _READ_ELSEWHERE
    elif aof in (1, "1", "yes") and fsync == "no":
        yield WARNING, "AOF, written when the system likes", f"CONFIG SET appendfsync everysec {_PERSIST}"
    elif aof in (1, "1", "yes"):
        yield FINE, f"AOF{f', appendfsync {fsync}' if fsync else ''}", ""
    elif saves:
        found = f"snapshots only (save {saves}): after a restart, what was used since the last one is free again"
        yield WARNING, found, cure
    elif saves is None:
        yield WARNING, "no AOF: after a restart, what was used since the last snapshot is free again", cure
    else:
        yield WARNING, "neither AOF nor snapshots: a restart forgets every count", cure
    if "err" in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")):
        found = "the last write to disk failed; the server may refuse writes (MISCONF)"
        yield PROBLEM, found, "make room on its disk, and look into its log"


def _eviction(_: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    policy, limit = _memory_policy(server), _setting(server, "maxmemory", "maxmemory")
    evicted = int((server.info or {}).get("evicted_keys", 0))
    if policy is None:
        yield UNKNOWN, "what happens when memory is full cannot be read", _READ_ELSEWHERE
    elif policy != "noeviction":
        so_far = f"; {evicted:,} {'key' if evicted == 1 else 'keys'} evicted since it started" if evicted else ""
        rest = "" if limit is None or int(limit) else " (once maxmemory is set: none is yet)"
        found = f"maxmemory-policy {policy}: full memory drops counters, and what was used is free again{rest}{so_far}"
        yield WARNING, found, f"CONFIG SET maxmemory-policy noeviction {_PERSIST}; keep caches on another server"
    else:
        yield FINE, "maxmemory-policy noeviction: full memory refuses charges, and keeps counters", ""


def _memory(_: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    limit, used = _setting(server, "maxmemory", "maxmemory"), (server.info or {}).get("used_memory")
    if limit is None:
        yield UNKNOWN, "neither maxmemory nor what is used can be read", _READ_ELSEWHERE
    elif not int(limit):
        cure = f"CONFIG SET maxmemory to what the machine can spare {_PERSIST}"
        yield WARNING, "no maxmemory: it grows until the system ends it", cure
    elif used is None:
        yield UNKNOWN, f"maxmemory {_format_size(int(limit))}; what is used cannot be read", _READ_ELSEWHERE
    else:
        limit, used = int(limit), int(used)
        found = f"{_format_size(used)} of {_format_size(limit)} used ({used * 100 // limit:,} %)"
        refuses = used >= limit and _memory_policy(server) == "noeviction"
        if used * 5 <= limit * 4:
            yield FINE, found, ""
        else:
            yield PROBLEM if refuses else WARNING, found, "raise maxmemory, or forget() closed accounts"


def _replicas(_: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    info, connected = server.info, _connected_replicas(server)
    if info is None or connected is None:
        yield UNKNOWN, "whether there are replicas cannot be read", _READ_ELSEWHERE
        return
    required = int(server.config.get("min-replicas-to-write", 1 if "min_slaves_good_slaves" in info else 0))
    good = int(info.get("min_slaves_good_slaves", connected))
    replicas = format_count(connected, "replica")
    if good < required:
        found = f"{format_count(good, 'good replica')}, and writes need {required} (min-replicas-to-write)"
        yield PROBLEM, f"{found}: charges are refused", "bring the replicas back, or lower min-replicas-to-write"
    elif not connected:
        cure = "add a replica, with Sentinel, a cluster or a managed service to promote it"
        yield WARNING, "no replica: while this server is gone so are the limits", cure
    elif not required:
        found = f"{replicas}, and min-replicas-to-write 0: a primary cut off from them"
        found += " goes on admitting what a failover then forgets"
        yield WARNING, found, f"CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 1 {_PERSIST}"
    else:
        yield FINE, f"{replicas}, min-replicas-to-write {required}", ""


def _failover(facts: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    connected = _connected_replicas(server)
    if facts.topology == "single" and connected:
        found = f"{format_count(connected, 'replica')}, but the URL names one server: a failover will not be followed"
        cure = "write redis+sentinel:// or redis+cluster://; fine where a provider moves the name to the new primary"
        yield WARNING, found, cure


def _acl(facts: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    rights, keys = server.rights, acl.key_pattern(facts.namespace)
    commands = acl.required_commands(cluster=facts.topology == "cluster", database=bool(facts.database))
    spare = _spare_rights(rights, server.version, commands, keys)
    user = f"user {rights.user}"
    if rights.missing or not rights.keys or not rights.channel:
        channel = acl.channel_pattern(facts.namespace)
        lacks = [f"may not run {', '.join(rights.missing)}"] * bool(rights.missing)
        lacks += [f"may not touch the keys {keys}"] * (not rights.keys)
        lacks += [f"may not use the channel {channel[1:]}"] * (not rights.channel)
        grants = [f"~{keys}"] * (not rights.keys) + [channel] * (not rights.channel)
        grants += [f"+{each}" for each in rights.missing]
        charges = rights.keys and set(acl.MESSAGE_COMMANDS).issuperset(rights.missing)
        if charges:
            lacks[-1] += ": changed accounts reach `can` of other processes late"
        yield (
            WARNING if charges else PROBLEM,
            f"{user} {' and '.join(lacks)}",
            f"ACL SETUSER {rights.user} {' '.join(grants)}",
        )
    elif spare:
        rules = " ".join(acl.acl_rules(facts.namespace, server.version, commands))
        cure = f"give the store a user of its own: ACL SETUSER entitlements on >PASSWORD {rules}"
        yield WARNING, f"{user} may do more than the store needs: {', '.join(spare)}", cure
    elif rights.commands is None:
        found = f"{user} may run what the store needs, on keys {keys} only; what else it may run cannot be read"
        yield UNKNOWN, found, "allow +acl|getuser, or ask an administrator"
    else:
        yield FINE, f"{user} may do what the store needs, and no more", ""


def _spare_rights(rights: UserRights, version: tuple[int, int], commands: tuple[str, ...], keys: str) -> list[str]:
    """Return the rights beyond *commands* and *keys*, in words; the commands that the doctor runs do not count."""
    spare = []
    known = {f"+{each}" for each in acl.known_commands(version, commands + acl.DOCTOR_COMMANDS)}
    granted = rights.commands or ()
    if "+@all" in granted:
        spare.append("every command")
    else:
        # Redis 6.2 lists the categories that fit best, whatever was granted.
        categories = version >= (7, 0)
        spare += [each for each in granted if each[0] == "+" and each not in known and (categories or each[1] != "@")]
    if "*" in rights.patterns:
        spare.append("every key")
    else:
        spare += [f"keys {each}" for each in rights.patterns if not each.startswith(keys.removesuffix("*"))]
        spare += ["keys of others"] * (rights.other_keys is True and len(spare) == 0)
    return spare


def _clock(_: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    if server.offset is None:
        yield UNKNOWN, "the server's clock cannot be read", "allow the user +time"
        return
    ahead, within = server.offset.ahead, server.offset.within
    direction = "ahead of" if ahead >= 0 else "behind"
    found = f"{format_micros(abs(ahead))} {direction} this machine's, within {format_micros(within)}"
    if abs(ahead) - within > MAX_CLOCK_OFFSET:
        cure = "keep both by NTP, which slews; admissions follow the server's clock alone, trials and overrides this machine's"
        yield WARNING, found, cure
    else:
        yield FINE, "as this machine's, as far as can be told" if abs(ahead) <= within else found, ""


def _ping(_: StoreFacts, server: ServerFacts) -> Iterator[Judgement]:
    if server.round_trips:
        yield judge(server.round_trips)
    else:
        yield UNKNOWN, "PING is not allowed; the charge below was measured", "allow the user +ping"


SERVER_CHECKS: dict[str, Callable[[StoreFacts, ServerFacts], Iterator[Judgement]]] = {
    "version": _version,
    "topology": _topology,
    "cluster": _cluster,
    "persistence": _persistence,
    "eviction": _eviction,
    "memory": _memory,
    "replicas": _replicas,
    "failover": _failover,
    "acl": _acl,
    "clock": _clock,
    "ping": _ping,
}
"""The checks of each server by name, in the order of the output."""


def _setting(server: ServerFacts, in_info: str, in_config: str) -> Any:
    """Return a setting from INFO, else from CONFIG; None if neither has it."""
    return (server.info or {}).get(in_info, server.config.get(in_config))


def _memory_policy(server: ServerFacts) -> Any:
    return _setting(server, "maxmemory_policy", "maxmemory-policy")


def _connected_replicas(server: ServerFacts) -> int | None:
    connected = (server.info or {}).get("connected_slaves")
    return None if connected is None else int(connected)


def _format_size(size: int) -> str:
    if size < 100_000:
        return f"{size:,} bytes"
    return f"{size / 1_000_000:,.1f} MB" if size < 1_000_000_000 else f"{size / 1_000_000_000:,.1f} GB"
