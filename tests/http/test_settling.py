"""A route whose units are an estimate is settled by its response, or by its endpoint; a failed request takes nothing."""

from __future__ import annotations

import asyncio
import json

import pytest
from webserver import exchange, respond

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route
from entitlements.integrations.wsgi import EntitlementsMiddleware as WsgiMiddleware

ESTIMATE = {"requests": 1, "per-minute": 50, "tokens": 50}
POLICY = Policy.parse({
    "policy": {"version": "1"},
    "limits": {"requests": {"kind": "rate"}, "per-minute": {"kind": "rate"}, "tokens": {"kind": "quota"}},
    "tiers": {"pro": {"rank": 1, "limits": {"requests": "10 per hour", "per-minute": "100 per hour", "tokens": 100}}},
})  # fmt: skip


def by_header(status, headers):
    """Return the units that the response says it used."""
    if "x-tokens" not in headers:
        return None
    return dict.fromkeys(("per-minute", "tokens"), int(headers["x-tokens"]))


async def served(app, kind=AsyncEnforcer, times=1, **route):
    """Serve requests; return the status of the last one, and what is used of each limit."""
    enforcer = kind(POLICY, accounts={"acme": "pro"})
    rule = Route(consumes=ESTIMATE, **({"settles": by_header} | route))
    stack = EntitlementsMiddleware(app, enforcer=enforcer, identify=lambda _: "acme", default=rule)
    for _ in range(times):
        try:
            sent = await exchange(stack)
        except RuntimeError:
            sent = [{"status": 0}]
    usage = enforcer.usage("acme")
    usage = usage if kind is Enforcer else await usage
    assert 0 == usage["tokens"].reserved
    return sent, [usage[limit].used for limit in ESTIMATE]


def app_of(status=200, headers=(), commits=None, fails=False):
    async def app(scope, receive, send):
        if commits is not None:
            committed = scope["state"]["reservation"].commit(commits)
            await committed if asyncio.iscoroutine(committed) or hasattr(committed, "__await__") else committed
        if fails:
            raise RuntimeError("boom")
        await respond(send, status, headers=headers)

    return app


@pytest.mark.parametrize("kind", [AsyncEnforcer, Enforcer])
@pytest.mark.parametrize(
    ("app", "used"),
    [
        ({"headers": [(b"X-Tokens", b"20")]}, [1, 20, 20]),
        ({"headers": [(b"x-tokens", b"170")]}, [1, 170, 170]),
        ({"headers": [(b"x-tokens", b"many")]}, [1, 50, 50]),  # `settles` fails: the estimate counts
        ({}, [1, 50, 50]),
        ({"commits": {"tokens": 7}}, [1, 50, 7]),
        ({"commits": {"tokens": 7}, "status": 500}, [1, 50, 7]),
        ({"status": 503}, [0, 0, 0]),
        ({"fails": True}, [0, 0, 0]),
    ],
)
def test_the_response_or_the_endpoint_settles_what_was_reserved(kind, app, used):
    _, found = asyncio.run(served(app_of(**app), kind))

    assert used == found


def test_without_a_callable_the_estimate_stands_unless_the_endpoint_commits():
    assert [1, 50, 50] == asyncio.run(served(app_of(headers=[(b"x-tokens", b"3")]), settles=True))[1]
    assert [1, 50, 2] == asyncio.run(served(app_of(commits={"tokens": 2}), settles=True))[1]


def test_a_request_without_room_for_its_estimate_is_refused_and_takes_nothing():
    sent, used = asyncio.run(served(app_of(headers=[(b"x-tokens", b"60")]), times=2))

    assert 429 == sent[0]["status"]
    assert "per-minute" in json.loads(sent[1]["body"])["violated-policies"]
    assert [1, 60, 60] == used


def test_units_of_other_limits_are_not_settled(caplog):
    assert [1, 50, 50] == asyncio.run(served(app_of(), settles=lambda _status, _headers: {"seats": 1}))[1]
    assert [1, 50, 50] == asyncio.run(served(app_of(), settles=lambda _status, _headers: 7))[1]
    assert 2 == sum("return units by limit" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({"settles": True}, "settles, and consumes nothing"),
        ({"consumes": {"tokens": 1}, "settles": "header"}, "must be True, or a callable over a status and headers"),
        ({"consumes": {"tokens": 1}, "settles": lambda _: None}, "must be True, or a callable"),
        ({"consumes": {"tokens": 1}, "settles": served}, "never awaited|must be True"),
        ({"consumes": {"tokens": 1}, "settles": True, "ttl": 0}, "ttl 0"),
    ],
)
def test_a_route_that_cannot_be_settled_is_refused_when_it_is_built(route, said):
    with pytest.raises(ValueError, match=said):
        Route(**route)


@pytest.mark.parametrize(("headers", "left"), [([], 50), ([("X-Tokens", "7")], 7)])
def test_a_client_that_hangs_up_on_a_stream_on_threads_settles_what_its_headers_say(headers, left):
    def app(_environ, start_response):
        start_response("200 OK", headers)
        yield from (b"one", b"two")

    with Enforcer(POLICY, accounts={"acme": "pro"}) as enforcer:
        rule = Route(consumes=ESTIMATE, settles=by_header)
        stack = WsgiMiddleware(app, enforcer=enforcer, identify=lambda _: "acme", default=rule)
        body = stack({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
        next(body)
        assert 50 == enforcer.usage("acme")["tokens"].reserved
        body.close()
        usage = enforcer.usage("acme")

    assert (left, 0) == (usage["tokens"].used, usage["tokens"].reserved)


def test_the_error_of_a_stream_on_threads_cancels():
    def app(_environ, start_response):
        start_response("200 OK", [("X-Tokens", "7")])
        yield b"one"
        raise RuntimeError("broken")

    with Enforcer(POLICY, accounts={"acme": "pro"}) as enforcer:
        rule = Route(consumes=ESTIMATE, settles=by_header)
        stack = WsgiMiddleware(app, enforcer=enforcer, identify=lambda _: "acme", default=rule)
        with pytest.raises(RuntimeError):
            list(stack({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None))

        assert [0, 0, 0] == [enforcer.usage("acme")[limit].used for limit in ESTIMATE]
