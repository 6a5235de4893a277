"""`OpenTelemetryHook`, with the real SDK: metrics of decisions and states, and events of spans on refusals."""

import os
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, use_span
from sdk_telemetry import Telemetry
from trade import ACCOUNTS, policy

from entitlements import AsyncEnforcer, Enforcer
from entitlements.model.events import (
    AccountInvalidated,
    AccountsBack,
    AccountsDown,
    BreakerChanged,
    Degraded,
    Journalled,
    OutcomeUnknown,
    Reloaded,
    ReloadFailed,
)
from entitlements.testing import FakeClock, Fault
from entitlements.testing.faulty_store import FaultyStore


@pytest.fixture
def telemetry():
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


def test_decisions_are_counted_by_the_conventions_for_feature_flags(telemetry):
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    for _ in range(5):
        enforcer.consume("frida", "leads")
    enforcer.can("petra", "sso")

    shared = {"feature_flag.provider.name": "entitlements", "entitlements.via": "memory"}
    leads = shared | {
        "feature_flag.key": "leads",
        "feature_flag.result.variant": "free",
        "entitlements.verb": "consume",
    }
    allowed = {
        "entitlements.allowed": True,
        "entitlements.reason": "within-limit",
        "feature_flag.result.reason": "static",
    }
    refused = {
        "entitlements.allowed": False,
        "entitlements.reason": "quota-exceeded",
        "feature_flag.result.reason": "disabled",
    }
    found = telemetry.points("decisions")
    assert (leads | allowed, 3) in found
    assert (leads | refused, 2) in found
    assert 1 == telemetry.value("decisions", **{"entitlements.verb": "can", "feature_flag.key": "sso"})
    assert 3 == len(found)


def test_a_refusal_is_an_event_of_the_span_and_nothing_else_is(telemetry):
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    with telemetry.tracer.start_as_current_span("request"):
        enforcer.consume("frida", "leads", 3)
        enforcer.can("petra", "chat")
        enforcer.peek("frida", "leads")
        enforcer.consume("frida", "leads")
    enforcer.consume("frida", "leads")

    (event,) = telemetry.events()
    assert event.name == "feature_flag.evaluation"
    assert dict(event.attributes) == {
        "feature_flag.key": "leads",
        "feature_flag.provider.name": "entitlements",
        "feature_flag.result.reason": "disabled",
        "feature_flag.result.variant": "free",
        "feature_flag.version": "t1",
        "entitlements.allowed": False,
        "entitlements.reason": "quota-exceeded",
        "entitlements.verb": "consume",
        "entitlements.via": "memory",
    }


def test_later_events_say_what_the_first_one_said_at_a_later_time(telemetry):
    clock = FakeClock(datetime(2026, 3, 10, 12, tzinfo=UTC))
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, clock=clock, hooks=[telemetry.hook])
    for _ in range(2):
        with telemetry.tracer.start_as_current_span("request"):
            enforcer.consume("frida", "leads", 9)
            enforcer.can("petra", "sso")
    other = Enforcer(policy(policy={"version": "t2"}), accounts=ACCOUNTS, clock=clock, hooks=[telemetry.hook])
    with telemetry.tracer.start_as_current_span("request"):
        other.consume("frida", "leads", 9)

    leads, sso, leads_again, sso_again, leads_of_t2 = telemetry.events()
    assert leads.attributes == leads_again.attributes != sso.attributes == sso_again.attributes
    assert dict(leads.attributes) | {"feature_flag.version": "t2"} == dict(leads_of_t2.attributes)
    assert leads.timestamp != leads_again.timestamp


def test_spans_keep_their_own_limits():
    """One hook serves the spans of two providers, of which one cuts text."""
    telemetry, cut = Telemetry(), Telemetry(limits=SpanLimits(max_event_attributes=2, max_attribute_length=4))
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    for each in (telemetry, cut) * 3:
        with each.tracer.start_as_current_span("request"):
            enforcer.can("petra", "sso")

    assert ["not-included"] * 3 == [event.attributes["entitlements.reason"] for event in telemetry.events()]
    assert [{"feature_flag.result.variant": "pro", "feature_flag.version": "t1"}] * 3 == [
        dict(event.attributes) for event in cut.events()
    ]
    assert [7] * 3 == [event.dropped_attributes for event in cut.events()]
    for each in (telemetry, cut):
        each.close()


def test_a_span_of_another_implementation_gets_every_event(telemetry):
    added = []

    class Recording(NonRecordingSpan):
        def is_recording(self):
            return True

        def add_event(self, name, attributes=None, timestamp=None):
            added.append((name, attributes["entitlements.reason"]))

    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    with use_span(Recording(INVALID_SPAN_CONTEXT)):
        for _ in range(3):
            enforcer.can("petra", "sso")

    assert [("feature_flag.evaluation", "not-included")] * 3 == added


def test_spans_can_be_left_alone():
    telemetry = Telemetry(spans=False)
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    with telemetry.tracer.start_as_current_span("request"):
        enforcer.can("petra", "sso")

    assert [] == telemetry.events()
    telemetry.close()


async def test_the_hook_serves_an_event_loop(telemetry):
    async with AsyncEnforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook]) as enforcer:
        with telemetry.tracer.start_as_current_span("request"):
            await enforcer.can("petra", "sso")

    assert ["not-included"] == [event.attributes["entitlements.reason"] for event in telemetry.events()]


def test_an_outage_is_an_error(telemetry):
    clock, fault = FakeClock(datetime(2026, 3, 10, 12, tzinfo=UTC)), Fault()
    store = FaultyStore(clock, fault).guarded()
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, clock=clock, store=store, hooks=[telemetry.hook])
    with fault.down(), telemetry.tracer.start_as_current_span("request"):
        for _ in range(40):
            enforcer.consume("petra", "leads")
        assert 1 == telemetry.value("breaker", **{"entitlements.state": "open"})
        assert 0 == telemetry.value("breaker", **{"entitlements.state": "closed"})

    assert 40 == telemetry.value(
        "decisions", **{"error.type": "store-unavailable", "feature_flag.result.reason": "error"}
    )
    assert 40 == telemetry.value("decisions.degraded", **{"entitlements.mode": "deny"})
    assert {"store-unavailable"} == {event.attributes["error.type"] for event in telemetry.events()}


def test_changes_of_state_are_counted(telemetry):
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    enforcer.set_usage("petra", "leads", 8)
    for event in (
        AccountInvalidated("petra"), Reloaded("a", "b"), ReloadFailed("policy.yaml", "line 3"), OutcomeUnknown("Charge", True),
        Journalled(7, 2, 1), BreakerChanged("open", "half-open", 0), AccountsDown("gone"),
    ):  # fmt: skip
        telemetry.hook(event)

    assert 1 == telemetry.value("thresholds", **{"entitlements.percent": 80, "feature_flag.key": "leads"})
    assert 1 == telemetry.value("invalidations")
    assert 1 == telemetry.value("policy.reloads", **{"feature_flag.version": "b"})
    assert 1 == telemetry.value("policy.reloads", **{"error.type": "PolicyError"})
    assert 1 == telemetry.value("outcomes.unknown", **{"entitlements.repeated": True})
    assert (7, 2, 1) == tuple(telemetry.value(f"journal.{name}") for name in ("waiting", "replayed", "lost"))
    assert 1 == telemetry.value("breaker", **{"entitlements.state": "half-open"})
    assert 0 == telemetry.value("accounts.up")
    telemetry.hook(AccountsBack())
    assert 1 == telemetry.value("accounts.up")


def test_the_page_names_every_instrument(telemetry):
    page = (Path(__file__).resolve().parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(entitlements\.decisions .*?)```", page, re.MULTILINE | re.DOTALL)[1].split()
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    enforcer.set_usage("petra", "leads", 8)
    enforcer.consume("petra", "leads")
    for event in (
        Degraded("consume", "deny", enforcer.consume("petra", "leads")), AccountInvalidated("petra"), Reloaded("a", "b"),
        OutcomeUnknown("Charge", True), Journalled(7, 2, 1),
    ):  # fmt: skip
        telemetry.hook(event)

    assert sorted(shown) == telemetry.names()


def test_threads_lose_no_count(telemetry):
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    threads = [
        threading.Thread(target=lambda: [enforcer.consume("maxim", "leads") for _ in range(1000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4000 == telemetry.value("decisions", **{"feature_flag.key": "leads"})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_counts_from_zero(telemetry):
    """The parent exports what was counted before the fork; the child would export it again."""
    enforcer = Enforcer(policy(), accounts=ACCOUNTS, hooks=[telemetry.hook])
    enforcer.consume("maxim", "leads")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        enforcer.consume("maxim", "leads")
        os.write(writing, b"%d" % sum(tally.count for tally in telemetry.hook._decisions.values()))
        os._exit(0)
    os.waitpid(child, 0)

    assert b"1" == os.read(reading, 10)
    os.close(reading)
    os.close(writing)
