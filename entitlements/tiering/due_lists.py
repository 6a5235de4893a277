"""Due lists of a base: what is due in a span of days, and what is overdue against a record of what was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from entitlements.model.account import Account
from entitlements.model.display import fields_in_json
from entitlements.model.policy import PolicyData
from entitlements.tiering.engagements import Engagement
from entitlements.tiering.schedule import DueItem, schedule
from entitlements.tiering.sla_values import Zones

ItemKey = tuple[str, str, date]
"""Account, name and date of a due item."""


@dataclass(frozen=True, slots=True)
class DueList:
    """
    The due items of a base, and those that are overdue.

    Args:
        since: The first day.
        until: The first day after the last.
        items: The items of these days that are not done, by date.
        overdue: The items of earlier days that are not done, the oldest first.
        done: The number of items of these days that are done.
        unmatched: Records of what was done that fit no item.
        unknown: For each unknown fact, the accounts that it is not known of.
    """

    since: date
    until: date
    items: tuple[DueItem, ...]
    overdue: tuple[DueItem, ...] = ()
    done: int = 0
    unmatched: tuple[ItemKey, ...] = ()
    unknown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    to_dict = fields_in_json


def due_list(
    policy: PolicyData,
    accounts: Iterable[Account],
    since: date,
    until: date,
    *,
    zones: Zones,
    engagements: Mapping[str, Engagement] | None = None,
    done: Mapping[ItemKey, bool] | None = None,
    overdue_since: date | None = None,
    roles: Iterable[str] = (),
) -> DueList:
    """
    Return what is due for a base on the days of [since, until).

    Args:
        policy: The policy in force.
        accounts: The accounts, read under the policy.
        since: The first day.
        until: The first day after the last.
        zones: Returns the time zone of a name, such as `zoneinfo.ZoneInfo`.
        engagements: By account; by default read from its attributes.
        done: True for each item that was done; a False is an item that was not.
        overdue_since: The first day from which what is not done is overdue; None for no overdue items.
        roles: Only items of these owners; empty for all.

    Raises:
        ValueError, UnknownAccount: As `schedule` does.
    """
    wanted, records = frozenset(roles), done or {}
    first = since if overdue_since is None else min(since, overdue_since)
    items: list[DueItem] = []
    every: set[ItemKey] = set()
    unknown: dict[str, list[str]] = {}
    for account in accounts:
        found = schedule(policy, account, first, until, zones=zones, engagement=(engagements or {}).get(account.id))
        every |= {key_of(item) for item in found.items}
        items += [item for item in found.items if not wanted or item.owner in wanted]
        for fact in found.unknown:
            unknown.setdefault(fact, []).append(account.id)
    items.sort(key=lambda item: (item.date, item.account, item.kind, item.name))
    left = [item for item in items if not records.get(key_of(item))]
    now = [item for item in left if item.date >= since]
    return DueList(
        since,
        until,
        tuple(now),
        tuple(item for item in left if item.date < since),
        sum(item.date >= since for item in items) - len(now),
        tuple(key for key in records if first <= key[2] < until and key not in every),
        {fact: tuple(ids) for fact, ids in unknown.items()},
    )


def key_of(item: DueItem) -> ItemKey:
    """Return the key by which a record says that an item was done."""
    return item.account, item.name, item.date
