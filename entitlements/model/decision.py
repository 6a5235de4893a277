"""
A `Decision`: the answer to one question, with its reason.

A decision is cheap to build. The facts that do not change between calls (account,
limit, winning source, trace, remedies) are compiled once into `Facts` and shared. A call
adds the store's line and a receipt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NoReturn

from entitlements.errors import Denied
from entitlements.model.answers import Line
from entitlements.model.display import attributes_in_json, in_json, in_words
from entitlements.model.facts import STATIC, Considered, Facts, Reason, Receipt, Remedy
from entitlements.model.instants import to_datetime, to_timedelta
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue, Mode, NotIncluded, Unlimited
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

    __slots__ = ("__weakref__", "fields")
    fields: tuple[bool, Reason, Facts, Receipt, Line | None, tuple[Decision, ...] | None]
    """All constructor arguments, in order."""

    def __init__(
        self,
        allowed: bool,  # noqa: FBT001 - every decision begins with it
        reason: Reason,
        facts: Facts,
        receipt: Receipt = STATIC,
        line: Line | None = None,
        parts: tuple[Decision, ...] | None = None,
    ) -> None:
        _set_fields(self, (allowed, reason, facts, receipt, line, parts))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Raise `AttributeError`: a decision is immutable."""
        raise AttributeError(f"a decision cannot be changed, and {name!r} was to become {value!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Support pickling, which would otherwise set the slot."""
        return (Decision, self.fields)

    @property
    def allowed(self) -> bool:
        """True if the account may do it."""
        return self.fields[0]

    @property
    def reason(self) -> Reason:
        """The reason."""
        return self.fields[1]

    @property
    def facts(self) -> Facts:
        """The facts that do not change between calls."""
        return self.fields[2]

    @property
    def receipt(self) -> Receipt:
        """The details of this call."""
        return self.fields[3]

    @property
    def line(self) -> Line | None:
        """The store's answer; None if no store was asked."""
        return self.fields[4]

    @property
    def _parts(self) -> tuple[Decision, ...] | None:
        return self.fields[5]

    def with_parts(self, parts: tuple[Decision, ...], *, allowed: bool) -> Decision:
        """Return this decision as the one about all *parts*; a shadow part that refuses alone still allows."""
        if allowed == self.allowed:
            return Decision(allowed, self.reason, self.facts, self.receipt, self.line, parts)
        line = self.line and self.line._replace(fits=True, retry_at=None)
        return Decision(allowed, Reason.WITHIN_LIMIT, self.facts, self.receipt, line, parts)

    def __bool__(self) -> bool:
        """Return `allowed`."""
        return self.fields[0]

    @property
    def account(self) -> str:
        """The account's id."""
        return self.facts.account

    @property
    def policy(self) -> str:
        """The version of the policy that decided."""
        return self.facts.policy

    @property
    def feature(self) -> str:
        """The name that was asked: a feature, a `feature:level` or a limit."""
        return self.facts.feature

    @property
    def tier(self) -> str | None:
        """The tier in force; None for an unknown account."""
        return self.facts.tier

    @property
    def source(self) -> str:
        """The entitlement that won: `tier:…`, `override:…`, `grant:…` or `add-on:…`."""
        return self.facts.source

    @property
    def trace(self) -> tuple[Considered, ...]:
        """Every source that was considered, including losing and expired ones."""
        return self.facts.trace

    @property
    def via(self) -> str:
        """The path that answered: static, store, memory, deny-cache, local, journal."""
        return self.receipt.via

    @property
    def degraded(self) -> bool:
        """True if the decision was made without the store, because it was unreachable."""
        return self.fields[3][6]

    @property
    def replayed(self) -> bool:
        """True if this is the stored first answer to a repeated key."""
        return self.receipt.replayed

    @property
    def limit(self) -> LimitValue | None:
        """The account's size of the limit; None if the decision is not about a limit."""
        facts = self.facts
        if facts.limit is None or facts.size is None or facts.size is NOT_INCLUDED:
            return facts.size
        return facts.limit.capacity(facts.size)

    @property
    def used(self) -> int | None:
        """Units used after the call, including reserved ones; None if not counted, or no store was asked."""
        return self.line.used if self.line else None

    @property
    def remaining(self) -> int | Unlimited | None:
        """Units left after the call, 0 if the limit is not included; None if no store was asked."""
        limit = self.limit
        if limit is NOT_INCLUDED or limit == 0:
            return 0
        if self.line is None or limit is None or isinstance(limit, NotIncluded):
            return None
        if limit is UNLIMITED:
            return UNLIMITED
        if self.line.used is None:
            return None
        return max(0, limit - self.line.used)

    @property
    def retry_after(self) -> timedelta | None:
        """The wait until the same charge fits if nothing else changes; None if allowed, or if waiting does not help."""
        line = self.line
        if line is None or line.retry_at is None:
            return None
        return to_timedelta(max(0, line.retry_at - self.receipt.now))

    @property
    def resets_at(self) -> datetime | None:
        """The instant at which everything is available again; for a fixed window or a quota, its end."""
        line = self.line
        return None if line is None or line.resets_at is None else to_datetime(line.resets_at)

    @property
    def valid_until(self) -> datetime | None:
        """The first instant at which the account's entitlements may change by the clock; None for never."""
        instant = self.facts.valid_until
        return None if instant is None else to_datetime(instant)

    @property
    def is_enforced(self) -> bool:
        """False for a limit in shadow mode, unless the refusal is about the account itself."""
        limit = self.facts.limit
        shadow = limit is not None and limit.mode is Mode.SHADOW
        return not shadow or self.reason in (Reason.SUSPENDED, Reason.UNKNOWN_ACCOUNT)

    @property
    def remedy(self) -> Remedy | None:
        """The lowest tier and the first add-on that would have allowed the whole charge; None if there is neither."""
        if self.allowed or self.reason in (Reason.SUSPENDED, Reason.STORE_UNAVAILABLE):
            return None
        return remedy_of([self] if self._parts is None else [part for part in self._parts if part.is_enforced])

    @property
    def operation(self) -> str | None:
        """The id under which the store keeps a record of this charge; None without a record."""
        return self.receipt.operation

    @property
    def decided_at(self) -> int:
        """The time of the deciding clock, in microseconds since 1970; 0 if no clock was read."""
        return self.receipt.now

    @property
    def parts(self) -> Mapping[str, Decision]:
        """One decision per limit, by name, even for a single limit; empty for a feature."""
        return MappingProxyType({part.feature: part for part in self.part_decisions})

    @property
    def part_decisions(self) -> tuple[Decision, ...]:
        """The values of `parts`, as a tuple."""
        if self.fields[5] is not None:
            return self.fields[5]
        return (self,) if self.facts.limit else ()

    @property
    def explanation(self) -> str:
        """One sentence for people: the account, the answer, the reason and the remedy."""
        text = f"account {self.account!r} {self._action()}: {self.reason}"
        if self.limit is not None and self.used is not None:
            text += f", {in_words(self.used)} of {in_words(self.limit)} used"
        elif self.reason is Reason.NEVER_FITS and self.limit is not None:
            text += f", {in_words(self.limit)} at most"
        if self.retry_after is not None:
            text += f", again in {in_words(self.retry_after)}"
        remedy = self.remedy
        if self.reason is Reason.UNKNOWN_ACCOUNT:
            text += "".join(f", {each.note}" for each in self.trace if each.note)
        elif remedy:
            remedies = [f"tier {remedy.tier!r}"] * bool(remedy.tier) + [f"add-on {remedy.add_on!r}"] * bool(
                remedy.add_on
            )
            text += f"; {' or '.join(remedies)} would allow it"
        return text

    def _action(self) -> str:
        cost = self.receipt.cost
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
        whole = attributes_in_json(self, _FIELDS)
        remedy = self.remedy
        whole["remedy"] = remedy and {"tier": remedy.tier, "add_on": remedy.add_on}
        whole["trace"] = [
            {"source": each.source, "value": in_json(each.value), "verdict": each.verdict.value, "note": each.note}
            for each in self.trace
        ]
        if self._parts is not None:
            whole["parts"] = {part.feature: part.to_dict() for part in self._parts}
        return whole

    def __repr__(self) -> str:
        """Return `explanation` in brackets."""
        return f"<Decision: {self.explanation}>"


_FIELDS = (
    "account", "policy", "allowed", "reason", "feature", "tier", "source", "via", "limit", "used",
    "remaining", "retry_after", "resets_at", "valid_until", "degraded", "replayed",
)  # fmt: skip

_set_fields = Decision.fields.__set__  # type: ignore[misc, attr-defined]  # the slot descriptor, which bypasses __setattr__
_new = object.__new__


def new_decision(*fields: Any) -> Decision:
    """Return `Decision(*fields)` with all its arguments, in half the time."""
    decision = _new(Decision)
    _set_fields(decision, fields)
    return decision
