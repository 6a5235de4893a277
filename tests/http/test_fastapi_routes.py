"""FastAPI's route attributes that the startup checks and the refusals of unknown accounts rely on."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket, routing
from starlette.routing import Match, Mount

if not hasattr(routing, "iter_route_contexts"):
    pytest.skip("before FastAPI 0.144 its routes are not checked", allow_module_level=True)

REASON = "FastAPI's routes have changed; entitlements/http/fastapi/checks.py needs another way"


def first() -> None: ...


def second(_: None = Depends(first)) -> None: ...


@pytest.fixture
def routes():
    """Return the route contexts of an endpoint, a websocket and a mount, in a router inside a router."""
    inner, outer, app = APIRouter(prefix="/inner"), APIRouter(dependencies=[Depends(second)]), FastAPI()
    sub = FastAPI()
    sub.get("/deep", dependencies=[Depends(first)])(lambda: 1)

    @inner.get("/http")
    async def http() -> None: ...

    @inner.websocket("/socket")
    async def socket(websocket: WebSocket) -> None: ...

    inner.mount("/mounted", sub)
    outer.include_router(inner)
    app.include_router(outer, prefix="/outer")
    return {route.path: route for route in routing.iter_route_contexts(app.routes)}


def test_fastapi_says_what_stands_in_included_routers_with_their_prefix(routes):
    assert {"/outer/inner/http", "/outer/inner/socket", "/outer/mounted"} <= set(routes), REASON
    assert isinstance(routes["/outer/mounted"].original_route, Mount), REASON
    assert {"GET"} == routes["/outer/inner/http"].methods, REASON


def test_fastapi_says_which_endpoint_a_request_reaches(routes):
    scope = {"method": "GET", "root_path": "", "headers": []}
    for kind, path, below in (
        ("http", "/inner/http", ""),
        ("websocket", "/inner/socket", ""),
        ("http", "/mounted", "/deep"),
    ):
        asked = scope | {"type": kind, "path": f"/outer{path}{below}"}
        assert Match.FULL is routes[f"/outer{path}"].matches(asked)[0], REASON


def test_fastapi_says_what_an_endpoint_depends_on_that_of_its_routers_too(routes):
    for path in ("http", "socket"):
        (outer,) = routes[f"/outer/inner/{path}"].dependant.dependencies
        assert (second, [first]) == (outer.call, [each.call for each in outer.dependencies]), REASON
