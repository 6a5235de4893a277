"""The decision of a commit: what a reservation kept of each limit, and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.answers import Line, Settled, SettledUnits
from entitlements.model.decision import Decision
from entitlements.model.decision_fields import parts_of, receipt_of
from entitlements.model.facts import Facts, Receipt
from entitlements.model.limits import UNLIMITED
from entitlements.model.reasons import Reason
from entitlements.rules.explain import facts
from entitlements.rules.whole_decisions import whole_decision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entitlements.model.entitlements import Entitlements


def commit_decision(entitlements: Entitlements, answer: Settled, kept: Mapping[str, int], via: str) -> Decision:
    """
    Return the decision of a commit, which is always allowed.

    Args:
        entitlements: The account's present entitlements.
        answer: The store's answer.
        kept: The units that the caller knows to be kept, where the answer has none.
        via: The path that answered.
    """
    units = answer.units or tuple(SettledUnits(name, n, Line(True, None)) for name, n in kept.items())
    parts = [_part(entitlements, each, answer, via) for each in units if each.limit in entitlements.policy.limits]
    if parts:
        return whole_decision(parts)
    nothing = Facts(entitlements.policy.version, "", entitlements.tier, "", (), Reason.INCLUDED)
    return Decision(True, Reason.INCLUDED, nothing, _receipt(entitlements.account, answer, 0, via))


def committed_units(decision: Decision) -> tuple[tuple[str, int], ...]:
    """Return the units of each limit that a commit kept, without those that kept none."""
    return tuple((part.feature, receipt_of(part).cost) for part in parts_of(decision) if receipt_of(part).cost)


def _part(entitlements: Entitlements, units: SettledUnits, answer: Settled, via: str) -> Decision:
    known, line = facts(entitlements, units.limit), units.line
    return Decision(
        True, _reason(known, line, answer), known, _receipt(entitlements.account, answer, units.kept, via), line
    )


def _reason(known: Facts, line: Line, answer: Settled) -> Reason:
    """Return `OVERAGE` where more is used than the limit: what was committed counts all the same."""
    if known.size is UNLIMITED:
        return Reason.UNLIMITED
    if answer.queued:
        return Reason.OUTAGE_ALLOWED
    most = known.limit.capacity(known.size) if known.limit and isinstance(known.size, int) else 0
    return Reason.OVERAGE if isinstance(most, int) and (line.used or 0) > most else Reason.WITHIN_LIMIT


def _receipt(account: str, answer: Settled, cost: int, via: str) -> Receipt:
    path = "journal" if answer.queued else via
    return Receipt(path, answer.now, cost, degraded=answer.queued, replayed=answer.replayed, account=account)
