"""
The answer to every question, with its reason.

A `Decision` is cheap: what does not change between calls (whose, which limit, which
source won, what was considered, what would help) is compiled once into `Facts` and
shared; a call adds the store's line and a receipt.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from entitlements.errors import Denied
from entitlements.model.display import in_json, in_words
from entitlements.model.facts import STATIC, Considered, Facts, Reason, Receipt, Remedy
from entitlements.model.instants import to_datetime, to_timedelta
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, LimitValue, Mode, NotIncluded, Unlimited
from entitlements.model.remedies import remedy_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.answers import Line


class Decision:
    """
    Whether, why, and what is left: immutable, truthy when allowed.

    It has one slot, because a frozen object pays for each one that it is built with.

    Args:
        allowed: Whether the account may.
        reason: Why.
        facts: What does not change between calls.
        receipt: How this call was answered.
        line: What a store said; None if none was asked.
        parts: The decisions about each limit; None where this is the only one.
    """

    __slots__ = ("__weakref__", "fields")
    fields: tuple[bool, Reason, Facts, Receipt, Line | None, tuple[Decision, ...] | None]
    """All that it was made of, in one step."""

    def __init__(
        self,
        allowed: bool,  # noqa: FBT001 - the first word of every decision
        reason: Reason,
        facts: Facts,
        receipt: Receipt = STATIC,
        line: Line | None = None,
        parts: tuple[Decision, ...] | None = None,
    ) -> None:
        _give(self, (allowed, reason, facts, receipt, line, parts))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: a decision is a value."""
        raise AttributeError(f"a decision cannot be changed, and {name!r} was to become {value!r}")

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to other processes."""
        return (Decision, self.fields)

    @property
    def allowed(self) -> bool:
        """Whether the account may."""
        return self.fields[0]

    @property
    def reason(self) -> Reason:
        """Why."""
        return self.fields[1]

    @property
    def facts(self) -> Facts:
        """What does not change between calls."""
        return self.fields[2]

    @property
    def receipt(self) -> Receipt:
        """How this call was answered."""
        return self.fields[3]

    @property
    def line(self) -> Line | None:
        """What a store said; None if none was asked."""
        return self.fields[4]

    @property
    def _parts(self) -> tuple[Decision, ...] | None:
        return self.fields[5]

    def with_parts(self, parts: tuple[Decision, ...], *, allowed: bool) -> Decision:
        """Return this part as the whole that it decides; a shadow part's refusal allows it."""
        if allowed == self.allowed:
            return Decision(allowed, self.reason, self.facts, self.receipt, self.line, parts)
        line = self.line and self.line._replace(fits=True, retry_at=None)
        return Decision(allowed, Reason.WITHIN_LIMIT, self.facts, self.receipt, line, parts)

    def __bool__(self) -> bool:
        """Return whether the account may."""
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
        """The name that was asked, a limit's too."""
        return self.facts.feature

    @property
    def tier(self) -> str | None:
        """The tier in force, or None for an unknown account."""
        return self.facts.tier

    @property
    def source(self) -> str:
        """Which entitlement won: `tier:…`, `override:…`, `grant:…` or `add-on:…`."""
        return self.facts.source

    @property
    def trace(self) -> tuple[Considered, ...]:
        """Every source considered, also the losers and the expired."""
        return self.facts.trace

    @property
    def via(self) -> str:
        """Which path answered: static, store, memory, deny-cache, local, journal."""
        return self.receipt.via

    @property
    def degraded(self) -> bool:
        """Whether the store could not be asked."""
        return self.fields[3][6]

    @property
    def replayed(self) -> bool:
        """Whether this is the first answer to a key that came again."""
        return self.receipt.replayed

    @property
    def limit(self) -> LimitValue | None:
        """What the account has of the limit; None when not about a limit."""
        facts = self.facts
        if facts.limit is None or facts.size is None or facts.size is NOT_INCLUDED:
            return facts.size
        return facts.limit.capacity(facts.size)

    @property
    def used(self) -> int | None:
        """Units used after the call, reserved ones included; None: not counted, or nobody asked."""
        return self.line.used if self.line else None

    @property
    def remaining(self) -> int | Unlimited | None:
        """What is left after the call, 0 when not included; None: no store asked."""
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
        """How long until this same charge fits if nothing else changes; None: never, or allowed."""
        line = self.line
        if line is None or line.retry_at is None:
            return None
        return to_timedelta(max(0, line.retry_at - self.receipt.now))

    @property
    def resets_at(self) -> datetime | None:
        """When everything is available again; of a fixed window or a quota, its end."""
        line = self.line
        return None if line is None or line.resets_at is None else to_datetime(line.resets_at)

    @property
    def valid_until(self) -> datetime | None:
        """First instant at which the account's entitlements may change by the clock."""
        instant = self.facts.valid_until
        return None if instant is None else to_datetime(instant)

    @property
    def is_enforced(self) -> bool:
        """Whether a refusal refuses: not of a limit in shadow mode, unless it is the account that is refused."""
        limit = self.facts.limit
        shadow = limit is not None and limit.mode is Mode.SHADOW
        return not shadow or self.reason in (Reason.SUSPENDED, Reason.UNKNOWN_ACCOUNT)

    @property
    def remedy(self) -> Remedy | None:
        """The lowest tier, and the first add-on, that would have allowed this charge as a whole; or None."""
        if self.allowed or self.reason in (Reason.SUSPENDED, Reason.STORE_UNAVAILABLE):
            return None
        return remedy_of([self] if self._parts is None else [part for part in self._parts if part.is_enforced])

    @property
    def operation(self) -> str | None:
        """The id under which the store keeps this charge, or None where it keeps none."""
        return self.receipt.operation

    @property
    def decided_at(self) -> int:
        """The clock that decided, in microseconds since 1970; 0 where none was asked."""
        return self.receipt.now

    @property
    def parts(self) -> Mapping[str, Decision]:
        """One decision per limit, also when there is only one; empty for a feature."""
        if self._parts is not None:
            return MappingProxyType({part.feature: part for part in self._parts})
        return MappingProxyType({self.feature: self} if self.facts.limit else {})

    @property
    def part_decisions(self) -> tuple[Decision, ...]:
        """The values of `parts`."""
        if self.fields[5] is not None:
            return self.fields[5]
        return (self,) if self.facts.limit else ()

    @property
    def explanation(self) -> str:
        """One sentence for people: who was refused or allowed what, why, and what would help."""
        text = f"account {self.account!r} {self._what()}: {self.reason}"
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
            ways = [f"tier {remedy.tier!r}"] * bool(remedy.tier) + [f"add-on {remedy.add_on!r}"] * bool(remedy.add_on)
            text += f"; {' or '.join(ways)} would allow it"
        return text

    def _what(self) -> str:
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
        """Return what `json.dumps` writes: times ISO 8601 in UTC, durations in seconds."""
        whole: dict[str, object] = {name: in_json(getattr(self, name)) for name in _FIELDS}
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
        """Return the sentence for people, in brackets."""
        return f"<Decision: {self.explanation}>"


_FIELDS = (
    "account", "policy", "allowed", "reason", "feature", "tier", "source", "via", "limit", "used",
    "remaining", "retry_after", "resets_at", "valid_until", "degraded", "replayed",
)  # fmt: skip

_give = Decision.fields.__set__  # type: ignore[misc, attr-defined]  # the slot's own, past our __setattr__
_new = object.__new__


def new_decision(*given: Any) -> Decision:
    """Return `Decision(*given)` of all its arguments, in half the time."""
    decision = _new(Decision)
    _give(decision, given)
    return decision
