"""Event hooks: they receive frozen events, and can neither change nor fail a decision."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, TypeVar

from entitlements._fork import renew_after_fork
from entitlements.model.decision_fields import facts_of, fields_of
from entitlements.model.events import Decided, Degraded, OperationsDropped, Refunded, ReloadFailed, Threshold
from entitlements.model.limits import Allocation
from entitlements.model.redaction import redacted_traceback
from entitlements.ports import OrderHook
from entitlements.rules.decisions import crossed, mode_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.answers import Answer
    from entitlements.model.charge import Order
    from entitlements.model.decision import Decision
    from entitlements.model.events import Event
    from entitlements.ports import Hook
    from entitlements.rules.steps import Step

R = TypeVar("R")

PERCENTS = (80, 100)
"""Shares of a limit at which a `Threshold` event is sent by default."""
_MAX_THRESHOLDS = 10_000
"""Reported thresholds that are remembered, so that none is reported twice in a period."""

_log = logging.getLogger("entitlements.hooks")


class Hooks:
    """
    The hooks of one enforcer; *enabled* is False when there are none.

    Args:
        hooks: Any callables that take one event; an `OrderHook` takes orders instead.
        thresholds: Percentages of a limit at which a `Threshold` event is sent.

    Raises:
        TypeError: For anything that is not callable, and for an async callable.
        ValueError: For a threshold that is not an int from 1 to 100.
    """

    def __init__(self, hooks: Iterable[Hook], thresholds: Iterable[int] = PERCENTS) -> None:
        self._percents = _check_thresholds(thresholds)
        if not isinstance(hooks, Iterable) or not all(callable(hook) for hook in hooks):
            raise TypeError(f"hooks {hooks!r} must be a sequence of callables; write hooks=(hook,)")
        given = tuple(hooks)
        for hook in given:
            if iscoroutinefunction(hook) or iscoroutinefunction(type(hook).__call__):
                raise TypeError(
                    f"hook {hook!r} is async, and would never be awaited; write a plain one that puts to a queue"
                )
        self._hooks = tuple(hook for hook in given if not isinstance(hook, OrderHook))
        self._recorders = tuple(hook for hook in given if isinstance(hook, OrderHook))
        self._observers: tuple[Hook, ...] = ()
        self.enabled = bool(given)
        self.listens = bool(self._hooks)
        """True if hooks take events."""
        self.records = bool(self._recorders)
        """True if hooks take orders."""
        self._thresholds: OrderedDict[object, None] = OrderedDict()
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Replace the lock; called in a forked child too, where the old one may be held for ever."""
        self._lock = threading.Lock()

    def observe(self, observer: Hook) -> None:
        """Call *observer* too with every event that is no decision; decisions are as quick as without it."""
        self._observers = (*self._observers, observer)

    def ignore(self, observer: Hook) -> None:
        """Call *observer* no longer."""
        self._observers = tuple(each for each in self._observers if each != observer)

    def notify(self, event: Event) -> None:
        """Call every hook and observer with *event*; an exception of a hook is logged and dropped."""
        self._send(event, (*self._hooks, *self._observers))

    def _send(self, event: Event, hooks: tuple[Hook, ...]) -> None:
        for hook in hooks:
            try:
                hook(event)
            except Exception as error:  # noqa: BLE001 - whatever a hook raises, the decision stands
                kind, trace = type(event).__name__, redacted_traceback(error, _account_of(event))
                _log.error(
                    "hook %r failed on %s; the decision stands\n%s",
                    hook, kind, trace, extra={"hook": repr(hook), "event": kind},
                )  # fmt: skip

    def reload_failed(self, path: str, problem: str) -> None:
        """Log and report that the changed policy files at *path* were not put in force."""
        _log.warning(
            "the policy in force stays; %s was not reloaded: %s",
            path, problem, extra={"policy_path": path, "problem": problem},
        )  # fmt: skip
        self.notify(ReloadFailed(path, problem))

    def record(self, order: Order | None, answer: Answer, decision: Decision | None) -> None:
        """Call every `OrderHook`; an exception of one is logged and dropped."""
        for hook in self._recorders:
            try:
                hook.record_order(order, answer, decision)
            except Exception as error:  # noqa: BLE001 - as above
                self._record_failed(hook, type(order).__name__, error, getattr(order, "account", None))

    @staticmethod
    def _record_failed(hook: OrderHook, kind: str, error: Exception, account: str | None) -> None:
        trace = redacted_traceback(error, account)
        _log.error("hook %r failed on %s; the decision stands\n%s", hook, kind, trace, extra={"hook": repr(hook)})

    def decided(self, verb: str, decision: Decision) -> Decision:
        """Report a decision that no store was asked for, and return it."""
        if self.listens:
            self.notify_decision(verb, decision)
        return decision

    def consumed(self, decision: Decision, answer: Answer) -> None:
        """Report a decision to consume, which the store made."""
        if self._recorders:
            self._record_charge(decision, answer)
        if self.listens:
            self.notify_decision("consume", decision, answer)

    def leased(self, decision: Decision, answer: Answer) -> None:
        """Report units that were leased: to recorders, and the thresholds that they crossed; no caller has spent them yet."""
        self._record_charge(decision, answer)
        if self.listens:
            self._notify_crossed(decision)

    @property
    def on_spent(self) -> Callable[[Decision], object] | None:
        """A function that takes each decision to consume units that were leased before; None if no hook takes events."""
        return (lambda decision: self._send(Decided("consume", decision), self._hooks)) if self.listens else None

    def _record_charge(self, decision: Decision, answer: Answer) -> None:
        for hook in self._recorders:
            try:
                hook.record_order(None, answer, decision)
            except Exception as error:  # noqa: BLE001 - whatever a hook raises, the decision stands
                self._record_failed(hook, "a charge", error, decision.account)

    def report(self, step: Step[R], result: R, answer: Answer) -> R:
        """Report the result of a step and its events, and return the result."""
        if self.enabled:
            events = tuple(step.events(result))
            if self.records and step.order is not None:
                refunded = next((event.decision for event in events if isinstance(event, Refunded)), None)
                self.record(step.order, answer, result if step.verb else refunded)  # type: ignore[arg-type]
            if self.listens:
                self._notify_step(step, result, answer, events)
        return result

    def _notify_step(self, step: Step[R], result: R, answer: Answer, events: Iterable[Event]) -> None:
        if step.verb:
            self.notify_decision(step.verb, result, answer)  # type: ignore[arg-type]
        for event in events:
            self.notify(event)
        if step.set_to is not None:
            self._notify_crossed(step.set_to(answer))

    def notify_decision(self, verb: str, decision: Decision, answer: Answer = None) -> None:
        """Report a decision, the thresholds that it crossed, and the operation ids that the store dropped for it."""
        self._send(Decided(verb, decision), self._hooks)
        allowed, _, _, receipt, _, _ = fields_of(decision)
        if receipt.degraded:
            self._send(Degraded(verb, mode_of(decision), decision), self._hooks)
        dropped = getattr(answer, "forgotten", 0)
        if dropped:
            self.notify(OperationsDropped(decision.account, dropped))
        if allowed and verb != "peek":
            self._notify_crossed(decision)

    def _notify_crossed(self, decision: Decision) -> None:
        for percent, part in crossed(decision, self._percents):
            self._notify_threshold(percent, part)

    def _notify_threshold(self, percent: int, part: Decision) -> None:
        """Report a threshold once per account, scope, limit, period and size."""
        period = part.resets_at
        key = (part.account, part.scope, part.feature, percent, period, part.limit)
        with self._lock:
            reported = key in self._thresholds and not isinstance(facts_of(part).limit, Allocation)
            self._thresholds[key] = None
            while len(self._thresholds) > _MAX_THRESHOLDS:
                self._thresholds.popitem(last=False)
        if not reported:
            self.notify(Threshold(percent, part))


def _check_thresholds(thresholds: Iterable[int]) -> tuple[int, ...]:
    percents = tuple(thresholds) if isinstance(thresholds, Iterable) else (thresholds,)
    for each in percents:
        if type(each) is not int or not 1 <= each <= 100:
            raise ValueError(f"threshold {each!r} is not a percentage of a limit, 1 to 100; write thresholds=(80, 100)")
    return tuple(sorted(set(percents)))


def _account_of(event: Event) -> str | None:
    """Return the id of the account that an event is about; None for one about no single account."""
    return getattr(getattr(event, "decision", event), "account", None)
