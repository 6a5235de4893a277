"""Contracts that are renewed soon, or should have been."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from entitlements.model.display import fields_in_json
from entitlements.tiering.base.rows import RENEWAL, Base, BaseRow


@dataclass(frozen=True, slots=True)
class Renewal:
    """
    The renewal of one account.

    Args:
        account: The account's id.
        name: Its name.
        tier: Its own tier.
        on: The date of the renewal.
        days: The days until then; below 0 if it is over.
        pays: What it pays in a year; None if not known.
    """

    account: str
    name: str
    tier: str
    on: date
    days: int
    pays: Decimal | None

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Renewals:
    """
    The renewals of a base.

    Args:
        due: Those within the asked days, the next first.
        overdue: Those whose date is over, the oldest first.
        undated: The ids of accounts without a date that pay something, or may.
    """

    due: tuple[Renewal, ...]
    overdue: tuple[Renewal, ...]
    undated: tuple[str, ...]

    to_dict = fields_in_json


def renewals(base: Base, *, today: date, within: int = 90) -> Renewals:
    """
    Return the renewals of the next *within* days, today included.

    Args:
        base: The accounts.
        today: The first day.
        within: Days.
    """
    found = sorted(
        (_renewal(row, row.dates[RENEWAL], today) for row in base.rows if RENEWAL in row.dates),
        key=lambda each: (each.on, each.account),
    )
    undated = (row.account for row in base.rows if RENEWAL not in row.dates and row.pays != 0)
    return Renewals(
        tuple(each for each in found if 0 <= each.days < within),
        tuple(each for each in found if each.days < 0),
        tuple(undated),
    )


def _renewal(row: BaseRow, on: date, today: date) -> Renewal:
    return Renewal(row.account, row.name, row.tier, on, (on - today).days, row.pays)
