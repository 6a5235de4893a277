"""
Cost of the doors: CPU time that each adds to a request of its framework.

    python -m benchmarks.doors [--rounds 15] [--store memory://] [--limits 1]

Each application answers hello-world in this process, without a server: bare, and behind its door with a charge of one
rate (with `--limits 2` of a quota as well). Both are called in turn, in batches of `BATCH`; a figure is the median over
all rounds of what the door added to its neighbour. The last column is that relative to the ASGI middleware.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import random
import sys
from statistics import median
from time import process_time

import django
import flask
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route as StarletteRoute

from benchmarks.rounds import environment
from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.http import asgi
from entitlements.http.routes import Route
from entitlements.integrations import wsgi
from entitlements.integrations.flask import Entitlements

BATCH = 200
POLICY = Policy.parse(
    {
        "policy": {"version": "1"},
        "limits": {"api": {"kind": "rate"}, "leads": {"kind": "quota", "period": "month"}},
        "tiers": {"one": {"rank": 1, "limits": {"api": "1000000000 per hour", "leads": 10**12}}},
    }
)
ENVIRON = {
    "REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": "", "QUERY_STRING": "", "SERVER_NAME": "localhost",
    "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost",
    "wsgi.url_scheme": "http", "wsgi.version": (1, 0), "wsgi.errors": sys.stderr, "wsgi.input": io.BytesIO(), "wsgi.multithread": True,
    "wsgi.multiprocess": False, "wsgi.run_once": False,
}  # fmt: skip
SCOPE = {
    "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/", "root_path": "",
    "raw_path": b"/", "scheme": "http", "query_string": b"", "headers": [(b"host", b"localhost")],
    "client": ("127.0.0.1", 5), "server": ("localhost", 80),
}  # fmt: skip


def identify(scope):
    """Return the only account."""
    return "acme"


def started(*_):
    """Take the start of a WSGI response."""


async def send(_):
    """Take a message of an ASGI response."""


async def receive():
    """Return an empty request."""
    return {"type": "http.request", "body": b"", "more_body": False}


# --- Applications -------------------------------------------------------------------------------------------------


def raw_wsgi(options):
    """Return hello-world by WSGI alone."""

    def hello(environ, start_response):
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"hello world"]

    return wsgi.EntitlementsMiddleware(hello, **options) if options else hello


def flask_app(options):
    """Return hello-world as a Flask application."""
    app = flask.Flask("hello")
    app.add_url_rule("/", view_func=lambda: "hello world")
    if options:
        Entitlements(app, **options)
    return app.wsgi_app


def hello_view(request):
    """Answer with eleven bytes."""
    return HttpResponse("hello world")


urlpatterns = [path("", hello_view)]


def django_app(options):
    """Return hello-world as a Django application."""
    settings.ENTITLEMENTS = options
    settings.MIDDLEWARE = ["entitlements.integrations.django.EntitlementsMiddleware"] if options else []
    return get_wsgi_application()


def raw_asgi(options):
    """Return hello-world by ASGI alone."""

    async def hello(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"hello world"})

    return asgi.EntitlementsMiddleware(hello, **options) if options else hello


def starlette_app(options):
    """Return hello-world as a Starlette application."""

    async def hello(request):
        return PlainTextResponse("hello world")

    app = Starlette(routes=[StarletteRoute("/", hello)])
    return asgi.EntitlementsMiddleware(app, **options) if options else app


def litestar_app(options):
    """Return hello-world as a Litestar application."""

    @get("/", media_type="text/plain")
    async def hello() -> str:
        return "hello world"

    app = Litestar([hello])
    return asgi.EntitlementsMiddleware(app, **options) if options else app


SYNC = {"WSGI": raw_wsgi, "Flask": flask_app, "Django": django_app}
ASYNC = {"ASGI": raw_asgi, "Starlette": starlette_app, "Litestar": litestar_app}


# --- Rounds -------------------------------------------------------------------------------------------------------


def call_sync(app):
    """Serve a batch of requests; return the CPU seconds of one."""
    began = process_time()
    for _ in range(BATCH):
        body = app(dict(ENVIRON), started)
        b"".join(body)
        if hasattr(body, "close"):
            body.close()
    return (process_time() - began) / BATCH


async def call_async(app):
    """Serve a batch of requests, one after the other; return the CPU seconds of one."""
    began = process_time()
    for _ in range(BATCH):
        await app(dict(SCOPE), receive, send)
    return (process_time() - began) / BATCH


def measure(runner, store, limits, rounds):
    """Return the seconds of each door's bare application and what the door added, by round."""
    consumes = {"api": 1, "leads": 1} if limits == 2 else {"api": 1}
    common = {"identify": identify, "default": Route(consumes=consumes)}
    os.environ["WEB_CONCURRENCY"] = "1"
    enforcers = [
        kind(POLICY, accounts={"acme": "one"}, store=store, expected_processes=1) for kind in (Enforcer, AsyncEnforcer)
    ]
    django_options = {
        "POLICY": POLICY,
        "ACCOUNTS": {"acme": "one"},
        "STORE": store,
        "IDENTIFY": identify,
        "DEFAULT": common["default"],
    }
    settings.configure(ALLOWED_HOSTS=["*"], DATABASES={}, LOGGING_CONFIG=None, ROOT_URLCONF=__name__, SECRET_KEY="x")
    django.setup()
    pairs = {}
    for (name, make), enforcer in [
        *((each, enforcers[0]) for each in SYNC.items()), *((each, enforcers[1]) for each in ASYNC.items()),
    ]:  # fmt: skip
        options = django_options if name == "Django" else {"enforcer": enforcer, **common}
        pairs[name] = make(None), make(options)
    found = {name: ([], []) for name in pairs}
    for _ in range(rounds + 1):
        for name in random.sample(list(pairs), len(pairs)):
            bare, door = [
                call_sync(app) if name in SYNC else runner.run(call_async(app)) for app in pairs[name]
            ]  # fmt: skip
            found[name][0].append(bare)
            found[name][1].append(door - bare)
    enforcers[0].close()
    runner.run(enforcers[1].aclose())
    return {name: (bare[1:], added[1:]) for name, (bare, added) in found.items()}


def main():
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--store", default="memory://")
    parser.add_argument("--limits", type=int, choices=(1, 2), default=1)
    options = parser.parse_args()
    with asyncio.Runner() as runner:
        found = measure(runner, options.store, options.limits, options.rounds)
    print(environment())
    print(f"\n| door | bare | added | of the bare request | of the ASGI middleware |\n|{'---|' * 5}")
    floor = median(found["ASGI"][1])
    for name, (bare, added) in found.items():
        shown = f"| {name} | {median(bare) * 1e6:.1f} us | {median(added) * 1e6:.1f} us |"
        print(shown, f"{median(added) / median(bare):.2f} | {median(added) / floor:.2f} |")


if __name__ == "__main__":
    main()
