"""`entitlements doctor`: the finding and the cure of each check, on facts and on real servers; it leaves no key behind."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.cli import main
from entitlements.cli.doctor import round_trips
from entitlements.cli.doctor.facts import (
    ClockOffset,
    FindingSeverity,
    SentinelFacts,
    ServerFacts,
    StoreFacts,
    UserRights,
)
from entitlements.cli.doctor.findings import findings_of
from entitlements.cli.doctor.round_trips import percentile
from entitlements.model.instants import SECOND
from entitlements.stores.redis.acl import (
    DOCTOR_COMMANDS,
    MESSAGE_COMMANDS,
    acl_rules,
    known_commands,
    required_commands,
)

FINE, UNKNOWN, WARNING, PROBLEM = FindingSeverity
INFO = {
    "aof_enabled": 1,
    "maxmemory": 1_000_000,
    "maxmemory_policy": "noeviction",
    "used_memory": 500_000,
    "connected_slaves": 1,
    "min_slaves_good_slaves": 1,
    "evicted_keys": 0,
}
CONFIG = {"save": "", "appendfsync": "everysec", "min-replicas-to-write": "1"}
GRANTED = tuple(f"+{each}" for each in required_commands())
SERVER = ServerFacts(
    "10.0.0.1:6379",
    {"server": "valkey", "version": "9.1.2", "mode": "standalone", "role": "master"},
    UserRights("entitlements", other_keys=False, commands=("-@all", *GRANTED), patterns=("ent1:*",)),
    INFO,
    CONFIG,
    ClockOffset(0, 100),
    (500,) * 200,
)
WATCHED = {"ip": "10.0.0.1", "port": 6379, "num-other-sentinels": 2, "quorum": 2, "down-after-milliseconds": 1000}
SENTINELS = tuple(SentinelFacts(f"10.0.1.{at}:26379", {"main": WATCHED}) for at in range(3))
FACTS = StoreFacts("rediss://10.0.0.1", "ent", "rediss", "sentinel", (SERVER,), False, True, 0, "main", SENTINELS, None, (600,) * 200)  # fmt: skip


def findings(facts=FACTS, **server):
    """Return the findings about *facts*, with changes of the first server."""
    return findings_of(replace(facts, servers=(replace(facts.servers[0], **server),)) if server else facts)


def info(**changes):
    return {"info": INFO | changes}


def rights(**changes):
    return {"rights": replace(SERVER.rights, **changes)}


def worst(found, check):
    """Return the worst finding of a check."""
    return next(each for each in found if each.check == check)


def test_a_server_as_it_should_be_has_nothing_to_cure():
    assert {(FINE, "")} == {(each.severity, each.cure) for each in findings()}


@pytest.mark.parametrize(
    ("check", "severity", "text", "server"),
    [
        ("version", PROBLEM, "6.0.16 is too old", {"hello": {"server": "redis", "version": "6.0.16"}}),
        ("version", FINE, "redis 6.2.0", {"hello": {"server": "redis", "version": "6.2.0"}}),
        ("version", PROBLEM, "of no version", {"hello": {}}),
        ("topology", PROBLEM, "one node of a cluster", {"hello": SERVER.hello | {"mode": "cluster"}}),
        ("topology", PROBLEM, "a sentinel", {"hello": SERVER.hello | {"mode": "sentinel"}}),
        ("topology", PROBLEM, "takes no writes", {"hello": SERVER.hello | {"role": "replica"}}),
        ("persistence", UNKNOWN, "cannot be read", {"info": None, "config": {}}),
        ("persistence", FINE, "AOF, appendfsync everysec", {"info": None, "config": CONFIG | {"appendonly": "yes"}}),
        ("persistence", FINE, "AOF", {"config": {}}),
        ("persistence", WARNING, "when the system likes", {"config": CONFIG | {"appendfsync": "no"}}),
        ("persistence", WARNING, "neither AOF nor snapshots", info(aof_enabled=0)),
        ("persistence", WARNING, "snapshots only (save 3600 1)", info(aof_enabled=0) | {"config": {"save": "3600 1"}}),
        ("persistence", WARNING, "no AOF", info(aof_enabled=0) | {"config": {}}),
        ("persistence", PROBLEM, "to disk failed", info(rdb_last_bgsave_status="err")),
        ("persistence", PROBLEM, "to disk failed", info(aof_last_write_status="err")),
        ("eviction", UNKNOWN, "cannot be read", {"info": None}),
        *(
            ("eviction", WARNING, f"{policy}: full memory drops counters", info(maxmemory_policy=policy))
            for policy in ("allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-ttl", "allkeys-random", "anything")
        ),
        ("eviction", WARNING, "1,234 keys evicted", info(maxmemory_policy="allkeys-lru", evicted_keys=1234)),
        ("eviction", WARNING, "none is yet", info(maxmemory_policy="allkeys-lru", maxmemory=0)),
        ("memory", WARNING, "no maxmemory", info(maxmemory=0)),
        ("memory", FINE, "(80 %)", info(used_memory=800_000)),
        ("memory", WARNING, "(80 %)", info(used_memory=800_001)),
        ("memory", PROBLEM, "1.0 MB of 1.0 MB", info(used_memory=1_000_000)),
        ("memory", WARNING, "1.0 MB of 1.0 MB", info(used_memory=1_000_000, maxmemory_policy="allkeys-lru")),
        ("memory", UNKNOWN, "neither maxmemory nor", {"info": None}),
        ("memory", UNKNOWN, "what is used cannot be read", {"info": None, "config": {"maxmemory": "5000000000"}}),
        ("replicas", UNKNOWN, "cannot be read", {"info": None}),
        ("replicas", WARNING, "no replica", info(connected_slaves=0, min_slaves_good_slaves=0) | {"config": {"min-replicas-to-write": "0"}}),
        ("replicas", PROBLEM, "charges are refused", info(connected_slaves=0, min_slaves_good_slaves=0)),
        ("replicas", PROBLEM, "1 good replica, and writes need 2", {"config": {"min-replicas-to-write": "2"}}),
        ("replicas", WARNING, "min-replicas-to-write 0", {"config": {"min-replicas-to-write": "0"}}),
        ("replicas", WARNING, "no replica", {"info": {"connected_slaves": 0}, "config": {}}),
        ("replicas", FINE, "1 replica, min-replicas-to-write 1", {"config": {}}),
        ("acl", PROBLEM, "may not run hset, pexpire", rights(missing=("hset", "pexpire"))),
        ("acl", PROBLEM, "may not touch the keys ent1:*", rights(keys=False)),
        ("acl", WARNING, "every command, every key", rights(commands=("+@all",), patterns=("*",))),
        ("acl", WARNING, "more than the store needs: +get, +@read", rights(commands=(*GRANTED, "+get", "+@read"))),
        ("acl", WARNING, "keys ent2:*", rights(patterns=("ent1:*", "ent2:*"))),
        ("acl", WARNING, "keys of others", rights(commands=None, patterns=(), other_keys=True)),
        ("acl", UNKNOWN, "what else it may run cannot be read", rights(commands=None, patterns=())),
        ("acl", FINE, "and no more", rights(commands=(*GRANTED, *(f"+{each}" for each in DOCTOR_COMMANDS)))),
        ("acl", FINE, "and no more", rights(commands=("-@all", "+@scripting", "-eval", "+hget")) | {"hello": {"version": "6.2.14"}}),
        ("clock", UNKNOWN, "cannot be read", {"offset": None}),
        ("clock", FINE, "as this machine's", {"offset": ClockOffset(-90, 100)}),
        ("clock", FINE, "800 ms behind this machine's, within 0.10 ms", {"offset": ClockOffset(-800_000, 100)}),
        ("clock", FINE, "5.0 s ahead", {"offset": ClockOffset(5_000_000, 4_500_000)}),
        ("clock", WARNING, "3,600.0 s behind", {"offset": ClockOffset(-3_600_000_000, 4_500_000)}),
        ("ping", UNKNOWN, "not allowed", {"round_trips": ()}),
        ("ping", FINE, "p50 0.50 ms, p95 0.50 ms, p99 0.50 ms, of 200", {}),
        ("ping", WARNING, "near the deadline of rates, 50 ms", {"round_trips": (500,) * 97 + (26_000,) * 3}),
        ("ping", PROBLEM, "would miss their deadline", {"round_trips": (51_000,) * 9}),
    ],
)  # fmt: skip
def test_each_check_of_a_server_yields_its_finding(check, severity, text, server):
    found = worst(findings(**server), check)

    assert (severity, True) == (found.severity, text in found.found), found
    assert (severity is FINE) == (found.cure == "")


@pytest.mark.parametrize(
    ("check", "severity", "text", "facts"),
    [
        ("failover", WARNING, "a failover will not be followed", {"topology": "single"}),
        ("tls", WARNING, "travel readably", {"scheme": "redis"}),
        ("tls", FINE, "none needed", {"scheme": "unix", "is_local": True}),
        ("tls", WARNING, "goes unchecked", {"verifies": False}),
        ("charge", PROBLEM, "is full", {"charge_error": "is full; raise maxmemory", "round_trips": ()}),
        ("charge", PROBLEM, "would miss their deadline", {"round_trips": (60_000,)}),
        ("cluster", UNKNOWN, "cannot be read", {"topology": "cluster"}),
        ("sentinels", WARNING, "no answer from 10.0.1.9:26379", {"sentinels": (*SENTINELS, SentinelFacts("10.0.1.9:26379", None))}),
        ("sentinels", WARNING, "1 sentinel:", {"sentinels": (SentinelFacts("a:1", {"main": WATCHED | {"num-other-sentinels": 0}}),)}),
        ("sentinels", WARNING, "30,000", {"sentinels": (SentinelFacts("a:1", {"main": WATCHED | {"down-after-milliseconds": 30_000}}),)}),
        ("sentinels", PROBLEM, "several primaries", {"sentinels": (*SENTINELS, SentinelFacts("a:1", {"main": WATCHED | {"port": 1}}))}),
    ],
)  # fmt: skip
def test_each_check_of_the_store_yields_its_finding(check, severity, text, facts):
    found = worst(findings(replace(FACTS, **facts)), check)

    assert (severity, True) == (found.severity, text in found.found), found
    assert (severity is FINE) == (found.cure == "")


@pytest.mark.parametrize(
    ("state", "severity"),
    [
        ({"cluster_state": "ok", "cluster_slots_ok": "16384"}, FINE),
        ({"cluster_state": "ok", "cluster_slots_ok": "16383"}, PROBLEM),
        ({"cluster_state": "fail", "cluster_slots_ok": "16384"}, PROBLEM),
    ],
)
def test_a_cluster_that_does_not_serve_every_slot_is_a_problem(state, severity):
    facts = replace(
        FACTS, topology="cluster", servers=(replace(SERVER, hello=SERVER.hello | {"mode": "cluster"}, cluster=state),)
    )

    assert severity is worst(findings_of(facts), "cluster").severity


def test_a_finding_of_every_server_is_listed_once_and_the_worst_comes_first():
    odd = replace(SERVER, address="10.0.0.2:6379", info=INFO | {"maxmemory_policy": "allkeys-lru", "aof_enabled": 0})
    lost = replace(SERVER, address="10.0.0.3:6379", info=INFO | {"min_slaves_good_slaves": 0, "aof_enabled": 0})
    found = findings_of(replace(FACTS, servers=(SERVER, odd, lost)))

    assert [("replicas", ("10.0.0.3:6379",)), ("persistence", ("10.0.0.2:6379", "10.0.0.3:6379"))] == [
        (each.check, each.servers) for each in found[:2]
    ]
    assert [()] == [each.servers for each in found if each.check == "version"]


def test_the_cure_for_missing_rights_is_a_command():
    lacks = worst(findings(**rights(missing=("hset",), keys=False)), "acl")
    spare = worst(findings(**rights(commands=("+@all",))), "acl")

    assert "ACL SETUSER entitlements ~ent1:* +hset" == lacks.cure
    assert spare.cure.endswith(f"ACL SETUSER entitlements on >PASSWORD {' '.join(acl_rules('ent', (9, 1)))}")


@given(st.lists(st.integers(0, 10_000), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_least_trip_that_so_many_do_not_pass(trips, percent):
    found = percentile(tuple(trips), percent)

    assert found in trips
    assert sum(each <= found for each in trips) * 100 >= percent * len(trips)
    assert sum(each < found for each in trips) * 100 < percent * len(trips)


# --- On real servers ----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("ENTITLEMENTS_STORE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run_doctor(capsys, monkeypatch):
    """
    Return a function that runs the doctor and returns its exit code, the findings by check, and the JSON.

    A busy machine makes round trips that would be a finding.
    """
    monkeypatch.setattr(round_trips, "DEADLINE", 60 * SECOND)

    def run(url, *options):
        code = main(["doctor", url, "--json", "--samples", "20", *options])
        report = json.loads(capsys.readouterr().out)
        found = {
            each["check"]: (each["severity"], each["found"], each["cure"] or "")
            for each in reversed(report["findings"])
        }
        return code, found, report

    return run


def test_a_badly_configured_server_gets_a_cure_for_each_problem(rack, run_doctor, capsys, monkeypatch):
    bad = rack.start("valkey-9", "maxmemory 3mb", "maxmemory-policy allkeys-lru", "appendonly no")
    with bad.client() as admin:
        for number in range(5000):
            admin.set(f"cache:{number}", "x" * 1000)
    code, found, report = run_doctor(bad.url)

    assert (0, 1) == (code, run_doctor(bad.url, "--strict")[0])
    assert {"persistence", "eviction", "replicas", "acl", "memory"} == {
        check for check, (severity, *_) in found.items() if severity == "warning"
    }
    assert re.search(r"allkeys-lru: full memory drops counters.*; [0-9,]+ keys evicted", found["eviction"][1])
    assert "CONFIG SET maxmemory-policy noeviction" in found["eviction"][2]
    assert "every command, every key" in found["acl"][1]
    assert report["servers"][0]["version"] == bad.version
    assert report["charge_us"]["p50"] <= report["charge_us"]["p99"]

    with bad.client() as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", 1)
        admin.config_set("min-replicas-to-write", 2)
    code, found, _ = run_doctor(bad.url)
    assert 1 == code
    assert {"memory", "replicas", "charge"} == {
        check for check, (severity, *_) in found.items() if severity == "problem"
    }
    assert 1 == main(["doctor", bad.url])
    shown = capsys.readouterr().out
    assert (
        "problem  replicas     0 good replicas, and writes need 2 (min-replicas-to-write): charges are refused\n"
        in shown
    )
    assert re.search(r"\n3 problems, 2 warnings, \d fine\n$", shown)
    monkeypatch.setenv("COLUMNS", "60")
    main(["doctor", bad.url])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60
    rack.remove(bad)


def test_a_user_with_the_documented_rights_is_fine_and_unreadable_facts_are_unknown(acl_server, run_doctor):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    url = acl_server.user(*acl_rules("ent", family))
    code, found, _ = run_doctor(url)

    assert 0 == code
    unseen = {"persistence", "eviction", "memory", "replicas", "acl"}
    assert unseen == {check for check, (severity, *_) in found.items() if severity == "unknown"}
    assert {"fine", "unknown"} == {severity for severity, *_ in found.values()}

    code, found, _ = run_doctor(acl_server.user(*acl_rules("ent", family, required_commands() + DOCTOR_COMMANDS)))
    assert ("fine", "user limited may do what the store needs, and no more") == found["acl"][:2]
    assert {"persistence", "memory", "replicas"} == {
        check for check, (severity, *_) in found.items() if severity != "fine"
    }
    with acl_server.client() as admin:
        assert 0 == admin.dbsize()


def test_every_right_that_is_missing_is_named(acl_server, run_doctor):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    known = known_commands(family, required_commands())
    for missing in (known[1:], *([each] for each in known if each not in ("hello", "client"))):
        kept = [each for each in known if each not in missing]
        code, found, _ = run_doctor(
            acl_server.user("~ent1:*", "resetchannels", "&ent1:*", *(f"+{each}" for each in kept))
        )
        charges = set(missing) <= set(MESSAGE_COMMANDS)
        assert ((0, "warning") if charges else (1, "problem")) == (code, found["acl"][0])
        assert found["acl"][1].startswith(f"user limited may not run {', '.join(missing)}")
        assert charges == found["acl"][1].endswith(": changed accounts reach `can` of other processes late")
        assert f"ACL SETUSER limited {' '.join(f'+{each}' for each in missing)}" == found["acl"][2]
    _, found, _ = run_doctor(acl_server.user(*acl_rules("other", family)))
    lacks = "user limited may not touch the keys ent1:* and may not use the channel ent1:invalidated"
    assert ("problem", lacks) == found["acl"][:2]


def test_a_server_that_refuses_config_is_judged_by_its_info(acl_server, run_doctor):
    code, found, _ = run_doctor(acl_server.user("~*", "+@all", "-config"))

    assert 0 == code
    assert ("warning", "no AOF: after a restart, what was used since the last snapshot is free again") == found[
        "persistence"
    ][:2]
    assert "fine" == found["eviction"][0]
    assert "warning" == found["memory"][0]


def test_a_replica_is_a_problem_and_so_is_its_charge(valkey, run_doctor):
    with valkey.client() as admin:
        admin.replicaof("127.0.0.1", "1")
    code, found, _ = run_doctor(valkey.url)

    assert (1, "problem", "problem") == (code, found["topology"][0], found["charge"][0])


def test_tls_and_a_unix_socket_are_fine(tls_server, unix_server, run_doctor):
    assert ("fine", "TLS, the certificate checked") == run_doctor(tls_server.url)[1]["tls"][:2]
    unchecked = f"rediss://127.0.0.1:{tls_server.port}?ssl_cert_reqs=none&ssl_check_hostname=false"
    assert "warning" == run_doctor(unchecked)[1]["tls"][0]
    assert "none needed" in run_doctor(unix_server.url)[1]["tls"][1]


def test_every_server_of_a_cluster_is_examined(cluster, run_doctor):
    with cluster.nodes[1].client() as admin:
        admin.config_set("maxmemory-policy", "volatile-ttl")
    code, found, report = run_doctor(cluster.url)

    assert (0, "cluster", 3) == (code, report["topology"], len(report["servers"]))
    assert ("fine", "every slot is served, by 3 primaries") == found["cluster"][:2]
    odd = [
        each["servers"] for each in report["findings"] if (each["check"], each["severity"]) == ("eviction", "warning")
    ]
    assert [[f"127.0.0.1:{cluster.nodes[1].port}"]] == odd
    assert 1 == run_doctor(cluster.nodes[0].url)[0]


def test_the_primary_and_each_sentinel_are_examined(sentinel, run_doctor):
    sentinel.sentinels[0].kill()
    code, found, report = run_doctor(sentinel.url)

    assert (0, [sentinel.master.port]) == (code, [int(each["place"].rpartition(":")[2]) for each in report["servers"]])
    assert f"127.0.0.1:{sentinel.sentinels[0].port}" in found["sentinels"][1]
    assert "1 replica, and min-replicas-to-write 0" in found["replicas"][1]


def test_a_failed_connection_names_its_cause_and_exits_with_5(valkey, acl_server, run_doctor):
    code, found, report = run_doctor(acl_server.url.replace("secret", "secretive"))
    assert (5, False, ["connection"]) == (code, report["fit"], list(found))
    assert "correct them in the store's URL" in found["connection"][2]
    valkey.kill()
    assert (5, "cannot connect") == (run_doctor(valkey.url)[0], run_doctor(valkey.url)[1]["connection"][1])
    assert "secret" not in json.dumps(report)


@pytest.mark.parametrize("url", ["memory://", "http://host", "redis://host/abc", "localhost"])
def test_an_invalid_url_exits_with_2(url, capsys):
    assert 2 == main(["doctor", url])
    assert capsys.readouterr().err.startswith("entitlements: ")
