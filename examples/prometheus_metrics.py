"""
Prometheus metrics from the enforcer's events, for dashboards and alerts.

    pip install prometheus-client
    .venv/bin/python examples/prometheus_metrics.py redis://localhost:6379   # metrics on http://localhost:9000/metrics

No label has an account's id: ids are personal data, and each would make a new time series.
Labels are limits, reasons, paths and modes. The policy and the library bound their number.
"""

from __future__ import annotations

import sys
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from entitlements import Enforcer, Policy
from entitlements.model import events

STATES = ("closed", "half-open", "open")


class Metrics:
    """A hook that counts events: `Enforcer(hooks=[Metrics(registry)])`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name, about, *labels):
            return Counter(f"entitlements_{name}", about, labels, registry=registry)

        self.decisions = counter("decisions", "Decisions", "verb", "feature", "allowed", "reason", "via")
        self.degraded = counter("degraded_decisions", "Decisions made without the store", "mode")
        self.unknown = counter("unknown_outcomes", "Orders whose outcome is unknown", "repeated")
        self.replayed = counter("journal_replayed", "Orders allowed in an outage and replayed since")
        self.lost = counter("journal_lost", "Orders allowed in an outage and never counted")
        self.waiting = Gauge(
            "entitlements_journal_waiting", "Orders that wait in the replay journal", registry=registry
        )
        self.breaker = Gauge(
            "entitlements_breaker", "1 for the state of the circuit breaker", ["state"], registry=registry
        )
        self.reloads = counter("policy_reloads", "Changes of the policy's files", "good")
        self.policy = Gauge(
            "entitlements_policy_changed_seconds", "When a policy was last put in force", registry=registry
        )
        self.accounts = Gauge("entitlements_accounts", "1 while the source of accounts answers", registry=registry)
        self.accounts.set(1)
        self._breaker_is("closed")

    def __call__(self, event: events.Event) -> None:
        """Count one event."""
        match event:
            case events.Decided(verb, decision):
                allowed = str(decision.allowed).lower()
                self.decisions.labels(verb, decision.feature, allowed, decision.reason, decision.via).inc()
            case events.Degraded(_, mode):
                self.degraded.labels(mode).inc()
            case events.BreakerChanged(_, after):
                self._breaker_is(after)
            case events.OutcomeUnknown(_, repeated):
                self.unknown.labels(str(repeated).lower()).inc()
            case events.Journalled(waiting, replayed, lost):
                self.waiting.set(waiting)
                self.replayed.inc(replayed)
                self.lost.inc(lost)
            case events.Reloaded():
                self.reloads.labels("true").inc()
                self.policy.set_to_current_time()
            case events.ReloadFailed():
                self.reloads.labels("false").inc()
            case events.AccountsDown():
                self.accounts.set(0)
            case events.AccountsBack():
                self.accounts.set(1)

    def _breaker_is(self, state: str) -> None:
        for each in STATES:
            self.breaker.labels(each).set(each == state)


def main() -> None:
    """Charge an account ten times a second, and serve the metrics."""
    registry = CollectorRegistry()
    policy = Policy.load("policies/minimal.yaml")
    store = sys.argv[1] if len(sys.argv) > 1 else "memory://"
    with Enforcer(policy, accounts={"acme": "pro"}, store=store, hooks=[Metrics(registry)]) as enforcer:
        start_http_server(9000, registry=registry)
        while True:
            print(enforcer.consume("acme", {"api": 1, "leads": 1}))
            time.sleep(0.1)


if __name__ == "__main__":
    main()
