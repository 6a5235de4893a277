"""`invalidate`: once it has returned, every charge in every process is decided by the new account."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from contests import CHARGES, PLANS, PlanFile, changed_under_load, invalidate, plan_of
from topologies import wait_until

from entitlements import Account, AsyncEnforcer, Enforcer, Policy, StoreError, can, use
from entitlements.accounts import CachedAccounts
from entitlements.cli import main
from entitlements.errors import AccountsUnavailable
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.model.charge import Invalidate
from entitlements.stores import MemoryStore
from entitlements.stores.redis import RedisStore
from entitlements.stores.redis.acl import acl_rules, known_commands, required_commands

WAIT = 20.0
"""Seconds for what takes milliseconds: a busy machine is slow."""


@pytest.fixture
def source(tmp_path):
    source = PlanFile(tmp_path)
    source.change(1)
    return source


class Tiers:
    """A source whose account has the tier that is set."""

    tier = "low"

    def find(self, id):
        return Account(id, self.tier)


def deaf(server):
    """Return the URL of a user that neither sends nor gets messages: what follows without them is exact by itself."""
    family = tuple(int(each) for each in server.version.split(".")[:2])
    commands = known_commands(family, required_commands())
    return server.user("~ent1:*", "resetchannels", *(f"+{each}" for each in commands), name="deaf")


def until(check):
    wait_until(check, "the change")


@contextmanager
def pair(source, url, other=None):
    """Two enforcers that share a store and a source of accounts, as those of two processes do; both have loaded it."""
    with (
        Enforcer(PLANS, accounts=source, store=url, expected_processes=2) as here,
        Enforcer(PLANS, accounts=source, store=other or url, expected_processes=2) as there,
    ):
        for each in (here, there):
            each.usage("acme")
        yield here, there


def change(source, enforcer, plan):
    source.change(plan)
    invalidate(enforcer, "acme")


def trips(server):
    """Return how many script calls the server has seen since this was called last."""
    with server.client() as admin:
        calls = admin.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        admin.config_resetstat()
    return calls


# --- Charges --------------------------------------------------------------------------------------------------------


def test_of_ten_thousand_charges_in_four_processes_none_is_decided_by_a_plan_that_was_invalidated(server, tmp_path):
    charges, changes = (10_000, 60) if server.version.startswith("9.") else (1_000, 30)
    found = changed_under_load(server.url, tmp_path, charges=charges, changes=changes, pause=0.02)

    assert [] == [wrong for each, _ in found for wrong in each]
    assert all(loads > 2 for _, loads in found)


@pytest.mark.parametrize("kind", CHARGES)
def test_a_charge_by_an_outdated_account_is_repeated_once_and_the_next_takes_one_trip(valkey, source, kind):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        CHARGES[kind](there, 0)
        change(source, here, 2)
        trips(valkey)
        assert 2 == plan_of(CHARGES[kind](there, 1))
        assert 2 == trips(valkey)
        for number in range(2, 12):
            assert 2 == plan_of(CHARGES[kind](there, number))
        assert 10 == trips(valkey)


@pytest.mark.parametrize("kind", CHARGES)
async def test_an_event_loop_repeats_a_charge_by_an_outdated_account_once(valkey, source, kind):
    with Enforcer(PLANS, accounts=source, store=valkey.url) as here:
        async with AsyncEnforcer(PLANS, accounts=source, store=deaf(valkey), expected_processes=1) as there:
            await CHARGES[kind](there, 0)
            await asyncio.to_thread(change, source, here, 2)
            trips(valkey)
            assert 2 == plan_of(await CHARGES[kind](there, 1))
            assert 2 == trips(valkey)
            assert [2] * 10 == [plan_of(await CHARGES[kind](there, number)) for number in range(2, 12)]
            assert 10 == trips(valkey)


def test_an_outdated_charge_writes_nothing(valkey, source):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        used = there.consume("acme", {"api": 1, "leads": 1, "agents": 1}).used
        change(source, here, 2)
        decision = there.consume("acme", {"api": 1, "leads": 1, "agents": 1})
        assert {2} == {each.used for each in decision.parts.values()}
        assert (1, False) == (used, decision.replayed)


def test_a_process_that_has_never_charged_is_not_decided_by_what_it_loaded_before(valkey, source):
    with (
        Enforcer(PLANS, accounts=source, store=valkey.url) as here,
        Enforcer(PLANS, accounts=source, store=deaf(valkey), expected_processes=1) as there,
    ):
        assert there.can("acme", "sso")
        change(source, here, 2)
        assert 2 == plan_of(there.consume("acme", "api"))


def test_usage_and_peeks_are_those_of_the_new_account(valkey, source):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        change(source, here, 2)
        assert 2 == there.usage("acme")["leads"].limit % 1_000_000
        change(source, here, 3)
        assert 3 == there.usage_of(["acme"])["acme"]["leads"].limit % 1_000_000
        change(source, here, 4)
        assert 4 == plan_of(there.peek("acme", "leads"))


async def test_an_event_loop_reads_usage_of_the_new_account(valkey, source):
    with Enforcer(PLANS, accounts=source, store=valkey.url) as here:
        async with AsyncEnforcer(PLANS, accounts=source, store=deaf(valkey), expected_processes=1) as there:
            await there.usage("acme")
            await asyncio.to_thread(change, source, here, 2)
            assert 2 == (await there.usage_of(["acme"]))["acme"]["leads"].limit % 1_000_000


def test_a_repeat_by_its_key_returns_the_first_decision_whatever_has_changed(valkey, source):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        there.consume("acme", "leads", key="a")
        change(source, here, 2)
        again = there.consume("acme", "leads", key="a")
        assert (True, 1) == (again.replayed, plan_of(again))
        assert 2 == plan_of(there.consume("acme", "leads", key="b"))


def test_what_gives_back_works_with_an_outdated_account(valkey, source):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        taken = there.consume("acme", "leads", 3)
        there.consume("acme", "agents", 2)
        there.assign("acme", "agents", "ann")
        change(source, here, 2)
        trips(valkey)
        assert there.refund(taken)
        assert 1 == there.release("acme", "agents")
        assert there.unassign("acme", "agents", "ann")
        assert 1 == there.set_usage("acme", "agents", 1).used
        assert 0 == there.history("acme", "leads")[0].used
        assert 5 == trips(valkey)


def test_a_reservation_is_committed_by_an_outdated_account_and_charged_anew_by_the_new_one(valkey, source):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        held = there.reserve("acme", "leads", 2, ttl=60)
        change(source, here, 2)
        held.commit()
        assert 2 == here.usage("acme")["leads"].used

        lapsing = there.reserve("acme", "leads", 2, ttl=0.001)
        change(source, here, 3)
        time.sleep(0.01)
        trips(valkey)
        lapsing.commit()
        assert 2 == trips(valkey)
        assert 4 == here.usage("acme")["leads"].used


def test_a_charge_that_was_promised_in_an_outage_counts_whatever_has_changed(valkey):
    source = Tiers()
    policy = Policy.parse({
        "policy": {"version": "1"},
        "limits": {"leads": {"kind": "quota", "on_outage": "allow", "deadline": "500 ms"}},
        "tiers": {tier: {"rank": rank, "limits": {"leads": 1000}} for rank, tier in enumerate(["low", "high"])},
    })  # fmt: skip
    with Enforcer(policy, accounts=source, store=valkey.url, expected_processes=1) as there:
        there.consume("acme", "leads")
        valkey.stop()
        assert there.consume("acme", "leads", 5).degraded
        valkey.cont()
        with Enforcer(policy, accounts=source, store=valkey.url, expected_processes=1) as here:
            source.tier = "high"
            invalidate(here, "acme")
            until(lambda: there.can("acme", "leads") and here.usage("acme")["leads"].used == 6)


def test_forget_does_not_let_an_outdated_account_decide(valkey, source):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        change(source, here, 2)
        here.forget("acme")
        assert 2 == plan_of(there.consume("acme", "leads"))


def test_an_account_of_the_callers_own_decides_whatever_was_invalidated(valkey, source):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        mine = source.find("acme")
        change(source, here, 2)
        assert 1 == plan_of(there.consume(mine, "leads"))


def test_a_version_outlives_a_new_policy(valkey, source):
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        change(source, here, 2)
        there.reload(PLANS)
        assert 2 == plan_of(there.consume("acme", "leads"))
        trips(valkey)
        there.reload(PLANS)
        assert 2 == plan_of(there.consume("acme", "leads"))
        assert 1 == trips(valkey)


# --- Plain answers --------------------------------------------------------------------------------------------------


def test_can_decide_and_value_of_other_threads_and_loops_follow_by_a_message(valkey, source):
    async def follow(here):
        async with AsyncEnforcer(PLANS, accounts=source, store=valkey.url, expected_processes=2) as loop:
            handle = await loop.account("acme")
            assert handle.can("sso")
            with use(loop):
                await asyncio.to_thread(change, source, here, 2)
                ends = time.monotonic() + WAIT
                while handle.can("sso") or can("acme", "sso") or await loop.can("acme", "sso"):
                    assert time.monotonic() < ends
                    await asyncio.sleep(0.001)
                assert not handle.decide("sso").allowed

    with pair(source, valkey.url) as (here, there):
        assert there.can("acme", "sso")
        asyncio.run(follow(here))
        until(lambda: not there.can("acme", "sso"))
        change(source, here, 3)
        until(lambda: there.decide("acme", "sso").allowed)
        assert here.can("acme", "sso")


async def test_a_handle_invalidates_its_account_and_sees_it_changed(valkey, source):
    async with AsyncEnforcer(PLANS, accounts=source, store=valkey.url, expected_processes=1) as enforcer:
        handle = await enforcer.account("acme")
        source.change(2)
        await handle.invalidate()
        assert not handle.can("sso")
        assert 2 == plan_of(await handle.consume("leads"))
    with Enforcer(PLANS, accounts=source, store=valkey.url) as enforcer:
        handle = enforcer.account("acme")
        source.change(3)
        handle.invalidate()
        assert handle.can("sso")


def test_the_process_that_invalidates_loads_the_account_once(valkey, source):
    with Enforcer(PLANS, accounts=source, store=valkey.url) as here:
        here.consume("acme", "leads")
        loads = source.loads
        change(source, here, 2)
        for _ in range(50):
            here.consume("acme", "leads")
            time.sleep(0.004)  # its own message comes meanwhile
        assert 1 == source.loads - loads


def static(size):
    """Return a policy whose lower tier answers without the store: for a limit of *size*."""
    return Policy.parse({
        "policy": {"version": "1"},
        "limits": {"api": {"kind": "rate", "deadline": "20 seconds"}},
        "tiers": {
            "low": {"rank": 1, "limits": {"api": size}},
            "high": {"rank": 2, "limits": {"api": "2000000 per hour"}},
        },
    })  # fmt: skip


@pytest.mark.parametrize("size", ["0 per hour", "unlimited"])
def test_an_answer_without_the_store_follows_at_the_next_call(valkey, size):
    source, policy = Tiers(), static(size)
    with (
        Enforcer(policy, accounts=source, store=valkey.url, expected_processes=2) as here,
        Enforcer(policy, accounts=source, store=valkey.url, expected_processes=2) as there,
    ):
        before = there.consume("acme", "api")
        source.tier = "high"
        invalidate(here, "acme")
        until(lambda: there.consume("acme", "api").limit != before.limit)


def test_a_refusal_that_is_kept_follows_at_the_next_call(valkey):
    source, policy = Tiers(), static("2 per hour")
    with (
        Enforcer(policy, accounts=source, store=valkey.url, expected_processes=2) as here,
        Enforcer(policy, accounts=source, store=valkey.url, expected_processes=2) as there,
    ):
        while there.consume("acme", "api"):
            pass
        assert "deny-cache" == there.consume("acme", "api").via
        source.tier = "high"
        invalidate(here, "acme")
        until(lambda: there.consume("acme", "api").allowed)


# --- Messages that are lost -----------------------------------------------------------------------------------------


def test_a_lost_message_costs_the_time_to_live_and_the_next_connection_drops_what_was_missed(valkey, source):
    brief = CachedAccounts(source, ttl=timedelta(seconds=2))
    with (
        Enforcer(PLANS, accounts=source, store=valkey.url, expected_processes=2) as here,
        Enforcer(PLANS, accounts=brief, store=valkey.url, expected_processes=2) as there,
    ):
        assert there.can("acme", "sso")
        assert there.can("zoe", "sso")
        with valkey.client() as admin:
            admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        change(source, here, 2)
        until(lambda: not there.can("acme", "sso"))
        assert not there.can("zoe", "sso")
        change(source, here, 3)
        until(lambda: there.can("acme", "sso"))


async def test_an_event_loop_connects_again_and_drops_what_was_missed(valkey, source):
    with Enforcer(PLANS, accounts=source, store=valkey.url) as here:
        async with AsyncEnforcer(PLANS, accounts=source, store=valkey.url, expected_processes=1) as there:
            assert await there.can("acme", "sso")
            with valkey.client() as admin:
                admin.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await asyncio.to_thread(change, source, here, 2)
            ends = time.monotonic() + WAIT
            while await there.can("acme", "sso"):
                assert time.monotonic() < ends
                await asyncio.sleep(0.01)


def test_without_the_server_this_process_drops_the_account_and_the_caller_learns_of_it(rack, source):
    server = rack.start("valkey-9")
    with Enforcer(PLANS, accounts=source, store=server.url, expected_processes=1) as enforcer:
        enforcer.usage("acme")
        server.kill()
        source.change(2)
        with pytest.raises(StoreError):
            enforcer.invalidate("acme")
        assert not enforcer.can("acme", "sso")
    rack.remove(server)


def test_rights_without_the_channel_are_told_once_and_charges_stay_exact(acl_server, source, caplog):
    url = acl_server.url
    with pair(source, url, deaf(acl_server)) as (here, there):
        change(source, here, 2)
        assert 2 == plan_of(there.consume("acme", "leads"))
        with suppress(StoreError):
            there.invalidate("acme")
    told = [each.getMessage() for each in caplog.records if "invalidat" in each.getMessage()]
    assert 1 == len([each for each in told if "not subscribed" in each])
    assert 1 == len([each for each in told if "no message" in each])


# --- Where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["cluster", "sentinel", "unix_server", "tls_server"])
def test_every_kind_of_server_is_exact_and_passes_messages_on(request, source, place):
    with pair(source, request.getfixturevalue(place).url) as (here, there):
        for plan in range(2, 6):
            change(source, here, plan)
            for charge in CHARGES.values():
                assert plan == plan_of(charge(there, plan))
            until(lambda number=plan: there.can("acme", "sso") is (number % 2 == 1))


def test_a_failover_that_loses_the_version_costs_the_time_to_live(valkey, source):
    brief = CachedAccounts(source, ttl=timedelta(seconds=2))
    with (
        Enforcer(PLANS, accounts=source, store=valkey.url, expected_processes=2) as here,
        Enforcer(PLANS, accounts=brief, store=deaf(valkey), expected_processes=2) as there,
    ):
        there.usage("acme")
        change(source, here, 2)
        with valkey.client() as admin:
            admin.flushall()  # as a primary that has not got the last writes
        until(lambda: plan_of(there.consume("acme", "leads")) == 2)


def test_a_memory_store_is_refreshed(source):
    with Enforcer(PLANS, accounts=source) as enforcer:
        enforcer.can("acme", "sso")
        change(source, enforcer, 2)
        assert not enforcer.can("acme", "sso")


class Plain:
    """Custom store that keeps no versions."""

    via = "store"

    def __init__(self):
        self._memory, self.orders = MemoryStore(), []
        self.close = self._memory.close

    def execute(self, order):
        self.orders.append(order)
        return self._memory.execute(order)


class Versioned(Plain):
    keeps_versions = True


def test_a_store_that_keeps_no_versions_never_sees_any(source):
    store = Plain()
    with Enforcer(PLANS, accounts=source, store=store, expected_processes=1) as enforcer:
        enforcer.consume("acme", "leads")
        change(source, enforcer, 2)
        assert 2 == plan_of(enforcer.consume("acme", "leads"))
    assert {None} == {each.version for each in store.orders}


def test_a_store_that_keeps_versions_is_exact_without_messages(source):
    store = Versioned()
    with (
        Enforcer(PLANS, accounts=source, store=store, expected_processes=1) as here,
        Enforcer(PLANS, accounts=source, store=store, expected_processes=1) as there,
    ):
        there.consume("acme", "leads")
        change(source, here, 2)
        assert 2 == plan_of(there.consume("acme", "leads"))
    assert Invalidate("acme") in store.orders


def test_a_store_around_a_store_keeps_versions_as_that_does(valkey, source):
    from entitlements.stores.resilience.store import ResilientStore

    with pair(source, valkey.url, ResilientStore(RedisStore(deaf(valkey)))) as (here, there):
        change(source, here, 2)
        assert 2 == plan_of(there.consume("acme", "leads"))


@pytest.mark.parametrize("consumes", [{"api": 1}, {"api": 1, "leads": 1}], ids="+".join)
async def test_a_request_after_an_invalidation_is_decided_by_the_new_account(valkey, source, consumes):
    seen = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def request(wrapped):
        async def send(message):
            if message["type"] == "http.response.start":
                seen.append(dict(message["headers"])[b"ratelimit-policy"])

        await wrapped({"type": "http", "method": "GET", "path": "/", "headers": [], "state": {}}, None, send)

    with Enforcer(PLANS, accounts=source, store=valkey.url) as here:
        async with AsyncEnforcer(PLANS, accounts=source, store=deaf(valkey), expected_processes=1) as there:
            wrapped = EntitlementsMiddleware(
                app, enforcer=there, identify=lambda _: "acme", default=Route(consumes=consumes)
            )
            for plan in range(2, 5):
                await request(wrapped)
                await request(wrapped)
                await asyncio.to_thread(change, source, here, plan)
                await request(wrapped)
                assert f"q={(1 + plan % 2) * 1_000_000 + plan}".encode() in seen[-1]


async def test_a_closed_loop_leaves_no_connection_and_no_task(valkey, source):
    before = len(asyncio.all_tasks())
    async with AsyncEnforcer(PLANS, accounts=source, store=valkey.url, expected_processes=1) as enforcer:
        await enforcer.consume("acme", "leads")
        with valkey.client() as admin:
            assert 1 == len(admin.client_list(_type="pubsub"))
    assert before == len(asyncio.all_tasks())
    with valkey.client() as admin:
        await asyncio.to_thread(until, lambda: not admin.client_list(_type="pubsub"))


def test_the_command_line_invalidates_an_account(valkey, source, tmp_path, capsys):
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "policy: {version: '1'}\nlimits: {api: {kind: rate}}\ntiers: {one: {rank: 1, limits: {api: 1 per hour}}}\n"
    )
    with Enforcer(PLANS, accounts=source, store=valkey.url, expected_processes=1) as there:
        assert 1 == plan_of(there.consume("acme", "leads"))
        source.change(2)
        assert 0 == main(["invalidate", "acme", "--policy", str(policy), "--store", valkey.url])
        assert 2 == plan_of(there.consume("acme", "leads"))
    assert "acme: invalidated" in capsys.readouterr().out


def test_an_account_that_was_invalidated_is_not_served_from_before_while_its_source_fails(valkey, tmp_path):
    class Failing(PlanFile):
        fails = False

        def find(self, id):
            if self.fails:
                raise ConnectionError("the database is away")
            return super().find(id)

    source = Failing(tmp_path)
    source.change(1)
    with pair(source, valkey.url, deaf(valkey)) as (here, there):
        source.fails = True
        invalidate(here, "acme")
        with pytest.raises(AccountsUnavailable):
            there.consume("acme", "leads")
        source.fails = False
        source.change(2)
        assert 2 == plan_of(there.consume("acme", "leads"))


def test_the_documented_rights_let_messages_through(acl_server, source):
    family = tuple(int(each) for each in acl_server.version.split(".")[:2])
    with pair(source, acl_server.user(*acl_rules("ent", family))) as (here, there):
        change(source, here, 2)
        until(lambda: not there.can("acme", "sso"))
