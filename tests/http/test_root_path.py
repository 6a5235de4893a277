"""Applications that set a `root_path` that the rules of an outer middleware do not see."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount
from trade import policy
from webserver import exchange, hello

from entitlements import AsyncEnforcer
from entitlements.http.asgi import EntitlementsMiddleware, RoutesMiddleware
from entitlements.http.eager import checked
from entitlements.http.routes import Route

RULES = [Route("/sso", requires={"sso"})]


def options(**more):
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    return {"enforcer": enforcer, "identify": lambda _: "pro", "routes": RULES} | more


def api(root_path="/api"):
    app = FastAPI()
    app.root_path = root_path  # as its deprecated parameter does
    app.get("/sso")(lambda: "secret")
    return app


def included():
    """Return an application with another one mounted on an included router."""
    app, router = FastAPI(), APIRouter()
    router.mount("/a", api("/a/b"))
    app.include_router(router, prefix="/v1")
    return app


WITHIN = [
    api,
    lambda: api("/api/"),
    lambda: CORSMiddleware(CORSMiddleware(api())),
    lambda: Starlette(routes=[Mount("/", api())]),
    lambda: Starlette(routes=[Mount("/{tenant}", api())]),
    lambda: Starlette(routes=[Mount("/a", CORSMiddleware(api("/a/b")))]),
    included,
]


@pytest.mark.parametrize("build", WITHIN)
def test_rules_with_paths_are_refused_around_an_application_that_sets_a_prefix(build):
    with pytest.raises(ValueError, match=r"has root_path='/a.*two to route /sso; put the middleware inside"):
        EntitlementsMiddleware(build(), **options())
    with pytest.raises(ValueError, match="put the middleware inside"):
        RoutesMiddleware(build(), enforcer=options()["enforcer"], routes=RULES)


def started(app, **scope):
    """Run the lifespan of the application and return its message."""
    said = []

    async def keep(message):
        said.append(message)

    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    with contextlib.suppress(ValueError):
        asyncio.run(exchange(app, *events, type="lifespan", send=keep, **scope))
    return said


def hidden():
    """Return an application inside a function, which the check cannot see."""
    inner = api()

    async def app(scope, receive, send):
        await inner(scope, receive, send)

    return EntitlementsMiddleware(app, **options())


def later():
    """Return an application that mounts another one after it was wrapped."""
    inner = Starlette()
    app = EntitlementsMiddleware(inner, **options())
    inner.mount("/", api())
    return app


def plain():
    """Return an application that raises the error of `send`, instead of reporting it as Starlette does."""

    async def app(scope, receive, send):
        await receive()
        scope["root_path"] = "/api"
        await send({"type": "lifespan.startup.complete"})

    return EntitlementsMiddleware(app, **options())


@pytest.mark.parametrize("build", [hidden, later, plain])
def test_an_application_whose_prefix_shows_only_then_does_not_start(build):
    (said,) = started(build())

    assert "lifespan.startup.failed" == said["type"]
    assert "has root_path='/api'" in said["message"]


def inside():
    app = api()
    app.add_middleware(checked(EntitlementsMiddleware, **options()))
    return app


@pytest.mark.parametrize("path", ["/sso", "/api/sso"])
def test_inside_of_the_application_rules_match_with_and_without_its_prefix(path):
    assert 403 == asyncio.run(exchange(inside(), path=path))[0]["status"]


@pytest.mark.parametrize("path", ["/sso", "/api/sso"])
def test_a_prefix_that_the_server_sets_is_known_to_both(path):
    app = EntitlementsMiddleware(api(""), **options())

    assert 403 == asyncio.run(exchange(app, path=path, root_path="/api"))[0]["status"]


def test_what_is_mounted_beside_a_middleware_that_is_inside_serves_nobody_with_a_prefix_of_its_own():
    app = Starlette()
    app.add_middleware(checked(EntitlementsMiddleware, **options()))
    app.mount("/", api())

    with pytest.raises(ValueError, match="has root_path='/api'"):
        asyncio.run(exchange(app, path="/api/sso"))
    (said,) = started(app)
    assert ("lifespan.startup.failed", True) == (said["type"], "has root_path='/api'" in said["message"])


class Packaged:
    """An application as Flask's and Quart's: its `root_path` is the folder of its package."""

    root_path = "/srv/site"

    async def __call__(self, scope, receive, send):
        await hello(scope, receive, send)


FINE = [
    (lambda: EntitlementsMiddleware(Packaged(), **options()), {}),
    (lambda: EntitlementsMiddleware(Starlette(routes=[Mount("/old", CORSMiddleware(Packaged()))]), **options()), {}),
    (inside, {}),
    (lambda: EntitlementsMiddleware(api(""), **options()), {"root_path": "/api"}),
    (lambda: EntitlementsMiddleware(api(), **options(routes=[])), {}),
    (lambda: EntitlementsMiddleware(Starlette(routes=[Mount("/api", api())]), **options()), {}),
]


@pytest.mark.parametrize(("build", "scope"), FINE)
def test_an_application_starts_where_both_know_one_prefix_or_no_rule_has_a_path(build, scope):
    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == [
        each["type"] for each in started(build(), **scope)
    ]
