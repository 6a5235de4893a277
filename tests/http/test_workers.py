"""Concurrent requests, in one process and in several, and a process that dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
from trade import policy
from webserver import KEYS, hello, serving

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.identify import api_key
from entitlements.http.routes import Route


async def send_concurrently(url, requests, key="k"):
    """Send concurrent requests, each on its own connection; return each status and the process that answered."""
    host, port = url.removeprefix("http://").split(":")

    async def one():
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n".encode())
        head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), head.partition(b"\r\nx-process: ")[2].partition(b"\r\n")[0]

    return await asyncio.gather(*(one() for _ in range(requests)))


def test_500_requests_at_once_on_a_limit_of_100_admit_exactly_100():
    enforcer = AsyncEnforcer(policy(), accounts={"max": "max"})
    app = EntitlementsMiddleware(hello, enforcer=enforcer, identify=api_key(KEYS), default=Route(consumes={"fixed": 1}))
    with serving(app) as url:
        statuses = [status for status, _ in asyncio.run(send_concurrently(url, 500, key="x"))]

    assert (100, 400) == (statuses.count(200), statuses.count(429))


POLICY = {
    "policy": {"version": "w"},
    "limits": {
        name: {"kind": kind, "deadline": "30 seconds"}  # a busy machine is not what is tested
        for name, kind in (("api", "rate"), ("leads", "quota"), ("agents", "allocation"))
    },
    "tiers": {"one": {"rank": 1, "limits": {"api": "1000 per hour", "leads": 100, "agents": 1000}}},
}

WORKERS_APP = """
import asyncio, json, os
from pathlib import Path
from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route

async def work(scope, receive, send):
    if scope["path"] == "/hang":
        Path(f"hanging-{os.getpid()}").touch()
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})

policy = Policy.parse(json.loads(os.environ["POLICY"]))
enforcer = AsyncEnforcer(policy, accounts={"x": "one"}, store=os.environ["STORE"])
gated = EntitlementsMiddleware(
    work, enforcer=enforcer, identify=lambda scope: "x", routes=[Route("/healthz", exempt=True)],
    default=Route(consumes={"api": 1, "leads": 1, "agents": 1}),
)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        Path(f"ready-{os.getpid()}").touch()
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return

    async def add_process_header(message):
        if message["type"] == "http.response.start":
            message["headers"].append((b"x-process", b"%d" % os.getpid()))
        await send(message)

    await gated(scope, receive, add_process_header)

if "USED" in os.environ:
    asyncio.run(enforcer.consume("x", {"api": 1, "leads": 1, "agents": 1}))
"""


def uvicorn(port, count):
    """Return the command that runs *count* processes, each importing the application."""
    return [
        sys.executable, "-m", "uvicorn", "workers_app:app", "--host", "127.0.0.1", "--port", str(port),
        "--workers", str(count), "--log-level", "critical", "--no-access-log",
    ]  # fmt: skip


def preloaded(port, count):
    """Return the command that runs *count* processes, forked from one that has imported the application."""
    return [
        sys.executable, "-m", "gunicorn", "workers_app:app", "--preload", "--bind", f"127.0.0.1:{port}",
        "--workers", str(count), "--worker-class", "uvicorn.workers.UvicornWorker", "--log-level", "critical",
        "--no-control-socket", "--timeout", "0",
    ]  # fmt: skip


@contextlib.contextmanager
def workers(folder, store, count, command=uvicorn, **options):
    """Serve the application with *count* processes that share a store, and yield its URL."""
    (folder / "workers_app.py").write_text(WORKERS_APP, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {**os.environ, "STORE": store, "POLICY": json.dumps(POLICY), **options}
    running = subprocess.Popen(command(port, count), cwd=folder, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_serving(f"{url}/healthz"))
        yield url
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(60)


def is_serving(url, timeout=1):
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=timeout).status_code == 200
    return False


def wait_until(condition):
    """Wait until *condition* is true."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def processes(folder, what):
    """Return the ids of the processes that have left a file of this name."""
    return {int(path.name.partition("-")[2]) for path in folder.glob(f"{what}-*")}


def test_4_workers_share_one_limit_and_one_that_is_killed_leaves_its_units_spent_and_nothing_else(tmp_path, valkey):
    store = f"redis://127.0.0.1:{valkey.port}/0?namespace=workers"
    enforcer = Enforcer(Policy.parse(POLICY), accounts={"x": "one"}, store=store)
    with enforcer, workers(tmp_path, store, 4) as url:
        threading.Thread(target=is_serving, args=(f"{url}/hang", 300), daemon=True).start()
        wait_until(lambda: processes(tmp_path, "hanging"))
        (killed,) = processes(tmp_path, "hanging")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(processes(tmp_path, "ready") - {killed}) == 4)  # there is another in its place
        left = enforcer.usage("x")
        assert dict.fromkeys(POLICY["limits"], (1, 0)) == {
            name: (each.used, each.reserved) for name, each in left.items()
        }
        enforcer.forget("x")

        responses = asyncio.run(send_concurrently(url, 500))
        usage, (month, *_) = enforcer.usage("x"), enforcer.history("x", "leads")
        enforcer.forget("x")

    statuses = [status for status, _ in responses]
    assert (100, 400) == (statuses.count(200), statuses.count(429))
    assert dict.fromkeys(POLICY["limits"], 100) == {name: each.used for name, each in usage.items()}
    assert (100, 400) == (month.used, month.denied)
    assert len({process for _, process in responses}) > 1  # it was not one of them alone


def test_workers_forked_from_a_process_that_has_charged_admit_exactly_the_limit(tmp_path, valkey):
    store = f"redis://127.0.0.1:{valkey.port}/0?namespace=preloaded"
    enforcer = Enforcer(Policy.parse(POLICY), accounts={"x": "one"}, store=store)
    with enforcer, workers(tmp_path, store, 4, preloaded, USED="1") as url:
        wait_until(lambda: len(processes(tmp_path, "ready")) == 4)
        responses = asyncio.run(send_concurrently(url, 200))
        usage = enforcer.usage("x")
        enforcer.forget("x")

    statuses = [status for status, _ in responses]
    assert (99, 101) == (statuses.count(200), statuses.count(429))  # one was charged before the fork
    assert dict.fromkeys(POLICY["limits"], 100) == {name: each.used for name, each in usage.items()}
    assert len({process for _, process in responses}) > 1
