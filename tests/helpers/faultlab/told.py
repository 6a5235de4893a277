"""Answers that callers got: each call with its times, and the units that must be counted for it."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from time import monotonic

from entitlements import Decision, EntitlementsError


@dataclass
class Call:
    """One call: when it was made, how long it took, and how it ended."""

    verb: str
    began: float
    ended: float
    result: object = None
    error: Exception | None = None

    @property
    def took(self):
        return self.ended - self.began

    @property
    def decision(self):
        """The decision that it returned, or None."""
        result = getattr(self.result, "decision", self.result)
        return result if isinstance(result, Decision) else None


class Told:
    """
    The calls of a cell, and the units that callers were told of, by account and limit.

    Of each limit there is a *least* and a *most*: they differ by the units of calls that raised, because an error
    leaves open whether it was done, and by those of rates that were decided without the store.
    """

    def __init__(self):
        self.calls = []
        self.least, self.most, self.granted = defaultdict(int), defaultdict(int), defaultdict(int)
        self.committed = defaultdict(int)
        """Units of commits, which may take a limit above its size: one made in an outage always counts."""
        self.undone = defaultdict(int)
        """Units of refused charges that the store may count until they are undone."""
        self.degraded = defaultdict(int)
        """Calls that were decided without the store, by account."""
        self.holders = {}
        """True if a name holds a unit, by account, limit and name; None where that is open."""
        self.totals = defaultdict(set)
        """Totals that may stand, by account and limit, where they were set."""
        self.keys = {}
        """Units by account, limit and key, as least and most."""
        self.mistakes = []
        """Answers that are wrong by themselves."""
        self._lock = threading.Lock()

    def note(self, verb, began, result=None, error=None):
        call = Call(verb, began, monotonic(), result, error)
        self.calls.append(call)
        if call.decision is not None and call.decision.degraded:
            with self._lock:
                self.degraded[call.decision.account] += 1

    def add(self, account, limit, least, most=None):
        """Add units that are taken (positive) or given back."""
        most = least if most is None else most
        with self._lock:
            self.least[account, limit] += min(least, most)
            self.most[account, limit] += max(least, most)

    def grant(self, account, limit, units):
        """Add units that a caller was granted, counted or not."""
        with self._lock:
            self.granted[account, limit] += units

    def summary(self):
        """Return what another process told, for `merge`."""
        foreign = (each for each in self.calls if not isinstance(each.error, EntitlementsError | TimeoutError | None))
        raised = [f"{each.verb} raised {each.error!r}" for each in foreign]
        counters = [dict(each) for each in self._counters]
        return counters, self.holders, self.keys, self.mistakes + raised

    def merge(self, summary):
        """Add what another process told."""
        counters, holders, keys, mistakes = summary
        self.holders |= holders
        self.keys |= keys
        self.mistakes += mistakes
        with self._lock:
            for ours, theirs in zip(self._counters, counters, strict=True):
                for name, units in theirs.items():
                    ours[name] += units

    @property
    def _counters(self):
        return self.least, self.most, self.granted, self.undone, self.committed, self.degraded

    @property
    def limits(self):
        """Every account and limit of which callers were told something."""
        named = {each[:2] for each in (*self.holders, *self.keys)}
        return sorted({*self.least, *self.totals, *named})

    def bounds(self, account, limit):
        """Return the least and the most units that must be counted."""
        held = [state for (*of, _), state in self.holders.items() if of == [account, limit]]
        keyed = [bounds for (*of, _), bounds in self.keys.items() if of == [account, limit]]
        least = self.least[account, limit] + sum(state is True for state in held) + sum(low for low, _ in keyed)
        most = self.most[account, limit] + sum(state is not False for state in held) + sum(high for _, high in keyed)
        return least, most
