"""One application in every framework, each behind its own middleware of this package, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import flask
import litestar
import waitress.server
from django_site import django_site
from fastapi import Depends, FastAPI, Request
from pages import chunks, chunks_async, commit, commit_async, is_stream, leads_used, own_headers, page
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route as StarletteRoute
from trade import policy
from webserver import KEYS, serving

from entitlements import AsyncEnforcer, Enforcer
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.eager import checked
from entitlements.http.identify import api_key
from entitlements.http.routes import Route
from entitlements.integrations import wsgi
from entitlements.integrations.flask import Entitlements, consume, require
from entitlements.integrations.starlette import install

ACCOUNTS = {"pro": "pro", "free": "free", "max": "max"}
RULES = [
    Route("/settled/{rest:path}", consumes={"api": 1, "leads": 3}, settles=leads_used),
    Route("/healthz", exempt=True),
    Route("/sso", requires={"sso"}),
    Route("/leads/{n:int}", consumes={"leads": lambda scope: int(scope["path"].rpartition("/")[2])}),
    Route("/own/{rest:path}"),
    Route("/async/{rest:path}"),
    Route("/class/{rest:path}"),
    Route("/async-class/{rest:path}"),
    Route("/rest/{rest:path}"),
]
OPTIONS = {
    "identify": api_key(KEYS | {"gone": "nobody-knows"}),
    "routes": RULES,
    "default": Route(consumes={"api": 1, "leads": 1}),
}


@contextlib.contextmanager
def serving_wsgi(app):
    """Serve *app* with waitress on a free port, and yield its URL; it is stopped at the end."""
    sockets = {}
    server = waitress.server.create_server(app, map=sockets, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: [each.close() for each in list(sockets.values())])
        thread.join(60)


def plain_wsgi(environ, start_response):
    path, reservation = environ["PATH_INFO"], environ.get("entitlements.reservation")
    headers = [("Content-Type", "text/plain"), *own_headers(path).items()]
    if is_stream(path):
        start_response("200 OK", headers)
        return chunks(path, reservation)
    status, text = page(path)
    commit(reservation, path)
    start_response(f"{status} -", [*headers, ("Content-Length", str(len(text)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [text.encode()]


async def plain_asgi(scope, receive, send):
    path, reservation = scope["path"], scope.get("state", {}).get("reservation")
    own = [(name.encode(), value.encode()) for name, value in own_headers(path).items()]
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"), *own]}
    if is_stream(path):
        await send(start)
        async for chunk in chunks_async(path, reservation):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    start["status"], text = page(path)
    await commit_async(reservation, path)
    await send(start)
    await send({"type": "http.response.body", "body": text.encode()})


def flask_app(enforcer, **options):
    app = flask.Flask("site")
    Entitlements(app, enforcer=enforcer, **options)

    @app.get("/<path:path>")
    def any_page(path):
        reservation = flask.g.get("reservation")
        if is_stream(path):
            return flask.Response(chunks(path, reservation), headers=own_headers(path), mimetype="text/plain")
        status, text = page(path)
        commit(reservation, path)
        return flask.Response(text, status, own_headers(path), mimetype="text/plain")

    @app.get("/own/sso")
    @require("sso")
    def needs_sso():
        return "here"

    @app.get("/own/leads")
    @consume("leads", lambda request: int(request.args["n"]))
    def counted():
        return "here"

    @app.get("/own/denied")
    def denied():
        page("denied")

    @app.get("/own/broken")
    @consume("leads")
    def counted_then_broken():
        raise RuntimeError("broken")

    return app


def starlette_app(enforcer, **options):
    async def any_page(request):
        path, reservation = request.url.path, getattr(request.state, "reservation", None)
        if is_stream(path):
            return StreamingResponse(
                chunks_async(path, reservation), headers=own_headers(path), media_type="text/plain"
            )
        status, text = page(path)
        await commit_async(reservation, path)
        return PlainTextResponse(text, status, own_headers(path))

    app = Starlette(routes=[StarletteRoute("/{rest:path}", any_page)])
    install(app)
    app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, **options))
    return app


def fastapi_app(enforcer, **options):
    from entitlements.http.fastapi import consume as limited
    from entitlements.http.fastapi import install as install_fastapi
    from entitlements.http.fastapi import require as needed

    app = FastAPI()
    leads = limited("leads", lambda request: int(request.query_params["n"]))
    app.get("/own/sso", dependencies=[Depends(needed("sso"))])(lambda: "here")
    app.get("/own/leads", dependencies=[Depends(leads)])(lambda: "here")
    app.get("/own/broken", dependencies=[Depends(limited("leads"))])(lambda: page("broken"))
    app.get("/own/denied")(lambda: page("denied"))

    @app.api_route("/{rest:path}", methods=["GET", "HEAD"])
    async def any_page(rest: str, request: Request):
        reservation = getattr(request.state, "reservation", None)
        if is_stream(rest):
            return StreamingResponse(
                chunks_async(rest, reservation), headers=own_headers(rest), media_type="text/plain"
            )
        status, text = page(rest)
        await commit_async(reservation, rest)
        return PlainTextResponse(text, status, own_headers(rest))

    install_fastapi(app)
    app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, **options))
    return app


def litestar_app(enforcer, **options):
    from entitlements.integrations.litestar import exception_handlers

    @litestar.route("/{rest:path}", http_method=["GET", "HEAD"])
    async def any_page(request: litestar.Request) -> litestar.Response:
        path, reservation = request.url.path, getattr(request.state, "reservation", None)
        kind = {"headers": own_headers(path), "media_type": "text/plain"}
        if is_stream(path):
            return litestar.response.Stream(chunks_async(path, reservation), **kind)
        status, text = page(path)
        await commit_async(reservation, path)
        return litestar.Response(text, status_code=status, **kind)

    app = litestar.Litestar([any_page], exception_handlers=exception_handlers(), openapi_config=None)
    return EntitlementsMiddleware(app, enforcer=enforcer, **options)


SYNC = {
    "wsgi": lambda enforcer, **options: wsgi.EntitlementsMiddleware(plain_wsgi, enforcer=enforcer, **options),
    "flask": flask_app,
}
ASYNC = {
    "asgi": lambda enforcer, **options: EntitlementsMiddleware(plain_asgi, enforcer=enforcer, **options),
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "litestar": litestar_app,
}
DOORS = [*ASYNC, *SYNC, "django-wsgi", "django-asgi"]


@contextlib.contextmanager
def door(name, store="memory://", served=None, **changed):
    """Serve the application of a framework, and yield its URL and a function that reads what `pro` has used."""
    options, served = OPTIONS | changed, served or policy()
    if name.startswith("django"):
        interface = name.partition("-")[2]
        setting = {key.upper(): value for key, value in options.items()}
        setting |= {"POLICY": served, "ACCOUNTS": ACCOUNTS, "STORE": store}
        with django_site(interface, setting) as (app, enforcer):
            with (serving_wsgi if interface == "wsgi" else serving)(app) as url:
                yield url, lambda: used(enforcer)
            close(enforcer)
        return
    kind, builders, serve = (Enforcer, SYNC, serving_wsgi) if name in SYNC else (AsyncEnforcer, ASYNC, serving)
    enforcer = kind(served, accounts=ACCOUNTS, store=store)
    with serve(builders[name](enforcer, **options)) as url:
        yield url, lambda: used(enforcer)
    close(enforcer)


def used(enforcer, account="pro"):
    """Return what is used of the rate and of the quota."""
    usage = enforcer.usage(account) if isinstance(enforcer, Enforcer) else asyncio.run(_usage(enforcer, account))
    return usage["api"].used, usage["leads"].used


async def _usage(enforcer, account):
    return await enforcer.usage(account)


def close(enforcer):
    if isinstance(enforcer, Enforcer):
        enforcer.close()
    else:
        asyncio.run(_close(enforcer))


async def _close(enforcer):
    await enforcer.aclose()
