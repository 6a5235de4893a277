"""
What the hooks for telemetry add to a decision: python -m benchmarks.telemetry

Each block of decisions without a hook is followed by one with each hook; the medians of the differences are shown, in
microseconds of this thread's CPU time, so that other processes of the machine do not count.
"""

from __future__ import annotations

import statistics
import time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from entitlements import Enforcer, Policy
from entitlements.integrations.opentelemetry import OpenTelemetryHook
from entitlements.integrations.prometheus import PrometheusHook

CASES = (
    ("consume", "api", "a rate"),
    ("consume", "leads", "a quota"),
    ("decide", "sso", "a feature"),
    ("can", "sso", "a feature"),
)


def cost(enforcer: Enforcer, verb: str, name: str, decisions: int) -> float:
    """Return the microseconds of one decision."""
    ask = getattr(enforcer, verb)
    began = time.thread_time_ns()
    for _ in range(decisions):
        ask("acme", name)
    return (time.thread_time_ns() - began) / decisions / 1000


def main(blocks: int = 25, decisions: int = 3000) -> None:
    """Print a table."""
    policy = Policy.load("policies/minimal.yaml")
    hooks = {
        "a hook that does nothing": id,
        "PrometheusHook": PrometheusHook(CollectorRegistry()),
        "OpenTelemetryHook": OpenTelemetryHook(MeterProvider([InMemoryMetricReader()])),
    }
    plain = Enforcer(policy, accounts={"acme": "pro"})
    hooked = {name: Enforcer(policy, accounts={"acme": "pro"}, hooks=[hook]) for name, hook in hooks.items()}
    print(f"{'decision':24}{'without':>9}" + "".join(f"{name:>26}" for name in hooked))
    for verb, name, what in CASES:
        pairs = [
            (cost(plain, verb, name, decisions), [cost(each, verb, name, decisions) for each in hooked.values()])
            for _ in range(blocks)
        ]
        added = [statistics.median(costs[at] - base for base, costs in pairs) for at in range(len(hooked))]
        base = statistics.median(base for base, _ in pairs)
        print(f"{f'{verb}, {what}':24}{base:9.2f}" + "".join(f"{f'+{each:.2f}':>26}" for each in added))


if __name__ == "__main__":
    main()
