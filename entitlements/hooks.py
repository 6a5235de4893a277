"""Telling hooks what happened: they see frozen events, and cannot change or break anything."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, TypeVar

from entitlements._fork import renew_after_fork
from entitlements.model.events import Decided, Degraded, OperationsDropped, ReloadFailed, Threshold
from entitlements.model.redaction import redacted_traceback
from entitlements.rules.decisions import crossed, mode_of

if TYPE_CHECKING:
    from entitlements.model.answers import Answer
    from entitlements.model.decision import Decision
    from entitlements.model.events import Event
    from entitlements.ports import Hook

R = TypeVar("R")

PERCENTS = (80, 100)
_REMEMBERED = 10_000

_log = logging.getLogger("entitlements.hooks")


class Hooks:
    """
    The hooks of one enforcer; *listening* is False when there are none.

    Args:
        hooks: Any callables that take one event.
    """

    def __init__(self, hooks: Iterable[Hook]) -> None:
        if not isinstance(hooks, Iterable) or not all(callable(hook) for hook in hooks):
            raise TypeError(f"hooks {hooks!r} must be a sequence of callables; write hooks=(hook,)")
        self._hooks = tuple(hooks)
        for hook in self._hooks:
            if iscoroutinefunction(hook) or iscoroutinefunction(type(hook).__call__):
                raise TypeError(
                    f"hook {hook!r} is async, and nobody would await it; write a plain one that puts to a queue"
                )
        self.listening = bool(self._hooks)
        self._told: OrderedDict[object, None] = OrderedDict()
        self._lock = threading.Lock()
        renew_after_fork(self)

    def renew(self) -> None:
        """Take a fresh lock, in a forked child."""
        self._lock = threading.Lock()

    def tell(self, event: Event) -> None:
        """Tell every hook; what one of them raises is logged and dropped."""
        for hook in self._hooks:
            try:
                hook(event)
            except Exception as error:  # noqa: BLE001 - whatever a hook raises, the decision stands
                told = redacted_traceback(error, _account_of(event))
                _log.error("hook %r failed on %s and goes on\n%s", hook, type(event).__name__, told)

    def not_reloaded(self, path: str, problem: str) -> None:
        """Log and tell that the files of the policy have changed and were not put in force."""
        _log.warning("the policy in force stays, what %s says now cannot be: %s", path, problem)
        self.tell(ReloadFailed(path, problem))

    def decided(self, verb: str, decision: Decision, answer: Answer = None) -> None:
        """Tell of a decision, of thresholds that it crossed, and of operation ids that it cost."""
        self.tell(Decided(verb, decision))
        if decision.degraded:
            self.tell(Degraded(verb, mode_of(decision), decision))
        forgotten = getattr(answer, "forgotten", 0)
        if forgotten:
            self.tell(OperationsDropped(decision.account, forgotten))
        if verb != "peek" and decision.allowed:
            for percent, part in crossed(decision, PERCENTS):
                self._cross(percent, part)

    def _cross(self, percent: int, part: Decision) -> None:
        """Tell of a threshold once per account, limit, period and size."""
        period = part.resets_at
        once = (part.account, part.feature, percent, period, part.limit)
        with self._lock:
            told = once in self._told and period is not None
            self._told[once] = None
            while len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
        if not told:
            self.tell(Threshold(percent, part))


def _account_of(event: Event) -> str | None:
    """Return the id of the account that an event is about; None for one about no single account."""
    return getattr(getattr(event, "decision", event), "account", None)
