"""Identity comes from the scope's private key: `request.state` is shared with applications, and by some servers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from trade import policy
from webserver import exchange, hello, serving

from entitlements import AsyncEnforcer, Decision, Enforcer
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware, RoutesMiddleware
from entitlements.http.current import current_account
from entitlements.http.fastapi import CurrentAccount, consume, install, require
from entitlements.http.identify import api_key
from entitlements.http.routes import Route

KEYS = {"m": "max", "f": "free"}
MIDDLEWARES = [AccountMiddleware, EntitlementsMiddleware]


class SharedState:
    """A server that gives one `scope["state"]` to all requests, as hypercorn 0.17 does within a connection."""

    def __init__(self, app):
        self.app, self.state = app, {"database": "open"}

    async def __call__(self, scope, receive, send):
        await self.app({**scope, "state": self.state} if scope["type"] == "http" else scope, receive, send)


class Meeting:
    """An inner middleware that lets requests go on two at a time, when both have been identified."""

    def __init__(self, app):
        self.app, self.both = app, asyncio.Barrier(2)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            async with asyncio.timeout(60), self.both:
                pass
        await self.app(scope, receive, send)


class SignIn:
    """An inner middleware of an application with its own `request.state.account`."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] in {"http", "websocket"}:
            scope.setdefault("state", {})["account"] = "person 17"
        await self.app(scope, receive, send)


def api():
    app = FastAPI()
    install(app)

    @app.get("/sso", dependencies=[Depends(require("sso"))])
    async def sso(account: CurrentAccount) -> str:
        return account.id

    @app.get("/leads")
    async def leads(_: Annotated[Decision, Depends(consume("leads"))], account: CurrentAccount) -> str:
        return account.id

    @app.get("/state")
    async def state(request: Request) -> list[str]:
        return [request.state.account.id, request.state.database, current_account().id]

    return app


def enforcer(kind=AsyncEnforcer):
    return kind(policy(), accounts={"max": "max", "free": "free"})


@pytest.mark.parametrize("middleware", MIDDLEWARES)
@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("/sso", [(200, "max"), (403, None)]),
        ("/leads", [(200, "max"), (200, "free")]),
        ("/state", [(200, ["max", "open", "max"]), (200, ["free", "open", "free"])]),
    ],
)
def test_requests_that_share_a_state_are_decided_for_their_own_account(middleware, path, answers):
    asked = enforcer()
    server = SharedState(middleware(Meeting(api()), enforcer=asked, identify=api_key(KEYS)))

    def get(key):
        response = httpx.get(f"{url}{path}", headers={"x-api-key": key}, timeout=60)
        return response.status_code, response.json() if response.status_code == 200 else None

    with serving(server, lifespan="off") as url, ThreadPoolExecutor(2) as threads:
        found = [list(threads.map(get, KEYS)) for _ in range(3)]

    assert [answers] * 3 == found
    assert {"database": "open"} == server.state
    charged = 3 if path == "/leads" else 0
    assert [charged] * 2 == [asyncio.run(asked.usage(id))["leads"].used for id in ("max", "free")]


@pytest.mark.parametrize("kind", [AsyncEnforcer, Enforcer])
@pytest.mark.parametrize("middleware", MIDDLEWARES)
def test_dependencies_work_though_the_application_keeps_an_account_of_its_own(middleware, kind):
    app = middleware(SignIn(api()), enforcer=enforcer(kind), identify=api_key(KEYS))

    with serving(app) as url, httpx.Client(base_url=url) as client:
        answers = [client.get(path, headers={"x-api-key": key}) for path in ("/sso", "/leads") for key in KEYS]

    assert [200, 403, 200, 200] == [answer.status_code for answer in answers]
    assert ["max", "max", "free"] == [answer.json() for answer in answers if answer.status_code == 200]


@pytest.mark.parametrize("path", ["/sso", "/leads"])
@pytest.mark.parametrize("middleware", MIDDLEWARES)
def test_an_account_in_the_state_identifies_nobody(middleware, path):
    """On an exempt route no middleware has found an account, so one in the state is not believed."""
    exempt = (
        {"exempt": lambda _: True}
        if middleware is AccountMiddleware
        else {"routes": [Route("/{rest:path}", exempt=True)]}
    )
    asked = enforcer()
    app = middleware(api(), enforcer=asked, identify=api_key(KEYS), **exempt)
    handle = asyncio.run(asked.account("max"))

    sent = asyncio.run(exchange(app, path=path, state={"account": handle}))

    assert 401 == sent[0]["status"]


def test_rules_do_not_believe_an_account_in_the_state_either():
    asked = enforcer()
    handle = asyncio.run(asked.account("max"))
    app = RoutesMiddleware(hello, enforcer=asked, default=Route(requires=["sso"]))

    assert 401 == asyncio.run(exchange(app, state={"account": handle}))[0]["status"]
