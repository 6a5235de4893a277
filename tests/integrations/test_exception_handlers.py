"""`raise_for_denied()` in applications of Starlette and Litestar is answered as the middleware answers a refusal."""

from __future__ import annotations

import subprocess
import sys

import httpx
import litestar as lite
import pytest
from fastapi import Depends, FastAPI
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from trade import START, policy
from webserver import KEYS, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from entitlements import AsyncEnforcer, StoreError
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.current import current_account
from entitlements.http.eager import checked
from entitlements.http.fastapi import install as install_fastapi
from entitlements.http.fastapi import require
from entitlements.http.identify import api_key
from entitlements.http.problems import Problems
from entitlements.http.routes import Route as Rule
from entitlements.integrations.litestar import exception_handlers, requires
from entitlements.integrations.starlette import install
from entitlements.testing import FakeClock

PROBLEMS = Problems(upgrade_url="https://example.com/plans", payment_required=True)
RULES = [
    Rule("/ruled/sso", requires={"sso"}),
    Rule("/ruled/leads/{n:int}", consumes={"leads": lambda scope: int(scope["path"].rpartition("/")[2])}),
]


async def use(path):
    """Do in an endpoint what the rule for `/ruled` does in the middleware."""
    account = current_account()
    if path.endswith("/sso"):
        account.decide("sso").raise_for_denied()
    elif path.endswith("/down"):
        raise StoreError("the store is gone")
    else:
        (await account.consume("leads", int(path.rpartition("/")[2]))).raise_for_denied()
    return "here"


def rule_options(problems, headers):
    return {
        "enforcer": AsyncEnforcer(
            policy(), accounts={"pro": "pro", "free": "free", "max": "max"}, clock=FakeClock(START)
        ),
        "identify": api_key(KEYS),
        "routes": RULES,
        "headers": headers,
        "upgrade_url": None if problems is None else "https://example.com/plans",
        "payment_required": problems is not None,
    }


async def here(request: Request):
    return PlainTextResponse(await use(request.url.path))


async def ruled(request: Request):
    return PlainTextResponse("here")


def starlette(problems=None, headers="draft-11", *, outside=True, options=None):
    options = options or rule_options(problems, headers)
    app = Starlette(
        routes=[
            Route("/own/{rest:path}", here),
            Route("/ruled/{rest:path}", ruled),
            Mount("/in", CORSMiddleware(Starlette(routes=[Route("/own/{rest:path}", here)]))),
        ]
    )
    install(app, problems=problems, headers=headers)
    if outside:
        return EntitlementsMiddleware(app, **options)
    app.add_middleware(checked(EntitlementsMiddleware, **options))
    return app


def litestar(problems=None, headers="draft-11", *, outside=True, options=None):
    options = options or rule_options(problems, headers)

    @lite.get(["/own/{rest:path}", "/in/own/{rest:path}"])
    async def own(request: lite.Request) -> str:
        return await use(request.url.path)

    @lite.get("/{rest:path}")
    async def free() -> str:
        return "here"

    within = [] if outside else [DefineMiddleware(EntitlementsMiddleware, **options)]
    handlers = exception_handlers(problems=problems, headers=headers)
    app = lite.Litestar(
        [own, lite.Router("/ruled", route_handlers=[free])],
        exception_handlers=handlers,
        middleware=within,
        openapi_config=None,
    )
    return EntitlementsMiddleware(app, **options) if outside else app


def fastapi(problems, options):
    app = FastAPI()
    install_fastapi(app, problems=problems)
    app.get("/own/sso", dependencies=[Depends(require("sso"))])(lambda: "here")
    return EntitlementsMiddleware(app, **options)


def answers(app, *paths, key="k"):
    """Return the status, the headers that refusals have, and the problem document of each path."""
    told = []
    with serving(app) as url:
        for path in paths:
            response = httpx.get(url + path, headers={"x-api-key": key})
            names = ("content-type", "cache-control", "retry-after", "ratelimit-policy", "x-ratelimit-remaining")
            problem = response.json() if "problem" in response.headers["content-type"] else {}
            problem.pop("retry_after", None)  # it passes
            told.append((response.status_code, [response.headers.get(name) for name in names], problem))
    return told


@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize("build", [starlette, litestar])
@pytest.mark.parametrize(("problems", "headers"), [(None, "draft-11"), (PROBLEMS, "x-ratelimit"), (None, "none")])
def test_a_denial_that_is_raised_is_answered_as_by_the_middleware(build, problems, headers, outside):
    own = answers(
        build(problems, headers, outside=outside), "/own/sso", "/own/leads/8", "/own/leads/7", "/own/leads/99"
    )
    middleware = answers(
        build(problems, headers, outside=outside), "/ruled/sso", "/ruled/leads/8", "/ruled/leads/7", "/ruled/leads/99"
    )

    assert [402 if problems else 403, 200, 429, 402 if problems else 403] == [status for status, *_ in own]
    assert [each[1:] for each in middleware if each[2]] == [each[1:] for each in own if each[2]]


@pytest.mark.parametrize("build", [starlette, litestar, fastapi])
def test_without_options_of_their_own_handlers_follow_those_of_the_middleware(build):
    (denied,) = answers(
        build(None, options=rule_options(PROBLEMS, "none") | {"docs_url": "https://example.com/docs"}), "/own/sso"
    )

    assert (402, "https://example.com/docs#not-included") == (denied[0], denied[2]["type"])
    assert "https://example.com/plans" == denied[2]["upgrade_url"]


def test_a_guard_of_litestar_refuses_as_the_middleware_does():
    @lite.get("/own/{rest:str}", guards=[requires("sso")])
    async def own() -> str:
        return "here"

    app = lite.Litestar([own], exception_handlers=exception_handlers(), openapi_config=None)
    ruled = EntitlementsMiddleware(litestar(), **rule_options(None, "draft-11"))

    (refused,) = answers(EntitlementsMiddleware(app, **rule_options(None, "draft-11")), "/own/sso")
    (allowed,) = answers(EntitlementsMiddleware(app, **rule_options(None, "draft-11")), "/own/sso", key="x")
    (nobody,) = answers(app, "/own/sso")

    assert answers(ruled, "/ruled/sso")[0] == refused
    assert (403, 200, 401) == (refused[0], allowed[0], nobody[0])


@pytest.mark.parametrize("build", [starlette, litestar])
def test_denials_of_mounted_applications_and_errors_of_the_store_are_answered_too(build):
    denied, down = answers(build(), "/in/own/sso", "/own/down")

    assert (403, True) == (denied[0], denied[2]["type"].endswith("not-included"))
    assert (503, "1", True) == (down[0], down[1][2], down[2]["type"].endswith("limits-unavailable"))


@pytest.mark.parametrize("make", [install, lambda _, headers: exception_handlers(headers=headers)])
def test_a_style_of_headers_that_there_is_not_is_refused(make):
    with pytest.raises(ValueError, match="rfc"):
        make(Starlette(), headers="rfc")


def socket(app, path):
    """Return how a websocket ends: the status of the handshake, or the code and the reason of the close."""
    with serving(app) as url:
        try:
            with connect(f"ws{url.removeprefix('http')}{path}", additional_headers={"x-api-key": "k"}) as client:
                client.recv()
        except InvalidStatus as error:
            return error.response.status_code
        except ConnectionClosed as error:
            return error.rcvd.code, error.rcvd.reason
    raise AssertionError("the websocket was not refused")


def test_a_websocket_of_starlette_is_refused_before_and_after_it_is_accepted():
    async def talk(websocket):
        if websocket.url.path == "/late":
            await websocket.accept()
        current_account().decide("sso").raise_for_denied()

    app = Starlette(routes=[WebSocketRoute("/{when}", talk)])
    install(app)
    app.add_middleware(checked(EntitlementsMiddleware, **rule_options(None, "none") | {"routes": []}))

    assert 403 == socket(app, "/early")
    assert (1008, "not-included") == socket(app, "/late")


def test_a_websocket_of_litestar_is_closed_by_litestar():
    @lite.websocket("/")
    async def talk(socket: lite.WebSocket) -> None:
        await socket.accept()
        current_account().decide("sso").raise_for_denied()

    app = lite.Litestar([talk], exception_handlers=exception_handlers(), openapi_config=None)

    assert 4500 == socket(EntitlementsMiddleware(app, **rule_options(None, "none") | {"routes": []}), "/")[0]


@pytest.mark.parametrize(("module", "name"), [("starlette", "Starlette"), ("litestar", "Litestar")])
def test_an_integration_says_what_to_install(module, name):
    script = f"import sys; sys.modules[{module!r}] = None; import entitlements.integrations.{module}"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert 1 == done.returncode
    assert f"entitlements.integrations.{module} needs {name}" in done.stderr.splitlines()[-1]
    assert f"pip install 'entitlements[{module}]'" in done.stderr.splitlines()[-1]
