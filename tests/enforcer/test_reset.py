"""`reset` empties the meter of a rate, at once and everywhere; quotas and allocations have `set_usage`."""

import pytest
from flaky import Flaky

from entitlements import AsyncEnforcer, Enforcer, Policy, StoreError, UnknownAccount, UnknownFeature
from entitlements.model.events import RateReset
from entitlements.stores import MemoryStore

LIMIT = 3
LONG = {"deadline": "10 seconds"}
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {
        "api": {"kind": "rate", **LONG},
        "fixed": {"kind": "rate", "algorithm": "fixed", **LONG},
        "bucket": {"kind": "rate", "algorithm": "token-bucket", **LONG},
        "logins": {"kind": "rate", "per": "ip", **LONG},
        "leads": {"kind": "quota", **LONG},
        "agents": {"kind": "allocation", **LONG},
    },
    "tiers": {"pro": {"rank": 1, "limits": {
        **dict.fromkeys(["api", "fixed", "bucket", "logins"], f"{LIMIT} per day"), "leads": 9, "agents": 9,
    }}},
})  # fmt: skip
ACCOUNTS = {"acme": "pro", "globex": "pro"}


def use_up(enforcer, limit, account="acme", **named):
    while enforcer.consume(account, limit, **named):
        pass


@pytest.fixture
def enforcer(any_store):
    """An enforcer on a memory store, and on each kind of server."""
    return Enforcer(POLICY, accounts=ACCOUNTS, store=any_store)


@pytest.mark.parametrize("limit", ["api", "fixed", "bucket"])
def test_a_rate_that_is_reset_has_all_its_units_at_once(enforcer, limit):
    use_up(enforcer, limit)
    use_up(enforcer, limit, "globex")
    enforcer.consume("acme", {"leads": 2, "agents": 3})

    assert enforcer.reset("acme", limit) is None

    usage = enforcer.usage("acme")
    assert (0, 2, 3) == (usage[limit].used, usage["leads"].used, usage["agents"].used)
    assert enforcer.consume("acme", limit, LIMIT)
    assert not enforcer.consume("acme", limit)
    assert not enforcer.consume("globex", limit)


def test_a_scope_is_reset_by_itself(enforcer):
    for ip in ("10.0.0.1", "10.0.0.2"):
        use_up(enforcer, "logins", scope=ip)

    enforcer.reset("acme", "logins", scope="10.0.0.1")

    assert enforcer.consume("acme", "logins", scope="10.0.0.1")
    assert not enforcer.consume("acme", "logins", scope="10.0.0.2")


def test_a_rate_that_was_never_used_can_be_reset(enforcer):
    enforcer.reset("acme", "api")

    assert enforcer.consume("acme", "api", LIMIT)


def test_hooks_see_it():
    events = []
    with Enforcer(POLICY, accounts=ACCOUNTS, hooks=[events.append]) as watched:
        watched.reset("acme", "api")
        watched.reset("acme", "logins", scope="10.0.0.1")

    assert [RateReset("acme", "api", None), RateReset("acme", "logins", "10.0.0.1")] == events


WRONG = {
    "a quota": (("acme", "leads"), {}, ValueError, "reset works on a rate; 'leads' is a quota, which set_usage sets to 0"),
    "an allocation": (("acme", "agents"), {}, ValueError, "'agents' is an allocation, which set_usage sets"),
    "no limit": (("acme", "apy"), {}, UnknownFeature, "api"),
    "no account": (("amce", "api"), {}, UnknownAccount, "amce"),
    "no scope": (("acme", "logins"), {}, ValueError, "needs scope="),
    "a useless scope": (("acme", "api"), {"scope": "10.0.0.1"}, ValueError, "has no use"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_reset_is_an_error_that_says_what_to_do(wrong):
    args, named, error, text = WRONG[wrong]
    with Enforcer(POLICY, accounts=ACCOUNTS) as enforcer, pytest.raises(error, match=text):
        enforcer.reset(*args, **named)


def test_set_usage_of_a_rate_names_reset():
    with Enforcer(POLICY, accounts=ACCOUNTS) as enforcer, pytest.raises(ValueError, match="which reset makes empty"):
        enforcer.set_usage("acme", "api", 0)


def test_a_process_that_decides_by_itself_knows_of_it():
    """In an outage a process goes on from what it last saw used, and from what it has let through."""
    store = Flaky(MemoryStore())
    with Enforcer(POLICY, accounts=ACCOUNTS, store=store, expected_processes=1) as enforcer:
        for seen_before in (True, False):
            if seen_before:
                enforcer.consume("acme", "api", LIMIT)
            enforcer.reset("acme", "api")
            store.script = ["refused"]
            decision = enforcer.consume("acme", "api", LIMIT)
            assert (True, "local") == (decision.allowed, decision.via)

        store.script = ["refused"]
        with pytest.raises(StoreError):
            enforcer.reset("acme", "api")


async def test_an_event_loop_and_handles_reset_too(valkey):
    url = f"{valkey.url}?namespace=reset"
    with Enforcer(POLICY, accounts=ACCOUNTS, store=url, expected_processes=1) as enforcer:
        async with AsyncEnforcer(POLICY, accounts=ACCOUNTS, store=url, expected_processes=1) as loop:
            handle, bound = await loop.account("acme"), enforcer.account("acme")
            for reset in (lambda: loop.reset("acme", "api"), lambda: handle.reset("api")):
                while await loop.consume("acme", "api"):
                    pass  # refused by the deny cache from now on
                await reset()
                assert await loop.consume("acme", "api", LIMIT)
            bound.reset("api")
            assert bound.consume("api", LIMIT)
            assert not bound.consume("api")
            enforcer.reset("acme", "api")
            assert bound.consume("api")
