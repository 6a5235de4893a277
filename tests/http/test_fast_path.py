"""Fast path of charges that are the same for every request: responses and counts equal those of the ordinary path with a decision."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trade import START, WRITTEN, policy
from webserver import exchange, hello

from entitlements import AsyncEnforcer, Enforcer
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.rate_limit_headers import HeaderStyle
from entitlements.http.routes import Route
from entitlements.integrations import wsgi
from entitlements.testing import FakeClock, RecordingHook

LIMITS = ("api", "fixed", "bucket", "soft", "leads", "ever", "extra", "trials", "agents")
POLICY = policy(
    limits=WRITTEN["limits"] | {
        "ever": {"kind": "quota", "period": "lifetime"},
        "extra": {"kind": "quota", "period": "day"},
    },
    tiers=WRITTEN["tiers"] | {"pro": WRITTEN["tiers"]["pro"] | {
        "limits": WRITTEN["tiers"]["pro"]["limits"] | {"ever": 9, "extra": {"included": 4, "overage": "allow"}},
    }},
)  # fmt: skip
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
}
requests = st.lists(
    st.tuples(st.sampled_from([0, 1, 59, 61, 3_599, 3_661, 90_000]), st.sampled_from(["/", "/", "/", "/404", "/503", "/fails"])),
    min_size=1, max_size=30,
)  # fmt: skip
charges = st.dictionaries(st.sampled_from(LIMITS), st.integers(1, 2), min_size=1, max_size=4)


async def fails(scope, receive, send):
    if scope["path"] == "/fails":
        raise LookupError("of the application")
    await hello(scope, receive, send)


def served(clock, consumes, account, asked, *, style, hooks):
    """Send requests, each a path after a pause; return each status with its headers, and the usage at the end."""
    enforcer = AsyncEnforcer(POLICY, accounts={"pro": "pro", "max": "max", "free": "free"}, clock=clock, hooks=hooks)
    rule = Route(consumes=consumes)
    app = EntitlementsMiddleware(fails, enforcer=enforcer, identify=lambda _: account, default=rule, headers=style)

    async def scenario():
        answers = []
        for seconds, path in asked:
            clock.advance(timedelta(seconds=seconds))
            try:
                (start, *_) = await exchange(app, path=path)
            except LookupError:
                start = {"status": 500, "headers": []}
            answers.append((start["status"], dict(start["headers"])))
        return answers, await enforcer.usage(account)

    return asyncio.run(scenario())


def served_by_wsgi(clock, consumes, account, asked, *, style, hooks):
    """Do what `served` does, through the middleware of WSGI."""
    enforcer = Enforcer(POLICY, accounts={"pro": "pro", "max": "max", "free": "free"}, clock=clock, hooks=hooks)
    answers = []

    def hello_wsgi(environ, start_response):
        last = environ["PATH_INFO"].rpartition("/")[2]
        if last == "fails":
            raise LookupError("of the application")
        start_response(f"{last or 200} -", [("content-type", "text/plain")])
        return [b"hello"]

    app = wsgi.EntitlementsMiddleware(
        hello_wsgi, enforcer=enforcer, identify=lambda _: account, default=Route(consumes=consumes), headers=style
    )
    for seconds, path in asked:
        clock.advance(timedelta(seconds=seconds))
        try:
            app(ENVIRON | {"PATH_INFO": path}, lambda status, given: answers.append((int(status[:3]), encoded(given))))
        except LookupError:
            answers.append((500, {}))
    return answers, enforcer.usage(account)


def encoded(headers):
    return {name.encode(): value.encode() for name, value in headers}


def check(consumes, account, asked, style):
    """Check that responses and counts are those of the path with decisions, and those behind WSGI."""
    hook = RecordingHook()
    plain = served(FakeClock(START), consumes, account, asked, style=style, hooks=())

    assert plain == served(FakeClock(START), consumes, account, asked, style=style, hooks=[hook])
    assert len(asked) <= len(hook.events)
    answers, usage = served_by_wsgi(FakeClock(START), consumes, account, asked, style=style, hooks=())
    assert usage == plain[1]
    for (status, headers), (status_of_wsgi, headers_of_wsgi) in zip(plain[0], answers, strict=True):
        assert status == status_of_wsgi
        assert status == 429 or headers == headers_of_wsgi  # a refused one is a problem document, of another length


@given(charges, st.sampled_from(["pro", "pro", "pro", "max", "free"]), requests, st.sampled_from(HeaderStyle))
def test_it_reads_and_counts_as_where_every_decision_is_wanted(consumes, account, asked, style):
    check(consumes, account, asked, style)


@pytest.mark.parametrize("consumes", [{each: 1} for each in LIMITS] + [dict.fromkeys(pair, 1) for pair in pairwise(LIMITS)], ids="+".join)  # fmt: skip
def test_each_limit_reads_as_where_its_decision_is_wanted(consumes):
    asked = [
        (0, "/"),
        (7, "/503"),
        (0, "/fails"),
        (0, "/"),
        (3_601, "/404"),
        (0, "/"),
        (90_000, "/"),
        (0, "/503"),
        *[(1, "/")] * 12,
    ]

    check(consumes, "pro", asked, HeaderStyle.DRAFT_11)


@pytest.mark.parametrize("style", list(HeaderStyle))
def test_a_hundred_at_once_on_a_limit_of_ten_admit_ten(style):
    answers, usage = served(FakeClock(START), {"api": 1}, "pro", [(0, "/")] * 100, style=style, hooks=())

    assert 10 == sum(status == 200 for status, _ in answers)
    assert 10 == usage["api"].used


def test_on_a_server_it_counts_once_for_each_request(valkey):
    async def scenario():
        async with AsyncEnforcer(policy(), accounts={"pro": "pro"}, store=valkey.url, expected_processes=1) as enforcer:
            rule = Route(consumes={"fixed": 1})
            app = EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: "pro", default=rule)
            starts = [(await exchange(app))[0]["status"] for _ in range(12)]
            return starts, (await enforcer.usage("pro"))["fixed"].used

    assert ([200] * 10 + [429] * 2, 10) == asyncio.run(scenario())


@pytest.mark.parametrize("consumes", [{"leads": 1}, {"api": 1, "leads": 2}], ids=["a quota", "a rate and a quota"])
def test_a_request_that_is_cancelled_while_its_charge_is_pending_is_refunded(valkey, consumes):
    """Each request is cancelled a step later than the one before: before its charge is sent, in flight, or answered."""
    served = []

    async def counted(scope, receive, send):
        await hello(scope, receive, send)
        served.append(scope["path"])

    async def scenario():
        async with AsyncEnforcer(policy(), accounts={"max": "max"}, store=valkey.url, expected_processes=1) as enforcer:
            rule = Route(consumes=consumes)
            app = EntitlementsMiddleware(counted, enforcer=enforcer, identify=lambda _: "max", default=rule)
            await exchange(app)
            for steps in range(40):
                request = asyncio.create_task(exchange(app))
                for _ in range(steps):
                    await asyncio.sleep(0)
                request.cancel()
                await asyncio.wait([request])
            await asyncio.sleep(0.2)  # the answers arrive
            while refunds := app._routes._charger._refunds:
                await asyncio.wait(refunds)
            assert {} == enforcer._numbers.accounts
            return (await enforcer.usage("max"))["leads"].used

    used = asyncio.run(scenario())
    assert len(served) * consumes["leads"] == used
