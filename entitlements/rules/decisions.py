"""
Decision building: the pure half after the store.

The deciding part of a refusal is the one with the longest wait; a *never* beats any wait. The deciding part
of an admission is the one with the smallest share of its limit left. A shadow part shows in `parts` what
would have been decided, and decides nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.errors import KeyReused
from entitlements.model.answers import Fallback, Line, Outcome, Status, Totalled
from entitlements.model.charge import Charge, Part, Recall, Refund
from entitlements.model.decision import Decision, new_decision
from entitlements.model.decision_fields import facts_of, fields_of, is_enforced, line_of, parts_of, receipt_of
from entitlements.model.facts import Facts, Receipt
from entitlements.model.instants import SECOND, to_datetime
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Allocation, LimitValue, Mode, OnOutage, Quota, Rate, Size
from entitlements.model.reasons import Reason
from entitlements.model.resolution import resolution_of
from entitlements.model.sequence import is_sequence
from entitlements.model.usage import Period, Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from entitlements.model.answers import PeriodCount
    from entitlements.model.entitlements import Entitlements
    from entitlements.rules.planning import LimitPlan, Plan

_ALLOWING = frozenset({Reason.INCLUDED, Reason.WITHIN_LIMIT, Reason.UNLIMITED, Reason.OUTAGE_ALLOWED})
_REFUSED = {Rate: Reason.RATE_LIMITED, Quota: Reason.QUOTA_EXCEEDED, Allocation: Reason.ALLOCATION_FULL}
_ADMITTED, _NOT_ADMITTED, _WITHIN_LIMIT = Status.ADMITTED, Status.REFUSED, Reason.WITHIN_LIMIT
_NO_FIT = Line(False, None)
_HERE = (Fallback.LOCAL,)
_new_tuple = tuple.__new__  # a named tuple's own constructor costs three times as much
RETRY_UNAVAILABLE = SECOND
"""The `retry_after` of a charge that the store could not count, in microseconds."""


def about_feature(facts: Facts) -> Decision:
    """Return the decision about a name; no store is needed."""
    return Decision(facts.reason in _ALLOWING, facts.reason, facts)


def without_store(plan: Plan) -> Decision:
    """Return the decision that the entitlements alone make."""
    return _whole([_static(each) for each in plan.limits])


def decision_from_outcome(plan: Plan, outcome: Outcome, via: str) -> Decision:
    """
    Return the decision that a store's outcome makes.

    Raises:
        KeyReused: If the charge's key stands for another charge.
    """
    charge = plan.order.charge if isinstance(plan.order, Recall) else plan.order
    assert isinstance(charge, Charge)
    via = outcome.via or via
    if outcome.status is Status.UNKNOWN:
        return without_store(plan)
    if outcome.status is Status.REUSED:
        raise KeyReused(
            f"key {(charge.operation or '')[2:]!r} of account {charge.account!r} already stands for another charge;"
            " a key names one verb with its limits, amounts and scope: use a new one"
        )
    if outcome.fallbacks:
        return _degraded(plan, charge, outcome)
    if not outcome.lines:
        return _uncounted(plan, outcome, via)
    if len(plan.limits) == 1 and outcome.status is not Status.REPLAYED:
        return _whole([_counted_alone(plan.limits[0], charge, outcome, via)])
    lines = dict(zip((part.limit.name for part in charge.parts), outcome.lines, strict=True))
    sizes = dict(zip((part.limit.name for part in charge.parts), outcome.sizes, strict=False))
    return _whole([_counted(limit_plan, charge, outcome, via, lines, sizes) for limit_plan in plan.limits])


def decision_builder(plan: Plan) -> Callable[[Outcome, str], Decision]:
    """Return the function that turns a store's outcome into the decision about *plan*."""
    limit_plan = plan.limits[0]
    if len(plan.limits) > 1 or not isinstance(limit_plan.part.limit, Rate) or not isinstance(plan.order, Charge):
        return lambda outcome, via: decision_from_outcome(plan, outcome, via)
    return _OneRate(plan, limit_plan, plan.order)


class _OneRate:
    """
    The decisions of charges of one rate, with a short path for common outcomes.

    One object holds all it needs: after other accounts' calls its memory is no longer in the processor's cache.
    """

    __slots__ = ("_cost", "_facts", "_is_limited", "_operation", "_part", "_plan", "_refused", "_scope")

    def __init__(self, plan: Plan, limit_plan: LimitPlan, order: Charge) -> None:
        self._plan = plan
        self._facts, self._cost, self._part = limit_plan.facts, limit_plan.cost, limit_plan.part
        self._operation, self._scope = order.operation, order.scope
        self._is_limited = bool(limit_plan.facts.size) and limit_plan.facts.size is not UNLIMITED
        self._refused = _reason(limit_plan.facts, _NO_FIT, limit_plan.cost)

    def __call__(self, outcome: Outcome, via: str) -> Decision:
        status, now, lines, _, _, fallbacks, own = outcome
        if status is _ADMITTED and self._is_limited and not fallbacks and lines[0].fits:
            receipt = (via, now, self._cost, self._operation, self._part, self._scope, False, False)
            return new_decision(True, _WITHIN_LIMIT, self._facts, _new_tuple(Receipt, receipt), lines[0], None)
        if status is _NOT_ADMITTED and self._is_limited and not fallbacks:
            receipt = (own or via, now, self._cost, self._operation, self._part, self._scope, False, False)
            return new_decision(False, self._refused, self._facts, _new_tuple(Receipt, receipt), lines[0], None)
        if fallbacks == _HERE and self._is_limited and (lines[0].fits or self._facts.limit.mode is not Mode.SHADOW):  # type: ignore[union-attr]
            fits = lines[0].fits
            here = ("local", now, self._cost, None, None, self._scope, True, False)
            reason = _WITHIN_LIMIT if fits else self._refused
            return new_decision(fits, reason, self._facts, _new_tuple(Receipt, here), lines[0], None)
        return decision_from_outcome(self._plan, outcome, via)


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


def usage_of(entitlements: Entitlements, part: Part, line: Line) -> Usage:
    """Return the public value of one meter."""
    limit: LimitValue = resolution_of(entitlements).limits.get(part.limit.name, NOT_INCLUDED)
    if limit is NOT_INCLUDED:
        return Usage(line.used, line.reserved, NOT_INCLUDED, 0, _moment(line.resets_at))
    size = part.limit.capacity(part.size)
    remaining = UNLIMITED if size is UNLIMITED else max(0, size - (line.used or 0))
    return Usage(line.used, line.reserved, size, remaining, _moment(line.resets_at))


def period_of(count: PeriodCount) -> Period:
    """Return the public value of one period of a quota."""
    return Period(to_datetime(count.start), to_datetime(count.end), count.used, count.denied, count.size)


def total_set(facts: Facts, answer: Totalled, total: int) -> Decision:
    """Return the decision that says what a limit holds after its usage was set to *total*."""
    return Decision(True, Reason.WITHIN_LIMIT, facts, Receipt("store", answer.now, total), answer.line, None)


def crossed(decision: Decision, percents: tuple[int, ...]) -> list[tuple[int, Decision]]:
    """Return each part of an allowed decision that crossed a share of its limit, with the share."""
    found = []
    for part in parts_of(decision):
        line, limit = line_of(part), part.limit
        if line is None or line.used is None or not line.taken or not isinstance(limit, int):
            continue
        if isinstance(facts_of(part).limit, Rate) or part.replayed:
            continue
        before = line.used - line.taken
        found += [(each, part) for each in percents if before * 100 < each * limit <= line.used * 100]
    return found


def _static(limit_plan: LimitPlan) -> Decision:
    reason = limit_plan.known or Reason.WITHIN_LIMIT
    return Decision(reason in _ALLOWING, reason, limit_plan.facts, Receipt("static", 0, limit_plan.cost))


def _counted(
    limit_plan: LimitPlan, charge: Charge, outcome: Outcome, via: str, lines: dict[str, Line], sizes: dict[str, Size]
) -> Decision:
    name = limit_plan.facts.feature
    line = lines.get(name)
    if line is None:
        return _static(limit_plan)
    replayed = outcome.status is Status.REPLAYED
    facts = limit_plan.facts
    if (
        replayed and sizes[name] is not UNLIMITED
    ):  # a charge from the journal has that size, and says nothing of the limit
        facts = replace(facts, size=sizes[name])
    receipt = Receipt(
        via, outcome.now, limit_plan.cost, charge.operation, limit_plan.part, charge.scope, replayed=replayed
    )
    return Decision(line.fits, _reason(facts, line, limit_plan.cost), facts, receipt, line)


def _counted_alone(limit_plan: LimitPlan, charge: Charge, outcome: Outcome, via: str) -> Decision:
    """Return the decision about a charge of one limit, the common case."""
    line = outcome.lines[0]
    receipt = Receipt(via, outcome.now, limit_plan.cost, charge.operation, limit_plan.part, charge.scope)
    return Decision(line.fits, _reason(limit_plan.facts, line, limit_plan.cost), limit_plan.facts, receipt, line)


def _reason(facts: Facts, line: Line, cost: int) -> Reason:
    size, limit = facts.size, facts.limit
    assert limit is not None
    if line.fits:
        return Reason.UNLIMITED if size is UNLIMITED else Reason.WITHIN_LIMIT
    if not size:
        return Reason.NOT_INCLUDED
    return Reason.NEVER_FITS if cost > limit.capacity(size) else _REFUSED[type(limit)]


def _degraded(plan: Plan, charge: Charge, outcome: Outcome) -> Decision:
    """Return the decision about a charge that was decided without the store."""
    found = {part.limit.name: at for at, part in enumerate(charge.parts)}
    operation = charge.operation if Fallback.JOURNAL in outcome.fallbacks else None
    parts = [
        _static(limit_plan)
        if limit_plan.facts.feature not in found
        else _degraded_part(limit_plan, charge, outcome, operation, found[limit_plan.facts.feature])
        for limit_plan in plan.limits
    ]
    whole = _whole(parts)
    if whole.degraded or not whole.allowed:
        return whole
    return _with_parts(next(part for part in parts if part.degraded), tuple(parts), allowed=True)


def _degraded_part(limit_plan: LimitPlan, charge: Charge, outcome: Outcome, operation: str | None, at: int) -> Decision:
    facts, line, fallback = limit_plan.facts, outcome.lines[at], outcome.fallbacks[at]
    if fallback is Fallback.LOCAL:
        reason = _reason(facts, line, limit_plan.cost)
    elif fallback is Fallback.DENY:
        reason = Reason.STORE_UNAVAILABLE
    else:
        reason = Reason.UNLIMITED if facts.size is UNLIMITED else Reason.OUTAGE_ALLOWED
    in_journal = fallback is Fallback.JOURNAL
    receipt = Receipt(
        "journal" if in_journal else "local", outcome.now, limit_plan.cost, operation,
        limit_plan.part if in_journal else None, charge.scope,
        degraded=True, replayed=outcome.status is Status.REPLAYED,
    )  # fmt: skip
    return Decision(line.fits, reason, facts, receipt, line)


def mode_of(decision: Decision) -> str:
    """Return the fallback that decided: `local`, `allow` or `deny`."""
    if decision.reason is Reason.STORE_UNAVAILABLE:
        return OnOutage.DENY.value
    counted = decision.reason in (Reason.WITHIN_LIMIT, Reason.RATE_LIMITED)
    return OnOutage.LOCAL.value if counted else OnOutage.ALLOW.value


def _uncounted(plan: Plan, outcome: Outcome, via: str) -> Decision:
    """Return the decision about a charge that the store had no room to count."""
    allowed = outcome.status is Status.WAIVED
    reason = Reason.OUTAGE_ALLOWED if allowed else Reason.STORE_UNAVAILABLE
    line = Line(allowed, None, retry_at=None if allowed else outcome.now + RETRY_UNAVAILABLE)
    return _whole([
        Decision(allowed, reason, limit_plan.facts, Receipt(via, outcome.now, limit_plan.cost, degraded=True), line)
        for limit_plan in plan.limits
    ])  # fmt: skip


def _whole(parts: list[Decision]) -> Decision:
    """Return the decision of all parts together."""
    only = parts[0]
    if len(parts) == 1 and (only.allowed or is_enforced(only)):
        return only
    refusing = [part for part in parts if not part.allowed and is_enforced(part)]
    deciding = max(refusing, key=_wait) if refusing else _least_left(parts)
    return _with_parts(deciding, tuple(parts), allowed=not refusing)


def _with_parts(decision: Decision, parts: tuple[Decision, ...], *, allowed: bool) -> Decision:
    """Return *decision* as the one about all *parts*; a shadow part that refuses alone still allows."""
    was_allowed, reason, facts, receipt, line, _ = fields_of(decision)
    if allowed == was_allowed:
        return Decision(allowed, reason, facts, receipt, line, parts)
    line = line and line._replace(fits=True, retry_at=None)
    return Decision(allowed, Reason.WITHIN_LIMIT, facts, receipt, line, parts)


def _wait(part: Decision) -> tuple[bool, int]:
    """Sort key of refusals: one that never fits comes above any wait, then the longer wait."""
    line = line_of(part)
    retry_at = line.retry_at if line else None
    return retry_at is None, retry_at or 0


def _least_left(parts: list[Decision]) -> Decision:
    """Return the allowed part with the smallest share of its limit left, the first of several; shares are exact."""
    found, least, of = None, 1, 1
    for part in parts:
        if not part.allowed:
            continue
        limit, remaining = part.limit, part.remaining
        if not isinstance(limit, int) or not isinstance(remaining, int) or not limit:
            remaining = limit = 1
        if found is None or remaining * of < least * limit:
            found, least, of = part, remaining, limit
    return found or parts[0]


def _moment(instant: int | None) -> datetime | None:
    return None if instant is None else to_datetime(instant)
