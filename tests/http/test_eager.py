"""Eager checks: wrong options and names fail the start, although Starlette builds middlewares at the first call."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route as StarletteRoute
from trade import policy
from uvicorn.lifespan.on import LifespanOn
from webserver import exchange

from entitlements import AsyncEnforcer
from entitlements.http import starting
from entitlements.http.asgi import AccountMiddleware, EntitlementsMiddleware, RoutesMiddleware
from entitlements.http.eager import checked
from entitlements.http.identify import api_key, client_ip
from entitlements.http.problems import Problems
from entitlements.http.routes import Route
from entitlements.stores.errors import Misconfigured, Unreachable

ROOT = Path(__file__).resolve().parents[2]


def enforcer():
    return AsyncEnforcer(policy(), accounts={"pro": "pro"})


def site():
    return Starlette(routes=[StarletteRoute("/", lambda _: PlainTextResponse("hello"))])


def yields(scope):
    yield "pro"


async def everything(_):
    """A predicate that would be true of every request, were it not awaited."""


WRONG = [
    ({"identify": None}, TypeError, "identify None must be a callable"),
    ({"identify": api_key}, TypeError, r"identify is api_key itself; call it, as in identify=api_key\(...\)"),
    ({"identify": client_ip}, TypeError, "identify is client_ip itself"),
    ({"identify": lambda: "pro"}, TypeError, "cannot be called with the ASGI scope alone"),
    ({"identify": lambda scope, more: scope or more}, TypeError, "cannot be called with the ASGI scope alone"),
    ({"identify": yields}, TypeError, "is a generator; return the account"),
    ({"on_denied": lambda _: None}, TypeError, "on_denied .* must be a callable"),
    ({"docs_url": 5}, TypeError, "docs_url 5 must be a str"),
    ({"upgrade_url": b"https://x"}, TypeError, "upgrade_url b'https://x' must be a str"),
    (
        {"docs_url": "/docs\n"},
        ValueError,
        r"docs_url '/docs\\n' holds '\\n', which no URI may; strip or percent-encode",
    ),
    (
        {"docs_url": "https://x.example/docs#problems"},
        ValueError,
        "docs_url .* holds '#': the kind of a problem is its",
    ),
    (
        {"docs_url": "x"},
        ValueError,
        "docs_url 'x' would be another page at each path of the application; write an https",
    ),
    ({"upgrade_url": "../plans"}, ValueError, "upgrade_url '../plans' would be another page"),
    ({"docs_url": "https://x.example/my docs"}, ValueError, "docs_url .* holds ' ', which no URI may"),
    ({"docs_url": "https://x.example/é"}, ValueError, "docs_url .* holds 'é', which no URI may"),
    ({"upgrade_url": "/50%"}, ValueError, "upgrade_url '/50%' holds '%', which no URI may"),
    ({"upgrade_url": "/\ud800"}, ValueError, "upgrade_url .* holds .*; strip or percent-encode it"),
    ({"docs_url": "javascript:1"}, ValueError, "docs_url 'javascript:1' has the scheme 'javascript'; write an https"),
    ({"upgrade_url": "DATA:,x"}, ValueError, "upgrade_url 'DATA:,x' has the scheme 'data'; write an https"),
    (
        {"docs_url": "https://x.example:65536/"},
        ValueError,
        "docs_url .* is no URL .*Port out of range.*; write an https",
    ),
    ({"upgrade_url": "//x.example:http/"}, ValueError, "upgrade_url .* is no URL .*; write an https"),
    ({"payment_required": "no"}, TypeError, "payment_required 'no' must be True or False"),
    ({"refund_rates": "no"}, TypeError, "refund_rates 'no' must be True or False"),
    ({"on_denied": "x"}, TypeError, "on_denied 'x' must be a callable"),
    ({"routes": [Route("/a"), Route("/a")]}, ValueError, "can never match"),
    ({"routes": [Route("/a", consumes={"lead": 1})]}, ValueError, "did you mean 'leads'"),
]


@pytest.mark.parametrize(("options", "error", "words"), WRONG)
def test_a_checked_middleware_is_refused_where_it_is_written(options, error, words):
    with pytest.raises(error, match=words):
        checked(EntitlementsMiddleware, **({"enforcer": enforcer(), "identify": lambda _: "pro"} | options))


def test_the_smaller_middlewares_can_be_checked_too():
    with pytest.raises(TypeError, match="identify"):
        checked(AccountMiddleware, enforcer=enforcer(), identify="x-api-key")
    with pytest.raises(TypeError, match="on_denied 5"):
        checked(AccountMiddleware, enforcer=enforcer(), identify=lambda _: "pro", on_denied=5)
    with pytest.raises(TypeError, match="docs_url"):
        Problems(docs_url=b"")
    with pytest.raises(ValueError, match="did you mean 'sso'"):
        checked(RoutesMiddleware, enforcer=enforcer(), routes=[Route("/a", requires={"ssso"})])


@pytest.mark.parametrize("exempt", [everything, lambda: True, "/healthz", lambda _: (yield)])
def test_an_exempt_that_would_exempt_every_request_is_refused(exempt):
    with pytest.raises(TypeError, match=r"exempt .* must be a plain function of the scope"):
        AccountMiddleware(site(), enforcer=enforcer(), identify=lambda _: "pro", exempt=exempt)


def test_an_exempt_whose_result_would_have_to_be_awaited_exempts_no_request():
    app = AccountMiddleware(
        site(), enforcer=enforcer(), identify=lambda _: None, exempt=lambda scope: everything(scope["path"])
    )

    with pytest.raises(TypeError, match=r"exempt: <function .*<lambda> .* returned an awaitable .*; write a plain"):
        asyncio.run(exchange(app))


@pytest.mark.parametrize("lifespan", ["auto", "on"])
def test_a_checked_middleware_that_does_not_fit_its_application_keeps_the_server_from_starting(lifespan):
    inner, app = FastAPI(), Starlette()
    inner.root_path = "/api"
    app.add_middleware(
        checked(EntitlementsMiddleware, enforcer=enforcer(), identify=lambda _: "pro", routes=[Route("/a")])
    )
    app.mount("/", inner)

    assert not starts(app, lifespan)


def test_a_checked_middleware_has_the_rules_that_it_was_given_though_they_are_read_once():
    app = site()
    rules = (Route(path, requires={"sso"}) for path in ("/", "/other"))
    app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer(), identify=lambda _: "pro", routes=rules))

    assert 403 == asyncio.run(exchange(app))[0]["status"]


def starts(app, lifespan):
    """Return True if uvicorn would serve the application after its startup."""

    async def starting():
        config = uvicorn.Config(app, lifespan=lifespan, log_level="critical")
        config.load()
        life = LifespanOn(config)
        await life.startup()
        if not life.should_exit:
            await life.shutdown()
        return not life.should_exit

    return asyncio.run(starting())


def failed_start(app, error, words):
    """Run the lifespan of an application, which must raise; return what the server was told before."""
    told = []

    async def send(message):
        told.append(message)

    with pytest.raises(error, match=words):
        asyncio.run(exchange(app, {"type": "lifespan.startup"}, type="lifespan", send=send))
    return told


@pytest.mark.parametrize("lifespan", ["auto", "on"])
@pytest.mark.parametrize("kind", [Starlette, FastAPI])
@pytest.mark.parametrize(("options", "error", "words"), WRONG)
def test_what_was_not_checked_keeps_a_server_from_starting(options, error, words, kind, lifespan):
    right, wrong = kind(), kind()
    options = {"enforcer": enforcer(), "identify": lambda _: "pro"} | options
    right.add_middleware(EntitlementsMiddleware, enforcer=enforcer(), identify=lambda _: "pro")
    wrong.add_middleware(EntitlementsMiddleware, **options)

    assert (True, False) == (starts(right, lifespan), starts(wrong, lifespan))
    (told,) = failed_start(wrong, error, words)
    assert "lifespan.startup.failed" == told["type"]
    assert re.search(words, told["message"])


class Own(EntitlementsMiddleware):
    """A middleware of a program, built on ours."""

    def __init__(self, app, **options):
        super().__init__(app, enforcer=enforcer(), **options)


@pytest.mark.parametrize(
    ("middleware", "options"),
    [
        (AccountMiddleware, {"enforcer": enforcer(), "identify": "x-api-key"}),
        (RoutesMiddleware, {"enforcer": enforcer(), "routes": [Route("/a", requires={"ssso"})]}),
        (EntitlementsMiddleware, {"enforcer": enforcer()}),  # no identify
        (partial(EntitlementsMiddleware, enforcer=enforcer()), {"identify": 5}),
        (Own, {"identify": 5}),
    ],
)
def test_any_middleware_of_ours_that_cannot_be_built_keeps_a_server_from_starting(middleware, options):
    app = site()
    app.add_middleware(middleware, **options)

    assert not starts(app, "auto")


PROGRAM = """
import uvicorn
from starlette.applications import Starlette
from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
enforcer = AsyncEnforcer(Policy.load("policies/minimal.yaml"), accounts={})
app = Starlette()
app.add_middleware(EntitlementsMiddleware, enforcer=enforcer, identify=None)
uvicorn.run(app, port=0)
"""


def test_a_real_server_does_not_start_with_a_wrong_option_and_says_why():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, timeout=300, check=False)

    assert 3 == ended.returncode  # as of uvicorn where the startup failed
    assert b"identify None must be a callable" in ended.stderr


CLIENT = """
from fastapi import FastAPI
from starlette.testclient import TestClient
from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.eager import checked
from entitlements.http.routes import Route
app, inner, backend = FastAPI(), FastAPI(root_path="/api"), "asyncio"
options = {"enforcer": AsyncEnforcer(Policy.load("policies/minimal.yaml"), accounts={}), "identify": lambda _: "pro"}
CASE
with TestClient(app, backend=backend):
    print("started")
"""


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (
            'app.add_middleware(EntitlementsMiddleware, **options, routes=[Route("/x", requires={"ssso"})])',
            "did you mean 'sso'",
        ),
        (
            'app.add_middleware(checked(EntitlementsMiddleware, **options, routes=[Route("/x")])); app.mount("/", inner)',
            "has root_path='/api'",
        ),
        ('app.add_middleware(checked(EntitlementsMiddleware, **options)); backend = "trio"', "run on asyncio only"),
        ('app = EntitlementsMiddleware(app, **options); backend = "trio"', "run on asyncio only"),
    ],
    ids=["unchecked", "prefix", "lasting-inside", "lasting-outside"],
)
def test_a_test_client_raises_the_cause_at_its_start(case, words):
    ended = subprocess.run(
        [sys.executable, "-c", CLIENT.replace("CASE", case)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert (1, "") == (ended.returncode, ended.stdout)
    assert words in ended.stderr.splitlines()[-1]


async def test_a_middleware_that_is_built_in_a_running_loop_raises_at_its_line():
    with pytest.raises(TypeError, match="identify None"):
        EntitlementsMiddleware(site(), enforcer=enforcer(), identify=None)


class UnreachableStore:
    """A store that cannot be opened."""

    def __init__(self, error):
        self.error = error
        self.closed = 0

    via = "store"

    async def open(self):
        raise self.error

    async def aclose(self):
        self.closed += 1

    async def execute(self, order):
        raise self.error


def unreachable(error):
    return AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=UnreachableStore(error), expected_processes=1)


@pytest.mark.parametrize("lifespan", ["auto", "on"])
def test_a_store_that_waiting_does_not_heal_keeps_the_server_from_starting(lifespan):
    for error, started in ((Unreachable("it is not there"), True), (Misconfigured("there is no such database"), False)):
        app = site()
        app.add_middleware(checked(EntitlementsMiddleware, enforcer=unreachable(error), identify=lambda _: "pro"))

        assert started is starts(app, lifespan), error


def test_the_server_is_told_once_why_it_cannot_start():
    enforcer = unreachable(Misconfigured("there is no such database"))
    app = site()
    app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, identify=lambda _: "pro"))

    told = failed_start(app, Misconfigured, "there is no such database")

    assert [{"type": "lifespan.startup.failed", "message": "there is no such database"}] == told


@pytest.mark.parametrize("returns", [False, True])
def test_an_application_that_tells_of_its_own_failure_then_is_not_passed_on(returns):
    async def telling(scope, receive, send):
        try:
            await receive()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": repr(error)})
            if not returns:
                raise

    app = EntitlementsMiddleware(telling, enforcer=unreachable(Misconfigured("no")), identify=lambda _: "pro")

    assert [{"type": "lifespan.startup.failed", "message": "no"}] == failed_start(app, Misconfigured, "no")


def test_requests_that_the_store_fails_are_logged_without_a_traceback(caplog):
    enforcer = unreachable(Misconfigured("there is no such database"))
    app = EntitlementsMiddleware(
        site(), enforcer=enforcer, identify=lambda _: "pro", default=Route(consumes={"leads": 1})
    )

    assert 503 == asyncio.run(exchange(app))[0]["status"]

    (record,) = [each for each in caplog.records if each.name == "entitlements.http"]
    assert "charge failed for route *; request refused with 503\nthere is no such database" == record.getMessage()


def test_what_was_not_checked_serves_nobody_either():
    app = site()
    app.add_middleware(EntitlementsMiddleware, enforcer=enforcer(), identify=None)

    with pytest.raises(TypeError, match="identify None must be a callable"):
        asyncio.run(exchange(app))


def test_the_former_name_of_the_module_is_an_alias():
    assert checked is starting.checked
