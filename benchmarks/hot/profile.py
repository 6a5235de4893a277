"""
Profile of the client CPU of one decision: `python -m benchmarks.hot.profile [--url redis://…] [--json FILE]`.

64 tasks ask for 1,000 accounts. Each row uses more of the library, from the bare coalescing
loop that sends the same script to `AsyncEnforcer.consume`. The difference between two rows is
the cost of that part. Client CPU by `getrusage`; rounds in shuffled order, the median of each row.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import resource
import statistics
import sys
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))  # where the servers are

from servers import KINDS, Rack

from benchmarks.hot import environments, machine
from benchmarks.hot.figures import keys
from benchmarks.hot.floors import CoalescingScript
from benchmarks.hot.ours import OursAsync
from benchmarks.hot.setting import HOUR, LIMIT, Setting
from entitlements.stores.pending import PendingOrder
from entitlements.stores.redis.encoding import encode_request
from entitlements.stores.redis.url import DEFAULT_NAMESPACE

RESULTS = environments.ROOT / ".bench" / "profile.json"
TASKS = 64
ROWS = {
    "floor": "bare loop: encoded beforehand, a future each, one write for many, the verdict read",
    "link": "+ one connection for all: deadlines, room, redis-py's connection, hiredis, cancelled waiters",
    "store": "+ the order's request found, and the reply read into an outcome, in a coroutine of its own",
    "outage": "+ the breaker, and what this process last saw used, and no coroutine between caller and reply",
    "deny": "+ the deny cache",
    "consume": "+ the account's snapshot, the decision with all that it can tell, hooks",
}


async def main() -> int:
    """Measure every row in rounds, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot.profile", description=__doc__.split("\n\n")[0])
    parser.add_argument("--url", help="of a server; without one, a server is started")
    parser.add_argument("--kind", choices=KINDS, default="valkey-9")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the raw figures go")
    options = parser.parse_args()
    rack = Rack()
    try:
        found = await measured(options.url or rack.start(options.kind).url, options.rounds)
    finally:
        rack.close()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    raw = {"machine": machine.told(), "kind": options.kind, "rows": found}
    options.json.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    table(found)
    return 0


async def measured(url, rounds):
    """Return the cost of a decision and the decisions a second, by row, for each round."""
    setting, accounts = Setting(url, LIMIT, HOUR), keys("turns")
    floor, ours = CoalescingScript(setting), OursAsync(setting)
    await floor.open()
    await ours.open()
    ways = await layers(floor, ours, sorted(set(accounts)))
    found = {name: [] for name in ways}
    for name in itertools.chain.from_iterable(random.sample(list(ways), len(ways)) for _ in range(rounds)):
        found[name].append(await cost(ways[name], accounts))
    await floor.close()
    await ours.close()
    return found


def table(found):
    """Print the cost of each row."""
    before = 0.0
    print("| part | µs of CPU | of that, its own | decisions/s |\n|---|---:|---:|---:|")
    for name, words in ROWS.items():
        spent = statistics.median(each for each, _ in found[name])
        rate = statistics.median(each for _, each in found[name])
        print(f"| {words} | {spent:.1f} | {spent - before:.1f} | {rate:,.0f} |")
        before = spent


async def layers(floor, ours, accounts):
    """Return the call of each row, by account."""
    enforcer = ours.enforcer
    for account in accounts:
        await enforcer.consume(account, "api")
    deny = enforcer._store
    outage = deny._store
    store = outage.transport
    link, loop = next(iter(store._connections.values())), asyncio.get_running_loop()
    resolved = {account: enforcer._cache.by_id[account] for account in accounts}
    orders = {account: each.made[each.charges["api"]] for account, each in resolved.items()}
    requests = {account: encode_request(DEFAULT_NAMESPACE, order) for account, order in orders.items()}

    async def through_link(account):
        pending = PendingOrder(None, loop.create_future(), requests[account])
        link.send(pending)
        await pending.future

    async def through_store(account):
        await store.execute(orders[account])

    async def through_outage(account):
        await outage.submit(orders[account])

    async def through_deny(account):
        order = orders[account]
        if deny.try_now(order) is None:
            await deny.submit(order)

    async def through_all(account):
        await enforcer.consume(account, "api")

    return {
        "floor": floor.hit, "link": through_link, "store": through_store, "outage": through_outage,
        "deny": through_deny, "consume": through_all,
    }  # fmt: skip


async def cost(ask, accounts, seconds=0.4):
    """Return the client CPU of one decision in microseconds, and the decisions a second."""
    turns, done, ended = itertools.cycle(accounts), 0, False

    async def client():
        nonlocal done
        while not ended:
            await ask(next(turns))
            done += 1

    used, began = resource.getrusage(resource.RUSAGE_SELF), perf_counter()
    tasks = [asyncio.create_task(client()) for _ in range(TASKS)]
    await asyncio.sleep(seconds)
    ended = True
    await asyncio.gather(*tasks)
    after, lasted = resource.getrusage(resource.RUSAGE_SELF), perf_counter() - began
    return 1e6 * (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / done, done / lasted


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
