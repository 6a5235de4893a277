"""The store that fails as a test says."""

from datetime import UTC, datetime

import pytest

from entitlements import AsyncEnforcer, Enforcer, Policy
from entitlements.model.events import BreakerChanged
from entitlements.testing import FakeClock, Fault
from entitlements.testing.faulty_store import FaultyStore

POLICY = {
    "policy": {"version": 1},
    "limits": {"leads": {"kind": "quota", "on_outage": "deny"}},
    "tiers": {"one": {"rank": 1, "limits": {"leads": 99}}},
}


@pytest.fixture
def fault():
    return Fault()


@pytest.fixture
def store(fault):
    return FaultyStore(FakeClock(datetime(2026, 3, 10, 12, tzinfo=UTC)), fault)


def states(events):
    return [each.after for each in events if isinstance(each, BreakerChanged)]


def test_hooks_of_the_enforcer_get_the_events_of_its_guarded_store(store, fault):
    events = []
    with Enforcer(Policy.parse(POLICY), accounts={"acme": "one"}, store=store.guarded(), hooks=[events.append]) as app:
        with fault.down():
            for _ in range(40):
                app.consume("acme", "leads")
        app.consume("acme", "leads")

    assert ["open", "closed"] == [states(events)[0], states(events)[-1]]


async def test_hooks_on_an_event_loop_get_them_too(store, fault):
    events, guarded = [], store.guarded_async()
    async with AsyncEnforcer(
        Policy.parse(POLICY), accounts={"acme": "one"}, store=guarded, hooks=[events.append]
    ) as app:
        with fault.down():
            for _ in range(40):
                await app.consume("acme", "leads")
        await app.consume("acme", "leads")

    assert ["open", "closed"] == [states(events)[0], states(events)[-1]]


def test_a_store_that_has_a_taker_of_events_keeps_it(store, fault):
    from entitlements.stores.resilience.store import ResilientStore

    own, events = [], []
    guarded = fault.attach(ResilientStore(store, tell=own.append, processes=1))
    with (
        Enforcer(Policy.parse(POLICY), accounts={"acme": "one"}, store=guarded, hooks=[events.append]) as app,
        fault.down(),
    ):
        for _ in range(40):
            app.consume("acme", "leads")

    assert ["open"] == states(own)
    assert [] == states(events)
