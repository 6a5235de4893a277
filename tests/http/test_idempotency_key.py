"""`Idempotency-Key`: a repeat is charged once, whatever serves it, and a key cannot stand for other requests."""

from __future__ import annotations

import httpx
import pytest
from django_site import settled
from doors import ACCOUNTS, door
from hypothesis import given
from hypothesis import strategies as st
from trade import policy
from webserver import KEYS

from entitlements import Enforcer
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.costs import BadRequest
from entitlements.http.idempotency_key import idempotency_key
from entitlements.http.identify import api_key
from entitlements.http.routes import Route
from entitlements.integrations.wsgi import EntitlementsMiddleware as WsgiMiddleware

RULES = [
    Route("/sized", consumes={"leads": lambda scope: int(dict(scope["headers"])[b"x-units"])}),
    Route("/rate", consumes={"fixed": 1}),
]


def scope(key=None, *, method="POST", path="/leads", query=b"", **more):
    keys = [] if key is None else key if isinstance(key, list) else [key]
    return {
        "type": "http", "method": method, "path": path, "query_string": query,
        "headers": [(b"idempotency-key", each) for each in keys], **more,
    }  # fmt: skip


def test_a_key_stands_for_its_method_path_and_query():
    same = [idempotency_key(scope(each)) for each in (b'"a-1"', b"a-1", b' "a-1" ')]
    others = [
        idempotency_key(scope(b"a-2")),
        idempotency_key(scope(b"a-1", method="PATCH")),
        idempotency_key(scope(b"a-1", path="/other")),
        idempotency_key(scope(b"a-1", query=b"n=2")),
    ]

    assert 1 == len(set(same))
    assert 5 == len({same[0], *others})
    assert [None] * 4 == [idempotency_key(scope(b"a", method=each)) for each in ("GET", "PUT", "DELETE", "HEAD")]
    assert idempotency_key(scope()) is None


@pytest.mark.parametrize(
    "key", [b"", b'""', b'"a', b"a b", b"a,b", b'"a";b=1', b"\xe9", b'"a\n"', b"x" * 256, [b"a", b"a"]]
)
def test_a_malformed_header_or_two_are_a_bad_request(key):
    with pytest.raises(BadRequest):
        idempotency_key(scope(key))


@given(st.binary(max_size=300))
def test_any_header_is_a_key_or_a_bad_request(key):
    try:
        found = idempotency_key(scope(key))
    except BadRequest:
        return
    assert found is not None
    assert len(found) < 256
    assert found.isascii()


@pytest.mark.parametrize("name", ["asgi", "wsgi", "django-wsgi", "django-asgi"])
def test_a_repeat_is_charged_once_behind_every_server(name):
    with (
        door(name, idempotency_key=True, routes=RULES) as (url, used),
        httpx.Client(base_url=url, timeout=60) as client,
    ):

        def post(path, key, **headers):
            sent = {"x-api-key": "k", **({} if key is None else {"idempotency-key": key}), **headers}
            return client.post(path, headers=sent).status_code

        first = [post("/sized", '"one"', **{"x-units": "2"}) for _ in range(3)]
        assert (1, 2) == (len(set(first)), used()[1])
        assert 422 == post("/sized", '"one"', **{"x-units": "3"})
        assert 400 == post("/sized", "not one", **{"x-units": "2"})
        post("/sized", '"two"', **{"x-units": "2"})
        post("/sized", None, **{"x-units": "2"})
        assert 6 == settled(lambda: used()[1], 6)
        client.get("/sized", headers={"x-api-key": "k", "x-units": "1", "idempotency-key": '"one"'})
        assert 7 == settled(lambda: used()[1], 7)
        assert {post("/rate", '"r"') for _ in range(12)} == {post("/rate", '"r"')}


def test_a_request_that_failed_frees_its_key_and_a_repeat_that_fails_refunds_nothing():
    enforcer = Enforcer(policy(), accounts=ACCOUNTS)
    statuses = iter(["500 Oops", "200 OK", "500 Oops", "200 OK"])

    def app(environ, start_response):
        start_response(next(statuses), [])
        return []

    gated = WsgiMiddleware(
        app, enforcer=enforcer, identify=api_key(KEYS), default=Route(consumes={"leads": 1}), idempotency_key=True
    )
    counts = []
    for _ in range(4):
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "HTTP_X_API_KEY": "k", "HTTP_IDEMPOTENCY_KEY": '"a"'}
        gated(environ, lambda *_: None)
        counts.append(enforcer.usage("pro")["leads"].used)

    assert [0, 1, 1, 1] == counts


def test_the_option_is_a_switch():
    with pytest.raises(TypeError, match="idempotency_key 'yes' must be True or False"):
        EntitlementsMiddleware(
            None, enforcer=Enforcer(policy(), accounts=ACCOUNTS), identify=api_key(KEYS), idempotency_key="yes"
        )
