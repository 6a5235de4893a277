"""
Throughput of hello-world behind a limiter on Redis: ours, slowapi and fastapi-limiter.

    python -m benchmarks.http_peers [--rounds 5] [--seconds 3] [--kind redis-8.2]

uvicorn (one worker, uvloop, httptools) serves each application in a process and an
environment of its own, and `wrk` asks with 32 connections for 1,000 accounts in turn.
Every application runs once in each round, in shuffled order, on an empty Redis. The share that
it keeps is relative to the bare application in the same round. A run is rejected if a response
was not 200, or if Redis did not count every request.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))  # where the servers are

from servers import KINDS, Rack, free_port

from benchmarks.http_apps import ACCOUNTS, HEADER, POLICY, account
from benchmarks.peers import OURS, ROOT, SERVING, chief, machine, markdown, python_of, versions_of, write
from entitlements import Account, Enforcer, Policy

RESULTS = ROOT / "benchmarks" / "results" / "http_peers.json"
HEAD = ("application", "requests/s", "share kept (min to max)", "CPU of uvicorn, µs", "CPU of Redis, µs")
WARM = 1
"""Seconds of requests before those that count."""

SCRIPT = """
local requests, at = {}, 0
function init(args)
  for n = 1, %d do requests[n] = wrk.format("GET", "/", {["%s"] = "%s" .. (n - 1)}) end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
"""


@dataclass(frozen=True)
class Case:
    """An application, the environment that serves it, what it is compared with, and a header that it must send."""

    app: str
    environment: str = OURS
    bare: str = "Starlette"
    header: str | None = None

    @property
    def limited(self):
        return self.app != self.bare


CASES = [
    Case("Starlette"),
    Case("Starlette, entitlements", header="ratelimit"),
    Case("Starlette, slowapi", "slowapi"),
    Case("Starlette, slowapi with headers", "slowapi", header="x-ratelimit-remaining"),
    Case("FastAPI", bare="FastAPI"),
    Case("FastAPI, entitlements", bare="FastAPI", header="ratelimit"),
    Case("FastAPI, fastapi-limiter", "fastapi-limiter", "FastAPI"),
]


def counted(said):
    """Return the number of responses that wrk counted, and the rate; reject any status but 200."""
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"not every answer was 200:\n{said}")
    many = int(re.search(r"(\d+) requests in", said)[1])
    return many, float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def asked(port, script, seconds):
    """Run wrk for some seconds; return its counts."""
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}/"]
    return counted(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def cpu_seconds(pid):
    """Return the processor time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def probe(case, port):
    """Send one request; reject a response that is not the expected one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/", headers={HEADER: account(0)})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200 or b"world" not in body:
        raise SystemExit(f"{case.app} answered {answer.status}: {body[:200]!r}")
    if case.header and case.header not in {name.lower() for name in answer.headers}:
        raise SystemExit(f"{case.app} sent no {case.header}: {dict(answer.headers)}")


def started(case, store):
    """Start an application, and return its process and port once it listens."""
    port = free_port()
    command = [python_of(case.environment), "-m", "benchmarks.http_apps", case.app, "--store", store]
    process = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT)
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        try:
            probe(case, port)
        except OSError:
            time.sleep(0.05)
        except BaseException:
            process.kill()
            raise
        else:
            return process, port
    process.kill()
    raise SystemExit(f"{case.app} did not start")


def run(case, server, script, seconds):
    """Measure one application once."""
    server.reset()
    process, port = started(case, server.url)
    try:
        warm, _ = asked(port, script, WARM)
        before, redis_before = cpu_seconds(process.pid), cpu_seconds(server.pid)
        many, rate = asked(port, script, seconds)
        used, redis_used = cpu_seconds(process.pid) - before, cpu_seconds(server.pid) - redis_before
        probe(case, port)
    finally:
        process.kill()
        process.wait()
    charges = in_redis(server)
    if case.limited and charges < warm + many:
        raise SystemExit(f"{case.app}: Redis counted {charges} of {warm + many} requests")
    return {
        "requests": many,
        "rate": rate,
        "cpu_us": used / many * 1e6,
        "redis_us": redis_used / many * 1e6,
        "asked_in_all": warm + many,
        "charged_in_all": charges,
    }


def in_redis(server):
    """Return the total of the counts in Redis, for every limiter."""
    charges, ours = 0, False
    with server.client() as client:
        for key in client.scan_iter(count=ACCOUNTS):
            kind = client.type(key)
            ours |= kind == b"hash"
            if kind == b"string":  # slowapi: a counter for each account
                charges += int(client.get(key))
            elif kind == b"zset":  # fastapi-limiter: an entry for each request
                charges += client.zcard(key)
    if ours:
        with Enforcer(Policy.parse(POLICY), store=server.url, expected_processes=1) as enforcer:
            accounts = (Account(account(number), "one") for number in range(ACCOUNTS))
            charges += sum(enforcer.usage(each)["api"].used for each in accounts)
    return charges


def measured(server, script, rounds, seconds):
    """Return the figures of each application in each round."""
    found = []
    for number in range(rounds):
        found.append({})
        for case in random.sample(CASES, len(CASES)):
            each = found[-1][case.app] = run(case, server, script, seconds)
            said = f"{case.app}: {each['rate']:,.0f} requests/s"
            print(f"round {number + 1} of {rounds}: {said}", file=sys.stderr, flush=True)
    return found


def table(rounds, cases=CASES):
    """Return the rows as a Markdown table: medians, and the shares kept with their least and greatest."""
    rows = []
    for case in cases:
        of = [each[case.app] for each in rounds]
        shares = [each[case.app]["rate"] / each[case.bare]["rate"] for each in rounds]
        share = f"{median(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})" if case.limited else "the base"
        rate, cpu, redis = (median(each[name] for each in of) for name in ("rate", "cpu_us", "redis_us"))
        rows.append((case.app, f"{rate:,.0f}", share, f"{cpu:.0f}", f"{redis:.0f}" if case.limited else ""))
    return markdown(HEAD, rows)


def same_serving(versions):
    """Refuse to compare environments that serve requests with different versions."""
    for name in SERVING:
        if len(found := {each.get(name) for each in versions.values()}) > 1:
            raise SystemExit(f"{name} is not the same everywhere: {found}")


def main() -> int:
    """Measure, print the table, and write the raw figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--kind", choices=KINDS, default="redis-8.2")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the raw figures go")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        parser.error("wrk is not installed (on Debian: apt install wrk)")
    versions = {name: versions_of(name) for name in dict.fromkeys(case.environment for case in CASES)}
    same_serving(versions)
    rack = Rack()
    try:
        server = rack.start(options.kind)
        with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as script:
            script.write(SCRIPT % (ACCOUNTS, HEADER, account("")))
            script.flush()
            rounds = measured(server, script.name, options.rounds, options.seconds)
    finally:
        rack.close()
    where = f"{machine()}; {options.kind.partition('-')[0]} {server.version}"
    write(options.json, {"machine": where, "seconds": options.seconds, "versions": versions, "rounds": rounds})
    print(f"{where}; {options.rounds} rounds of {options.seconds} s")
    print(chief(versions, *SERVING, "redis", "limits", "slowapi", "fastapi-limiter", "pyrate-limiter"))
    print(f"\n{table(rounds)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
