"""Unknown accounts: refused like the lowest tier, also by FastAPI dependencies behind a middleware."""

from __future__ import annotations

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from trade import policy

from entitlements import AsyncEnforcer
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.eager import checked
from entitlements.http.fastapi import consume, install, require
from entitlements.http.problems import Problems
from entitlements.http.routes import Route


def by_size(request: Request) -> int:
    return int(request.query_params["n"])


def nested(_: Annotated[None, Depends(require("leads"))], __: Annotated[None, Depends(require("chat"))]) -> None:
    """Require a limit that every tier has, and one that the lowest tier lacks."""


DEPENDENCIES = {
    "sso": [require("sso")],
    "second": [require("leads", "reports:full")],
    "inner": [nested, require("sso")],
    "charge": [consume("leads"), consume({"leads": 1, "api": 1})],
    "nothing": [consume("api", lambda _: 0)],
    "size": [consume("leads", by_size), require("sso")],
    "per-ip": [consume("per-ip", scope=lambda request: request.query_params.get("ip"))],
}
PATHS = ["/sso", "/second", "/inner", "/charge", "/nothing", "/size?n=1", "/size?n=x", "/per-ip?ip=9.9.9.9", "/per-ip"]
PREFIXES = ["", "/included", "/mounted"]


def api():
    """Return an application with every dependency on its endpoints, on a router and in a mounted application."""
    app, sub, router = FastAPI(), FastAPI(), APIRouter(prefix="/included")
    for name, dependencies in DEPENDENCIES.items():
        for where in (app, sub, router):
            where.get(f"/{name}", dependencies=[Depends(each) for each in dependencies])(lambda: 1)
    app.include_router(router)
    app.mount("/mounted", sub)
    app.get("/{rest:path}")(lambda: 1)
    install(app, problems=Problems(upgrade_url="/plan", docs_url="/docs"))
    return app


def inside(**options):
    app = api()
    app.add_middleware(checked(EntitlementsMiddleware, **options))
    return app


def outside(**options):
    return EntitlementsMiddleware(CORSMiddleware(api()), **options)


def below_a_prefix(**options):
    app = api()
    app.root_path = "/v1"
    return EntitlementsMiddleware(app, **options)


def respond(build, path, id, **options):
    enforcer = AsyncEnforcer(policy(), accounts={"free": "free"})
    app = build(enforcer=enforcer, identify=lambda _: id, **options)

    async def send_request():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.get(path)

    response = asyncio.run(send_request())
    return response.status_code, response.content


@pytest.mark.parametrize("build", [inside, outside])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_account_reads_like_one_of_the_lowest_tier_that_a_dependency_refuses(build, prefix, path):
    free = respond(build, prefix + path, "free")

    assert free[0] in {400, 403}
    assert free == respond(build, prefix + path, "stranger")


@pytest.mark.parametrize("path", ["/sso", "/v1/sso", "/v1/mounted/sso"])
def test_so_it_does_where_the_application_has_a_prefix_and_no_rule_a_path(path):
    assert respond(below_a_prefix, path, "free") == respond(below_a_prefix, path, "stranger")


@pytest.mark.parametrize("default", [Route(requires=["leads"]), Route(consumes={"leads": 1})])
def test_so_it_does_where_the_lowest_tier_has_all_that_the_rule_asks_for(default):
    assert respond(inside, "/sso", "free", default=default) == respond(inside, "/sso", "stranger", default=default)


@pytest.mark.parametrize("path", ["/open", "/included/open"])
def test_where_no_dependency_refuses_an_unknown_account_is_refused_all_the_same(path):
    status, content = respond(inside, path, "stranger")

    assert (200, 403) == (respond(inside, path, "free")[0], status)
    assert b"feature" not in content
