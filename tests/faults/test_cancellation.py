"""Thousands of operations on one loop, half of them cancelled: each caller gets its own answer, and nothing leaks."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import count

import pytest
from faultlab.records import counted
from proxy import proxied
from topologies import wait_until

from entitlements import AsyncEnforcer, Policy, StoreError

pytestmark = pytest.mark.faults
TASKS, ACCOUNTS = 64, 100
LEAST_COST = 1009
"""Costs are LEAST_COST and more, one for each account: what is used says whose it is."""
MOST_TURNS = 12
"""Turns of the loop after which a call is cancelled; on a busy machine its answer may be there before."""
TTL = 1.0

POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {
        "api": {"kind": "rate", "deadline": "2 seconds"}, "leads": {"kind": "quota", "deadline": "2 seconds"},
        "seats": {"kind": "allocation", "deadline": "2 seconds"},
    },
    "tiers": {"one": {"rank": 1, "limits": {"api": "4000000000 per hour", "leads": 10**12, "seats": 10**9}}},
})  # fmt: skip


class Caller:
    """Makes one operation after the other, cuts half of them short, and looks whether the answers are its own."""

    def __init__(self, enforcer, seed):
        self.enforcer, self.seed, self.chance = enforcer, seed, random.Random(seed)
        self.made, self.wrong = Counter(), []

    async def operate(self, number):
        at = self.chance.randrange(ACCOUNTS)
        account, cost = f"a{at}", LEAST_COST + at
        verb = self.chance.choice((self.consume, self.mixed, self.usage, self.reserve, self.assign))
        task = asyncio.ensure_future(verb(account, cost, f"{account}/{self.seed}-{number}"))
        if self.chance.random() < 0.5:
            for _ in range(self.chance.randrange(MOST_TURNS)):
                await asyncio.sleep(0)
            task.cancel()
        try:
            await task
            self.made["answered"] += 1
        except asyncio.CancelledError:
            self.made["cancelled"] += 1
        except StoreError:
            self.made["failed"] += 1

    def check(self, is_own, answer):
        if not is_own:
            self.wrong.append(answer)

    def check_decision(self, decision, account, cost):
        own = decision.account == account and all(
            not each.used or each.used % cost == 0 for each in decision.parts.values()
        )
        self.check(own, decision)

    async def consume(self, account, cost, _):
        self.check_decision(await self.enforcer.consume(account, "api", cost), account, cost)

    async def mixed(self, account, cost, _):
        self.check_decision(await self.enforcer.consume(account, {"api": cost, "leads": cost}), account, cost)

    async def usage(self, account, cost, _):
        usage = await self.enforcer.usage(account)
        self.check(all(usage[name].used % cost == 0 for name in ("api", "leads")), usage)

    async def reserve(self, account, cost, _):
        reserved = await self.enforcer.reserve(account, "leads", cost, ttl=TTL)
        self.check_decision(reserved.decision, account, cost)
        if not reserved:
            return
        await (reserved.commit() if self.chance.random() < 0.5 else reserved.cancel())

    async def assign(self, account, cost, name):
        if (await self.enforcer.assign(account, "seats", name)).allowed:
            holders = await self.enforcer.holders(account, "seats")
            self.check(name in holders and all(each.startswith(f"{account}/") for each in holders), holders)
            await self.enforcer.unassign(account, "seats", name)


@pytest.mark.parametrize("many", [2_000, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_half_of_the_operations_are_cancelled_and_every_answer_goes_to_its_caller(valkey, many):
    accounts = {f"a{number}": "one" for number in range(ACCOUNTS)}
    with proxied(valkey.port) as proxy, valkey.client() as client:
        async with AsyncEnforcer(POLICY, accounts=accounts, store=proxy.url, expected_processes=1) as enforcer:
            await enforcer.usage("a0")
            callers = [Caller(enforcer, seed) for seed in range(TASKS)]

            async def work(caller):
                each = many // TASKS
                for number in count():
                    if number >= each and caller.made["cancelled"] >= each // 2:
                        return
                    await caller.operate(number)

            async def disturb():
                for kind, seconds, share in 1000 * (
                    ("jitter", 0.01, 1.0),
                    ("late", 0.005, 1.0),
                    ("cut after", 0, 0.002),
                ):
                    proxy.inject(kind, seconds, share)
                    await asyncio.sleep(0.2)

            disturbing = asyncio.create_task(disturb())
            await asyncio.gather(*map(work, callers))
            disturbing.cancel()
            await asyncio.gather(disturbing, return_exceptions=True)
            proxy.heal()
            await asyncio.sleep(TTL)
            journal = enforcer._store._store.policy.journal.queue
            for _ in range(1000):
                usage = [await enforcer.usage(account) for account in accounts]
                if not len(journal):
                    break
            assert not len(journal)
        made = sum((caller.made for caller in callers), Counter())
        print(dict(made))
        reserved = {each["leads"].reserved for each in usage}
        strange = [name for at, name in enumerate(accounts) if counted(client, name, "leads").used % (LEAST_COST + at)]
        await asyncio.to_thread(wait_until, lambda: len(client.client_list()) == 1, "the end of every connection")
        assert [] == [answer for caller in callers for answer in caller.wrong]
        assert {0} == reserved
        assert [] == strange
        assert {asyncio.current_task()} == asyncio.all_tasks()
