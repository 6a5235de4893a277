"""FastAPI dependencies: gates and charges of single endpoints, and refunds if an endpoint raises."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from trade import policy
from webserver import serving

from entitlements import AsyncEnforcer, Decision, Denied, Enforcer, Entitlements, Policy
from entitlements.http.asgi import AccountMiddleware
from entitlements.http.fastapi import (
    CurrentAccount,
    CurrentEntitlements,
    consume,
    install,
    require,
    responses,
)
from entitlements.http.identify import api_key

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"pro": "pro", "max": "max", "free": "free"}


def site(enforcer):
    app = FastAPI()
    install(app)
    app.add_middleware(
        AccountMiddleware, enforcer=enforcer, identify=api_key(KEYS), exempt=lambda scope: scope["path"] == "/open"
    )
    router = APIRouter(prefix="/v1", dependencies=[Depends(require("chat"))])

    @app.get("/sso", dependencies=[Depends(require("sso", "reports:full"))], responses=responses(401, 403))
    async def sso() -> str:
        return "yes"

    @router.get("/leads/{end}")
    async def leads(end: int, decision: Annotated[Decision, Depends(consume({"leads": 2, "api": 1}))]) -> int | None:
        if end == 500:
            raise RuntimeError("boom")
        if end >= 400:
            raise HTTPException(end)
        return decision.parts["leads"].remaining

    @router.get("/by-size")
    async def by_size(
        _: Annotated[Decision, Depends(consume("leads", lambda request: int(request.query_params["n"])))],
    ) -> str:
        return "ok"

    @router.get("/mine")
    async def mine(account: CurrentAccount, snapshot: CurrentEntitlements) -> list[object]:
        assert isinstance(snapshot, Entitlements)
        return [account.id, snapshot.tier]

    @app.get("/own")
    async def own(account: CurrentAccount) -> str:
        decision = account.decide("sso")
        decision.raise_for_denied()
        return "yes"

    @app.get("/open")
    async def open_(account: CurrentAccount) -> str:
        return account.id

    app.include_router(router)
    return app


@pytest.fixture(params=[AsyncEnforcer, Enforcer])
def served(request):
    enforcer = request.param(policy(), accounts={"pro": "pro", "max": "max", "free": "free"})
    with serving(site(enforcer)) as url, httpx.Client(base_url=url) as client:
        yield enforcer, lambda path, key="pro": client.get(path, headers={"x-api-key": key})


def used(enforcer):
    usage = enforcer.usage("pro")
    usage = asyncio.run(usage) if asyncio.iscoroutine(usage) else usage
    return usage["leads"].used, usage["api"].used


def test_require_gates_an_endpoint_and_a_router(served):
    _, get = served
    refused = get("/sso")

    assert (403, "application/problem+json") == (refused.status_code, refused.headers["content-type"])
    assert {"tier": "max", "add_on": "phone"} == refused.json()["remedy"]
    assert (200, 403) == (get("/sso", "max").status_code, get("/v1/mine", "free").status_code)


def test_consume_takes_units_once_and_says_what_is_left(served):
    enforcer, get = served

    assert 8 == (response := get("/v1/leads/0")).json()
    assert '"leads";r=8' in response.headers["ratelimit"]
    assert (2, 1) == used(enforcer)


def test_units_run_out(served):
    enforcer, get = served
    last = [get("/v1/leads/0").status_code for _ in range(6)][-1]
    refused = get("/v1/leads/0")

    assert (429, 429) == (last, refused.status_code)
    assert ["leads"] == refused.json()["violated-policies"]
    assert "ratelimit" in refused.headers
    assert (10, 5) == used(enforcer)


@pytest.mark.parametrize(("end", "status", "leads"), [(0, 200, 2), (404, 404, 2), (503, 503, 0), (500, 500, 0)])
def test_units_come_back_when_the_endpoint_raises_but_for_what_the_client_did(served, end, status, leads):
    enforcer, get = served

    assert status == get(f"/v1/leads/{end}").status_code
    assert (leads, 1) == used(enforcer)


def test_units_may_be_computed_from_the_request(served):
    enforcer, get = served

    assert 200 == get("/v1/by-size?n=7").status_code
    assert 7 == used(enforcer)[0]


def test_the_account_and_its_snapshot_are_dependencies(served):
    assert ["pro", "pro"] == served[1]("/v1/mine").json()


def test_a_denial_that_an_endpoint_raises_itself_is_answered_alike(served):
    _, get = served

    assert (403, 200) == (get("/own").status_code, get("/own", "max").status_code)
    assert get("/own").json()["type"].endswith("not-included")


def test_an_endpoint_on_an_exempt_route_that_wants_an_account_says_401(served):
    response = served[1]("/open")

    assert (401, True) == (response.status_code, response.json()["type"].endswith("account-required"))


def test_the_openapi_says_what_refusals_look_like(served):
    document = served[1]("/openapi.json").json()

    assert {"200", "401", "403"} == set(document["paths"]["/sso"]["get"]["responses"])
    assert "/v1/leads/{end}" in document["paths"]


def test_the_openapi_names_the_headers_of_every_refusal_and_takes_a_relative_upgrade_url():
    documented = responses()
    limits = {"ratelimit", "ratelimit-policy"}

    assert "www-authenticate" in documented[401]["headers"]
    assert [True, True, True] == [limits <= set(documented[status]["headers"]) for status in (402, 403, 429)]
    schema = documented[403]["content"]["application/problem+json"]["schema"]
    assert "uri-reference" == schema["properties"]["upgrade_url"]["format"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (require, "needs names"),
        (lambda: require(5), "needs names"),
        (lambda: consume("leads", 0), "cost of 'leads' 0"),
        (lambda: consume({"leads": 1.5}), "1.5"),
        (lambda: consume({"leads": 1}, 5), "5 is given with a mapping, which has its own units; leave it out"),
        (lambda: responses(418), "418 is no status of a refusal"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(("maker", "call"), [(require, "require('sso')"), (consume, "consume('leads')")])
def test_what_makes_a_dependency_is_none_itself(maker, call):
    """FastAPI would take its parameters from the request, so that a client could name what it has."""
    with pytest.raises(TypeError, match=re.escape(f"write Depends({call})")):
        FastAPI().get("/", dependencies=[Depends(maker)])(lambda: None)


def test_denied_is_what_raise_for_denied_raises():
    with pytest.raises(Denied):
        Enforcer(policy(), accounts={"pro": "pro"}).decide("pro", "sso").raise_for_denied()


@pytest.mark.parametrize(("tier", "left"), [("free", 99), ("pro", "unlimited")])
async def test_the_example_of_the_page_answers_accounts_with_and_without_a_limit(tier, left):
    _, _, section = (ROOT / "docs/fastapi.md").read_text(encoding="utf-8").partition("\n## FastAPI\n")
    example = {}
    exec(re.search("^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[1], example)  # noqa: S102 - our page
    enforcer = AsyncEnforcer(Policy.load(ROOT / "policies/minimal.yaml"), accounts={"acme": tier})
    app = AccountMiddleware(example["api"], enforcer=enforcer, identify=lambda _: "acme")

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        answer = await client.post("/leads")

    assert (200, left) == (answer.status_code, answer.json()["remaining"])
