"""A real ASGI server in a thread of this process, and an application that says what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import uvicorn


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
    patience = time.monotonic() + 10
    while not (server.started and server.servers):
        if not thread.is_alive() or time.monotonic() > patience:
            raise RuntimeError("the server did not start")
        time.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


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
