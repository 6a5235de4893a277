"""Refusals: failing `on_denied`, bad requests, and unknown accounts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from trade import WRITTEN, policy
from webserver import exchange, hello

from entitlements import Account, AsyncEnforcer, Enforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.problems import PROBLEMS, Problems
from entitlements.http.routes import Route

ROUTES_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "responses.md").read_text(encoding="utf-8")
ACCOUNTS = {"free": "free", "pro": "pro", "shut": Account("shut", "pro", status="suspended")}


def respond(route, id="pro", *, under=None, kind=AsyncEnforcer, query=b"", **options):
    """Return the status and the problem document of a request."""
    app = EntitlementsMiddleware(
        hello,
        enforcer=kind(under or policy(), accounts=ACCOUNTS),
        identify=lambda _: id,
        default=route,
        **options,
    )
    start, body = asyncio.run(exchange(app, query_string=query))
    is_problem = (b"content-type", b"application/problem+json") in start["headers"]
    return start["status"], json.loads(body["body"]) if is_problem else body["body"]


SSO = Route(requires={"sso"})

# -- handlers ----------------------------------------------------------------------------


async def breaking_first(scope, receive, send):
    raise RuntimeError("no answer")


@pytest.mark.parametrize("answer", [{"detail": "sorry"}, "sorry", PlainTextResponse, breaking_first])
def test_a_denial_handler_that_answers_nothing_leaves_the_refusal_as_it_is(answer, caplog):
    status, problem = respond(SSO, on_denied=lambda *_: answer)

    assert (403, True) == (status, problem["type"].endswith("not-included"))
    assert "on_denied failed; the problem document is sent instead" in caplog.text


def test_a_denial_handler_whose_answer_sends_nothing_leaves_the_refusal_as_it_is():
    async def silent(scope, receive, send):
        pass

    assert 403 == respond(SSO, on_denied=lambda *_: silent)[0]


def test_a_denial_handler_that_breaks_off_its_own_answer_is_told_to_the_server():
    async def breaking(scope, receive, send):
        await send({"type": "http.response.start", "status": 418, "headers": []})
        raise RuntimeError("in the middle of it")

    with pytest.raises(RuntimeError, match="in the middle"):
        respond(SSO, on_denied=lambda *_: breaking)


# -- bad requests ----------------------------------------


def scope_from_query(scope):
    return scope["query_string"].decode() or None


PER_IP = Route(consumes={"per-ip": 1}, scope=scope_from_query)


@pytest.mark.parametrize("kind", [AsyncEnforcer, Enforcer])
@pytest.mark.parametrize("query", [b"", b"a\nb", b"x" * 257])
def test_400_for_a_scope_that_a_request_lacks_or_that_cannot_be(kind, query):
    status, problem = respond(PER_IP, kind=kind, query=query)

    assert (400, 400, True) == (status, problem["status"], problem["type"].endswith("bad-request"))
    assert {"type", "title", "status", "detail"} == set(problem)


@pytest.mark.parametrize("scope", [lambda _: 7, lambda _: b"a", lambda scope: scope["no such"], lambda _: int("x")])
def test_a_scope_that_a_program_gets_wrong_stays_503(scope):
    assert 503 == respond(Route(consumes={"per-ip": 1}, scope=scope))[0]


def test_a_bad_scope_is_400_for_an_account_that_is_not_entitled_or_not_known_too():
    assert [400, 400] == [respond(PER_IP, id)[0] for id in ("free", "stranger")]


def test_a_scope_that_can_be_is_counted_on():
    assert 200 == respond(PER_IP, query=b"9.9.9.9")[0]


def test_a_message_that_cannot_be_counted_for_its_scope_closes_the_websocket():
    async def talking(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        assert "websocket.disconnect" == (await receive())["type"]

    enforcer = AsyncEnforcer(policy(), accounts=ACCOUNTS)
    route = Route(messages={"per-ip": 1}, scope=scope_from_query)
    app = EntitlementsMiddleware(talking, enforcer=enforcer, identify=lambda _: "pro", default=route)
    events = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hi"}]

    *_, last = asyncio.run(exchange(app, *events, type="websocket", query_string=b""))

    assert (1008, "bad-request") == (last["code"], last["reason"])


# -- problem types -----------------------------------------------------------------------

IS_URI = jsonschema_rs.validator_for({"type": "string", "format": "uri"}, validate_formats=True).is_valid


def types(problems):
    """Return the type of every kind of problem."""
    return {kind: problems._refusal(kind, "").body["type"] for kind in PROBLEMS}


def test_every_type_is_a_uri_that_ends_in_its_kind_and_stands_in_the_page_about_routes():
    for kind, uri in types(Problems()).items():
        assert (True, True) == (IS_URI(uri), uri.endswith(f"#{kind}"))
        assert f"`{uri}`" in ROUTES_PAGE


@given(st.text("a/:?&=%20+é #[]@\n\ud800", max_size=12).map("https://example.com/".__add__))
def test_whatever_is_documented_elsewhere_has_types_that_are_uris(docs_url):
    try:
        problems = Problems(docs_url=docs_url)
    except ValueError:
        return
    assert all(IS_URI(uri) and uri == f"{docs_url}#{kind}" for kind, uri in types(problems).items())


@given(st.sampled_from(["docs_url", "upgrade_url"]), st.text("abc/?&=-._~+1", max_size=12))
def test_a_uri_is_taken_as_it_is(name, path):
    for host in ("example.com", "[2001:db8::1]:8000"):
        Problems(**{name: f"https://{host}/{path}%C3%A9"})


# -- unknown accounts ------------------------------------------------------------------

ADD_ONS = {"extra": {"features": ["sso"], "limits": {"api": "5 per hour"}}}
TWO_AND_NOTHING = WRITTEN | {"add_ons": ADD_ONS}


@pytest.mark.parametrize(
    "route",
    [
        Route(consumes={"api": 1, "leads": 1}),
        Route(consumes={"leads": 1, "api": 1}),
        Route(consumes={"leads": 1, "agents": 1, "fixed": 1, "api": 1}),
        Route(requires=["sso", "chat"]),
        Route(requires=["leads", "reports:full"]),
        Route(requires=["leads"], consumes={"agents": 1, "api": 1}),
        Route(requires=["leads"], consumes={"per-ip": 1, "leads": 1}, scope=lambda _: "9.9.9.9"),
        Route(consumes={"leads": lambda _: 1, "api": lambda _: 2}),
    ],
)
@pytest.mark.parametrize("under", [WRITTEN, TWO_AND_NOTHING])
@pytest.mark.parametrize("options", [{}, {"payment_required": True, "upgrade_url": "https://x.example"}])
def test_an_unknown_account_reads_like_one_of_the_lowest_tier_whatever_is_asked_of_it(route, under, options):
    under = Policy.parse(under)

    assert respond(route, "free", under=under, **options) == respond(route, "stranger", under=under, **options)


def test_an_unknown_account_is_refused_also_what_every_tier_has():
    status, problem = respond(Route(consumes={"leads": 1}), "stranger")

    assert (403, True) == (status, problem["type"].endswith("not-included"))


def fails(_):
    raise RuntimeError("a rule of the program")


@pytest.mark.parametrize(
    "route",
    [
        Route(requires=["sso"], consumes={"api": fails}),
        Route(requires=["sso"], consumes={"api": lambda _: "1"}),
        Route(requires=["leads", "sso"], consumes={"per-ip": 1}, scope=fails),
        Route(requires=["sso"], consumes={"per-ip": 1}, scope=scope_from_query),
    ],
)
def test_what_a_rule_computes_is_asked_of_no_account_that_its_features_refuse(route):
    assert 403 == respond(route, "free")[0]
    assert respond(route, "free") == respond(route, "stranger")


def test_a_rule_that_fails_says_the_same_of_an_unknown_account():
    route = Route(requires=["leads"], consumes={"api": lambda scope: int(scope["query_string"])})

    assert [400, 400] == [respond(route, id)[0] for id in ("free", "stranger")]


def test_a_denial_handler_sees_the_decision_about_the_unknown_account_itself():
    seen = []
    respond(Route(consumes={"leads": 1, "api": 1}), "stranger", on_denied=lambda _, refusal: seen.append(refusal))

    assert ("stranger", "unknown-account") == (seen[0].decision.account, seen[0].decision.reason)
