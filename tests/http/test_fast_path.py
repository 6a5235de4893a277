"""Fast path of one unit of one rate: responses and counts equal those of the ordinary path with a decision."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trade import START, policy
from webserver import exchange, hello

from entitlements import AsyncEnforcer
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.rate_limit_headers import HeaderStyle
from entitlements.http.routes import Route
from entitlements.testing import FakeClock, RecordingHook

RATES = ("api", "fixed", "bucket", "soft")
pauses = st.sampled_from([0, 1, 59, 61, 3_599, 3_661, 90_000])


def served(clock, limit, account, waits, *, style, hooks):
    """Send a request after each pause; return each status with its headers, and the usage at the end."""
    enforcer = AsyncEnforcer(policy(), accounts={"pro": "pro", "max": "max", "free": "free"}, clock=clock, hooks=hooks)
    rule = Route(consumes={limit: 1})
    app = EntitlementsMiddleware(hello, enforcer=enforcer, identify=lambda _: account, default=rule, headers=style)

    async def scenario():
        answers = []
        for seconds in waits:
            clock.advance(timedelta(seconds=seconds))
            (start, *_) = await exchange(app)
            answers.append((start["status"], dict(start["headers"])))
        return answers, (await enforcer.usage(account))[limit]

    return asyncio.run(scenario())


@given(
    st.sampled_from(RATES),
    st.sampled_from(["pro", "max", "free"]),
    st.lists(pauses, min_size=1, max_size=30),
    st.sampled_from(HeaderStyle),
)
def test_it_reads_and_counts_as_where_every_decision_is_wanted(limit, account, waits, style):
    hook = RecordingHook()
    plain = served(FakeClock(START), limit, account, waits, style=style, hooks=())
    decided = served(FakeClock(START), limit, account, waits, style=style, hooks=[hook])

    assert decided == plain
    assert len(waits) <= len(hook.events)


@pytest.mark.parametrize("style", list(HeaderStyle))
def test_a_hundred_at_once_on_a_limit_of_ten_admit_ten(style):
    answers, usage = served(FakeClock(START), "api", "pro", [0] * 100, style=style, hooks=())

    assert 10 == sum(status == 200 for status, _ in answers)
    assert 10 == usage.used


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
