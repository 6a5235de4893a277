"""Each shape of a charge answers and keeps what the general script does, and what the laws in Python say."""

from __future__ import annotations

import random
from itertools import product

import pytest
from histories import ACCOUNT, Clock, TimedRedis, check_lifetime
from strategies import NOW

from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Invalidate, Part, Refund, Verb
from entitlements.model.instants import DAY, MINUTE, SECOND
from entitlements.model.limits import UNLIMITED, Algorithm, Allocation, Mode, Quota, Rate
from entitlements.model.overage import Included
from entitlements.model.sequence import sequence_id
from entitlements.model.versions import NO_VERSION
from entitlements.rules.periods import month_ends
from entitlements.stores import MemoryStore
from entitlements.stores.redis.encoding import encode_call
from entitlements.stores.redis.keys import account_key, scope_key
from entitlements.stores.redis.scripts import CHARGE

SCOPE = "ann"
KINDS = [*Algorithm, *[f"{algorithm}@" for algorithm in Algorithm], "quota", "allocation", "quota@", "allocation@"]
"""Kinds of parts; `@`: kept for a scope."""
UNUSUAL = [UNLIMITED, Included(4, 3), Included(0, 9), Included(4, UNLIMITED)]
"""Sizes of quotas and allocations that are no plain number."""
UNSCOPED = [*Algorithm, "quota", "allocation"]


def limit_of(kind, at, mode=Mode.ENFORCE):
    """Return the limit at position *at* of a shape."""
    kind, per = kind.removesuffix("@"), "user" if kind.endswith("@") else None
    name = f"{kind}-{at}"
    if kind == "quota":
        return Quota(name, mode=mode, per=per)
    if kind == "allocation":
        return Allocation(name, mode=mode, per=per)
    algorithm = Algorithm(kind)
    burst = 7 if algorithm is Algorithm.TOKEN_BUCKET else None
    return Rate(name, MINUTE, algorithm, burst, per=per, mode=mode)


class Three:
    """The memory store, the scripts of shapes and the general script, on one clock."""

    def __init__(self, client):
        client.flushdb()
        self.client, self.clock = client, Clock()
        self.memory, self.shapes = MemoryStore(self.clock), TimedRedis(client, self.clock)
        self.general = TimedRedis(client, self.clock, namespace="general", general=True)

    def __call__(self, order):
        expected = self.memory.execute(order)
        assert expected == self.general.execute(order)
        assert expected == self.shapes.execute(order)
        assert self.records("general") == self.records("ent")
        check_lifetime(self.memory, self.client, self.clock)
        return expected

    def records(self, namespace):
        """Return the records of the account and of its scope; rates without the time up to which the key will live."""
        keys = account_key(namespace, ACCOUNT), scope_key(namespace, ACCOUNT, SCOPE)
        return [
            {field: value[8:] if field.startswith(b"r") else value for field, value in self.client.hgetall(key).items()}
            for key in keys
        ]


def history(three, kinds, seed, length):
    """Charge a shape again and again: in new periods, after steps back, with lapsed reservations, beyond the limits."""
    chance = random.Random(f"{kinds} {seed}")
    enforced = [limit_of(kind, at) for at, kind in enumerate(kinds)]
    shadow = [limit_of(kind, at, Mode.SHADOW) for at, kind in enumerate(kinds)]
    scope = SCOPE if any(kind.endswith("@") for kind in kinds) else None
    counted = any(not isinstance(limit, Rate) for limit in enforced)
    charges, versions = [], [NO_VERSION]
    for number in range(length):
        ends = month_ends(chance.choice([None, None, 15]), three.clock.now + chance.choice([0, 0, 0, 0, -40, 40]) * DAY)
        parts = tuple(
            Part(
                shadow[at] if chance.random() < 0.1 else limit,
                chance.choice([4, 9, 9, 9] if isinstance(limit, Rate) or chance.random() < 0.8 else UNUSUAL),
                chance.choice([1, 1, 2, 3, 10]) if chance.random() < 0.3 else 1,
                ends if isinstance(limit, Quota) else None,
            )
            for at, limit in enumerate(enforced)
        )
        operation = sequence_id("0" * 16, number + 1) if counted else None
        version = chance.choice([None, *versions[-1:] * 8, *versions[-2:-1]])
        order = Charge(ACCOUNT, parts, scope=scope, operation=operation, version=version)
        what = chance.random()
        if chance.random() < 0.05:
            versions.append(three(Invalidate(ACCOUNT)).version)
        if what < 0.05 and counted:
            held = tuple(part for part in parts if not isinstance(part.limit, Rate))
            held_for = scope if any(part.limit.per for part in held) else None
            three(Charge(ACCOUNT, held, Verb.RESERVE, held_for, operation=f"r:{number}", ttl=3 * SECOND))
        elif what < 0.15 and charges:
            charge, outcome = chance.choice(charges)
            lines = zip(charge.parts, outcome.lines, strict=True)
            three(Refund(ACCOUNT, charge.operation, chance.random() < 0.5, tuple(lines), scope, charged_at=outcome.now))
        else:
            outcome = three(order)
            charges += [(order, outcome)] * (outcome[0] is Status.ADMITTED)
        three.clock.now += chance.choice([0, 1, SECOND, SECOND, SECOND, 2 * SECOND, 20 * SECOND, 61 * SECOND])
        three.clock.now += chance.choice([0] * 30 + [-SECOND, -2 * MINUTE, 11 * MINUTE, 20 * DAY])


@pytest.mark.parametrize("kinds", [(each,) for each in KINDS], ids="+".join)
def test_a_shape_of_one_part_is_equal_to_the_general_script(valkey, kinds):
    with valkey.client() as client:
        for seed in range(3):
            history(Three(client), kinds, seed, 60)


@pytest.mark.parametrize("first", KINDS)
def test_a_shape_of_two_parts_is_equal_to_the_general_script(valkey, first):
    with valkey.client() as client:
        for second in KINDS:
            history(Three(client), (first, second), 0, 40)


@pytest.mark.parametrize("first", UNSCOPED)
def test_a_shape_of_three_parts_is_equal_to_the_general_script(valkey, first):
    with valkey.client() as client:
        for kinds in product([first], UNSCOPED, UNSCOPED):
            history(Three(client), kinds, 0, 25)


SCOPED = [
    ("sliding", "quota", "quota@"), ("sliding@", "quota", "quota@"), ("quota@", "quota@", "sliding"),
    ("allocation@", "quota@", "fixed"), ("allocation", "allocation@", "token-bucket@"), ("sliding@", "sliding", "quota@"),
    ("allocation@", "quota", "allocation"),
]  # fmt: skip


@pytest.mark.parametrize("kinds", SCOPED, ids="+".join)
def test_a_shape_of_three_parts_of_an_account_and_a_scope_is_equal_to_the_general_script(valkey, kinds):
    with valkey.client() as client:
        for seed in range(3):
            history(Three(client), kinds, seed, 60)


def test_a_charge_of_an_account_and_a_scope_is_one_trip_with_one_read_and_one_write_of_each(server):
    ends = month_ends(None, NOW)
    parts = tuple(
        Part(limit_of(kind, 0), 100, 1, ends if "quota" in kind else None) for kind in ("quota", "quota@", "sliding")
    )
    with server.client() as client:
        timed = TimedRedis(client, Clock())
        for number in range(3):
            client.config_resetstat()
            timed.execute(Charge(ACCOUNT, parts, scope=SCOPE, operation=sequence_id("0" * 16, number + 1)))
        commands = {name.removeprefix("cmdstat_"): each["calls"] for name, each in client.info("commandstats").items()}

    counts = {name: calls for name, calls in commands.items() if not name.startswith("config")}
    assert {"evalsha": 1, "time": 1, "hmget": 2, "hset": 2} == {"time": 1} | counts


@pytest.mark.parametrize(
    "kinds", [("sliding",), ("quota", "sliding"), ("allocation", "quota", "sliding")], ids="+".join
)
def test_a_shape_carries_out_a_common_charge_without_the_general_code(server, kinds):
    """The commands of a charge in a running period: the time, one read and one write."""
    parts = tuple(Part(limit_of(kind, 0), 100, 1, month_ends(None, NOW) if kind == "quota" else None) for kind in kinds)
    operation = None if kinds == ("sliding",) else sequence_id("0" * 16, 0)[:-1] + "{}"
    with server.client() as client:
        timed = TimedRedis(client, Clock())
        for number in range(3):
            client.config_resetstat()
            timed.execute(Charge(ACCOUNT, parts, operation=operation and operation.format(number)))
        commands = {name.removeprefix("cmdstat_"): each["calls"] for name, each in client.info("commandstats").items()}

    assert {"evalsha": 1, "hset": 1} == {name: commands.get(name) for name in ("evalsha", "hset")}
    assert 1 == commands.get("hget", 0) + commands.get("hmget", 0)


@pytest.mark.parametrize(
    "charge",
    [
        Charge(ACCOUNT, (Part(limit_of("quota", 0), 1, 1, month_ends(None, 0)),), operation="k:a", keyed=True),
        Charge(ACCOUNT, (Part(limit_of("allocation", 0), 1),), Verb.ASSIGN, operation="o:1", holder="ann"),
        Charge(ACCOUNT, (Part(limit_of("allocation", 0), 1),), Verb.RESERVE, operation="o:1", ttl=MINUTE),
        Charge(ACCOUNT, (Part(limit_of("sliding", 0), 1),), Verb.PEEK),
        Charge(ACCOUNT, tuple(Part(limit_of("sliding", at), 1) for at in range(7))),
    ],
    ids=["keyed", "assign", "reserve", "peek", "seven parts"],
)
def test_a_rare_charge_has_no_shape(charge):
    assert CHARGE is encode_call(charge, "ent").script
