"""
What the hooks for telemetry add to a decision: python -m benchmarks.telemetry

Each block of decisions without a hook is followed by one with each hook; the medians of the differences are shown, in
microseconds of this thread's CPU time, so that other processes of the machine do not count.
"""

from __future__ import annotations

import statistics
import time
from contextlib import nullcontext

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from entitlements import Enforcer, Policy
from entitlements.integrations.opentelemetry import OpenTelemetryHook
from entitlements.integrations.prometheus import PrometheusHook

CASES = (
    ("acme", "consume", "api", "a rate"),
    ("acme", "consume", "leads", "a quota"),
    ("acme", "decide", "sso", "a feature"),
    ("acme", "can", "sso", "a feature"),
    ("full", "consume", "leads", "refused"),
    ("full", "consume", "leads", "refused, in a span"),
)
"""The account, what it asks, and how the row is called; the span of the last row records."""


def cost(enforcer: Enforcer, account: str, verb: str, name: str, decisions: int) -> float:
    """Return the microseconds of one decision."""
    ask = getattr(enforcer, verb)
    began = time.thread_time_ns()
    for _ in range(decisions):
        ask(account, name)
    return (time.thread_time_ns() - began) / decisions / 1000


def main(blocks: int = 25, decisions: int = 3000) -> None:
    """Print a table."""
    policy = Policy.load("policies/minimal.yaml")
    hooks = {
        "a hook that does nothing": id,
        "PrometheusHook": PrometheusHook(CollectorRegistry()),
        "OpenTelemetryHook": OpenTelemetryHook(MeterProvider([InMemoryMetricReader()])),
    }
    accounts = {"acme": "pro", "full": "free"}
    plain = Enforcer(policy, accounts=accounts)
    hooked = {name: Enforcer(policy, accounts=accounts, hooks=[hook]) for name, hook in hooks.items()}
    for each in (plain, *hooked.values()):
        each.set_usage("full", "leads", 100)
    tracer = TracerProvider().get_tracer(__name__)
    print(f"{'decision':30}{'without':>9}" + "".join(f"{name:>26}" for name in hooked))
    for account, verb, name, what in CASES:
        asked = (account, verb, name, decisions)
        with tracer.start_as_current_span("request") if "span" in what else nullcontext():
            pairs = [(cost(plain, *asked), [cost(each, *asked) for each in hooked.values()]) for _ in range(blocks)]
        added = [statistics.median(costs[at] - base for base, costs in pairs) for at in range(len(hooked))]
        base = statistics.median(base for base, _ in pairs)
        print(f"{f'{verb}, {what}':30}{base:9.2f}" + "".join(f"{f'+{each:.2f}':>26}" for each in added))


if __name__ == "__main__":
    main()
