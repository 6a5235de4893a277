"""A limit of any kind with a `per` has a meter for each scope, beside the account's own limits; one charge holds both."""

import asyncio
import random
from contextlib import suppress
from itertools import pairwise

import pytest
from topologies import wait_until

from entitlements import AsyncEnforcer, Enforcer, Policy, Reason, ReservationExpired, StoreError, UnknownFeature
from entitlements.model.events import Forgotten, Released, Settlement, Threshold, Unassigned, UsageSet
from entitlements.rules.reservations import reservation_id, split_reservation_id
from entitlements.rules.scopes import MAX_SCOPES
from entitlements.stores import MemoryStore
from entitlements.stores.redis.keys import scope_key

LONG = {"deadline": "10 seconds"}
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {
        "api": {"kind": "rate", **LONG},
        "logins": {"kind": "rate", "per": "user", **LONG},
        "leads": {"kind": "quota", **LONG},
        "user-leads": {"kind": "quota", "per": "user", **LONG},
        "agents": {"kind": "allocation", **LONG},
        "devices": {"kind": "allocation", "per": "user", **LONG},
        "drafts": {"kind": "quota", "per": "project", **LONG},
        "soft": {"kind": "quota", "per": "user", "mode": "shadow", **LONG},
    },
    "tiers": {"pro": {"rank": 1, "limits": {
        "api": "100 per day", "logins": "5 per day", "leads": 20, "user-leads": 5, "agents": 9, "devices": 3, "drafts": 2,
        "soft": 1,
    }}},
})  # fmt: skip
ACCOUNTS = {"acme": "pro", "globex": "pro"}
BOTH = {"api": 1, "leads": 2, "user-leads": 2}


@pytest.fixture
def enforcer(any_store):
    """An enforcer on a memory store, and on each kind of server."""
    return Enforcer(POLICY, accounts=ACCOUNTS, store=any_store)


def used(enforcer, *names, scope=None):
    usage = enforcer.usage("acme", scope=scope)
    return tuple(usage[name].used for name in names)


def test_one_charge_holds_limits_of_the_account_and_of_a_scope_all_or_nothing(enforcer):
    for scope in ("ann", "bob"):
        assert enforcer.consume("acme", BOTH, scope=scope)
        assert enforcer.consume("acme", BOTH, scope=scope)
        refused = enforcer.consume("acme", BOTH, scope=scope)
        assert (Reason.QUOTA_EXCEEDED, "user-leads", scope) == (refused.reason, refused.feature, refused.scope)
        assert refused.parts["leads"].scope is None

    assert (4, 8, 4) == used(enforcer, "api", "leads", "user-leads", scope="ann")
    assert (2,) == tuple(each.denied for each in enforcer.history("acme", "user-leads", scope="bob"))
    assert (0,) == tuple(each.denied for each in enforcer.history("acme", "leads"))
    assert "user-leads" not in enforcer.usage("acme")
    assert 0 == enforcer.usage("globex", scope="ann")["user-leads"].used


def test_a_refund_goes_into_the_meter_of_the_scope(enforcer):
    decision = enforcer.consume("acme", BOTH, scope="ann")
    other = enforcer.consume("acme", BOTH, scope="bob")
    keyed = enforcer.consume("acme", {"leads": 1, "user-leads": 1}, key="job", scope="ann")

    assert enforcer.consume("acme", {"leads": 1, "user-leads": 1}, key="job", scope="ann").replayed
    assert enforcer.refund(keyed)
    assert enforcer.refund(decision)
    assert not enforcer.refund(decision)
    assert (2, 0) == used(enforcer, "leads", "user-leads", scope="ann")
    assert (2,) == used(enforcer, "user-leads", scope="bob")
    assert enforcer.refund(other)
    assert (0, 0) == used(enforcer, "leads", "user-leads", scope="bob")


def test_an_allocation_of_a_scope_has_its_own_units_and_holders(enforcer):
    assert enforcer.assign("acme", "devices", "phone", scope="ann")
    assert enforcer.assign("acme", "devices", "phone", scope="bob")
    assert enforcer.consume("acme", {"agents": 1, "devices": 2}, scope="ann")
    assert Reason.ALLOCATION_FULL is enforcer.assign("acme", "devices", "tablet", scope="ann").reason

    assert ("phone",) == enforcer.holders("acme", "devices", scope="ann")
    assert enforcer.unassign("acme", "devices", "phone", scope="ann")
    assert not enforcer.unassign("acme", "devices", "phone", scope="ann")
    assert ("phone",) == enforcer.holders("acme", "devices", scope="bob")
    assert 2 == enforcer.release("acme", "devices", 5, scope="ann")
    assert (0, 1) == used(enforcer, "devices", "agents", scope="ann")
    assert 3 == enforcer.set_usage("acme", "devices", 3, scope="ann").used
    assert 4 == enforcer.set_usage("acme", "user-leads", 4, scope="ann").used
    with pytest.raises(ValueError, match="1 are held"):
        enforcer.set_usage("acme", "devices", 0, scope="bob")


@pytest.mark.parametrize("key", [None, "a:b@3:c"])
def test_a_reservation_holds_units_of_the_account_and_of_a_scope(enforcer, key):
    wanted = {"leads": 3, "user-leads": 4, "devices": 1}
    reserved = enforcer.reserve("acme", wanted, ttl=600, key=key, scope="ann:@ é")

    assert (3, 4, 1) == used(enforcer, "leads", "user-leads", "devices", scope="ann:@ é")
    assert 4 == enforcer.usage("acme", scope="ann:@ é")["user-leads"].reserved
    enforcer.reservation("acme", reserved.id).commit({"leads": 1, "user-leads": 2})
    enforcer.reservation("acme", reserved.id).cancel()
    assert (1, 2, 0) == used(enforcer, "leads", "user-leads", "devices", scope="ann:@ é")

    with enforcer.reserve("acme", {"user-leads": 3}, scope="ann:@ é") as inner:
        inner.cancel()
    assert (2,) == used(enforcer, "user-leads", scope="ann:@ é")
    assert not enforcer.reserve("acme", {"user-leads": 4}, scope="ann:@ é")


def test_a_reservation_that_has_lapsed_is_charged_again_for_its_scope():
    now = [1_790_000_000_000_000]
    enforcer = Enforcer(POLICY, accounts=ACCOUNTS, store=MemoryStore(lambda: now[0]), clock=lambda: now[0])
    reserved = enforcer.reserve("acme", {"leads": 1, "user-leads": 3}, ttl=60, scope="ann")
    late = enforcer.reserve("acme", {"user-leads": 1}, ttl=60, scope="ann")
    now[0] += 61_000_000

    assert (0, 0) == used(enforcer, "leads", "user-leads", scope="ann")
    reserved.commit({"leads": 1})
    assert (1, 0) == used(enforcer, "leads", "user-leads", scope="ann")
    late.commit()
    assert (1, 1) == used(enforcer, "leads", "user-leads", scope="ann")
    with pytest.raises(ReservationExpired):
        enforcer.reservation("acme", reservation_id("o:never", "ann")).commit()


def test_a_reservation_whose_scope_was_evicted_is_gone(valkey):
    with valkey.client() as client, Enforcer(POLICY, accounts=ACCOUNTS, store=valkey.url) as enforcer:
        client.flushdb()
        reserved = enforcer.reserve("acme", {"leads": 2, "user-leads": 2}, scope="ann")
        client.delete(scope_key("ent", "acme", "ann"))

        with pytest.raises(ReservationExpired):
            reserved.commit({"leads": 1, "user-leads": 1})
        reserved.cancel()
        assert (0, 0) == used(enforcer, "leads", "user-leads", scope="ann")


@pytest.mark.parametrize("scope", [None, "a", "12:a", "@1:a:k:x", "x" * 256, "é@:"])
@pytest.mark.parametrize("operation", ["o:0123", "k:12:@", "k:@3:abc:o:1"])
def test_the_id_of_a_reservation_names_its_scope(scope, operation):
    assert (operation, scope) == split_reservation_id(reservation_id(operation, scope))


WRONG = {
    "no use": (
        lambda to: to.consume("acme", "leads", scope="ann"),
        "has no use: 'leads' is not declared `per` anything; leave it out",
    ),
    "needs": (lambda to: to.consume("acme", "user-leads"), "'user-leads': a limit per user needs scope=, the user"),
    "two": (
        lambda to: to.consume("acme", {"user-leads": 1, "drafts": 1}, scope="a"),
        "'user-leads', 'drafts' are limits per project and per user",
    ),
    "reserve": (lambda to: to.reserve("acme", "user-leads"), "needs scope="),
    "history": (lambda to: to.history("acme", "user-leads"), "needs scope="),
    "history of the account": (lambda to: to.history("acme", "leads", scope="ann"), "has no use"),
    "release": (lambda to: to.release("acme", "devices"), "needs scope="),
    "assign": (lambda to: to.assign("acme", "devices", "x"), "needs scope="),
    "assign to the account": (lambda to: to.assign("acme", "agents", "x", scope="ann"), "has no use"),
    "unassign": (lambda to: to.unassign("acme", "devices", "x"), "needs scope="),
    "holders": (lambda to: to.holders("acme", "devices"), "needs scope="),
    "set_usage": (lambda to: to.set_usage("acme", "user-leads", 1), "needs scope="),
    "empty": (lambda to: to.usage("acme", scope=""), "scope '' must have"),
    "forget": (lambda to: to.forget("acme", scope="a\n"), "control characters"),
    "scopes": (lambda to: to.scopes("acme", "leads"), "'leads' has no scopes"),
    "page": (lambda to: to.scopes("acme", size=0), "size 0 of a page must be an int from 1 to 250"),
    "after": (lambda to: to.scopes("acme", after=""), "scope '' must have"),
}


@pytest.mark.parametrize("call", WRONG)
def test_a_scope_that_is_missing_or_has_no_use_is_an_error(call):
    act, message = WRONG[call]
    with Enforcer(POLICY, accounts=ACCOUNTS) as enforcer, pytest.raises(ValueError, match=message):
        act(enforcer)


def test_scopes_of_an_unknown_limit_are_an_error():
    with Enforcer(POLICY, accounts=ACCOUNTS) as enforcer, pytest.raises(UnknownFeature, match="user-leads"):
        enforcer.scopes("acme", "user-lead")


def test_scopes_are_listed_in_pages_in_the_order_of_their_names(enforcer):
    names = [f"user-{number:03}" for number in range(30)] + ["é", "€", "😀", "x" * 256, " ", "a", "ab", "a b"]
    random.Random(1).shuffle(names)
    for at, name in enumerate(names):
        limit = ("logins", "user-leads", "devices")[at % 3]
        assert enforcer.consume("acme", limit, scope=name)
    enforcer.consume("globex", "user-leads", scope="other")

    pages = [enforcer.scopes("acme", size=7)]
    while len(pages[-1]) == 7:
        pages.append(enforcer.scopes("acme", after=pages[-1][-1], size=7))

    assert sorted(names) == [name for page in pages for name in page]
    assert sorted(names[1::3]) == list(enforcer.scopes("acme", "user-leads"))
    assert sorted(names[2::3])[2:4] == list(enforcer.scopes("acme", "devices", after=sorted(names[2::3])[1], size=2))
    assert () == enforcer.scopes("unheard-of")


def test_an_allocation_that_is_released_leaves_no_scope(enforcer):
    enforcer.consume("acme", "devices", 2, scope="ann")
    enforcer.consume("acme", "devices", 2, scope="bob")
    enforcer.release("acme", "devices", 2, scope="ann")

    assert ("bob",) == enforcer.scopes("acme")


def test_a_scope_is_forgotten_by_itself_and_all_with_the_account(enforcer):
    scopes = [f"{number:03}" for number in range(MAX_SCOPES + 3)]
    for scope in scopes:
        enforcer.consume("acme", "user-leads", 2, scope=scope)
    enforcer.consume("acme", {"leads": 1, "logins": 1, "devices": 1}, scope="000")
    enforcer.consume("globex", "user-leads", scope="000")

    enforcer.forget("acme", scope="000")
    assert (1, 0, 0, 0) == used(enforcer, "leads", "user-leads", "logins", "devices", scope="000")
    assert (2,) == used(enforcer, "user-leads", scope="001")

    enforcer.forget("acme")
    assert () == enforcer.scopes("acme")
    assert {(0, 0)} == {used(enforcer, "leads", "user-leads", scope=scope) for scope in scopes[::50]}
    assert ("000",) == enforcer.scopes("globex")


def test_a_shadow_limit_of_a_scope_counts_and_never_refuses(enforcer):
    for _ in range(3):
        assert enforcer.consume("acme", {"leads": 1, "soft": 1}, scope="ann")

    (period,) = enforcer.history("acme", "soft", scope="ann")
    assert (3, 2) == (period.used, period.denied)


def test_reviews_and_previews_are_about_the_limits_of_the_account(enforcer):
    enforcer.consume("acme", {"leads": 18, "user-leads": 1}, scope="ann")

    assert "user-leads" not in str(enforcer.review("acme").to_dict())
    assert {"acme": {"api", "leads", "agents"}} == {id: set(each) for id, each in enforcer.usage_of(["acme"]).items()}


def test_events_name_the_scope():
    events = []
    with Enforcer(POLICY, accounts=ACCOUNTS, hooks=[events.append], thresholds=(80,)) as enforcer:
        for scope in ("ann", "bob"):
            enforcer.consume("acme", "user-leads", 4, scope=scope)
        enforcer.consume("acme", "devices", scope="ann")
        enforcer.release("acme", "devices", scope="ann")
        enforcer.assign("acme", "devices", "phone", scope="ann")
        enforcer.unassign("acme", "devices", "phone", scope="ann")
        usage = enforcer.set_usage("acme", "user-leads", 1, scope="ann")
        reserved = enforcer.reserve("acme", "user-leads", scope="ann")
        reserved.cancel()
        enforcer.forget("acme", scope="ann")

    crossed = [(each.decision.feature, each.decision.scope) for each in events if isinstance(each, Threshold)]
    assert [("user-leads", "ann"), ("user-leads", "bob")] == crossed
    assert [
        Released("acme", "devices", 1, "ann"), Unassigned("acme", "devices", "phone", "ann"),
        UsageSet("acme", "user-leads", usage, "ann"), Settlement("acme", reserved.id, (), "ann"), Forgotten("acme", "ann"),
    ] == [each for each in events if isinstance(each, Released | Unassigned | UsageSet | Settlement | Forgotten)]  # fmt: skip


def test_the_async_verbs_take_a_scope(server):
    with server.client() as client:
        client.flushdb()
    use_async_verbs(server.url)


def test_a_cluster_keeps_the_scopes_of_an_account_in_its_slot(cluster):
    cluster.reset()
    use_async_verbs(cluster.url)
    with Enforcer(POLICY, accounts=ACCOUNTS, store=cluster.url) as enforcer:
        for scope in ("ann", "bob"):
            assert enforcer.consume("acme", BOTH, scope=scope)
        reserved = enforcer.reserve("acme", {"leads": 1, "devices": 2}, scope="bob")
        enforcer.reservation("acme", reserved.id).commit()
        assert (5, 2, 2) == used(enforcer, "leads", "user-leads", "devices", scope="bob")
        assert ("bob",) == enforcer.scopes("acme", "devices")
        enforcer.forget("acme")
        assert () == enforcer.scopes("acme")


def use_async_verbs(url):
    """Use every verb that takes a scope, on an event loop."""

    async def main():
        async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=url) as enforcer:
            acme = await enforcer.account("acme")
            assert await acme.consume(BOTH, scope="ann")
            assert await acme.assign("devices", "phone", scope="bob")
            async with enforcer.reserve("acme", {"leads": 1, "user-leads": 2}, scope="ann") as reserved:
                pass
            await enforcer.reservation("acme", reserved.id).cancel()
            assert 4 == (await enforcer.usage("acme", scope="ann"))["user-leads"].used
            assert 4 == (await enforcer.history("acme", "user-leads", scope="ann"))[0].used
            assert ("phone",) == await enforcer.holders("acme", "devices", scope="bob")
            assert await enforcer.unassign("acme", "devices", "phone", scope="bob")
            assert 2 == (await enforcer.set_usage("acme", "devices", 2, scope="bob")).used
            assert 1 == await enforcer.release("acme", "devices", scope="bob")
            assert ("ann", "bob") == await enforcer.scopes("acme")
            assert ("bob",) == await acme.scopes("devices", size=1)
            await enforcer.forget("acme", scope="ann")
            assert ("bob",) == await enforcer.scopes("acme")
            await enforcer.forget("acme")
            assert () == await enforcer.scopes("acme")

    asyncio.run(main())


def test_scopes_of_many_tasks_never_pass_a_limit_of_the_account_or_of_a_scope(valkey):
    with valkey.client() as client:
        client.flushdb()

    async def main():
        async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=valkey.url) as enforcer:
            charges = [enforcer.consume("acme", {"leads": 1, "user-leads": 1}, scope=f"u{at % 7}") for at in range(120)]
            allowed = [each for each in await asyncio.gather(*charges) if each]
            assert 20 == len(allowed) == (await enforcer.usage("acme"))["leads"].used
            counts = [(await enforcer.usage("acme", scope=f"u{at}"))["user-leads"].used for at in range(7)]
            assert 20 == sum(counts)
            assert max(counts) <= 5
            assert all(await asyncio.gather(*[enforcer.refund(each) for each in allowed]))
            assert 0 == (await enforcer.usage("acme"))["leads"].used

    asyncio.run(main())


def test_an_outage_keeps_the_scope_of_what_it_promises(rack):
    policy = Policy.parse({
        "policy": {"version": "1"},
        "limits": {"leads": {"kind": "quota", "on_outage": "allow"}, "user-leads": {"kind": "quota", "per": "user", "on_outage": "allow"}},
        "tiers": {"pro": {"rank": 1, "limits": {"leads": 20, "user-leads": 5}}},
    })  # fmt: skip
    server = rack.start("valkey-9")
    with Enforcer(policy, accounts=ACCOUNTS, store=server.url, expected_processes=1) as enforcer:
        assert enforcer.consume("acme", {"leads": 1, "user-leads": 1}, scope="ann")
        server.stop()
        promised = enforcer.consume("acme", {"leads": 2, "user-leads": 2}, scope="ann")
        other = enforcer.consume("acme", {"leads": 1, "user-leads": 1}, scope="bob")
        assert ("journal", "journal") == (promised.via, other.via)
        assert enforcer.refund(other)
        server.cont()
        wait_until(lambda: not enforcer.peek("acme", "leads").degraded, "an answer from the server")
        assert [(3, 3), (3, 0)] == [settled(enforcer, "leads", "user-leads", scope=scope) for scope in ("ann", "bob")]
        assert enforcer.refund(promised)
        assert (1, 1) == settled(enforcer, "leads", "user-leads", scope="ann")


def settled(enforcer, *names, scope):
    """Return what is used once the store has answered a read."""
    found = []

    def read():
        with suppress(StoreError):
            found[:] = used(enforcer, *names, scope=scope)
        return found

    wait_until(read, "a read")
    return tuple(found)


def test_pages_neither_miss_nor_repeat_a_scope_that_stays_while_others_come_and_go(enforcer):
    stays = [f"s{number:03}" for number in range(20)]
    for scope in stays:
        enforcer.consume("acme", "devices", scope=scope)
    chance, found, after = random.Random(2), [], None
    while page := enforcer.scopes("acme", after=after, size=3):
        found += page
        after = page[-1]
        comes = f"s{chance.randrange(20):03}{chance.choice('abc')}"
        enforcer.consume("acme", "devices", scope=comes)
        enforcer.forget("acme", scope=f"s{chance.randrange(20):03}{chance.choice('abc')}")

    assert stays == [name for name in found if name in stays]
    assert all(one < other for one, other in pairwise(found))
