"""Abandonment: accounts that have gone quiet, and the step at which they stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from entitlements.model.display import fields_in_json
from entitlements.model.policy import PolicyData
from entitlements.tiering.base.rows import LAST_SEEN, Base, BaseRow

QUIET = "activities.abandonment-after"
"""The value of a tier: the time without activity after which an account of it has gone quiet."""


@dataclass(frozen=True, slots=True)
class QuietAccount:
    """
    An account that has gone quiet.

    Args:
        account: The account's id.
        name: Its name.
        tier: Its own tier.
        last: The day of its last activity; None if it never had any.
        days: The days since then; None if it never had any.
        step: The first step that it did not reach; empty if the steps are not known, or it reached all.
    """

    account: str
    name: str
    tier: str
    last: date | None
    days: int | None
    step: str

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Abandonment:
    """
    The quiet accounts of a base.

    Args:
        quiet: Those that have gone quiet, the most recent activity first.
        unknown: The ids of accounts of these tiers without any known activity or usage.
        steps: Number of quiet accounts by the step at which they stopped.
    """

    quiet: tuple[QuietAccount, ...]
    unknown: tuple[str, ...]
    steps: Mapping[str, int]

    to_dict = fields_in_json


def abandonment(
    policy: PolicyData,
    base: Base,
    *,
    today: date,
    active: Mapping[str, date | None] | None = None,
    steps: Sequence[str] = (),
    after: timedelta | None = None,
) -> Abandonment:
    """
    Return the accounts that have gone quiet.

    Args:
        policy: The policy in force; `activities.abandonment-after` of a tier is its time.
        base: The accounts; their date `last-seen` counts where it is later than their usage.
        today: The day of the report.
        active: The last day with usage by account; None for an account whose usage was always 0.
        steps: Attributes that an account fills one after the other, such as `invited-colleague`.
        after: The time for every tier, instead of the policy's.
    """
    quiet: list[QuietAccount] = []
    unknown: list[str] = []
    seen_in = active or {}
    for row in base.rows:
        time = after if after is not None else policy.tiers[row.tier].values.get(QUIET)
        if not isinstance(time, timedelta):
            continue
        days = [day for day in (row.dates.get(LAST_SEEN), seen_in.get(row.account)) if day is not None]
        if not days and row.account not in seen_in:
            unknown.append(row.account)
            continue
        last = max(days, default=None)
        if last is None or today - last > time:
            quiet.append(_quiet(row, last, today, steps))
    quiet.sort(key=lambda each: (each.days is None, each.days or 0, each.account))
    counts: dict[str, int] = {}
    for each in quiet:
        counts[each.step] = counts.get(each.step, 0) + 1
    return Abandonment(tuple(quiet), tuple(unknown), dict(sorted(counts.items(), key=lambda each: -each[1])))


def _quiet(row: BaseRow, last: date | None, today: date, steps: Sequence[str]) -> QuietAccount:
    step = next((step for step in steps if not row.words.get(step)), "")
    return QuietAccount(row.account, row.name, row.tier, last, None if last is None else (today - last).days, step)
