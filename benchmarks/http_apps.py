"""
Hello-world applications, bare and behind each limiter; every environment runs its own.

    python -m benchmarks.http_apps "slowapi" --store redis://127.0.0.1:6379 --port 8000

The rule is the same everywhere: more requests an hour than the load sends, for each account in
`X-Account`. Packages are imported only by the application that needs them.
"""

from __future__ import annotations

import argparse

ACCOUNTS = 1000
HEADER = "x-account"
MANY = 100_000_000
"""Requests an hour that each account may send."""
POLICY = {
    "policy": {"version": "b"},
    "limits": {"api": {"kind": "rate", "deadline": "2 seconds", "on_outage": "deny"}},
    "tiers": {"one": {"rank": 1, "limits": {"api": f"{MANY} per hour"}}},
}
"""Ours: as patient with Redis as the peers are, and no answer of its own where Redis is late."""


def account(number):
    """Return the name of one account."""
    return f"account-{number}"


def starlette(*, decorate=lambda endpoint: endpoint):
    """Return Starlette's hello-world."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def hello(request):
        return PlainTextResponse("hello world")

    return Starlette(routes=[Route("/", decorate(hello))])


def fastapi(*, dependencies=(), lifespan=None):
    """Return FastAPI's hello-world."""
    from fastapi import FastAPI

    app = FastAPI(lifespan=lifespan)

    @app.get("/", dependencies=list(dependencies))
    async def hello():
        return {"hello": "world"}

    return app


def behind_ours(app, store):
    """Return an application behind our middleware, `RateLimit` headers included."""
    from entitlements import AsyncEnforcer, Policy
    from entitlements.http.asgi import EntitlementsMiddleware
    from entitlements.http.identify import api_key
    from entitlements.http.routes import Route

    names = [account(number) for number in range(ACCOUNTS)]
    return EntitlementsMiddleware(
        app,
        enforcer=AsyncEnforcer(
            Policy.parse(POLICY), accounts=dict.fromkeys(names, "one"), store=store, expected_processes=1
        ),
        identify=api_key({name: name for name in names}, header=HEADER),
        default=Route(consumes={"api": 1}),
    )


def slowapi(store, *, headers):
    """Return Starlette's hello-world with slowapi's decorator: its default strategy, a fixed window."""
    from slowapi import Limiter

    limiter = Limiter(key_func=lambda request: request.headers[HEADER], storage_uri=store, headers_enabled=headers)
    app = starlette(decorate=limiter.limit(f"{MANY}/hour"))
    app.state.limiter = limiter
    return app


def fastapi_limiter(store):
    """Return FastAPI's hello-world with fastapi-limiter: a bucket in Redis for each account."""
    from contextlib import asynccontextmanager

    from fastapi import Depends
    from fastapi_limiter.depends import RateLimiter
    from pyrate_limiter import BucketFactory, Duration, Limiter, Rate, RateItem, RedisBucket
    from redis.asyncio import Redis

    client, rates = Redis.from_url(store), [Rate(MANY, Duration.HOUR)]

    class Buckets(BucketFactory):
        def __init__(self):
            self.buckets = {}

        def wrap_item(self, name, weight=1):
            return RateItem(name, self.first.now(), weight=weight)

        def get(self, item):
            bucket = self.buckets.get(item.name)
            if bucket is None:
                bucket = RedisBucket(rates, client, f"bucket:{item.name}", self.first.script_hash)
                self.buckets[item.name] = bucket
                self.schedule_leak(bucket)
            return bucket

    buckets = Buckets()

    @asynccontextmanager
    async def lifespan(app):
        buckets.first = await RedisBucket.init(rates, client, "bucket")
        yield

    async def identifier(request):
        return request.headers[HEADER]

    return fastapi(dependencies=[Depends(RateLimiter(Limiter(buckets), identifier))], lifespan=lifespan)


APPS = {
    "Starlette": lambda _: starlette(),
    "Starlette, entitlements": lambda store: behind_ours(starlette(), store),
    "Starlette, slowapi": lambda store: slowapi(store, headers=False),
    "Starlette, slowapi with headers": lambda store: slowapi(store, headers=True),
    "FastAPI": lambda _: fastapi(),
    "FastAPI, entitlements": lambda store: behind_ours(fastapi(), store),
    "FastAPI, fastapi-limiter": fastapi_limiter,
}
"""From a name to what makes the application on a store."""


def main() -> int:
    """Serve one application until killed."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_apps", description=__doc__)
    parser.add_argument("app", choices=APPS)
    parser.add_argument("--store", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    app = APPS[options.app](options.store)
    uvicorn.run(app, port=options.port, http="httptools", loop="uvloop", access_log=False, log_level="warning")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
