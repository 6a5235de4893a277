"""Warnings when an application has started: rules that match none of its routes, and denials that it would not answer."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fastapi import APIRouter, FastAPI
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Mount, WebSocketRoute
from starlette.routing import Route as StarletteRoute
from starlette.staticfiles import StaticFiles
from trade import policy
from webserver import exchange, hello, serving

from entitlements import AsyncEnforcer, Denied
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware, RoutesMiddleware
from entitlements.http.eager import checked
from entitlements.http.fastapi import install
from entitlements.http.routes import Route
from entitlements.integrations.litestar import exception_handlers
from entitlements.integrations.starlette import install as install_in_starlette


def options(*rules, **more):
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro"})
    return {"enforcer": enforcer, "identify": lambda _: "pro", "routes": rules} | more


def start(app, caplog, **scope):
    """Run the lifespan of the application, and return the warnings."""
    caplog.clear()
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = asyncio.run(exchange(app, *events, type="lifespan", **scope))
    assert "lifespan.startup.complete" == sent[0]["type"]
    return [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]


class Endpoint(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("here")


async def here(request):
    return PlainTextResponse("here")


async def talk(websocket):
    await websocket.accept()


def answering(app):
    """Return an application of Starlette that answers denials."""
    install_in_starlette(app)
    return app


def site(**more):
    """Return what `bare_site` does, with an answer to denials."""
    return answering(bare_site(**more))


def bare_site(**more):
    """Return an application with routes of every kind, those of two mounted ones included."""
    inner = Starlette(routes=[StarletteRoute("/leads/{id:int}", here, methods=["POST"])])
    return Starlette(
        routes=[
            StarletteRoute("/plain", here),
            StarletteRoute("/endpoint", Endpoint),
            WebSocketRoute("/talk", talk),
            Mount("/v1", CORSMiddleware(inner)),
            Mount("/files", StaticFiles(directory=".")),
            Host("api.example.com", Starlette(routes=[StarletteRoute("/hosted", here)])),
        ],
        **more,
    )


def fast():
    """Return the same with FastAPI: a router that another one includes, and a mount on it."""
    app, router, nested = FastAPI(), APIRouter(), APIRouter()
    app.get("/plain")(lambda: "here")
    app.api_route("/endpoint", methods=["GET", "PUT", "DELETE"])(lambda: "here")
    nested.post("/leads/{id}")(lambda: "here")
    nested.websocket("/talk")(talk)
    nested.mount("/files", StaticFiles(directory="."))
    router.include_router(nested)
    app.include_router(router, prefix="/v1")
    app.mount("/hosted", Starlette(routes=[StarletteRoute("/", here)]))
    app.websocket("/talk")(talk)
    app.mount("/files", hello)
    install(app)
    return app


MATCHING = [
    Route("/plain", methods={"GET"}),
    Route("/plain/"),
    Route("/endpoint", methods={"DELETE"}),
    Route("/talk", messages={"api": 1}),
    Route("/v1/leads/{n:int}", methods={"POST", "PUT"}),
    Route("/v1/{rest:path}"),
    Route("/files/reports/{rest:path}"),
    Route("/hosted"),
    Route("/anywhere", methods={"OPTIONS"}, exempt=True),
    Route("/{anything}"),
]
UNMATCHED = [
    (Route("/plan"), "route /plan (did you mean '/plain'?)"),
    (Route("/plain", methods={"POST"}), "route POST /plain (it has GET"),
    (Route("/plain", messages={"api": 1}), "route /plain (it has no websocket there)"),
    (Route("/v1/lead/{id}"), "route /v1/lead/{id} (did you mean '/v1/leads/{id"),
    (Route("/leads/{id}"), "route /leads/{id}"),
    (Route("/v1/leads/{id}", methods={"GET"}), "route GET,HEAD /v1/leads/{id} (it has POST there)"),
    (Route("/healthz", exempt=True), "route /healthz"),
]


def outside(app, *rules):
    return EntitlementsMiddleware(app, **options(*rules))


def within(app, *rules):
    app.add_middleware(CORSMiddleware)
    app.add_middleware(checked(EntitlementsMiddleware, **options(*rules)))
    return app


def alone(app, *rules):
    given = options(*rules)
    return RoutesMiddleware(app, enforcer=given["enforcer"], routes=given["routes"])


@pytest.mark.parametrize("place", [outside, within, alone])
@pytest.mark.parametrize("build", [site, fast])
def test_a_rule_that_matches_a_route_is_no_matter_for_a_warning(build, place, caplog):
    assert [] == start(place(build(), *MATCHING), caplog)


@pytest.mark.parametrize("place", [outside, within, alone])
@pytest.mark.parametrize("build", [site, fast])
@pytest.mark.parametrize(("rule", "words"), UNMATCHED)
def test_a_rule_that_matches_no_route_is_logged_with_the_cure(build, place, rule, words, caplog):
    (told,) = start(place(build(), rule), caplog)

    assert told.startswith("rules match no route of the application, so they have no effect: ")
    assert words in told
    assert told.endswith("; correct the path or the methods, or remove them")


def test_all_such_rules_are_listed_in_one_line(caplog):
    rules = [Route("/a"), Route("/plain"), Route("/b", exempt=True)]
    (told,) = start(outside(site(), *rules), caplog)

    assert "no effect: route /a, route /b; correct" in told
    assert ["route /a", "route /b"] == caplog.records[-1].rules


def test_routes_that_are_added_after_the_middleware_count(caplog):
    app = site()
    app = outside(inner := app, Route("/late"))
    inner.add_route("/late", here)

    assert [] == start(app, caplog)


class Unknown(BaseRoute):
    """A kind of route of the program's own."""


def anything(scope, receive, send):
    return hello(scope, receive, send)


@pytest.mark.parametrize(
    "build",
    [
        lambda: hello,
        lambda: answering(Starlette(routes=[Mount("/", anything)])),
        lambda: CORSMiddleware(anything),
        lambda: with_default(answering(Starlette())),
        lambda: answering(Starlette(routes=[Unknown()])),
        lambda: answering(mounted_in_itself(Starlette())),
    ],
)
def test_an_application_that_cannot_be_looked_into_gets_no_warning(build, caplog):
    assert [] == start(outside(build(), Route("/a"), Route("/b", messages={"api": 1})), caplog)


def with_default(app):
    app.router.default = hello
    return app


def mounted_in_itself(app):
    app.mount("/", app)
    return app


def test_a_prefix_of_the_server_and_the_mount_point_of_the_middleware_are_no_part_of_a_rule(caplog):
    assert [] == start(outside(site(), Route("/plain")), caplog, root_path="/api")


def test_a_server_logs_a_rule_without_effect_once(caplog):
    with serving(outside(fast(), Route("/plan", requires={"sso"}))):
        pass

    (record,) = [each for each in caplog.records if each.name == "entitlements.http"]
    assert "route /plan (did you mean '/plain'?)" in record.getMessage()


# -- Applications without an answer to denials -------------------------------------------


def bare(title="Shop"):
    app = FastAPI(title=title)
    app.get("/")(lambda: "here")
    return app


def accounts_only(app):
    given = options()
    return AccountMiddleware(app, enforcer=given["enforcer"], identify=given["identify"])


@pytest.mark.parametrize("place", [outside, within, alone, accounts_only])
def test_fastapi_without_install_is_logged(place, caplog):
    (told,) = start(place(bare()), caplog)

    assert told.startswith("FastAPI application 'Shop' has no handler for Denied: ")
    assert told.endswith("call entitlements.http.fastapi.install(app)")


def test_it_is_logged_once_for_two_middlewares_and_for_an_application_that_is_hidden(caplog):
    inner = within(bare())

    async def hidden(scope, receive, send):
        await inner(scope, receive, send)

    assert 1 == len(start(outside(hidden), caplog))


def test_an_application_that_is_mounted_counts_too(caplog):
    outer = bare("Outer")
    install(outer)
    outer.mount("/in", bare("Inner"))
    assert [] == start(outside(outer), caplog)  # `install` has given it the handlers

    told = start(outside(Starlette(routes=[Mount("/in", bare("Inner"))])), caplog)
    assert ["Starlette application 'Starlette'", "FastAPI application 'Inner'"] == [
        each.partition(" has")[0] for each in told
    ]
    assert [] == start(outside(answering(Starlette(routes=[Mount("/in", bare("Inner"))]))), caplog)


@pytest.mark.parametrize("place", [outside, within, alone, accounts_only])
def test_starlette_without_install_is_logged_once_for_all_its_applications(place, caplog):
    (told,) = start(place(bare_site()), caplog)

    assert told.startswith("Starlette application 'Starlette' has no handler for Denied: ")
    assert told.endswith("call entitlements.integrations.starlette.install(app)")


@pytest.mark.parametrize("place", [outside, accounts_only])
def test_litestar_without_handlers_is_logged(place, caplog):
    @get("/")
    async def shown() -> str:
        return "here"

    (told,) = start(place(Litestar([shown], logging_config=None)), caplog)
    assert told.startswith("Litestar application 'Litestar' has no handler for Denied: ")
    assert told.endswith("pass exception_handlers=entitlements.integrations.litestar.exception_handlers()")

    assert [] == start(place(Litestar([shown], exception_handlers=exception_handlers(), logging_config=None)), caplog)


def handled(error):
    app = bare()
    app.add_exception_handler(error, here)
    return app


@pytest.mark.parametrize(
    "build", [fast, site, lambda: handled(Denied), lambda: handled(Exception), lambda: within(fast())]
)
def test_an_application_that_answers_denials_gets_no_warning(build, caplog):
    assert [] == start(outside(build()), caplog)
