"""Churn by tier: the accounts and the annual value that were lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext

from entitlements.model.display import fields_in_json
from entitlements.model.policy import PolicyData
from entitlements.tiering.base.rows import Base, BaseRow
from entitlements.tiering.numbers import EXACT, percent

CHURNED = "churned"
"""The name of the date on which an account left."""


@dataclass(frozen=True, slots=True)
class TierChurn:
    """
    The churn of a tier.

    Args:
        tier: The tier's id; None for the whole base.
        accounts: Accounts at the start.
        lost: The ids of those that left, in order.
        logos: The lost ones in percent; None without accounts.
        pays: What the accounts paid in a year at the start, where that is known.
        lost_pays: What the lost ones paid.
        value: The lost sum in percent of the whole; None if that is 0.
        equal: The number of accounts of average value that pay as much as one of the highest tier; None if unknown.
    """

    tier: str | None
    accounts: int
    lost: tuple[str, ...]
    logos: Decimal | None
    pays: Decimal
    lost_pays: Decimal
    value: Decimal | None
    equal: Decimal | None

    to_dict = fields_in_json


def churn(policy: PolicyData, before: Base, gone: Collection[str]) -> tuple[TierChurn, ...]:
    """
    Return the churn by tier, higher tiers first, and of the whole base.

    Args:
        policy: The policy in force.
        before: The accounts at the start.
        gone: The ids of those that left since.
    """
    groups = before.by_tier(policy)
    top = _mean(next(iter(groups.values()), []))
    tiers = [_churn(tier, rows, gone, top) for tier, rows in groups.items()]
    return (*tiers, _churn(None, before.rows, gone, None))


def gone_since(base: Base, since: date, until: date) -> tuple[str, ...]:
    """Return the ids of the accounts whose date of leaving is from *since* to *until*, both included."""
    return tuple(row.account for row in base.rows if since <= row.dates.get(CHURNED, date.min) <= until)


def _churn(tier: str | None, rows: Iterable[BaseRow], gone: Collection[str], top: Decimal | None) -> TierChurn:
    every = list(rows)
    lost = [row for row in every if row.account in gone]
    pays, lost_pays = _total(every), _total(lost)
    mean = _mean(every)
    with localcontext(EXACT):
        equal = (top / mean).quantize(Decimal("0.1")) if top and mean else None
    ids = tuple(row.account for row in lost)
    return TierChurn(
        tier, len(every), ids, percent(len(lost), len(every)), pays, lost_pays, percent(lost_pays, pays), equal
    )


def _total(rows: Iterable[BaseRow]) -> Decimal:
    return sum((row.pays for row in rows if row.pays is not None), Decimal(0))


def _mean(rows: Iterable[BaseRow]) -> Decimal | None:
    known = [row for row in rows if row.pays is not None]
    return _total(known) / len(known) if known else None
