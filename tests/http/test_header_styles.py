"""Header styles that describe one limit, application headers of every shape, and instants on the clock of `Date`."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from trade import WRITTEN
from webserver import exchange, hello, respond, serving

from entitlements import AsyncEnforcer, Decision, Policy
from entitlements.clock import system_clock
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.fastapi import consume, install
from entitlements.http.identify import api_key
from entitlements.http.routes import Route
from entitlements.model.instants import HOUR, SECOND
from entitlements.stores import MemoryStore

OLDER = {"draft-06": b"ratelimit", "x-ratelimit": b"x-ratelimit"}
SIZES = {"api": "10 per hour", "fixed": "8 per minute", "bucket": "60 per hour", "leads": 10, "agents": 3}


def enforcer(store="memory://", burst=5, **sizes):
    """Return an enforcer with one account, and each kind of limit."""
    limits = {name: WRITTEN["limits"][name] for name in SIZES}
    limits["bucket"] = limits["bucket"] | {"burst": burst}
    written = {"policy": {"version": "h1"}, "limits": limits, "tiers": {"pro": {"rank": 1, "limits": SIZES | sizes}}}
    return AsyncEnforcer(Policy.parse(written), accounts={"acme": "pro"}, store=store, expected_processes=1)


async def responses(asked, *charges, style="x-ratelimit", **options):
    """Return the status and the headers of one request for each charge."""
    async with asked:
        told = []
        for charge in charges:
            app = EntitlementsMiddleware(
                hello,
                enforcer=asked,
                identify=lambda _: "acme",
                default=Route(consumes=charge),
                headers=style,
                **options,
            )
            start, *_ = await exchange(app)
            told.append((start["status"], dict(start["headers"])))
        return told


def figures(headers, style="x-ratelimit"):
    return tuple(int(headers[OLDER[style] + b"-" + name]) for name in (b"limit", b"remaining", b"reset"))


CHARGES = [
    # the refusing limit has the larger share left
    (({"api": 9}, {"fixed": 4}, {"api": 1, "fixed": 5}), (8, 4)),
    # the refusing limit is the quota
    (({"api": 8}, {"api": 1, "leads": 9}, {"api": 1, "leads": 2}), (10, 1)),
    # both are used up, and the second one is back first
    (({"api": 10, "fixed": 8}, {"api": 1, "fixed": 1}), (10, 0)),
    (({"api": 10, "fixed": 8}, {"fixed": 1, "api": 1}), (10, 0)),
    # a cost that never fits has no wait, and is above any
    (({"api": 10}, {"api": 1, "leads": 11}), (10, 10)),
]


@pytest.mark.parametrize("style", OLDER)
@pytest.mark.parametrize(("charges", "expected"), CHARGES)
def test_a_refusal_describes_the_limit_that_refused(charges, expected, style):
    *_, (status, headers) = asyncio.run(responses(enforcer(), *charges, style=style))

    assert status in {403, 429}
    assert expected == figures(headers, style)[:2]


def test_a_refusal_describes_the_limit_that_refused_on_a_server_too(server):
    for at, (charges, expected) in enumerate(CHARGES):
        *_, (_, headers) = asyncio.run(responses(enforcer(f"{server.url}?namespace=h{at}"), *charges))

        assert expected == figures(headers)[:2]


def test_where_an_allocation_refuses_the_limits_beside_it_are_described():
    *_, (status, headers) = asyncio.run(responses(enforcer(), {"agents": 3}, {"agents": 1, "api": 1}))

    assert (403, (10, 10)) == (status, figures(headers)[:2])


COUNTED = ["api", "fixed", "bucket", "leads"]
CHARGE = st.dictionaries(st.sampled_from(COUNTED), st.integers(1, 12), min_size=1)


@given(charges=st.lists(CHARGE, min_size=1, max_size=6), style=st.sampled_from([*OLDER]))
def test_whatever_is_charged_a_refusal_has_the_figures_of_its_decision(charges, style):
    refusals = []
    told = asyncio.run(responses(enforcer(), *charges, style=style, on_denied=lambda _, each: refusals.append(each)))
    refused = [headers for status, headers in told if status != 200]

    assert len(refused) == len(refusals)
    for headers, refusal in zip(refused, refusals, strict=True):
        if refusal.decision.remaining is None:  # a cost above a rate itself is refused without the store
            assert not [name for name in headers if b"ratelimit" in name]
            continue
        limit, remaining, reset = figures(headers, style)
        assert (refusal.decision.limit, refusal.decision.remaining) == (limit, remaining)
        if style == "draft-06" and b"retry-after" in headers:
            assert reset >= int(headers[b"retry-after"])


def test_several_charges_of_one_request_are_described_by_the_smallest_share_left():
    site = FastAPI()
    install(site, headers="x-ratelimit")

    @site.get("/")
    async def both(
        first: Annotated[Decision, Depends(consume("api"))], second: Annotated[Decision, Depends(consume("leads", 7))]
    ):
        return [first.remaining, second.remaining]

    app = EntitlementsMiddleware(site, enforcer=enforcer(), identify=lambda _: "acme", headers="none")
    start, *_ = asyncio.run(exchange(app))

    assert (10, 3) == figures(dict(start["headers"]))[:2]


@pytest.mark.parametrize(
    ("burst", "size", "expected"),
    [(5, "60 per hour", b"q=5;w=300"), (100, "1 per day", b"q=100;w=8640000"), (1, "10 per second", b"q=1;w=1")],
)
def test_the_policy_of_a_token_bucket_is_its_burst_and_the_time_in_which_that_comes_back(burst, size, expected):
    ((_, headers),) = asyncio.run(responses(enforcer(burst=burst, bucket=size), {"bucket": 1}, style="draft-11"))

    assert b'"bucket";' + expected == headers[b"ratelimit-policy"]


# -- headers are any iterable ------------------------------------------------------------

OWN = [(b"content-type", b"application/json"), (b"set-cookie", b"session=1"), (b"x-frame-options", b"DENY")]
SHAPES = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "generator": lambda headers: (each for each in headers),
    "dict items": lambda headers: dict(headers).items(),
    "lists in a list": lambda headers: [list(each) for each in headers],
}


@pytest.mark.parametrize("style", [*OLDER, "draft-11", "none"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("charge", [{"api": 1}, {"api": 1, "leads": 1}, {}])
def test_an_application_keeps_its_headers_in_whatever_shape_it_sends_them(charge, shape, style):
    async def own(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": SHAPES[shape](OWN)})
        await send({"type": "http.response.body", "body": b"{}"})

    app = EntitlementsMiddleware(
        own, enforcer=enforcer(), identify=lambda _: "acme", default=Route(consumes=charge), headers=style
    )
    start, *_ = asyncio.run(exchange(app))
    sent = [tuple(each) for each in start["headers"]]

    is_told = bool(charge) and style != "none"
    assert (OWN, is_told) == (sent[:3], len(sent) > 3)


def test_a_denial_handler_keeps_its_headers_too():
    async def own(scope, receive, send):
        await send({"type": "http.response.start", "status": 429, "headers": (each for each in OWN)})
        await send({"type": "http.response.body", "body": b"{}"})

    *_, (status, headers) = asyncio.run(responses(enforcer(), {"api": 10}, {"api": 1}, on_denied=lambda *_: own))

    assert (429, b"DENY", (10, 0)) == (status, headers[b"x-frame-options"], figures(headers)[:2])


def test_a_server_gets_the_headers_of_an_application_that_generates_them():
    async def own(scope, receive, send):
        if scope["type"] != "http":
            return await hello(scope, receive, send)
        return await send({"type": "http.response.start", "status": 204, "headers": (each for each in OWN)}) or (
            await send({"type": "http.response.body"})
        )

    app = EntitlementsMiddleware(
        own, enforcer=enforcer(), identify=lambda _: "acme", default=Route(consumes={"api": 1}), headers="x-ratelimit"
    )
    with serving(app) as url:
        response = httpx.get(url)

    assert ("session=1", "9") == (response.headers["set-cookie"], response.headers["x-ratelimit-remaining"])


def test_an_application_reads_the_headers_of_a_request_that_identification_has_read():
    async def echo(scope, receive, send):
        await respond(send, body=dict(scope["headers"])[b"x-api-key"])

    app = EntitlementsMiddleware(echo, enforcer=enforcer(), identify=api_key({"k": "acme"}))
    start, body = asyncio.run(exchange(app, headers=iter([(b"x-api-key", b"k")])))

    assert (200, b"k") == (start["status"], body["body"])


# -- the clock of `Date` -----------------------------------------------------------------


class ShiftedStore:
    """A store whose server's clock is wrong."""

    via = "store"

    def __init__(self, shift):
        self._store = MemoryStore(lambda: system_clock() + shift)

    async def execute(self, order):
        return self._store.execute(order)

    async def aclose(self):
        """Nothing is open."""


@pytest.mark.parametrize("shift", [-HOUR, 0, HOUR, 25 * HOUR])
@pytest.mark.parametrize("limit", ["api", "fixed", "bucket", "leads"])
def test_instants_are_on_the_clock_of_date_whatever_the_store_says(limit, shift):
    app = EntitlementsMiddleware(
        hello,
        enforcer=enforcer(ShiftedStore(shift)),
        identify=lambda _: "acme",
        routes=[Route("/all", consumes={limit: {"api": 10, "fixed": 8, "bucket": 5, "leads": 10}[limit]})],
        default=Route(consumes={limit: 1}),
        headers="x-ratelimit",
        retry_after_cap=10**9,
    )
    with serving(app) as url:
        assert 200 == httpx.get(f"{url}/all").status_code
        refused = httpx.get(url)

    date, wait = parsedate_to_datetime(refused.headers["date"]), int(refused.headers["retry-after"])
    resets_at = datetime.fromisoformat(refused.json()["resets_at"])
    assert 429 == refused.status_code
    # `Date` is at most a second old, and the response a few; a wrong clock is wrong by an hour
    assert -5 <= int(refused.headers["x-ratelimit-reset"]) - date.timestamp() - wait <= 5
    if limit in {"fixed", "leads"}:
        assert -5 <= (resets_at - date).total_seconds() - wait <= 5


def test_the_end_of_a_period_is_told_to_the_second_where_the_clocks_agree():
    *_, (status, _) = told = asyncio.run(bodies({"leads": 10}, {"leads": 1}))

    assert 429 == status
    resets_at = datetime.fromisoformat(json.loads(told[-1][1])["resets_at"])
    assert (0, 0, 0, 0) == (resets_at.hour, resets_at.minute, resets_at.second, resets_at.microsecond)


async def bodies(*charges):
    """Return the status and the body for each charge, over a store of which the clock is a tenth of a second ahead."""
    async with enforcer(ShiftedStore(SECOND // 10)) as asked:
        told = []
        for charge in charges:
            app = EntitlementsMiddleware(
                hello, enforcer=asked, identify=lambda _: "acme", default=Route(consumes=charge)
            )
            start, body = await exchange(app)
            told.append((start["status"], body["body"]))
        return told
