"""
A `Decision`: the answer to one question, with its reason.

A decision is cheap to build. The facts that do not change between calls (limit,
winning source, trace, remedies) are compiled once into `Facts` and shared. A call adds the
store's line and a receipt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from entitlements.errors import Denied
from entitlements.model.answers import Line
from entitlements.model.decision_fields import (
    Fields,
    facts_of,
    is_enforced,
    line_of,
    parts_of,
    receipt_of,
    several_parts_of,
)
from entitlements.model.display import attributes_in_json, in_json, in_words
from entitlements.model.facts import Considered, Facts, Receipt, Remedy
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.immutable import ANSWER
from entitlements.model.instants import to_datetime, to_timedelta
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue, NotIncluded, Unlimited
from entitlements.model.overage import at_once, overage_of
from entitlements.model.reasons import Reason
from entitlements.model.remedies import remedy_of


class Decision:
    """
    An immutable decision; truthy when allowed.

    All fields live in one slot, because a frozen object pays for each slot that it sets.

    Args:
        allowed: True if the account may do it.
        reason: The reason.
        facts: The facts that do not change between calls.
        receipt: The details of this call.
        line: The store's answer; None if no store was asked.
        parts: The decisions about each limit; None for a decision about a single limit.
    """

    __slots__ = ("__weakref__", "_fields")
    _fields: Fields

    def __init__(
        self,
        allowed: bool,  # noqa: FBT001 - every decision begins with it
        reason: Reason,
        facts: Facts,
        receipt: Receipt,
        line: Line | None = None,
        parts: tuple[Decision, ...] | None = None,
    ) -> None:
        set_fields(self, (allowed, reason, facts, receipt, line, parts))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Raise `AttributeError`: a decision is immutable."""
        raise AttributeError(f"a decision cannot be changed, and {name!r} was to become {value!r}; {ANSWER}")

    def __delattr__(self, name: str) -> NoReturn:
        """Raise `AttributeError`: a decision is immutable."""
        raise AttributeError(f"a decision cannot be changed, and {name!r} was to be deleted; {ANSWER}")

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling, which would otherwise set the slot."""
        return (Decision, (*self._fields[:5], several_parts_of(self)))

    @property
    def allowed(self) -> bool:
        """True if the account may do it."""
        return self._fields[0]

    @property
    def reason(self) -> Reason:
        """The reason."""
        return self._fields[1]

    def __bool__(self) -> bool:
        """Return `allowed`."""
        return self._fields[0]

    @property
    def account(self) -> str:
        """The account's id."""
        return receipt_of(self).account

    @property
    def policy(self) -> str:
        """The version of the policy that decided."""
        return facts_of(self).policy

    @property
    def feature(self) -> str:
        """The name that was asked: a feature, a `feature:level` or a limit."""
        return facts_of(self).feature

    @property
    def tier(self) -> str | None:
        """The tier in force; None for an unknown account."""
        return facts_of(self).tier

    @property
    def source(self) -> str:
        """The entitlement that won: `tier:…`, `override:…`, `grant:…` or `add-on:…`."""
        return facts_of(self).source

    @property
    def trace(self) -> tuple[Considered, ...]:
        """Every source that was considered, including losing and expired ones."""
        return facts_of(self).trace

    @property
    def via(self) -> str:
        """The path that answered: static, store, memory, lease, deny-cache, local, journal."""
        return receipt_of(self).via

    @property
    def scope(self) -> str | None:
        """The scope whose meter was charged; None for a limit without a `per`, and if no store was asked."""
        limit = facts_of(self).limit
        return receipt_of(self).scope if limit is not None and limit.per else None

    @property
    def degraded(self) -> bool:
        """True if the decision was made without the store, because it was unreachable."""
        return self._fields[3][6]

    @property
    def replayed(self) -> bool:
        """True if this is the stored first answer to a repeated key."""
        return receipt_of(self).replayed

    @property
    def limit(self) -> LimitValue | None:
        """The account's size of the limit, with overage the included amount; None if it is not about a limit."""
        facts = facts_of(self)
        if facts.limit is None or facts.size is None or facts.size is NOT_INCLUDED:
            return facts.size
        return facts.limit.capacity(facts.size)

    @property
    def used(self) -> int | None:
        """Units used after the call, including reserved ones; None if not counted, or no store was asked."""
        line = line_of(self)
        return line.used if line else None

    @property
    def overage(self) -> int:
        """Units in use beyond the limit after the call, where it has overage or they were allowed; else 0."""
        limit, used = self.limit, self.used
        has_overage = self.reason is Reason.OVERAGE or overage_of(facts_of(self).size)
        return max(0, used - limit) if has_overage and isinstance(limit, int) and used is not None else 0

    @property
    def remaining(self) -> int | Unlimited | None:
        """Units left of the limit after the call, 0 if it is not included; None if no store was asked."""
        limit, line = self.limit, line_of(self)
        if limit is NOT_INCLUDED or limit == 0:
            return 0
        if line is None or limit is None or isinstance(limit, NotIncluded):
            return None
        if limit is UNLIMITED:
            return UNLIMITED
        if line.used is None:
            return None
        return max(0, limit - line.used)

    @property
    def retry_after(self) -> timedelta | None:
        """The wait until the same charge fits if nothing else changes; None if allowed, or if waiting does not help."""
        line = line_of(self)
        if line is None or line.retry_at is None:
            return None
        return to_timedelta(max(0, line.retry_at - receipt_of(self).now))

    @property
    def resets_at(self) -> datetime | None:
        """The instant at which everything is available again; for a fixed window or a quota, its end."""
        line = line_of(self)
        return None if line is None or line.resets_at is None else to_datetime(line.resets_at)

    @property
    def valid_until(self) -> datetime | None:
        """The first instant at which the account's entitlements may change by the clock; None for never."""
        instant = facts_of(self).valid_until
        return None if instant is None else to_datetime(instant)

    @property
    def remedy(self) -> Remedy | None:
        """The lowest tier and the cheapest add-on that would have allowed the whole charge; None if there is neither."""
        if self.allowed or self.reason in (Reason.SUSPENDED, Reason.STORE_UNAVAILABLE, Reason.UNKNOWN_ACCOUNT):
            return None
        parts = several_parts_of(self)
        return remedy_of([self] if parts is None else [part for part in parts if is_enforced(part)])

    @property
    def parts(self) -> Mapping[str, Decision]:
        """One decision per limit, by name, even for a single limit; empty for a feature."""
        return FrozenDict({part.feature: part for part in parts_of(self)})

    @property
    def explanation(self) -> str:
        """One sentence for people: the account, the answer, the reason and the remedy."""
        text = f"account {self.account!r} {self._action()}: {self.reason}"
        if self.limit is not None and self.used is not None:
            beyond = f", {in_words(self.overage)} of them overage" if self.overage else ""
            text += f", {in_words(self.used)} of {in_words(self.limit)} used{beyond}"
            if self.reason is Reason.NEVER_FITS and self._at_once() != self.limit:
                text += f", {in_words(self._at_once())} at most with overage"
        elif self.reason is Reason.NEVER_FITS and self.limit is not None:
            text += f", {in_words(self._at_once())} at most"
        if self.retry_after is not None:
            text += f", again in {in_words(self.retry_after)}"
        remedy = self.remedy
        if self.reason is Reason.UNKNOWN_ACCOUNT:
            text += "".join(f", {each.note}" for each in self.trace if each.note)
        elif remedy:
            text += f"; {' or '.join(remedy.ways())} would allow it"
        return text

    def _at_once(self) -> object:
        """Return the most units that one charge can take."""
        facts = facts_of(self)
        if facts.limit is None or facts.size is None or isinstance(facts.size, NotIncluded):
            return self.limit
        return at_once(facts.limit, facts.size)

    def _action(self) -> str:
        cost = receipt_of(self).cost
        if cost:
            return f"{'may' if self.allowed else 'may not'} use {in_words(cost)} of {self.feature!r}"
        return f"{'has' if self.allowed else 'has no'} {self.feature!r}"

    def raise_for_denied(self) -> Decision:
        """
        Return itself when allowed.

        Raises:
            Denied: When refused, carrying this decision.
        """
        if not self.allowed:
            raise Denied(self)
        return self

    def to_dict(self) -> dict[str, object]:
        """Return a dict for `json.dumps`: times in ISO 8601 UTC, durations in seconds."""
        whole = attributes_in_json(self, _KEYS)
        remedy = self.remedy
        whole["remedy"] = remedy and remedy.to_dict()
        whole["trace"] = [
            {"source": each.source, "value": in_json(each.value), "verdict": each.verdict.value, "note": each.note}
            for each in self.trace
        ]
        if self.scope is not None:
            whole["scope"] = self.scope
        parts = several_parts_of(self)
        if parts is not None:
            whole["parts"] = {part.feature: part.to_dict() for part in parts}
        return whole

    def __repr__(self) -> str:
        """Return `explanation` in brackets."""
        return f"<Decision: {self.explanation}>"


_KEYS = (
    "account", "policy", "allowed", "reason", "feature", "tier", "source", "via", "limit", "used",
    "overage", "remaining", "retry_after", "resets_at", "valid_until", "degraded", "replayed",
)  # fmt: skip

set_fields = Decision._fields.__set__  # type: ignore[misc, attr-defined]  # the slot descriptor, which bypasses __setattr__
_new = object.__new__


def new_decision(*fields: Any) -> Decision:
    """Return `Decision(*fields)` with all its arguments, in half the time."""
    decision = _new(Decision)
    set_fields(decision, fields)
    return decision
