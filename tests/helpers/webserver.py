"""A real ASGI server in a thread of this process, applications to put behind it, and what talks to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time

import httpx
import uvicorn
from trade import policy

from entitlements import AsyncEnforcer
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.identify import api_key
from entitlements.http.routes import Route
from entitlements.stores.memory import MemoryStore


@contextlib.contextmanager
def serving(app, **config):
    """Serve *app* with uvicorn on a free port, and yield its URL; it is stopped at the end."""
    options = {
        "host": "127.0.0.1",
        "port": 0,
        "log_level": "warning",
        "lifespan": "auto",
        "timeout_graceful_shutdown": 2,
    }
    server = uvicorn.Server(uvicorn.Config(app, **(options | config)))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    patience = time.monotonic() + 60
    while not (server.started and server.servers):
        if not thread.is_alive() or time.monotonic() > patience:
            raise RuntimeError("the server did not start")
        time.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(60)


async def hello(scope, receive, send):
    """Answer every request with 200, or with the status that its path ends in; follow the lifespan."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    last = scope["path"].rpartition("/")[2]
    status = int(last) if last in {"404", "422", "500", "503"} else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


KEYS = {"k": "pro", "free": "free", "x": "max"}
ROUTE = Route(consumes={"api": 1, "leads": 1})


class Site:
    """An application behind the middleware on a real server, and the usage of its one account."""

    def __init__(self, inner, **options):
        self.enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro", "free": "free", "max": "max"})
        server = options.pop("server", {})
        options = {"identify": api_key(KEYS), "default": ROUTE} | options
        self._serving = serving(EntitlementsMiddleware(inner, enforcer=self.enforcer, **options), **server)

    def __enter__(self):
        self.url = self._serving.__enter__()
        self.client = httpx.Client(base_url=self.url, headers={"x-api-key": "k"}, timeout=60)
        return self

    def __exit__(self, *error):
        self.client.close()
        self._serving.__exit__(*error)

    def used(self):
        """Return what is used of the rate and of the quota, by a loop of its own: memory has no connections."""
        usage = asyncio.run(self.enforcer.usage("pro"))
        return usage["api"].used, usage["leads"].used

    def settles_at(self, expected):
        """Wait until the application is done with the request, and so with the refund."""
        patience = time.monotonic() + 60
        while self.used() != expected and time.monotonic() < patience:
            time.sleep(0.01)
        return self.used() == expected


async def respond(send, status=200, body=b"hello", headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


def hang_up(url, path="/"):
    """Send a request, and close the connection without reading the answer."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\n\r\n".encode())
        time.sleep(0.1)


async def exchange(app, *events, send=None, **scope):
    """Serve one scope without a server, and return what was sent; after its events a client keeps silent."""
    sent, waiting = [], list(events)

    async def receive():
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    async def keep(message):
        sent.append(message)
        if send is not None:
            await send(message)

    plain = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    await app(plain | scope, receive, keep)
    return sent


class SlowStore:
    """The memory store, answering as late as one behind a network."""

    via = "memory"

    def __init__(self, seconds=0.05):
        self._store = MemoryStore()
        self._seconds = seconds

    async def execute(self, order):
        """Carry out an order, and say so a while later."""
        await asyncio.sleep(self._seconds)
        return self._store.execute(order)

    async def aclose(self):
        """Nothing is open."""
