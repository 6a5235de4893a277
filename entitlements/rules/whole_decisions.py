"""
Decisions of several limits as one.

The deciding part of a refusal is the one with the longest wait; a *never* beats any wait. The deciding part
of an admission is the one with the smallest share of its limit left. A shadow part shows in `parts` what
would have been decided, and decides nothing.
"""

from __future__ import annotations

from entitlements.model.decision import Decision, new_decision
from entitlements.model.decision_fields import fields_of, is_enforced, line_of
from entitlements.model.reasons import Reason


def whole_decision(parts: list[Decision]) -> Decision:
    """Return the decision of all parts together."""
    only = parts[0]
    if len(parts) == 1 and (only.allowed or is_enforced(only)):
        return only
    refusing = [part for part in parts if not part.allowed and is_enforced(part)]
    deciding = max(refusing, key=wait_of) if refusing else _least_left(parts)
    return with_parts(deciding, tuple(parts), allowed=not refusing)


def with_parts(decision: Decision, parts: tuple[Decision, ...], *, allowed: bool) -> Decision:
    """Return *decision* as the one about all *parts*; a shadow part that refuses alone still allows."""
    was_allowed, reason, facts, receipt, line, _ = fields_of(decision)
    if allowed == was_allowed:
        return new_decision(allowed, reason, facts, receipt, line, parts)
    line = line and line._replace(fits=True, retry_at=None)
    return Decision(allowed, Reason.WITHIN_LIMIT, facts, receipt, line, parts)


def wait_of(part: Decision) -> tuple[bool, int]:
    """Sort key of refusals: one that never fits comes above any wait, then the longer wait."""
    line = fields_of(part)[4]
    retry_at = line.retry_at if line else None
    return retry_at is None, retry_at or 0


def _least_left(parts: list[Decision]) -> Decision:
    """
    Return the allowed part with the smallest share of its limit left; shares are exact.

    Of several it is the first that a store has counted: its receipt names the operation, for a refund.
    """
    found, least, of = None, 1, 1
    for part in sorted(parts, key=lambda part: line_of(part) is None):
        if not part.allowed:
            continue
        limit, remaining = part.limit, part.remaining
        if part.reason is Reason.OVERAGE:
            remaining, limit = -1, 1
        elif not isinstance(limit, int) or not isinstance(remaining, int) or not limit:
            remaining = limit = 1
        if found is None or remaining * of < least * limit:
            found, least, of = part, remaining, limit
    return found or parts[0]
