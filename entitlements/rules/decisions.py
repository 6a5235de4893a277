"""Decision building: the pure half after the store; `whole_decisions.py` joins the decisions of several limits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.errors import KeyReused
from entitlements.model.answers import Fallback, Line, Outcome, Status, Totalled
from entitlements.model.charge import Part, Refund
from entitlements.model.decision import Decision, set_fields
from entitlements.model.decision_fields import PartsLater, facts_of, fields_of, line_of, parts_of, receipt_of
from entitlements.model.facts import Facts, Receipt
from entitlements.model.instants import SECOND
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Allocation, Mode, OnOutage, Quota, Rate
from entitlements.model.overage import Included, at_once, units_beyond
from entitlements.model.reasons import Reason
from entitlements.model.sequence import is_sequence
from entitlements.rules.whole_decisions import whole_decision, with_parts

if TYPE_CHECKING:
    from entitlements.rules.planning import LimitPlan

_ALLOWING = frozenset({
    Reason.INCLUDED, Reason.WITHIN_LIMIT, Reason.OVERAGE, Reason.UNLIMITED, Reason.OUTAGE_ALLOWED,
})  # fmt: skip
_REFUSED = {Rate: Reason.RATE_LIMITED, Quota: Reason.QUOTA_EXCEEDED, Allocation: Reason.ALLOCATION_FULL}
_ADMITTED, _NOT_ADMITTED = Status.ADMITTED, Status.REFUSED
_OVERAGE = Reason.OVERAGE
_FIT, _NO_FIT = Line(True, None), Line(False, None)
_HERE = (Fallback.LOCAL,)
_new = object.__new__
_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much
RETRY_UNAVAILABLE = SECOND
"""The `retry_after` of a charge that the store could not count, in microseconds."""


def about_feature(account: str, facts: Facts) -> Decision:
    """Return the decision about a name; no store is needed."""
    return Decision(facts.reason in _ALLOWING, facts.reason, facts, Receipt("static", 0, account=account))


def without_store(account: str, limits: tuple[LimitPlan, ...]) -> Decision:
    """Return the decision that the entitlements alone make."""
    return whole_decision([_static(account, each) for each in limits])


class _LimitTerms(NamedTuple):
    """One limit that a store decides, as decisions have it."""

    facts: Facts
    at: int
    cost: int
    part: Part
    within: Reason
    refused: Reason
    capacity: int
    """0 for a limit without a share that could be left: unlimited, or of size 0."""
    is_enforced: bool
    has_overage: bool


class DecisionBuilder:
    """
    Makes the decisions about charges of the same units.

    Args:
        limits: The plan of each limit, in the caller's order.
        parts: The parts of the charge.
    """

    __slots__ = ("_limits", "_only", "_terms", "counted")

    def __init__(self, limits: tuple[LimitPlan, ...], parts: tuple[Part, ...]) -> None:
        places = {part.limit.name: at for at, part in enumerate(parts)}
        self._limits = limits
        self._terms = tuple(_terms_of(each, places.get(each.facts.feature)) for each in limits)
        """Of each limit; None for one about which the entitlements alone decide."""
        self.counted = tuple([(each.facts, each.at) for each in self._terms if each])
        """The limits that a store decides, in the caller's order, with the positions of their lines in its outcome."""
        first = self._terms[0]
        self._only = first if len(limits) == 1 and first and first.is_enforced and not first.has_overage else None

    def __call__(
        self, account: str, outcome: Outcome, via: str, operation: str | None = None, scope: str | None = None
    ) -> Decision:
        """
        Return the decision that a store's outcome makes.

        Args:
            account: The account's id.
            outcome: The outcome.
            via: The path that answered, unless the outcome names it.
            operation: The operation id of the charge.
            scope: The scope of the charge.

        Raises:
            KeyReused: If the charge's key stands for another charge.
        """
        status, now, lines, _, _, fallbacks, own = outcome
        if (status is not _ADMITTED and status is not _NOT_ADMITTED) or not lines:
            return self._rare(account, outcome, via, operation, scope)
        deciding, parts, least, share_of, longest = self._only, None, 1, 1, None
        if deciding is None or (fallbacks and fallbacks != _HERE):
            if fallbacks:
                return self._degraded(account, outcome, operation, scope)
            for terms in self._terms:
                if terms is None:
                    continue
                line = lines[terms[1]]
                if not line[0]:
                    if terms[7] and (longest is None or (line[3] is None, line[3] or 0) > longest):
                        longest, deciding = (line[3] is None, line[3] or 0), terms
                elif longest is None:
                    capacity, used = terms[6], line[1]
                    if terms[8] and _within(terms[4], terms[3], line, operation) is _OVERAGE:
                        left, capacity = -1, 1  # it has less than nothing left
                    elif used is None or not capacity:
                        left = capacity = 1
                    else:
                        left = capacity - used if used < capacity else 0
                    if deciding is None or left * share_of < least * capacity:
                        deciding, least, share_of = terms, left, capacity
            arguments = (account, outcome, via, operation, scope)
            if deciding is None or len(self._terms) == 1:
                return whole_decision([*self._parts(*arguments)])
            parts = _new_tuple(PartsLater, (self._parts, arguments))
        facts, at, cost, part, within, refused, _, _, has_overage = deciding
        line = lines[at]
        fits = line[0]
        reason = _within(within, part, line, operation) if has_overage and fits else within if fits else refused
        receipt: tuple[Any, ...] = (own or via, now, cost, operation, part, scope, False, False, account)
        if fallbacks:
            receipt = ("local", now, cost, None, None, scope, True, False, account)
        decision = _new(Decision)
        set_fields(decision, (fits, reason, facts, _new_tuple(Receipt, receipt), line, parts))
        return decision

    def _parts(
        self, account: str, outcome: Outcome, via: str, operation: str | None, scope: str | None
    ) -> tuple[Decision, ...]:
        """Return the decisions about each limit."""
        parts = []
        for terms, limit_plan in zip(self._terms, self._limits, strict=True):
            if terms is None:
                parts.append(_static(account, limit_plan))
                continue
            line, reason = outcome.lines[terms.at], terms.refused
            if line.fits:
                reason = _within(terms.within, terms.part, line, operation) if terms.has_overage else terms.within
            via = outcome.via or via
            receipt = Receipt(via, outcome.now, terms.cost, operation, terms.part, scope, account=account)
            parts.append(Decision(line.fits, reason, terms.facts, receipt, line))
        return tuple(parts)

    def _rare(self, account: str, outcome: Outcome, via: str, operation: str | None, scope: str | None) -> Decision:
        """Return the decision about a charge that was made before, or not counted."""
        status, via = outcome.status, outcome.via or via
        if status is Status.UNKNOWN:
            return without_store(account, self._limits)
        if status is Status.REUSED:
            raise KeyReused(
                f"key {(operation or '')[2:]!r} of account {account!r} already stands for another"
                " charge; a key names one verb with its limits, amounts and scope: use a new one"
            )
        if outcome.fallbacks:
            return self._degraded(account, outcome, operation, scope)
        if not outcome.lines:
            return _uncounted(account, self._limits, outcome, via)
        return whole_decision([
            _replayed(account, terms, outcome, via, operation, scope) if terms else _static(account, limit_plan)
            for terms, limit_plan in zip(self._terms, self._limits, strict=True)
        ])  # fmt: skip

    def _degraded(self, account: str, outcome: Outcome, operation: str | None, scope: str | None) -> Decision:
        """Return the decision about a charge that was decided without the store."""
        operation = operation if Fallback.JOURNAL in outcome.fallbacks else None
        parts = [
            _degraded_part(account, terms, outcome, operation, scope) if terms else _static(account, limit_plan)
            for terms, limit_plan in zip(self._terms, self._limits, strict=True)
        ]
        whole = whole_decision(parts)
        if whole.degraded or not whole.allowed:
            return whole
        return with_parts(next(part for part in parts if part.degraded), tuple(parts), allowed=True)


def refund_of(decision: Decision, *, rates: bool) -> Refund | None:
    """Return the order that refunds *decision*; None if it took nothing that can be refunded."""
    parts = parts_of(decision)
    charged = [(receipt_of(part).part, line_of(part)) for part in parts]
    taken = [(part, line) for part, line in charged if part is not None and line is not None and line.taken]
    receipt = receipt_of(decision)
    comes_back = rates or not all(isinstance(facts_of(part).limit, Rate) for part in parts)
    if not decision.allowed or not comes_back or not taken:
        return None
    sequenced = is_sequence(receipt.operation)  # the store has no record of what such a charge took
    units = tuple((part, line) for part, line in taken if sequenced or isinstance(part.limit, Rate))
    keyed = receipt.operation is not None and receipt.operation.startswith("k:")
    charged_at = receipt.now if sequenced or (keyed and not receipt.degraded) else None
    return Refund(decision.account, receipt.operation, rates, units, receipt.scope, charged_at=charged_at)


def total_set(account: str, facts: Facts, answer: Totalled, total: int, scope: str | None) -> Decision:
    """Return the decision that says what a limit holds after its usage was set to *total*."""
    receipt = Receipt("store", answer.now, total, scope=scope, account=account)
    return Decision(True, Reason.WITHIN_LIMIT, facts, receipt, answer.line, None)


def crossed(decision: Decision, percents: tuple[int, ...]) -> list[tuple[int, Decision]]:
    """Return each part of an allowed decision that crossed a share of its limit, with the share."""
    found = []
    for part in parts_of(decision):
        _, _, facts, receipt, line, _ = fields_of(part)
        if line is None or line.used is None or not line.taken or receipt.replayed or isinstance(facts.limit, Rate):
            continue
        limit = part.limit
        if not isinstance(limit, int):
            continue
        before = line.used - line.taken
        found += [(each, part) for each in percents if before * 100 < each * limit <= line.used * 100]
    return found


def _static(account: str, limit_plan: LimitPlan) -> Decision:
    reason = limit_plan.known or Reason.WITHIN_LIMIT
    receipt = Receipt("static", 0, limit_plan.cost, account=account)
    return Decision(reason in _ALLOWING, reason, limit_plan.facts, receipt)


def _terms_of(limit_plan: LimitPlan, at: int | None) -> _LimitTerms | None:
    """Return the terms of the limit whose part is at position *at*; None without a part."""
    if at is None:
        return None
    facts, cost = limit_plan.facts, limit_plan.cost
    size, limit = facts.size, facts.limit
    assert limit is not None
    capacity = 0 if size in (None, NOT_INCLUDED) else limit.capacity(size)
    return _LimitTerms(
        facts, at, cost, limit_plan.part, _reason(facts, _FIT, cost), _reason(facts, _NO_FIT, cost),
        capacity if isinstance(capacity, int) else 0, limit.mode is not Mode.SHADOW, type(size) is Included,
    )  # fmt: skip


def _within(within: Reason, part: Part, line: Line, operation: str | None) -> Reason:
    """Return the reason of a part that fits a limit with overage; a peek, which has no operation, adds its cost."""
    used = line.used or 0
    after = used + part.cost if operation is None and not line.taken else used
    return _OVERAGE if isinstance(part.size, int) and after > part.size else within


def _replayed(
    account: str, terms: _LimitTerms, outcome: Outcome, via: str, operation: str | None, scope: str | None
) -> Decision:
    """Return the decision about a part of a charge that was made before."""
    facts, line, size = terms.facts, outcome.lines[terms.at], outcome.sizes[terms.at]
    if size is not UNLIMITED:  # a charge from the journal has that size, and says nothing of the limit
        facts = replace(facts, size=size)
    receipt = Receipt(via, outcome.now, terms.cost, operation, terms.part, scope, replayed=True, account=account)
    reason = _reason(facts, line, terms.cost)
    if line.fits and units_beyond(size, line.used):
        reason = Reason.OVERAGE
    return Decision(line.fits, reason, facts, receipt, line)


def _reason(facts: Facts, line: Line, cost: int) -> Reason:
    size, limit = facts.size, facts.limit
    assert limit is not None
    if line.fits:
        return Reason.UNLIMITED if size is UNLIMITED else Reason.WITHIN_LIMIT
    if not size:
        return Reason.NOT_INCLUDED
    return Reason.NEVER_FITS if cost > at_once(limit, size) else _REFUSED[type(limit)]


def _degraded_part(
    account: str, terms: _LimitTerms, outcome: Outcome, operation: str | None, scope: str | None
) -> Decision:
    facts, line, fallback = terms.facts, outcome.lines[terms.at], outcome.fallbacks[terms.at]
    if fallback is Fallback.LOCAL:
        reason = terms.within if line.fits else terms.refused
    elif fallback is Fallback.DENY:
        reason = Reason.STORE_UNAVAILABLE
    else:
        reason = Reason.UNLIMITED if facts.size is UNLIMITED else Reason.OUTAGE_ALLOWED
    in_journal = fallback is Fallback.JOURNAL
    receipt = Receipt(
        "journal" if in_journal else "local", outcome.now, terms.cost, operation,
        terms.part if in_journal else None, scope,
        degraded=True, replayed=outcome.status is Status.REPLAYED, account=account,
    )  # fmt: skip
    return Decision(line.fits, reason, facts, receipt, line)


def mode_of(decision: Decision) -> str:
    """Return the fallback that decided: `local`, `allow` or `deny`."""
    if decision.reason is Reason.STORE_UNAVAILABLE:
        return OnOutage.DENY.value
    counted = decision.reason in (Reason.WITHIN_LIMIT, Reason.RATE_LIMITED)
    return OnOutage.LOCAL.value if counted else OnOutage.ALLOW.value


def _uncounted(account: str, limits: tuple[LimitPlan, ...], outcome: Outcome, via: str) -> Decision:
    """Return the decision about a charge that the store had no room to count."""
    allowed = outcome.status is Status.WAIVED
    reason = Reason.OUTAGE_ALLOWED if allowed else Reason.STORE_UNAVAILABLE
    line = Line(allowed, None, retry_at=None if allowed else outcome.now + RETRY_UNAVAILABLE)
    receipts = [Receipt(via, outcome.now, each.cost, degraded=True, account=account) for each in limits]
    decided = zip(limits, receipts, strict=True)
    return whole_decision([Decision(allowed, reason, each.facts, receipt, line) for each, receipt in decided])
