"""FastAPI dependencies in mounted applications, with `install` on the outer one."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from trade import policy

from entitlements import AsyncEnforcer, Denied
from entitlements.http.asgi import AccountMiddleware
from entitlements.http.eager import checked
from entitlements.http.fastapi import CurrentAccount, consume, install, require


def gated():
    """Return an application with a gate, a charge, and an endpoint that raises `Denied` itself."""
    app = FastAPI()

    @app.get("/sso", dependencies=[Depends(require("sso"))])
    async def sso() -> str:
        return "secret"

    @app.get("/leads", dependencies=[Depends(consume("leads", lambda request: int(request.query_params["n"])))])
    async def leads() -> int:
        return 1

    @app.get("/own")
    async def own(account: CurrentAccount) -> None:
        account.decide("sso").raise_for_denied()

    return app


def within(app):
    router = APIRouter()
    router.mount("/c", app)
    return router


WAYS = [
    lambda outer, sub: outer.mount("/a/b/c", sub),
    lambda outer, sub: outer.mount("/a", Starlette(routes=[Mount("/b", Starlette(routes=[Mount("/c", sub)]))])),
    lambda outer, sub: outer.mount("/a/b/c", CORSMiddleware(sub)),
    lambda outer, sub: outer.router.routes.append(Mount("/a/b/c", sub, middleware=[Middleware(CORSMiddleware)])),
    lambda outer, sub: outer.include_router(within(sub), prefix="/a/b"),
]


@pytest.fixture
def outer():
    app = FastAPI()
    install(app)
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    identify = lambda scope: "pro" if scope["query_string"] != b"nobody" else None  # noqa: E731 - it is one
    exempt = lambda scope: scope["query_string"] == b"exempt"  # noqa: E731 - it is one
    app.add_middleware(checked(AccountMiddleware, enforcer=enforcer, identify=identify, exempt=exempt))
    return app


def get(app, path):
    async def asked():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get(path)

    return asyncio.run(asked())


@pytest.mark.parametrize("mount", WAYS)
@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/sso", 403, "not-included"),
        ("/sso?exempt", 401, "account-required"),
        ("/leads?n=11", 403, "limit-reached"),
        ("/leads", 400, "bad-request"),
        ("/own", 403, "not-included"),
    ],
)
def test_a_refusal_in_a_mounted_application_is_answered_as_in_the_one_around_it(outer, mount, path, status, kind):
    mount(outer, gated())
    response = get(outer, f"/a/b/c{path}")

    assert (status, "application/problem+json") == (response.status_code, response.headers["content-type"])
    assert response.json()["type"].endswith(kind)


def test_a_mounted_application_that_answers_refusals_itself_goes_on_to(outer):
    sub = gated()

    @sub.exception_handler(Denied)
    async def teapot(_, __):
        return PlainTextResponse("own", 418)

    outer.mount("/sub", sub)

    assert [418, 400] == [get(outer, path).status_code for path in ("/sub/sso", "/sub/leads")]
