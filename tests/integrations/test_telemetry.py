"""An hour of generated traffic: no account, scope or holder stands in a label, an attribute, an event or a log; and what a decision costs."""

import contextlib
import json
import logging
import random
import sys
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sdk_telemetry import Telemetry
from trade import ACCOUNTS, policy

from entitlements import Account, Enforcer, EntitlementsError
from entitlements.integrations.prometheus import PrometheusHook
from entitlements.testing import FakeClock, Fault
from entitlements.testing.faulty_store import FaultyStore

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TIERS = ("free", "pro", "max")


def account(number):
    id = f"secret-account-{number}@example.com"
    status = "suspended" if number % 17 == 0 else "active"
    return Account(id, TIERS[number % 3], status=status, attributes={"owner": f"secret-owner-{number}"})


class Source:
    """A source of accounts that fails now and then, and names the account when it does."""

    def __init__(self, dice):
        self.dice = dice

    def find(self, id):
        if self.dice.random() < 0.01:
            raise ConnectionError(f"no answer about {id}")
        return account(int(id.split("-")[2].partition("@")[0])) if "stranger" not in id else None


def act(enforcer, dice):
    """Do one random thing that an application does."""
    number = dice.randrange(300)
    id = account(number).id if dice.random() < 0.95 else f"secret-stranger-{number}"
    what = dice.choice(
        [
            lambda: enforcer.can(id, dice.choice(("sso", "chat", "reports:full"))),
            lambda: enforcer.decide(id, "reports:basic"),
            lambda: enforcer.consume(
                id, dice.choice(("api", "fixed", "bucket", "leads", "trials")), dice.randint(1, 4)
            ),
            lambda: enforcer.consume(id, {"api": 1, "leads": 1}, key=f"secret-key-{dice.randrange(50)}"),
            lambda: enforcer.consume(id, "per-ip", scope=f"secret-scope-{dice.randrange(9)}"),
            lambda: enforcer.assign(id, "agents", f"secret-holder-{dice.randrange(9)}"),
            lambda: enforcer.unassign(id, "agents", f"secret-holder-{dice.randrange(9)}"),
            lambda: enforcer.set_usage(id, "leads", dice.randint(0, 12)),
            lambda: enforcer.reserve(id, "leads", 2).cancel(),
            lambda: enforcer.refund(enforcer.consume(id, "leads")),
            lambda: enforcer.invalidate(id),
            lambda: enforcer.reset(id, "api"),
        ]
    )
    with contextlib.suppress(EntitlementsError, ValueError):
        what()


def test_no_account_is_in_an_hour_of_telemetry(caplog):
    dice, clock, fault = random.Random(7), FakeClock(NOW), Fault()
    registry, telemetry = CollectorRegistry(), Telemetry()
    prometheus = PrometheusHook(registry)
    store = FaultyStore(clock, fault).guarded()
    hooks = [prometheus, telemetry.hook]
    enforcer = Enforcer(policy(), accounts=Source(dice), clock=clock, store=store, hooks=hooks)
    caplog.set_level(logging.DEBUG, "entitlements")
    with telemetry.tracer.start_as_current_span("an hour"):
        for minute in range(60):
            mode = {20: fault.down, 25: fault.up, 40: fault.lossy, 43: fault.up, 50: fault.silent, 52: fault.up}.get(
                minute
            )
            if mode is not None:
                mode()
            if minute == 30:
                enforcer.reload(policy(policy={"version": "t2"}))
            for _ in range(60):
                act(enforcer, dice)
            clock.advance(timedelta(minutes=1))

    exported = [
        generate_latest(registry).decode(),
        telemetry.reader.get_metrics_data().to_json(),
        json.dumps([span.to_json() for span in telemetry.exporter.get_finished_spans()]),
        "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records),
    ]
    telemetry.close()
    assert all(len(each) > 1000 for each in exported)
    for text in exported:
        assert "secret" not in text
        assert "example.com" not in text


def calls_of(function):
    """Return how many Python functions a call runs."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    function()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls - 1


@pytest.mark.parametrize("name", ["prometheus", "opentelemetry"])
@pytest.mark.parametrize("verb", ["consume", "decide"])
def test_a_hook_adds_few_calls_to_a_decision(name, verb):
    """A bound that does not hang on the machine; docs/telemetry.md has the times."""
    telemetry = Telemetry()
    hook = {"prometheus": lambda: PrometheusHook(CollectorRegistry()), "opentelemetry": lambda: telemetry.hook}[name]()
    plain, hooked = (Enforcer(policy(), accounts=ACCOUNTS, hooks=hooks) for hooks in ([], [hook]))
    asked = "sso" if verb == "decide" else "fixed"
    added = calls_of(lambda: getattr(hooked, verb)("maxim", asked)) - calls_of(
        lambda: getattr(plain, verb)("maxim", asked)
    )
    telemetry.close()

    assert added <= 20
