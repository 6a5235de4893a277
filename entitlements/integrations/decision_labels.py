"""The labels of a decision in metrics: bounded by the policy and the library, and without the account."""

from __future__ import annotations

from entitlements.model.decision import Decision
from entitlements.model.decision_fields import fields_of

LABELS = ("verb", "feature", "tier", "allowed", "reason", "via")
"""
Names of the labels.

*feature* is the name that was asked, which the policy knows. *tier* is empty for an unknown account. *via* is the path
that answered.
"""

STATES = ("closed", "half-open", "open")
"""States of a circuit breaker."""

LabelKey = tuple[str, bool, str, str, str | None, str]


def label_key(verb: str, decision: Decision) -> LabelKey:
    """Return what the labels of a decision are made of, at the least cost."""
    allowed, reason, facts, receipt, _, _ = fields_of(decision)
    return verb, allowed, reason._value_, facts.feature, facts.tier, receipt[0]


def labels_of(key: LabelKey) -> tuple[str, ...]:
    """Return the values of `LABELS`."""
    verb, allowed, reason, feature, tier, via = key
    return verb, feature, tier or "", "true" if allowed else "false", reason, via
