"""Quotas and allocations per user behind the doors: charged with the account's own, and given back for what fails."""

import asyncio
from wsgiref.util import setup_testing_defaults

import flask
import httpx
from fastapi import Depends, FastAPI, HTTPException

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware
from entitlements.http.fastapi import consume, install
from entitlements.http.routes import Route
from entitlements.integrations import flask as door
from entitlements.integrations import wsgi

LONG = {"deadline": "10 seconds"}
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"leads": {"kind": "quota", **LONG}, "user-leads": {"kind": "quota", "per": "user", **LONG}},
    "tiers": {"pro": {"rank": 1, "limits": {"leads": 10, "user-leads": 2}}},
})  # fmt: skip
ACCOUNTS = {"acme": "pro"}
PATHS = ("/200?ann", "/500?ann", "/200?ann", "/200?ann", "/200?bob")
STATUSES = [200, 500, 200, 429, 200]


def user_of(scope):
    return scope["query_string"].decode()


ROUTE = Route(consumes={"leads": 1, "user-leads": 1}, scope=user_of)
OPTIONS = {"identify": lambda _: "acme", "default": ROUTE}


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": int(scope["path"][1:]), "headers": []})
    await send({"type": "http.response.body", "body": b""})


def asgi_statuses(app):
    async def main():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as client:
            return [(await client.get(path)).status_code for path in PATHS]

    return asyncio.run(main())


def wsgi_statuses(app):
    statuses = []
    for path in PATHS:
        environ = {"PATH_INFO": path.partition("?")[0], "QUERY_STRING": path.partition("?")[2]}
        setup_testing_defaults(environ)
        body = app(environ, lambda status, *_: statuses.append(int(status[:3])))
        b"".join(body)
        getattr(body, "close", lambda: None)()
    return statuses


def check_counts(usage):
    """Check what the paths leave: 3 units of the account, 2 of ann and 1 of bob."""
    assert (3, 2) == tuple(usage("ann")[name].used for name in ("leads", "user-leads"))
    assert 1 == usage("bob")["user-leads"].used


def test_the_asgi_middleware_counts_per_user_and_gives_back():
    enforcer = AsyncEnforcer(POLICY, accounts=ACCOUNTS)

    assert STATUSES == asgi_statuses(EntitlementsMiddleware(hello, enforcer=enforcer, **OPTIONS))
    check_counts(lambda scope: asyncio.run(_usage(enforcer, scope)))


async def _usage(enforcer, scope):
    return await enforcer.usage("acme", scope=scope)


def test_a_dependency_of_fastapi_counts_per_user_and_gives_back():
    enforcer, app = AsyncEnforcer(POLICY, accounts=ACCOUNTS), FastAPI()
    install(app)
    app.add_middleware(AccountMiddleware, enforcer=enforcer, identify=lambda _: "acme")
    charge = consume({"leads": 1, "user-leads": 1}, scope=lambda request: request.url.query)

    @app.get("/{status}", dependencies=[Depends(charge)])
    def page(status: int):
        if status != 200:
            raise HTTPException(status)

    assert STATUSES == asgi_statuses(app)
    check_counts(lambda scope: asyncio.run(_usage(enforcer, scope)))


def test_the_wsgi_middleware_counts_per_user_and_gives_back():
    def app(environ, start_response):
        start_response(f"{environ['PATH_INFO'][1:]} -", [])
        return [b""]

    with Enforcer(POLICY, accounts=ACCOUNTS) as enforcer:
        assert STATUSES == wsgi_statuses(wsgi.EntitlementsMiddleware(app, enforcer=enforcer, **OPTIONS))
        check_counts(lambda scope: enforcer.usage("acme", scope=scope))


def test_a_decorator_of_flask_counts_per_user_and_gives_back():
    app = flask.Flask("site")
    with Enforcer(POLICY, accounts=ACCOUNTS) as enforcer:
        door.Entitlements(app, enforcer=enforcer, identify=lambda _: "acme")

        @app.get("/<int:status>")
        @door.consume({"leads": 1, "user-leads": 1}, scope=lambda request: request.query_string.decode())
        def page(status):
            return "", status

        assert STATUSES == wsgi_statuses(app)
        check_counts(lambda scope: enforcer.usage("acme", scope=scope))
