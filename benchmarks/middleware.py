"""
Cost of the middleware on a route: requests per second of hello-world behind it.

    python -m benchmarks.middleware [--rounds 5] [--app raw] [--store redis://127.0.0.1]

uvicorn with httptools serves each variant in a process of its own, `wrk` asks with 32
connections. In each round all of them are started again and asked in turn for a second each,
four times, in shuffled order. A share is relative to a middleware that does nothing, seconds
before or after.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.rounds import environment

BASE = "pass-through"
PASSES = 4
HEADERS = [(b"ratelimit-policy", b'"api";q=100000000;w=3600'), (b"ratelimit", b'"api";r=99999999;t=3619')]


async def hello(scope, receive, send):
    """Answer with eleven bytes."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"11")],
        }
    )
    await send({"type": "http.response.body", "body": b"hello world"})


def starlette_hello():
    """Return hello-world as a usual Starlette application."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def hello_world(request):
        return PlainTextResponse("hello world")

    return Starlette(routes=[Route("/", hello_world)])


class PassThrough:
    """A middleware that does nothing."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        """Serve one scope."""
        await self.app(scope, receive, send)


class Headed(PassThrough):
    """A middleware that adds two constant headers such as ours."""

    async def __call__(self, scope, receive, send):
        """Serve one scope."""

        def sent(message):
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            return send(message)

        await self.app(scope, receive, sent)


def variants(store, inner=hello):
    """Return the variants: a name, and a function that makes the application around *inner*."""
    from entitlements import AsyncEnforcer, Policy
    from entitlements.http.asgi import EntitlementsMiddleware
    from entitlements.http.routes import Route

    policy = Policy.parse({
        "policy": {"version": "b"}, "features": {"chat": "x"},
        "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota"}},
        "tiers": {"one": {"rank": 1, "features": ["chat"], "limits": {"api": "100000000 per hour", "leads": 10**12}}},
    })  # fmt: skip

    def behind(route, **options):
        def made():
            enforcer = AsyncEnforcer(policy, accounts={"acme": "one"}, store=store)
            return EntitlementsMiddleware(inner, enforcer=enforcer, identify=lambda _: "acme", default=route, **options)

        return made

    return {
        BASE: lambda: PassThrough(inner),
        "two headers, always the same": lambda: Headed(inner),
        "a rate, with headers": behind(Route(consumes={"api": 1})),
        "a rate, without headers": behind(Route(consumes={"api": 1}), headers="none"),
        "a feature": behind(Route(requires={"chat"})),
        "a quota, with headers": behind(Route(consumes={"leads": 1})),
        "a rate and a quota, with headers": behind(Route(consumes={"api": 1, "leads": 1})),
    }


def serve(name, store, port, app):
    """Serve one variant until killed."""
    import uvicorn

    inner = starlette_hello() if app == "starlette" else hello
    uvicorn.run(
        variants(store, inner)[name](), port=port, http="httptools", loop="asyncio", lifespan="off", access_log=False,
        log_level="error",
    )  # fmt: skip


def cpu_seconds(process):
    """Return the processor time that a process has used so far; it drifts less than the clock on a shared machine."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def requests_per_second(port, seconds):
    """Return the rate that wrk counts; reject any status but 200."""
    said = subprocess.run(
        ["wrk", "-t1", "-c32", f"-d{seconds}s", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"not every answer was 200:\n{said}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1))


def started(name, store, app):
    """Start a variant, and return its process and port once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "benchmarks.middleware",
        "--serve",
        name,
        "--store",
        store,
        "--app",
        app,
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command, env=os.environ)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process, port
    raise SystemExit(f"{name} did not start")


def best(rounds, name):
    """Return the mean of a variant's three best runs: its rate on an undisturbed machine."""
    return sum(sorted(each[name] for each in rounds)[-3:]) / 3


def one_pass(served, seconds, cpu):
    """Ask every variant for a while, in shuffled order; return the requests a second, and record the processor time of each."""
    found = {}
    for name in random.sample(list(served), len(served)):
        process, port = served[name]
        before = cpu_seconds(process)
        found[name] = requests_per_second(port, seconds)
        cpu[name].append((cpu_seconds(process) - before) / (found[name] * seconds) * 1e6)
    return found


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.middleware", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="variants, by name")
    parser.add_argument("--store", default="memory://")
    parser.add_argument(
        "--app", choices=("starlette", "raw"), default="starlette", help="hello-world by Starlette, or in plain ASGI"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.store, options.port, options.app)
        return 0
    if not shutil.which("wrk"):
        parser.error("wrk is not installed (on Debian: apt install wrk)")
    names = [name for name in variants("memory://") if name == BASE or not options.only or name in options.only]
    rounds, cpu = [], {name: [] for name in names}
    for at in range(options.rounds):
        served = {name: started(name, options.store, options.app) for name in names}
        try:
            for _, port in served.values():
                requests_per_second(port, 1)  # warm
            rounds.extend(one_pass(served, options.seconds, cpu) for _ in range(PASSES))
        finally:
            for process, _ in served.values():
                process.kill()
                process.wait()
        print(f"\rround {at + 1} of {options.rounds}", end="", file=sys.stderr, flush=True)
    print(f"\n{environment()}; store {options.store.partition('://')[0]}; {options.app} hello-world")
    print(f"{'':<34}{'':>19} share kept (least to most)  of the best")
    for name in names:
        shares = [each[name] / each[BASE] for each in rounds]
        rate = median(each[name] for each in rounds)
        spread = f"{median(shares):>6.1%} ({min(shares):.1%} to {max(shares):.1%})"
        undisturbed = best(rounds, name) / best(rounds, BASE)
        print(f"{name:<34}{rate:>8,.0f} requests/s {spread:<28}{undisturbed:>7.1%}{median(cpu[name]):>10.1f} us of CPU")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
