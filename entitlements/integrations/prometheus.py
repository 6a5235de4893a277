"""
Prometheus: a hook that counts decisions and changes of state.

    enforcer = Enforcer(policy, accounts=…, hooks=[PrometheusHook()])

No label holds an account's id: ids are personal data, and each would be a time series of its own.
Under several worker processes it counts in the files of the client's multiprocess mode (`PROMETHEUS_MULTIPROC_DIR`).
"""

from __future__ import annotations

from typing import Any

from entitlements.extras import extra

with extra("prometheus", "prometheus-client", __name__):
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from entitlements._fork import renew_after_fork
from entitlements.integrations.decision_labels import LABELS, STATES, LabelKey, label_key, labels_of
from entitlements.model import events

__all__ = ["PrometheusHook"]


class PrometheusHook:
    """
    A hook that turns events into metrics.

    Args:
        registry: Where the metrics are registered; the client's own by default. One hook serves all enforcers of a
            process.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = REGISTRY if registry is None else registry

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"entitlements_{name}", about, labels, registry=registry)

        def gauge(name: str, about: str, mode: Any, *labels: str) -> Gauge:
            return Gauge(f"entitlements_{name}", about, labels, registry=registry, multiprocess_mode=mode)

        self._decisions = counter("decisions", "Decisions", *LABELS)
        self._degraded = counter("degraded_decisions", "Decisions made without the store", "mode")
        self._thresholds = counter("thresholds", "Limits that crossed a percentage", "limit", "tier", "percent")
        self._unknown = counter("unknown_outcomes", "Orders whose outcome is unknown", "repeated")
        self._replayed = counter("journal_replayed", "Orders allowed in an outage and replayed since")
        self._lost = counter("journal_lost", "Orders allowed in an outage and never counted")
        self._waiting = gauge("journal_waiting", "Orders that wait in the replay journal", "livesum")
        self._breaker = gauge("breaker", "Processes whose circuit breaker has this state", "livesum", "state")
        self._invalidations = counter("invalidations", "Accounts that were dropped because they have changed")
        self._operations = counter("operations_dropped", "Operation ids dropped from an account that had too many")
        self._reloads = counter("policy_reloads", "Changes of the policy's files", "good")
        self._changed = gauge("policy_changed_seconds", "Time at which a policy was last put in force", "mostrecent")
        self._policy = gauge("policy", "Processes in which this version is in force", "livesum", "version")
        self._accounts = gauge("accounts", "1 while the source of accounts answers", "livemin")
        self._version: str | None = None
        self._state, self._is_up = "closed", 1
        self.renew()
        self._restore()
        renew_after_fork(self)

    def renew(self) -> None:
        """Have a forked child set its gauges with its first event: the client's files of a new process begin at zero."""
        self._by_key: dict[LabelKey, Any] = {}
        self._is_forked = True

    def __call__(self, event: events.Event, /) -> None:
        """Count one event."""
        if type(event) is events.Decided:
            key = label_key(event.verb, event.decision)
            count = self._by_key.get(key)
            if count is None:
                count = self._counter_of(key, event.decision.policy)
            count()
        else:
            self._count(event)

    def _counter_of(self, key: LabelKey, policy: str) -> Any:
        """Return the counter of new labels."""
        self._restore()
        if self._version is None:
            self._put_in_force(policy)
        count = self._by_key[key] = self._decisions.labels(*labels_of(key)).inc
        return count

    def _restore(self) -> None:
        """Set the gauges as they are, in a new process."""
        if self._is_forked:
            self._is_forked = False
            self._accounts.set(self._is_up)
            self._enter(self._state)
            if self._version is not None:
                self._put_in_force(self._version)

    def _count(self, event: events.Event) -> None:
        self._restore()
        match event:
            case events.Degraded(_, mode):
                self._degraded.labels(mode).inc()
            case events.Threshold(percent, part):
                self._thresholds.labels(part.feature, part.tier or "", str(percent)).inc()
            case events.BreakerChanged(_, after):
                self._enter(after)
            case events.OutcomeUnknown(_, repeated):
                self._unknown.labels(str(repeated).lower()).inc()
            case events.Journalled(waiting, replayed, lost):
                self._waiting.set(waiting)
                self._replayed.inc(replayed)
                self._lost.inc(lost)
            case events.AccountInvalidated():
                self._invalidations.inc()
            case events.OperationsDropped(_, count):
                self._operations.inc(count)
            case events.Reloaded(_, after):
                self._reloads.labels("true").inc()
                self._changed.set_to_current_time()
                self._put_in_force(after)
            case events.ReloadFailed():
                self._reloads.labels("false").inc()
            case events.AccountsDown():
                self._answers(0)
            case events.AccountsBack():
                self._answers(1)
            case _:
                pass

    def _answers(self, is_up: int) -> None:
        self._is_up = is_up
        self._accounts.set(is_up)

    def _put_in_force(self, version: str) -> None:
        if self._version not in (None, version):
            self._policy.labels(self._version).set(0)
        self._version = version
        self._policy.labels(version).set(1)

    def _enter(self, state: str) -> None:
        self._state = state
        for each in STATES:
            self._breaker.labels(each).set(each == state)
