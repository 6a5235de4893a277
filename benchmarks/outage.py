"""
Timeline of an outage: which path decided, and how long it took.

    python -m benchmarks.outage [--rate 0] [--plot docs/outage.svg] [--kind valkey-9]

Requests come through the middleware (its ASGI interface, in this process) at half the
rate that it can take, without waiting for responses. One in four is charged a quota that is
refused without the store, the others a rate. Over 60 seconds the server is stopped (SIGSTOP)
and resumed, then killed and started again. Each decision is timed inside the process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))  # where the servers are

from servers import KINDS, Rack

from benchmarks.outage_plot import drawn
from benchmarks.rounds import environment
from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route

LASTS = 60
STORY = ((10, "stop"), (25, "resume"), (38, "kill"), (48, "start"))
"""Faults of the server, by second."""
DEADLINE = 0.05
PATHS_ASKED = ("/leads", "/", "/", "/")
PATHS = ("store", "local", "refused")

POLICY = Policy.parse({
    "policy": {"version": "b"},
    "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota", "deadline": "50 ms"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000000000 per hour", "leads": 10**12}}},
})  # fmt: skip


@dataclass
class Run:
    """
    Record of a run: the start, the duration and the path of each decision.

    The figures are in arrays, which the garbage collector does not traverse: a list with the
    decisions of a minute would pause the process for a tenth of a second at each full pass.
    """

    began: float = 0.0
    notes: array = field(default_factory=lambda: array("d"))
    statuses: Counter = field(default_factory=Counter)
    happened: dict[str, float] = field(default_factory=dict)
    opened: list[float] = field(default_factory=list)
    """Times at which the breaker opened after it was closed."""
    openings: int = 0

    def note(self, began, took, path):
        """Record one decision."""
        self.notes.extend((began, took, PATHS.index(path)))

    @cached_property
    def decisions(self):
        """Every decision, once all are made."""
        notes = iter(self.notes)
        return [(began, took, PATHS[int(path)]) for began, took, path in zip(notes, notes, notes, strict=True)]

    def within(self, since, until):
        """Return the decisions that began between two instants."""
        return [each for each in self.decisions if since <= each[0] < until]


async def hello(scope, receive, send):
    """Answer with five bytes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def timed(enforcer, run):
    """Note every decision of the enforcer that asks the store, or would; and when the breaker opens."""
    breaker = enforcer._store._store.policy.breaker
    enforcer._execute = noted(enforcer._execute, path_of_outcome, breaker, run)


def path_of_outcome(outcome):
    """Return the path that answered an order."""
    return "store" if not outcome.fallbacks else "local" if outcome.lines[0].fits else "refused"


def noted(verb, path_of, breaker, run):
    """Return a verb that records the start, the duration and the path of each decision."""

    async def noting(*args, **named):
        began = time.perf_counter()
        answer = await verb(*args, **named)
        now = time.perf_counter()
        run.note(began - run.began, now - began, path_of(answer))
        if breaker._openings and run.openings < breaker._openings == 1:
            run.opened.append(now - run.began)
        run.openings = breaker._openings
        return answer

    return noting


async def request(app, run, path):
    """Send one request through the middleware."""
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}

    async def send(message):
        if message["type"] == "http.response.start":
            named = dict(message["headers"])
            run.statuses[message["status"], b"retry-after" in named] += 1

    await app(scope, None, send)


async def capacity(app):
    """Return the requests a second of 32 tasks that each wait for their response."""
    run, until = Run(), time.perf_counter() + 4

    async def client():
        while time.perf_counter() < until:
            for path in PATHS_ASKED:  # each in a task of its own, as a server would
                await asyncio.create_task(request(app, run, path))

    await asyncio.gather(*(client() for _ in range(32)))
    return run.statuses.total() / 4


async def story(server, run):
    """Apply the faults to the server."""
    for at, what in STORY:
        await asyncio.sleep(max(0, run.began + at - time.perf_counter()))
        do = {"stop": server.stop, "resume": server.cont, "kill": server.kill, "start": server.start}[what]
        await asyncio.to_thread(do)
        run.happened[what] = time.perf_counter() - run.began


async def load(app, run, rate):
    """Send requests at this rate for the whole run, without waiting for responses."""
    tasks, sent = set(), 0
    while (now := time.perf_counter() - run.began) < LASTS:
        while sent < now * rate:
            task = asyncio.create_task(request(app, run, PATHS_ASKED[sent % 4]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)


async def measured(server, rate):
    """Run the faults under load; return the record and the rate."""
    run = Run()
    async with AsyncEnforcer(POLICY, accounts={"acme": "one"}, store=server.url, expected_processes=1) as enforcer:
        app = EntitlementsMiddleware(
            hello, enforcer=enforcer, identify=lambda _: "acme", default=Route(consumes={"api": 1}),
            routes=[Route("/leads", consumes={"leads": 1})],
        )  # fmt: skip
        most = int(await capacity(app))
        gc.collect()
        gc.freeze()  # as servers do after start-up: one collection of all that was imported takes 40 ms
        rate = rate or most // 2
        timed(enforcer, run)
        run.began = time.perf_counter()
        await asyncio.gather(story(server, run), load(app, run, rate))
    return run, rate, most


def quantile(values, share):
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def opened(run, fault):
    """Return when the breaker first opened after a fault; from then on no call waits."""
    return min(at for at in run.opened if at > run.happened[fault])


def strict_again(run, cure):
    """Return the time from the end of a fault to the last degraded decision."""
    end = run.happened[cure] + 9
    return (
        max((at for at, _, path in run.within(run.happened[cure], end) if path != "store"), default=0)
        - run.happened[cure]
    )


def report(run, rate, most, kind):
    """Print the figures; return whether every bar is met."""
    print(f"{environment()}; {kind}; {rate:,} requests/s of {most:,} that the middleware takes")
    print(f"{'':<34}{'decisions':>10}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}   bar")
    met = True
    rows = [("store answers", 0, run.happened["stop"], None)]
    for fault, cure in (("stop", "resume"), ("kill", "start")):
        at = opened(run, fault)
        rows.append((f"{fault}: until the breaker is open", run.happened[fault], at, DEADLINE + 0.01))
        rows.append((f"{fault}: open", at, run.happened[cure], 0.001))
    for name, since, until, bar in rows:
        took = [each for _, each, _ in run.within(since, until)]
        if not took:
            continue
        p99 = quantile(took, 0.99)
        good = bar is None or p99 <= bar
        met = met and good
        said = "" if bar is None else f"p99 <= {bar * 1000:g} ms{'' if good else '  MISSED'}"
        print(
            f"{name:<34}{len(took):>10,}{quantile(took, 0.5) * 1000:>9.2f}{p99 * 1000:>9.2f}{max(took) * 1000:>9.2f}   {said}"
        )
    for cure in ("resume", "start"):
        after = strict_again(run, cure)
        met = met and after <= 2
        print(f"{cure}: strict again after {after:.2f} s{'' if after <= 2 else '  MISSED'} (bar: 2 s)")
    statuses = run.statuses
    for (status, retry), many in sorted(statuses.items()):
        print(f"status {status}{', with Retry-After' if retry else ''}: {many:,}")
    bad = sum(
        many for (status, retry), many in statuses.items() if status not in {200, 503} or (status == 503 and not retry)
    )
    print(f"anything but 200, or 503 with Retry-After: {bad}")
    return met and not bad


def main() -> int:
    """Measure, print the figures, and draw the timeline if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--rate", type=int, default=0, help="requests a second; 0 for half of what can be taken")
    parser.add_argument("--plot", type=Path, help="draw the timeline here, as SVG")
    parser.add_argument("--kind", choices=KINDS, default="valkey-9")
    options = parser.parse_args()
    rack = Rack()
    try:
        run, rate, most = asyncio.run(measured(rack.start(options.kind), options.rate))
    finally:
        rack.close()
    good = report(run, rate, most, options.kind)
    if options.plot:
        options.plot.write_text(drawn(run.decisions, run.happened, PATHS, LASTS), encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
