"""The library, through its public API: every answer is a whole `Decision`."""

from __future__ import annotations

import asyncio

from benchmarks.hot.setting import HOUR, SMALL, Case
from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.stores.pending import PendingOrder


def policy(setting):
    """Return the policy: a sliding rate, by default 10,000 an hour, a quota, seats, and a feature to ask for."""
    per = "hour" if setting.seconds == HOUR else f"{setting.seconds} seconds"
    return Policy.parse({
        "policy": {"version": "hot"},
        "features": {"sso": "Single sign-on"},
        "limits": {
            "api": {"kind": "rate", "deadline": "5 seconds"},
            "leads": {"kind": "quota", "deadline": "5 seconds"},
            "seats": {"kind": "allocation", "deadline": "5 seconds"},
        },
        "tiers": {
            "small": {"rank": 1, "features": ["sso"], "limits": {"api": f"{SMALL} per {per}", **COUNTED}},
            "large": {"rank": 2, "features": ["sso"], "limits": {"api": f"{setting.limit} per {per}", **COUNTED}},
        },
    })  # fmt: skip


def _as_is(reply):
    return reply


COUNTED = {"leads": 10**12, "seats": 10**12}
TWO, THREE = {"api": 1, "leads": 1}, {"api": 1, "leads": 1, "seats": 1}
ACCOUNTS = {f"a{number}": "large" for number in range(10_001)} | {f"s{number}": "small" for number in range(1_000)}


class Ours(Case):
    what = "api"

    def open(self):
        self.enforcer = Enforcer(policy(self.setting), accounts=ACCOUNTS, store=self.setting.url, expected_processes=1)

    def hit(self, account):
        decision = self.enforcer.consume(account, self.what)
        self.degraded += decision.degraded
        return decision.allowed

    def close(self):
        self.enforcer.close()


class OursStrict(Ours):
    """Without the deny cache: every charge reaches the server."""

    def open(self):
        from entitlements.stores.outage import Outage
        from entitlements.stores.redis import RedisStore

        store = Outage(RedisStore(self.setting.url), processes=1)
        self.enforcer = Enforcer(policy(self.setting), accounts=ACCOUNTS, store=store)


class OursAsync(Case):
    asynchronous = True
    what = "api"

    async def open(self):
        self.enforcer = AsyncEnforcer(
            policy(self.setting), accounts=ACCOUNTS, store=self.setting.url, expected_processes=1
        )
        await self.enforcer.open()

    async def hit(self, account):
        decision = await self.enforcer.consume(account, self.what)
        self.degraded += decision.degraded
        return decision.allowed

    async def close(self):
        await self.enforcer.aclose()


class OursStrictAsync(OursAsync):
    """Without the deny cache: every charge reaches the server."""

    async def open(self):
        from entitlements.stores.outage import AsyncOutage
        from entitlements.stores.redis import AsyncRedisStore

        store = AsyncOutage(AsyncRedisStore(self.setting.url), processes=1)
        self.enforcer = AsyncEnforcer(policy(self.setting), accounts=ACCOUNTS, store=store)
        await self.enforcer.open()


class OursPingAsync(OursAsync):
    """`PING` through the connection of our decisions, coalesced like them; the difference is the cost of the decision."""

    async def open(self):
        from entitlements.stores.redis.encoding import Call, Request, pack_command
        from entitlements.stores.redis.pipeline import Pipeline
        from entitlements.stores.redis.url import target_from_url

        self._link = Pipeline(target_from_url(self.setting.url, "ent", 1))
        self._request = Request(Call(None, (), ()), pack_command(b"PING"), 5.0, _as_is)
        self._loop = asyncio.get_running_loop()
        await self._link.open()

    async def hit(self, account):
        pending = PendingOrder(None, self._loop.create_future(), self._request)
        self._link.send(pending)
        return await pending.future == b"PONG"

    async def close(self):
        await self._link.aclose()


class OursMemory(Ours):
    def open(self):
        self.enforcer = Enforcer(policy(self.setting), accounts=ACCOUNTS)


class OursCan(OursMemory):
    def hit(self, account):
        return self.enforcer.can(account, "sso")


class OursTwo(Ours):
    what = TWO


class OursThree(Ours):
    what = THREE


class OursTwoAsync(OursAsync):
    what = TWO


class OursThreeAsync(OursAsync):
    what = THREE


class OursTwoMemory(OursMemory):
    what = TWO


class OursThreeMemory(OursMemory):
    what = THREE


CASES = {
    "ours": Ours,
    "ours-strict": OursStrict,
    "ours-async": OursAsync,
    "ours-strict-async": OursStrictAsync,
    "ours-ping-async": OursPingAsync,
    "ours-memory": OursMemory,
    "ours-can": OursCan,
    "ours-two": OursTwo,
    "ours-three": OursThree,
    "ours-two-async": OursTwoAsync,
    "ours-three-async": OursThreeAsync,
    "ours-two-memory": OursTwoMemory,
    "ours-three-memory": OursThreeMemory,
}
