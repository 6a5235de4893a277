"""The WSGI middleware: bodies that are made later, errors, hostile environments, and what it refuses when it is built."""

from __future__ import annotations

import contextlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trade import policy
from webserver import KEYS

from entitlements import Account, AsyncEnforcer, Enforcer, NotLoaded
from entitlements.http.identify import api_key, client_ip
from entitlements.http.routes import Route
from entitlements.integrations.wsgi import EntitlementsMiddleware, current_account
from entitlements.ledger import SqlLedger
from entitlements.model.events import Decided

ROUTE = Route(consumes={"api": 1, "leads": 1})


def enforcer():
    return Enforcer(policy(), accounts={"pro": "pro", "free": "free", "max": "max"})


def gated(app, rules=None, **options):
    counting = enforcer()
    options = {"identify": api_key(KEYS), "default": ROUTE} | options
    return EntitlementsMiddleware(app, enforcer=counting, routes=rules or [], **options), counting


@pytest.mark.parametrize("consumes", [{"api": 1}, {"api": 1, "leads": 1}], ids=["a rate", "a rate and a quota"])
def test_hooks_and_a_ledger_hear_of_each_charge_once(consumes):
    """Also where the charge of a route was prepared and goes straight to the store."""
    heard = []
    with (
        SqlLedger("sqlite://") as ledger,
        Enforcer(policy(), accounts={"pro": "pro"}, hooks=[heard.append, ledger]) as counting,
    ):
        options = {"identify": api_key(KEYS), "default": Route(consumes=consumes)}
        app = EntitlementsMiddleware(hello, enforcer=counting, **options)
        for _ in range(3):
            assert call(app)[0].startswith("200")
        entered = {each.limit: each.units for each in ledger.usage()}

    assert 3 == sum(isinstance(each, Decided) for each in heard)
    assert dict.fromkeys(consumes, 3) == entered


def used(counting):
    usage = counting.usage("pro")
    return usage["api"].used, usage["leads"].used


def call(app, path="/", *, read=True, **environ):
    """Serve one request without a server; return the status, the headers, the body, and close the body."""
    given = {"PATH_INFO": path, "HTTP_X_API_KEY": "k", "REMOTE_ADDR": "192.0.2.1"} | environ
    setup_testing_defaults(given)
    started = []

    def start_response(status, headers, exc_info=None):
        started[:] = [status, headers]
        return started.append

    body = app(given, start_response)
    try:
        chunks = list(body) if read else []
    finally:
        with contextlib.suppress(AttributeError):
            body.close()
    return (*started, b"".join(chunks))


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class Body:
    """A body that is made later, fails after so many chunks, and notes that it was closed."""

    def __init__(self, fails_after=None):
        self.fails_after, self.is_closed, self.seen = fails_after, False, []

    def __iter__(self):
        for at in range(3):
            if at == self.fails_after:
                raise RuntimeError("broken")
            self.seen.append(current_account().id)
            yield b"x"

    def close(self):
        self.is_closed = True


def later(body, status="200 OK"):
    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/plain")])
        return body

    return app


def test_a_body_is_made_while_its_account_is_the_current_one_and_is_closed_once_it_is_sent():
    body = Body()
    app, counting = gated(later(body))

    status, headers, content = call(app)

    assert ("200 OK", b"xxx", ["pro"] * 3, True) == (status, content, body.seen, body.is_closed)
    assert {"ratelimit", "ratelimit-policy", "Content-Type"} == {name for name, _ in headers}
    assert (1, 1) == used(counting)
    with pytest.raises(NotLoaded):
        current_account()


def test_a_body_that_fails_in_the_middle_is_refunded_and_closed():
    body = Body(fails_after=2)
    app, counting = gated(later(body))

    with pytest.raises(RuntimeError, match="broken"):
        call(app)

    assert (1, 0) == used(counting)
    assert body.is_closed


@pytest.mark.parametrize(("status", "left"), [("200 OK", (1, 1)), ("503 Busy", (1, 0))])
def test_a_client_that_hangs_up_gets_nothing_back_unless_the_status_says_so(status, left):
    body = Body()
    app, counting = gated(later(body, status))

    call(app, read=False)

    assert left == used(counting)
    assert body.is_closed


def test_an_application_that_starts_its_response_while_its_body_is_read_gets_the_headers_too():
    def lazy(environ, start_response):
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        yield b"nothing here"

    app, counting = gated(lazy, refund_on={404})

    status, headers, _ = call(app)

    assert ("404 Not Found", '"api";r=9') == (status, dict(headers)["ratelimit"].partition(";t")[0])
    assert (1, 0) == used(counting)


def test_an_error_refunds_and_a_response_that_is_started_again_keeps_one_set_of_headers():
    def failing(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        error = RuntimeError("broken")
        start_response("500 Oops", [("Content-Type", "text/plain")], (type(error), error, error.__traceback__))
        return [b"sorry"]

    app, counting = gated(failing)
    status, headers, _ = call(app)
    assert ("500 Oops", 1) == (status, [name for name, _ in headers].count("ratelimit"))
    assert (1, 0) == used(counting)

    def raising(environ, start_response):
        raise RuntimeError("broken")

    app, counting = gated(raising)
    with pytest.raises(RuntimeError):
        call(app)
    assert (1, 0) == used(counting)


def test_a_body_of_the_file_wrapper_and_a_list_pass():
    app, counting = gated(later(FileWrapper(io.BytesIO(b"file"))))
    assert b"file" == call(app)[2]

    chunks = [b"a", b"b"]
    app, counting = gated(later(chunks))
    assert b"ab" == call(app)[2]
    assert (1, 1) == used(counting)


def test_a_second_middleware_charges_by_its_own_rules_for_the_account_that_the_first_one_found():
    asked = []
    counting = enforcer()

    def identify(scope):
        asked.append(scope["path"])
        return "pro"

    inner = EntitlementsMiddleware(hello, enforcer=counting, identify=identify, default=Route(consumes={"leads": 2}))
    app = EntitlementsMiddleware(inner, enforcer=counting, identify=identify, default=Route(consumes={"api": 1}))

    call(app, "/a")

    assert (["/a"], (1, 2)) == (asked, used(counting))


def test_rules_match_below_the_mount_point_and_with_the_text_that_the_client_sent():
    rules = [Route("/é/{name}", exempt=True)]
    app, _counting = gated(hello, rules)

    assert "200 OK" == call(app, "/é/x".encode().decode("latin-1"), SCRIPT_NAME="/api", HTTP_X_API_KEY="none")[0]
    assert "401 Unauthorized" == call(app, "/é".encode().decode("latin-1"), HTTP_X_API_KEY="none")[0]


def test_the_address_of_the_client_is_found_behind_a_proxy_and_without_one():
    accounts = {"192.0.2.1": "pro", "198.51.100.7": "max"}
    seen = []

    def who(environ, start_response):
        seen.append(current_account().id)
        return hello(environ, start_response)

    for proxies, expected in ((0, "192.0.2.1"), (1, "198.51.100.7")):
        counting = Enforcer(policy(), accounts=accounts)
        app = EntitlementsMiddleware(who, enforcer=counting, identify=client_ip(trusted_proxies=proxies))
        call(app, HTTP_X_FORWARDED_FOR="203.0.113.9, 198.51.100.7")
        assert expected == seen[-1]
    assert "401 Unauthorized" == call(app, REMOTE_ADDR="")[0]


@pytest.mark.parametrize("failing", ["raises", "awaitable"])
def test_an_identify_that_fails_lets_no_request_through(failing):
    async def coroutine():
        return "pro"

    def identify(scope):
        if failing == "raises":
            raise LookupError(scope["path"])
        return coroutine()

    app, _ = gated(hello, identify=identify)
    with contextlib.suppress(RuntimeWarning):
        status, headers, _ = call(app)

    assert ("503 Service Unavailable", "1") == (status, dict(headers)["retry-after"])


def test_an_identify_that_returns_no_account_and_no_id_is_a_mistake_that_is_named():
    app, _ = gated(hello, identify=lambda _: 42)
    with pytest.raises(TypeError, match="identify returned 42"):
        call(app)


@pytest.mark.parametrize("answer", [None, hello, 42, "raises"])
def test_on_denied_answers_with_a_wsgi_application_or_with_the_problem_document(answer):
    def on_denied(scope, refusal):
        assert "not-included" == refusal.kind
        if answer == "raises":
            raise RuntimeError("broken")
        return answer

    app, _ = gated(hello, [Route("/", requires={"sso"})], on_denied=on_denied)

    assert ("200 OK" if answer is hello else "403 Forbidden") == call(app)[0]


def test_wrong_options_are_named_when_it_is_built():
    async def identify(scope):
        return "pro"

    with pytest.raises(TypeError, match="is async, and no event loop runs here"):
        EntitlementsMiddleware(hello, enforcer=enforcer(), identify=identify)
    with pytest.raises(TypeError, match="an AsyncEnforcer needs an event loop"):
        EntitlementsMiddleware(hello, enforcer=AsyncEnforcer(policy()), identify=api_key(KEYS))
    with pytest.raises(TypeError, match="'route' is no option; there are routes, default"):
        gated(hello, route=[])
    with pytest.raises(ValueError, match="'sos'"):
        gated(hello, [Route("/", requires={"sos"})])


def test_500_requests_at_once_from_many_threads_admit_exactly_what_the_limit_has():
    app, _counting = gated(hello, default=Route(consumes={"fixed": 1}), identify=lambda _: Account("max", "max"))

    with ThreadPoolExecutor(16) as pool:
        statuses = [status for status, *_ in pool.map(lambda _: call(app), range(500))]

    assert (100, 400) == (statuses.count("200 OK"), statuses.count("429 Too Many Requests"))


environs = st.fixed_dictionaries(
    {"PATH_INFO": st.text(st.characters(max_codepoint=255), max_size=12)},
    optional={
        "SCRIPT_NAME": st.text(st.characters(max_codepoint=255), max_size=5),
        "QUERY_STRING": st.text(st.characters(max_codepoint=255), max_size=5),
        "HTTP_X_API_KEY": st.text(st.characters(max_codepoint=255), max_size=5),
        "CONTENT_LENGTH": st.sampled_from(["", "0", "x"]),
        "REMOTE_ADDR": st.sampled_from(["", "unix:", "::1", "192.0.2.1"]),
        "REQUEST_METHOD": st.sampled_from(["GET", "HEAD", "get", "BREW", ""]),
    },
)


@given(environs)
def test_no_environment_is_an_error(environ):
    app, _ = gated(hello, [Route("/a/{b}", consumes={"api": 1}), Route("/files/{rest:path}", exempt=True)])

    assert call(app, **{"path": environ.pop("PATH_INFO")} | environ)[0][:3] in {"200", "400", "401", "403", "429"}


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.mark.parametrize("path", ["/", "/sso", "/stream"])
def test_it_keeps_to_the_protocol_on_both_sides(path):
    """The validators of the standard library stand around the middleware and around the application."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (each for each in [b"a", b"b"]) if environ["PATH_INFO"] == "/stream" else [b"ab"]

    inner, _ = gated(validator(app), [Route("/sso", requires={"sso"})])
    server = make_server("127.0.0.1", 0, validator(inner), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        response = httpx.get(f"http://127.0.0.1:{server.server_port}{path}", headers={"x-api-key": "k"}, timeout=60)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)

    assert (403 if path == "/sso" else 200) == response.status_code
