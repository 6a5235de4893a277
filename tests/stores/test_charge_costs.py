"""What a charge costs, in counts that do not depend on the machine: calls, round trips, commands, writes, fields, bytes."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import pytest

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.stores.errors import Corrupt
from entitlements.stores.redis.keys import account_key
from entitlements.testing import FakeClock

LIMITS = {
    "api": {"kind": "rate", "deadline": "PT10S"},
    "leads": {"kind": "quota", "deadline": "PT10S"},
    "agents": {"kind": "allocation", "deadline": "PT10S"},
}
SIZES = {"api": "1000000 per hour", "leads": 1_000_000, "agents": 1_000_000}
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": LIMITS,
    "tiers": {"one": {"rank": 2, "limits": SIZES}, "small": {"rank": 1, "limits": {"api": "3 per hour", "leads": 3, "agents": 3}}},
})  # fmt: skip
ONE, BOTH, THREE = {"api": 1}, {"api": 1, "leads": 1}, {"api": 1, "leads": 1, "agents": 1}
KEY = account_key("ent", "acme")


def enforcer_of(url, **more):
    return Enforcer(POLICY, accounts={"acme": "one", "tiny": "small"}, store=url, expected_processes=1, **more)


def calls_of(function):
    """Return how many functions in Python a call of *function* runs."""
    calls = []
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_qualname) if event == "call" else None)
    try:
        function()
    finally:
        sys.setprofile(None)
    return len(calls) - 1


def calls_of_consume(enforcer, account, what):
    """Return the calls of the sixth charge; the first ones prepare it and connect, or are the first to be refused."""
    for _ in range(5):
        enforcer.consume(account, what)
    return calls_of(lambda: enforcer.consume(account, what))


@pytest.mark.parametrize(
    ("what", "most"), [("api", 22), (ONE, 24), ("leads", 36), (BOTH, 42), (THREE, 45), ({"leads": 7, "agents": 2}, 42)], ids=str
)  # fmt: skip
def test_a_charge_of_a_server_is_so_many_calls_in_python(valkey, what, most):
    with enforcer_of(valkey.url) as enforcer:
        assert most >= calls_of_consume(enforcer, "acme", what)


@pytest.mark.parametrize(("what", "most"), [("api", 11), (ONE, 12), (BOTH, 18), (THREE, 18)], ids=str)
def test_a_charge_in_memory_is_so_many_calls_in_python_and_a_refusal_no_more_than_half_as_many_again(what, most):
    enforcer = enforcer_of(
        "memory://", clock=FakeClock(datetime(2026, 11, 30, 12, tzinfo=UTC))
    )  # a refusal is computed again in each of a minute's buckets
    admitted = calls_of_consume(enforcer, "acme", what)
    refused = calls_of_consume(enforcer, "tiny", what)

    assert most >= admitted
    assert not enforcer.consume("tiny", what)
    assert 1.5 * admitted >= refused


SCOPED = Policy.parse({
    "policy": {"version": "1"},
    "limits": LIMITS | {"mine": LIMITS["leads"] | {"per": "user"}, "calls": LIMITS["api"] | {"per": "user"}},
    "tiers": {"one": {"rank": 1, "limits": SIZES | {"mine": 1_000_000, "calls": "1000000 per hour"}}},
})  # fmt: skip


@pytest.mark.parametrize(
    ("what", "same"), [({"mine": 1}, {"leads": 1}), ({"calls": 1}, ONE), (BOTH | {"mine": 1}, THREE)], ids=str
)
def test_a_scope_costs_a_charge_in_memory_ten_calls_in_python(what, same):
    enforcer = Enforcer(SCOPED, accounts={"acme": "one"})
    for user in ("ann", "bob", "ann"):
        enforcer.consume("acme", what, scope=user)

    scoped = calls_of(lambda: enforcer.consume("acme", what, scope="bob"))

    assert calls_of_consume(enforcer, "acme", same) + 10 >= scoped


def counts(client):
    """Return the calls of each command since the last reset, and how often the server has read from a client."""
    stats = {name.removeprefix("cmdstat_"): each["calls"] for name, each in client.info("commandstats").items()}
    reads = client.info("stats")["total_reads_processed"]
    client.config_resetstat()
    return {name: calls for name, calls in stats.items() if not name.startswith(("info", "config"))}, reads


@pytest.mark.parametrize("what", [ONE, BOTH, THREE], ids=["one", "both", "three"])
def test_a_charge_is_one_round_trip_one_script_call_one_read_and_one_write(server, what):
    with enforcer_of(server.url) as enforcer, server.client() as client:
        for _ in range(3):
            assert enforcer.consume("acme", what)
        counts(client)
        for _ in range(20):
            assert enforcer.consume("acme", what)
        commands, reads = counts(client)

    read = commands.pop("hget", 0) + commands.pop("hmget", 0)
    assert ({"evalsha": 20, "time": 20, "hset": 20}, 20) == (commands, read)
    assert 20 >= reads - 2  # those of this test


@pytest.mark.parametrize("what", [ONE, BOTH, THREE], ids=["one", "both", "three"])
def test_a_charge_with_a_key_reads_the_fields_of_all_limits_by_one_command(server, what):
    with enforcer_of(server.url) as enforcer, server.client() as client:
        for number in range(3):
            assert enforcer.consume("acme", what, key=f"before {number}")
        counts(client)
        for number in range(20):
            assert enforcer.consume("acme", what, key=f"key {number}")
        commands, _ = counts(client)

    assert (20, 40) == (commands["hmget"], commands["hget"])  # two in the list of operations, whatever is charged


@pytest.mark.parametrize("what", [ONE, BOTH, THREE], ids=["one", "both", "three"])
def test_tasks_that_charge_at_once_share_round_trips(server, what):
    async def charge():
        async with AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=server.url, expected_processes=1) as enforcer:
            await enforcer.consume("acme", what)
            with server.client() as client:
                await asyncio.gather(*[enforcer.consume("acme", what) for _ in range(64)])
                counts(client)
                decisions = await asyncio.gather(*[enforcer.consume("acme", what) for _ in range(64)])
                commands, reads = counts(client)
        return all(decisions), commands["evalsha"], commands["hset"], reads

    admitted, calls, writes, reads = asyncio.run(charge())
    assert (True, 64, 64) == (admitted, calls, writes)
    assert 16 >= reads


@pytest.mark.parametrize(
    ("what", "fields", "most"), [(ONE, "r", 560), (BOTH, "Sqrs", 900), (THREE, "Samqrs", 1100)], ids=["one", "both", "three"]
)  # fmt: skip
def test_a_record_is_as_large_after_a_thousand_charges_as_after_ten(server, what, fields, most):
    with enforcer_of(server.url) as enforcer, server.client() as client:
        sizes = []
        for number in range(1000):
            assert enforcer.consume("acme", what)
            if number in (9, 999):
                sizes.append(client.memory_usage(KEY, samples=0))
        found = "".join(sorted(field[:1].decode() for field in client.hkeys(KEY)))

    assert fields == found
    assert abs(sizes[1] - sizes[0]) <= 32  # as the allocator rounds
    assert most >= sizes[1]


def test_each_further_process_adds_one_small_field_to_a_record(server):
    sizes, enforcers = [], [enforcer_of(server.url) for _ in range(8)]
    with server.client() as client:
        for many, enforcer in enumerate(enforcers, 1):
            for _ in range(5):
                assert enforcer.consume("acme", BOTH)
            assert many == sum(field.startswith(b"s") for field in client.hkeys(KEY))
            sizes.append(client.memory_usage(KEY, samples=0))
    for enforcer in enforcers:
        enforcer.close()

    assert 128 * 7 >= sizes[-1] - sizes[0]


@pytest.mark.parametrize(
    "damage", [b"", b"7", b"\xff" * 24, b"\x01" * 47], ids=["empty", "a digit", "24 bytes", "47 bytes"]
)
@pytest.mark.parametrize("what", [ONE, BOTH, THREE], ids=["one", "both", "three"])
def test_a_record_of_an_unknown_layout_is_named_and_never_overwritten(server, what, damage):
    """Each field that a charge reads, in the layout of another program or of a later version."""
    with enforcer_of(server.url) as enforcer, server.client() as client:
        enforcer.consume("acme", what)
        enforcer.consume("acme", what)
        for field, value in client.hgetall(KEY).items():
            if field in (b"m", b"S"):  # read where an allocation is first used, and where a producer is new
                continue
            client.hset(KEY, field, damage)
            before = client.hgetall(KEY)
            with pytest.raises(Corrupt, match=f"CORRUPT {field[:1].decode()}"):
                enforcer.consume("acme", what)
            assert before == client.hgetall(KEY), field
            client.hset(KEY, field, value)
        assert enforcer.consume("acme", what)
