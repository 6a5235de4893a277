"""
What the doctor makes of one server: facts → findings, pure.

The figures behind the advice stand in docs/operating-redis.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entitlements.cli.doctor.facts import FindingSeverity, ServerFacts, StoreFacts, StoreFinding, UserRights
from entitlements.cli.doctor.round_trips import judged, time_in_words
from entitlements.cli.formatting import counted
from entitlements.stores.redis.acl import (
    DOCTOR_COMMANDS,
    OLDEST,
    acl_rules,
    key_pattern,
    known_commands,
    required_commands,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FINE, UNKNOWN, WARNING, PROBLEM = (
    FindingSeverity.FINE,
    FindingSeverity.UNKNOWN,
    FindingSeverity.WARNING,
    FindingSeverity.PROBLEM,
)

ODD_CLOCK = 1_000_000
"""A clock that is further off than this is not set, or not kept, by NTP."""
SLOTS = 16_384

_LOOK = "look in the provider's console, or ask again as a user with +info and +config|get"
_KEPT = "here and in the server's configuration file"


def _version(_: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    name = f"{node.hello.get('server', 'server')} {node.hello.get('version', 'of no version')}"
    if node.version < OLDEST:
        cure = "run Redis 6.2, Valkey 7.2 or a later one"
        yield StoreFinding("version", PROBLEM, f"{name} is too old", cure)
    else:
        yield StoreFinding("version", FINE, name)


def _kind(facts: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    """Judge whether the URL means this kind of server."""
    mode, role = node.hello.get("mode", "standalone"), node.hello.get("role", "master")
    if mode == "cluster" and facts.topology != "cluster":
        yield StoreFinding("topology", PROBLEM, "one node of a cluster", "write redis+cluster://host:port,host:port")
    elif mode == "sentinel":
        yield StoreFinding(
            "topology", PROBLEM, "a sentinel, which holds no keys", "write redis+sentinel://host:26379/mymaster"
        )
    elif role not in ("master", "primary"):
        cure = "name the primary, or let redis+sentinel:// or redis+cluster:// find it"
        yield StoreFinding("topology", PROBLEM, "a replica, which takes no writes", cure)
    else:
        yield StoreFinding("topology", FINE, {"single": "a single server", "sentinel": "the primary of its sentinels"}.get(
            facts.topology, "a primary of a cluster"))  # fmt: skip


def _cluster(facts: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    if facts.topology != "cluster":
        return
    if node.cluster is None:
        yield StoreFinding(
            "cluster", UNKNOWN, "the state of the cluster cannot be read", "allow the user +cluster|info"
        )
        return
    state, served = node.cluster.get("cluster_state", "?"), int(node.cluster.get("cluster_slots_ok", 0))
    if state != "ok" or served < SLOTS:
        found = f"the cluster is in state {state}: {served:,} of {SLOTS:,} slots are served"
        yield StoreFinding("cluster", PROBLEM, found, "bring its nodes back, or run redis-cli --cluster fix")
    else:
        yield StoreFinding(
            "cluster",
            FINE,
            f"every slot is served, by {counted(len(facts.nodes), 'primary').replace('primarys', 'primaries')}",
        )


def _persistence(_: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    aof = _seen(node, "aof_enabled", "appendonly")
    saves, fsync = node.config.get("save"), node.config.get("appendfsync")
    info = node.info or {}
    cure = f"CONFIG SET appendonly yes and appendfsync everysec, {_KEPT}; managed: turn persistence (AOF) on"
    if aof is None:
        yield StoreFinding("persistence", UNKNOWN, "whether counts survive a restart cannot be read", _LOOK)
    elif aof in (1, "1", "yes"):
        if fsync == "no":
            yield StoreFinding(
                "persistence",
                WARNING,
                "AOF, written when the system likes",
                f"CONFIG SET appendfsync everysec {_KEPT}",
            )
        else:
            yield StoreFinding("persistence", FINE, f"AOF{f', appendfsync {fsync}' if fsync else ''}")
    elif saves:
        found = f"snapshots only (save {saves}): after a restart, what was used since the last one is free again"
        yield StoreFinding("persistence", WARNING, found, cure)
    elif saves is None:
        yield StoreFinding(
            "persistence", WARNING, "no AOF: after a restart, what was used since the last snapshot is free again", cure
        )
    else:
        yield StoreFinding("persistence", WARNING, "neither AOF nor snapshots: a restart forgets every count", cure)
    if "err" in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")):
        yield StoreFinding("persistence", PROBLEM, "the last write to disk failed; the server may refuse writes (MISCONF)",
                      "make room on its disk, and look into its log")  # fmt: skip


def _eviction(_: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    policy, most = _seen(node, "maxmemory_policy", "maxmemory-policy"), _seen(node, "maxmemory", "maxmemory")
    evicted = int((node.info or {}).get("evicted_keys", 0))
    if policy is None:
        yield StoreFinding("eviction", UNKNOWN, "what happens when memory is full cannot be read", _LOOK)
    elif policy != "noeviction":
        so_far = (
            f"; {counted(evicted, 'key').replace(str(evicted), f'{evicted:,}')} evicted since it started"
            if evicted
            else ""
        )
        rest = "" if most is None or int(most) else " (once maxmemory is set: none is yet)"
        found = f"maxmemory-policy {policy}: full memory drops counters, and what was used is free again{rest}{so_far}"
        cure = f"CONFIG SET maxmemory-policy noeviction {_KEPT}; keep caches on another server"
        yield StoreFinding("eviction", WARNING, found, cure)
    else:
        yield StoreFinding(
            "eviction", FINE, "maxmemory-policy noeviction: full memory refuses charges, and keeps counters"
        )


def _memory(_: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    most, used = _seen(node, "maxmemory", "maxmemory"), (node.info or {}).get("used_memory")
    if most is None:
        yield StoreFinding("memory", UNKNOWN, "neither maxmemory nor what is used can be read", _LOOK)
    elif not int(most):
        found = "no maxmemory: it grows until the system ends it"
        cure = f"CONFIG SET maxmemory to what the machine can spare {_KEPT}"
        yield StoreFinding("memory", WARNING, found, cure)
    elif used is None:
        yield StoreFinding("memory", UNKNOWN, f"maxmemory {_size(int(most))}; what is used cannot be read", _LOOK)
    else:
        found = f"{_size(int(used))} of {_size(int(most))} used ({int(used) * 100 // int(most):,} %)"
        refuses = int(used) >= int(most) and _seen(node, "maxmemory_policy", "maxmemory-policy") == "noeviction"
        severity = FINE if int(used) * 5 <= int(most) * 4 else PROBLEM if refuses else WARNING
        yield StoreFinding(
            "memory", severity, found, "" if severity is FINE else "raise maxmemory, or forget() closed accounts"
        )


def _replicas(facts: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    info = node.info
    if info is None or "connected_slaves" not in info:
        yield StoreFinding("replicas", UNKNOWN, "whether there are replicas cannot be read", _LOOK)
        return
    there = int(info["connected_slaves"])
    wanted = int(node.config.get("min-replicas-to-write", 1 if "min_slaves_good_slaves" in info else 0))
    good = int(info.get("min_slaves_good_slaves", there))
    if good < wanted:
        found = (
            f"{counted(good, 'good replica')}, and writes need {wanted} (min-replicas-to-write): charges are refused"
        )
        yield StoreFinding("replicas", PROBLEM, found, "bring the replicas back, or lower min-replicas-to-write")
    elif not there:
        cure = "add a replica, with Sentinel, a cluster or a managed service to promote it"
        yield StoreFinding("replicas", WARNING, "no replica: while this server is gone so are the limits", cure)
    elif not wanted:
        found = f"{counted(there, 'replica')}, and min-replicas-to-write 0: a primary cut off from them"
        found += " goes on admitting what a failover then forgets"
        yield StoreFinding(
            "replicas", WARNING, found, f"CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 1 {_KEPT}"
        )
    else:
        yield StoreFinding("replicas", FINE, f"{counted(there, 'replica')}, min-replicas-to-write {wanted}")
    if facts.topology == "single" and there:
        found = f"{counted(there, 'replica')}, but the URL names one server: a failover will not be followed"
        cure = "write redis+sentinel:// or redis+cluster://; fine where a provider moves the name to the new primary"
        yield StoreFinding("failover", WARNING, found, cure)


def _acl(facts: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    rights, keys = node.rights, key_pattern(facts.namespace)
    commands = required_commands(cluster=facts.topology == "cluster", database=bool(facts.database))
    if rights.missing or not rights.keys:
        lacks = [f"may not run {', '.join(rights.missing)}"] * bool(rights.missing)
        lacks += [f"may not touch the keys {keys}"] * (not rights.keys)
        grants = [f"~{keys}"] * (not rights.keys) + [f"+{each}" for each in rights.missing]
        cure = f"ACL SETUSER {rights.user} {' '.join(grants)}"
        yield StoreFinding("acl", PROBLEM, f"user {rights.user} {' and '.join(lacks)}", cure)
        return
    spare = _spare(rights, node.version, commands, keys)
    if spare:
        whole = " ".join(acl_rules(facts.namespace, node.version, commands))
        cure = f"give the store a user of its own: ACL SETUSER entitlements on >PASSWORD {whole}"
        yield StoreFinding(
            "acl", WARNING, f"user {rights.user} may do more than the store needs: {', '.join(spare)}", cure
        )
    elif rights.commands is None:
        found = f"user {rights.user} may run what the store needs, on keys {keys} only"
        yield StoreFinding(
            "acl",
            UNKNOWN,
            f"{found}; what else it may run cannot be read",
            "allow +acl|getuser, or ask an administrator",
        )
    else:
        yield StoreFinding("acl", FINE, f"user {rights.user} may do what the store needs, and no more")


def _spare(rights: UserRights, version: tuple[int, int], commands: tuple[str, ...], keys: str) -> list[str]:
    """Return what a user may do beyond *commands* and *keys*, in words; what the doctor looks at is no harm."""
    spare = []
    known = {f"+{each}" for each in known_commands(version, commands + DOCTOR_COMMANDS)}
    given = rights.commands or ()
    if "+@all" in given:
        spare.append("every command")
    else:
        # A server of 6.2 sums commands up as the categories that fit best, whatever was granted.
        categories = version >= (7, 0)
        spare += [each for each in given if each[0] == "+" and each not in known and (categories or each[1] != "@")]
    if "*" in rights.patterns:
        spare.append("every key")
    else:
        spare += [f"keys {each}" for each in rights.patterns if not each.startswith(keys.removesuffix("*"))]
        spare += ["keys of others"] * (rights.strange_keys is True and len(spare) == 0)
    return spare


def _clock(_: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    if node.offset is None:
        yield StoreFinding("clock", UNKNOWN, "the server's clock cannot be read", "allow the user +time")
        return
    ahead, within = node.offset.ahead, node.offset.within
    how = f"{time_in_words(abs(ahead))} {'ahead of' if ahead >= 0 else 'behind'} this machine's, within {time_in_words(within)}"
    if abs(ahead) - within > ODD_CLOCK:
        cure = "keep both by NTP, which slews; admissions follow the server's clock alone, trials and overrides this machine's"
        yield StoreFinding("clock", WARNING, how, cure)
    else:
        yield StoreFinding("clock", FINE, "as this machine's, as far as can be told" if abs(ahead) <= within else how)


def _ping(_: StoreFacts, node: ServerFacts) -> Iterator[StoreFinding]:
    if node.trips:
        yield StoreFinding("ping", *judged(node.trips))
    else:
        yield StoreFinding(
            "ping", UNKNOWN, "PING is not allowed; the charge below was measured", "allow the user +ping"
        )


CHECKS: tuple[Callable[[StoreFacts, ServerFacts], Iterator[StoreFinding]], ...] = (
    _version, _kind, _cluster, _persistence, _eviction, _memory, _replicas, _acl, _clock, _ping,
)  # fmt: skip
"""Each looks at one server, and says what it makes of it."""


def _seen(node: ServerFacts, in_info: str, in_config: str) -> Any:
    """Return what INFO or else CONFIG says; None where neither does."""
    return (node.info or {}).get(in_info, node.config.get(in_config))


def _size(size: int) -> str:
    if size < 100_000:
        return f"{size:,} bytes"
    return f"{size / 1_000_000:,.1f} MB" if size < 1_000_000_000 else f"{size / 1_000_000_000:,.1f} GB"
