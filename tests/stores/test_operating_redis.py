"""The facts in docs/operating-redis.md and docs/redis-memory.md, on real servers."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from deadlines import LONG
from histories import Clock, TimedRedis

from entitlements import StoreError
from entitlements.model.charge import Charge, Part, Read, Verb
from entitlements.model.instants import HOUR, MINUTE
from entitlements.model.limits import Algorithm, Allocation, Quota, Rate
from entitlements.rules.periods import month_ends
from entitlements.stores.errors import Corrupt, Rejected
from entitlements.stores.redis import RedisStore
from entitlements.stores.redis.acl import (
    CLUSTER_COMMANDS,
    COMMANDS,
    DATABASE_COMMANDS,
    DOCTOR_COMMANDS,
    SENTINEL_COMMANDS,
    acl_rules,
    known_commands,
)
from entitlements.stores.redis.keys import account_key

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = "\n".join((DOCS / page).read_text(encoding="utf-8") for page in ("operating-redis.md", "redis-memory.md"))
LEADS = Quota("leads", deadline=LONG)
API = Rate("api", HOUR, deadline=LONG)


def leads(account, cost=1, now=None):
    """Return a charge of a quota."""
    return Charge(account, (Part(LEADS, 10**6, cost, month_ends(None, now or time.time_ns() // 1000)),))


# --- Rights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "named"), [((7, 2), "from 7.2 on"), ((7, 0), "Redis 7.0"), ((6, 2), "Redis 6.2")])
def test_the_page_grants_what_the_store_needs_and_no_more(version, named):
    granted = re.search(rf"On [^\n]*{named}[^`]*```text\nACL SETUSER entitlements on >PASSWORD ([^\n]+)\n```", PAGE)

    assert " ".join(acl_rules("ent", version)) == granted[1]


@pytest.mark.parametrize(
    "commands",
    [CLUSTER_COMMANDS, known_commands((6, 2), CLUSTER_COMMANDS), DATABASE_COMMANDS, SENTINEL_COMMANDS, DOCTOR_COMMANDS],
)
def test_the_page_names_what_is_needed_besides(commands):
    assert f"`{' '.join(f'+{each}' for each in commands)}`" in PAGE.replace("\\|", "|")


def test_the_page_counts_the_commands():
    assert "one key pattern, one channel and twenty-one commands" in PAGE
    assert 21 == len(COMMANDS)


def test_users_of_sentinels_need_what_the_page_says(sentinel):
    for each in sentinel.sentinels:
        each.user(*(f"+{command}" for command in SENTINEL_COMMANDS), name="watcher")
    limited = [each.user(*acl_rules("ent", (9, 1))) for each in sentinel.servers]
    assert len(limited) == 2
    url = sentinel.url.replace("//", "//limited:secret@") + "?sentinel_username=watcher&sentinel_password=secret"
    store = RedisStore(url)

    assert 1 == store.execute(Charge("acme", (Part(API, 9),))).lines[0].used
    store.close()


# --- Memory -------------------------------------------------------------------------------------------------------

ID = "a-customer-id-of-20c"


def full_ring(execute, clock):
    for _ in range(61):
        execute(Charge(ID, (Part(API, 2**32 - 1, 65_000),)))
        clock.now += MINUTE


def holders(execute, clock):
    for at in range(100):
        execute(
            Charge(ID, (Part(Allocation("agents"), 10**6),), Verb.ASSIGN, operation=f"o:{at}", holder=f"user-{at:04}")
        )
        clock.now += 11 * MINUTE


def keys(execute, clock):
    for at in range(100):
        order = leads(ID, now=clock.now)
        execute(Charge(ID, order.parts, operation=f"k:import-{at:06}", keyed=True))


SHAPES = {
    "a fixed window": lambda execute, _: execute(Charge(ID, (Part(Rate("api", HOUR, Algorithm.FIXED), 1000, 5),))),
    "a token bucket": lambda execute, _: execute(
        Charge(ID, (Part(Rate("api", HOUR, Algorithm.TOKEN_BUCKET), 1000, 5),))
    ),
    "a sliding rate, whatever its limit and use": full_ring,
    "a quota, charged once in the last ten minutes": lambda execute, clock: execute(
        Charge(ID, leads(ID, 5000, clock.now).parts, operation=f"o:{0:032x}")
    ),
    "an allocation with 100 named holders": holders,
    "a quota and 100 idempotency keys": keys,
}
COLUMNS = {"valkey-9": 1, "redis-8.2": 2, "redis-7.0": 3, "redis-6.2": 4}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_account_takes_the_memory_that_the_page_says(server, request, shape):
    column = COLUMNS[request.node.callspec.params["server"]]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| {shape} |"))
    written = int(row.split("|")[1 + column].strip().replace(",", ""))
    clock = Clock()
    with server.client() as client:
        SHAPES[shape](TimedRedis(client, clock).execute, clock)
        found = client.memory_usage(account_key("ent", ID), samples=0)
    print(f"{shape} on {server.version}: {found} bytes")

    assert abs(found - written) <= max(16, written // 10)


# --- What is lost, and what stays ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "left"),
    [(["appendonly yes", "appendfsync everysec"], 7), (["appendonly yes", "appendfsync always"], 7), ([], 0), (["save 3600 1"], 0)],
)  # fmt: skip
def test_a_restart_forgets_what_is_not_in_the_append_only_file(rack, lines, left):
    server = rack.start("valkey-9", *lines)
    store = RedisStore(server.url)
    for _ in range(7):
        store.execute(Charge("acme", (Part(API, 100),)))
    store.close()
    if "appendonly yes" in lines:
        with server.client() as client:  # a write waits in the process while an fsync of an earlier one goes on
            client.set("later", 1)  # WAITAOF waits for what its own connection wrote
            assert client.waitaof(1, 0, 60_000)[0] == 1
    server.restart()
    again = RedisStore(server.url)

    assert left == again.execute(Read("acme", (Part(API, 100),))).lines[0].used
    again.close()
    rack.remove(server)


def refusal(store):
    """Charge more new accounts than the free memory holds; return the error."""
    try:
        for at in range(1000):
            store.execute(Charge(f"newcomer-{at}", (Part(API, 100),)))
    except StoreError as error:
        return error
    return None


def fill(server, policy):
    """Charge 300 accounts with a rate and 300 with a quota, then fill the memory; return how many records of each are left."""
    store = RedisStore(server.url)
    with server.client() as admin:
        for at in range(300):
            store.execute(Charge(f"rate-{at}", (Part(API, 100),)))
            store.execute(leads(f"quota-{at}"))
        admin.config_set("maxmemory-policy", policy)
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] + 200_000)
        with suppress(redis.exceptions.OutOfMemoryError):  # under noeviction the cache is refused as well
            for at in range(5000):
                admin.set(f"cache:{at}", "x" * 1000, ex=36_000)  # longer than a rate lives
        refused = refusal(store)
        left = [
            sum(bool(admin.exists(account_key("ent", f"{kind}-{at}"))) for at in range(300))
            for kind in ("rate", "quota")
        ]
        admin.config_set("maxmemory", 0)
    store.close()
    return (*left, refused)


def test_full_memory_takes_accounts_away_unless_nothing_may_be_evicted(rack):
    server = rack.start("valkey-9")
    rates, quotas, refused = fill(server, "noeviction")
    assert (300, 300, Rejected) == (rates, quotas, type(refused))
    server.reset()
    rates, quotas, refused = fill(server, "volatile-ttl")
    assert (300, None) == (quotas, refused)
    assert rates < 300
    server.reset()
    rates, quotas, refused = fill(server, "allkeys-random")
    assert quotas < 300
    assert rates < 300
    rack.remove(server)


# --- Keys ---------------------------------------------------------------------------------------------------------


def test_only_accounts_that_hold_units_do_not_expire(valkey):
    store = RedisStore(valkey.url)
    with valkey.client() as admin:
        for charge in (Charge("acme", (Part(API, 100),)), leads("acme")):
            store.execute(charge)
            assert admin.pttl(account_key("ent", "acme")) > 0
        store.execute(Charge("acme", (Part(Allocation("agents"), 10),), operation="o:1"))
        assert -1 == admin.pttl(account_key("ent", "acme"))
    store.close()


def test_a_foreign_value_is_left_as_it_was_by_every_kind_of_charge(valkey):
    store, key = RedisStore(valkey.url), account_key("ent", "acme")
    with valkey.client() as admin:
        admin.rpush(key, "mine")
        for charge in (Charge("acme", (Part(API, 100),)), leads("acme")):
            with pytest.raises(Corrupt, match="namespace of its own"):
                store.execute(charge)
        assert [b"mine"] == admin.lrange(key, 0, -1)
    store.close()
