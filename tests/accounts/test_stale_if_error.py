"""Fallback while the source of accounts is down: stale entries, `when_down`, events."""

import asyncio
import logging
from datetime import timedelta

import httpx
import pytest

from entitlements import Account, AccountsUnavailable, AsyncEnforcer, Enforcer, Policy, Reason
from entitlements.accounts import AsyncCachedAccounts, CachedAccounts
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.model import events
from entitlements.testing import RecordingHook

SECOND = 1_000_000
OVER = 331 * SECOND
"""More than the 30 seconds for which an account is fresh and the 5 minutes for which it may stand in."""


def policy(version=1, unknown="deny", tiers=("free", "pro")):
    return Policy.parse({
        "policy": {"version": version, "unknown_account": unknown},
        "features": {"sso": "Single sign-on"},
        "limits": {"leads": {"kind": "quota"}},
        "tiers": {
            tier: {"rank": rank, "features": ["sso"] * rank, "limits": {"leads": 5 + rank}}
            for rank, tier in enumerate(tiers)
        } | {"trial": {"rank": 1, "extends": tiers[0], "trial": {"of": "14 days", "then": tiers[0]}}},
    })  # fmt: skip


class Directory:
    down = False

    def find(self, id):
        if self.down:
            raise ConnectionError(f"no way to {id}")
        return Account(id, "pro") if id == "acme" else None


class AsyncDirectory(Directory):
    async def find(self, id):
        return super().find(id)


class Clock:
    now = 1_700_000_000 * SECOND

    def __call__(self):
        return self.now


class Product:
    """A blocking enforcer over a directory that knows acme, and goes down with acme loaded."""

    def __init__(self, *, under=None, **named):
        self.clock, self.directory, self.hook = Clock(), Directory(), RecordingHook()
        self.cached = CachedAccounts(self.directory, clock=self.clock, **named)
        self.enforcer = Enforcer(under or policy(), accounts=self.cached, clock=self.clock, hooks=[self.hook])
        self.enforcer.can("acme", "sso")
        self.directory.down = True

    def outage_events(self):
        return [type(each).__name__ for each in self.hook.of((events.AccountsDown, events.AccountsBack))]


def test_what_is_known_stands_in_and_then_a_clear_error_is_raised():
    it = Product()
    it.clock.now += OVER - 2 * SECOND
    assert it.enforcer.consume("acme", "leads").allowed
    it.clock.now += 2 * SECOND
    for id in ("acme", "never seen"):
        with pytest.raises(AccountsUnavailable, match=f"account '{id}' cannot be loaded") as caught:
            it.enforcer.consume(id, "leads")
        assert isinstance(caught.value.__cause__, ConnectionError)


def test_a_tier_can_follow():
    it = Product(when_down="free")
    it.clock.now += OVER
    assert ["free", "free"] == [it.enforcer.decide(id, "sso").tier for id in ("acme", "never seen")]
    assert it.enforcer.consume("acme", "leads").allowed
    it.directory.down = False
    it.clock.now += SECOND
    assert "pro" == it.enforcer.decide("acme", "sso").tier


@pytest.mark.parametrize(
    ("unknown", "reason", "tier"), [("deny", Reason.UNKNOWN_ACCOUNT, None), ("pro", Reason.INCLUDED, "pro")]
)
def test_what_the_policy_says_of_unknown_accounts_can_follow(unknown, reason, tier):
    it = Product(under=policy(unknown=unknown), when_down="unknown_account")
    it.clock.now += OVER
    decision = it.enforcer.decide("acme", "sso")
    assert (reason, tier) == (decision.reason, decision.tier)


def test_a_source_that_is_down_is_asked_once_a_second_for_each_account():
    it = Product(when_down="free")
    it.clock.now += OVER
    asked = []
    it.directory.find = lambda id: asked.append(id) or 1 / 0
    for step in (0, SECOND - 1, 1):
        it.clock.now += step
        it.enforcer.can("acme", "sso")
    assert ["acme", "acme"] == asked


@pytest.mark.parametrize("when_down", ["platinum", "trial"])
def test_what_follows_is_a_tier_of_the_policy_in_force(when_down):
    with pytest.raises(ValueError, match=rf"when_down '{when_down}' is .* of policy 1; write 'raise'"):
        Product(when_down=when_down)
    it = Product(when_down="free")
    with pytest.raises(ValueError, match="when_down 'free' is no tier of policy 2"):
        it.enforcer.reload(policy(version=2, tiers=("basic", "pro")))


def test_hooks_and_the_log_are_told_once_that_it_is_down_and_once_that_it_is_back(caplog):
    caplog.set_level(logging.INFO, "entitlements.accounts")
    it = Product(when_down="free")
    for _ in range(3):
        it.clock.now += 40 * SECOND
        it.enforcer.can("acme", "sso"), it.enforcer.can("never seen", "sso")
    assert ["AccountsDown"] == it.outage_events()
    it.directory.down = False
    for _ in range(2):
        it.clock.now += 40 * SECOND
        it.enforcer.can("acme", "sso"), it.enforcer.can("never seen", "sso")
    assert ["AccountsDown", "AccountsBack"] == it.outage_events()
    (down,) = it.hook.of(events.AccountsDown)
    assert down.problem.startswith("ConnectionError: no way to #")
    assert [
        f"accounts cannot be loaded; those loaded within 0:05:30 stand in, others are in tier 'free': {down.problem}",
        "accounts are loaded again",
    ] == caplog.messages


def test_a_reload_makes_no_news_of_a_source_that_reads_anew_under_each_policy():
    class Reading(Directory):
        def with_policy(self, policy):
            again = Reading()
            again.down = self.down
            return again

    hook, clock, directory = RecordingHook(), Clock(), Reading()
    directory.down = True
    enforcer = Enforcer(policy(), accounts=CachedAccounts(directory, when_down="free"), clock=clock, hooks=[hook])
    enforcer.can("acme", "sso")
    enforcer.reload(policy(version=2))
    clock.now += SECOND
    enforcer.can("acme", "sso")
    assert 1 == len(hook.of(events.AccountsDown))
    enforcer._accounts._source.down = False
    clock.now += SECOND
    assert "pro" == enforcer.decide("acme", "sso").tier
    assert 1 == len(hook.of(events.AccountsBack))


def test_everybody_who_shares_a_cache_is_told_for_as_long_as_they_live():
    it, hook = Product(when_down="free"), RecordingHook()
    other = Enforcer(policy(), accounts=it.cached, clock=it.clock, hooks=[hook])
    other.can("never seen", "sso")
    assert (1, 1) == (len(hook.of(events.AccountsDown)), len(it.outage_events()))
    del other
    assert 1 == len(it.cached._entries._listeners)


async def nobody(scope, receive, send):
    raise AssertionError("nobody gets here")


@pytest.mark.parametrize("unknown", ["deny", "raise", "free"])
def test_requests_are_503_meanwhile_whatever_the_policy_says_of_unknown_accounts(unknown):
    directory, hook = AsyncDirectory(), RecordingHook()
    directory.down = True
    enforcer = AsyncEnforcer(policy(unknown=unknown), accounts=AsyncCachedAccounts(directory), hooks=[hook])
    route = Route(consumes={"leads": 1})
    app = EntitlementsMiddleware(nobody, enforcer=enforcer, identify=lambda _: "acme", default=route)

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return [(await client.get("/")).status_code for _ in range(2)]

    assert [503, 503] == asyncio.run(ask())
    assert 1 == len(hook.of(events.AccountsDown))


async def test_a_source_that_hangs_is_down_as_one_that_fails():
    class Hanging(AsyncDirectory):
        async def find(self, id):
            if self.down:
                await asyncio.sleep(60)
            return await super().find(id)

    clock, directory, hook = Clock(), Hanging(), RecordingHook()
    cached = AsyncCachedAccounts(directory, clock=clock, when_down="free", load_within=timedelta(seconds=1))
    async with AsyncEnforcer(policy(), accounts=cached, clock=clock, hooks=[hook]) as enforcer:
        assert "pro" == (await enforcer.entitlements("acme")).tier
        directory.down = True
        clock.now += 60 * SECOND
        assert ["pro", "free"] == [(await enforcer.entitlements(id)).tier for id in ("acme", "new")]
    assert 1 == len(hook.of(events.AccountsDown))
