"""
OpenTelemetry: a hook that counts decisions and changes of state, and notes refusals on the current span.

    enforcer = Enforcer(policy, accounts=…, hooks=[OpenTelemetryHook()])

Attributes follow the semantic conventions for feature flags where these have a name. No attribute holds an account's
id. Decisions are counted here and read by the SDK at each export, so that a decision costs the same with any SDK.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from entitlements.extras import extra

with extra("otel", "opentelemetry-api", __name__):
    from opentelemetry.metrics import CallbackOptions, Observation, get_meter
    from opentelemetry.trace import get_current_span

from entitlements._fork import renew_after_fork
from entitlements.integrations.decision_labels import STATES, LabelKey, label_key
from entitlements.model import events
from entitlements.model.decision_fields import fields_of
from entitlements.model.reasons import Reason

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span

__all__ = ["OpenTelemetryHook"]

PROVIDER = "entitlements"
"""The value of `feature_flag.provider.name`."""

EVENT = "feature_flag.evaluation"
"""The name of the event of a span."""

Attributes = dict[str, str | bool | int]


class OpenTelemetryHook:
    """
    A hook that turns events into metrics, and refusals into events of the current span.

    Args:
        meter_provider: Makes the instruments; the global one by default. One hook serves all enforcers of a process.
        spans: Add an event `feature_flag.evaluation` to the span that records when a decision refuses.
    """

    def __init__(self, meter_provider: MeterProvider | None = None, *, spans: bool = True) -> None:
        self._spans = spans
        self._decisions: dict[LabelKey, _Tally] = defaultdict(_Tally)
        self._counts: dict[tuple[str, tuple[tuple[str, Any], ...]], int] = defaultdict(int)
        self._levels: dict[str, int] = {"journal.waiting": 0, "accounts.up": 1}
        self._state = "closed"
        self.renew()
        renew_after_fork(self)
        meter = get_meter(PROVIDER, meter_provider=meter_provider)
        for name, unit, about in _COUNTERS:
            meter.create_observable_counter(f"entitlements.{name}", [self._reader(name)], unit, about)
        for name, unit, about in _GAUGES:
            meter.create_observable_gauge(f"entitlements.{name}", [self._gauge(name)], unit, about)

    def renew(self) -> None:
        """Count from zero in a forked child: the parent exports what was counted before."""
        self._lock = threading.Lock()
        self._decisions.clear()
        self._counts.clear()

    def __call__(self, event: events.Event, /) -> None:
        """Count one event."""
        if type(event) is events.Decided:
            decision = event.decision
            key = label_key(event.verb, decision)
            with self._lock:
                tally = self._decisions[key]
                tally.count += 1
            if not key[1] and self._spans and event.verb != "peek":
                span = get_current_span()
                if span.is_recording():
                    tally.note(span, key, fields_of(decision)[2].policy)
        else:
            self._count(event)

    def _count(self, event: events.Event) -> None:
        match event:
            case events.Degraded(_, mode):
                self._add("decisions.degraded", 1, ("entitlements.mode", mode))
            case events.Threshold(percent, part):
                limit = (("feature_flag.key", part.feature), ("feature_flag.result.variant", part.tier or ""))
                self._add("thresholds", 1, *limit, ("entitlements.percent", percent))
            case events.BreakerChanged(_, after):
                self._state = after
            case events.OutcomeUnknown(_, repeated):
                self._add("outcomes.unknown", 1, ("entitlements.repeated", repeated))
            case events.Journalled(waiting, replayed, lost):
                self._levels["journal.waiting"] = waiting
                self._add("journal.replayed", replayed)
                self._add("journal.lost", lost)
            case events.AccountInvalidated():
                self._add("invalidations", 1)
            case events.Reloaded(_, after):
                self._add("policy.reloads", 1, ("feature_flag.version", after))
            case events.ReloadFailed():
                self._add("policy.reloads", 1, ("error.type", "PolicyError"))
            case events.AccountsDown():
                self._levels["accounts.up"] = 0
            case events.AccountsBack():
                self._levels["accounts.up"] = 1
            case _:
                pass

    def _add(self, name: str, count: int, *attributes: tuple[str, Any]) -> None:
        with self._lock:
            self._counts[name, attributes] += count

    def _reader(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Return what reads a counter at each export."""

        def read(_: CallbackOptions) -> Iterator[Observation]:
            with self._lock:
                decisions = [(key, each.count) for key, each in self._decisions.items()] if name == "decisions" else []
                counts = [(attributes, count) for (each, attributes), count in self._counts.items() if each == name]
            yield from (Observation(count, _attributes(key)) for key, count in decisions)
            yield from (Observation(count, dict(attributes)) for attributes, count in counts)

        return read

    def _gauge(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Return what reads a gauge at each export."""

        def read(_: CallbackOptions) -> Iterator[Observation]:
            if name == "breaker":
                yield from (Observation(int(each == self._state), {"entitlements.state": each}) for each in STATES)
            else:
                yield Observation(self._levels[name])

        return read


class _Tally:
    """
    The number of decisions with the same labels, and the attributes of their span events.

    A span of the SDK copies and checks all attributes of each event, for longer than the rest of the hook takes. So what
    it has checked is kept, and is shared by the events of spans with the same limits. Another span checks each time.
    """

    __slots__ = ("checked", "count")

    def __init__(self) -> None:
        self.count = 0
        self.checked: tuple[str, object, Callable[..., Any], Any] = "", None, _Tally, None
        """Version of the policy, limits of the spans, type of their events, and the attributes."""

    def note(self, span: Span, key: LabelKey, version: str) -> None:
        """Add an event about a decision to a span."""
        limits = getattr(span, "_limits", None)
        known, of_limits, event, attributes = self.checked
        if limits is not None and of_limits is limits and known == version:
            span._add_event(event(EVENT, attributes))  # type: ignore[attr-defined]  # noqa: SLF001 - no public way takes them
            return
        now = time.time_ns()
        span.add_event(EVENT, {**_attributes(key), "feature_flag.version": version}, now)
        if hasattr(span, "_add_event"):
            for each in getattr(span, "events", ()):
                if each.timestamp == now and each.name == EVENT:
                    self.checked = version, limits, type(each), each.attributes


_COUNTERS = (
    ("decisions", "{decision}", "Decisions"),
    ("decisions.degraded", "{decision}", "Decisions made without the store"),
    ("thresholds", "{threshold}", "Limits that crossed a percentage"),
    ("outcomes.unknown", "{order}", "Orders whose outcome is unknown"),
    ("journal.replayed", "{order}", "Orders allowed in an outage and replayed since"),
    ("journal.lost", "{order}", "Orders allowed in an outage and never counted"),
    ("invalidations", "{account}", "Accounts that were dropped because they have changed"),
    ("policy.reloads", "{reload}", "Changes of the policy's files"),
)
_GAUGES = (
    ("journal.waiting", "{order}", "Orders that wait in the replay journal"),
    ("breaker", "1", "1 for the state of the circuit breaker"),
    ("accounts.up", "1", "1 while the source of accounts answers"),
)
_ERROR = Reason.STORE_UNAVAILABLE.value


def _attributes(key: LabelKey) -> Attributes:
    """Return the attributes of a decision."""
    verb, allowed, reason, feature, tier, via = key
    attributes: Attributes = {
        "feature_flag.key": feature,
        "feature_flag.provider.name": PROVIDER,
        "feature_flag.result.reason": "error" if reason == _ERROR else "static" if allowed else "disabled",
        "entitlements.allowed": allowed,
        "entitlements.reason": reason,
        "entitlements.verb": verb,
        "entitlements.via": via,
    }
    if tier is not None:
        attributes["feature_flag.result.variant"] = tier
    if reason == _ERROR:
        attributes["error.type"] = reason
    return attributes
