"""
Capacity: the people that the accounts of a base need, by the ratios of their tiers.

Customer success managers follow from the tier's ratio, technical account managers and
executive sponsors are one per account that is promised one, onboarding specialists follow
from the accounts that are in their onboarding window. Accounts count in their own tier:
a trial of a higher one asks for no more people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from enum import StrEnum

from entitlements.model.account import Account
from entitlements.model.display import fields_in_json
from entitlements.model.instants import to_datetime
from entitlements.model.names import nearest_or_all
from entitlements.model.policy import PolicyData
from entitlements.model.tier import Tier, Value
from entitlements.tiering.cadences import CADENCES, MONTH_1, Cadence
from entitlements.tiering.engagements import Engagement
from entitlements.tiering.numbers import as_whole
from entitlements.tiering.preview import own_tier

_DAYS, _MONTHS = 365, 12


class PlanFit(StrEnum):
    """The relation of a tier's customers to the number that is planned for it."""

    BELOW = "below"
    WITHIN = "within"
    ABOVE = "above"
    UNPLANNED = "unplanned"


@dataclass(frozen=True, slots=True)
class TierCapacity:
    """
    The people that one tier needs.

    Args:
        tier: The tier's id.
        customers: Number of its accounts.
        planned: The least and the most customers that are planned (`segment.customers`); None without a bound.
        fit: The relation of the two.
        per_csm: Accounts of one customer success manager; None if the tier has none.
        csms: Customer success managers needed.
        technical_account_managers: Technical account managers needed: one per account that is promised one.
        executive_sponsors: Executive sponsors needed: one per account that is promised one.
        onboarding: Accounts in their onboarding window; None if no start is known.
        per_specialist: Accounts that one onboarding specialist takes at a time; None if the tier has none.
        specialists: Onboarding specialists needed.
        meeting_hours: Hours of touchpoints that are held in a year.
    """

    tier: str
    customers: int
    planned: tuple[int | None, int | None]
    fit: PlanFit
    per_csm: int | None
    csms: int
    technical_account_managers: int
    executive_sponsors: int
    onboarding: int | None
    per_specialist: int | None
    specialists: int
    meeting_hours: Decimal

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Capacity:
    """
    The people that a base needs.

    Args:
        tiers: The capacity of each tier with a plan or with accounts, higher tiers first.
        csms: Customer success managers needed in all.
        technical_account_managers: Technical account managers needed in all.
        executive_sponsors: Executive sponsors needed in all.
        specialists: Onboarding specialists needed in all.
        meeting_hours: Hours of touchpoints in a year in all.
        warnings: One sentence for each tier that is beyond its plan, and for unknown facts.
    """

    tiers: tuple[TierCapacity, ...]
    csms: int
    technical_account_managers: int
    executive_sponsors: int
    specialists: int
    meeting_hours: Decimal
    warnings: tuple[str, ...] = ()

    to_dict = fields_in_json


def capacity(
    policy: PolicyData,
    accounts: Iterable[Account],
    *,
    now: int,
    engagements: Mapping[str, Engagement] | None = None,
    moves: Mapping[str, str] | None = None,
) -> Capacity:
    """
    Return the people that *accounts* need.

    Args:
        policy: The policy in force.
        accounts: The accounts, read under the policy.
        now: The application's clock, in microseconds.
        engagements: By account; those with a start show who is in onboarding.
        moves: For a planned base, the tier that an account moves to, by its id.

    Raises:
        ValueError: For a move of an account that is not among them, or to an unknown tier.
        UnknownAccount: For an account with an unknown tier.
    """
    targets, today = dict(moves or {}), to_datetime(now).astimezone(UTC).date()
    groups: dict[str, list[str]] = {}
    for account in accounts:
        to = targets.pop(account.id, None)
        groups.setdefault((own_tier(policy, account, now) if to is None else _tier(policy, to)).id, []).append(
            account.id
        )
    for id in targets:
        raise ValueError(f"account {id!r} is to move and is not in the base{nearest_or_all(id, _few(groups))}")
    starts = {id: each.start for id, each in (engagements or {}).items() if each.start is not None}
    tiers = sorted(policy.tiers.values(), key=lambda tier: -tier.rank)
    found = tuple(
        _tier_capacity(tier, groups.get(tier.id, []), starts or None, today)
        for tier in tiers
        if tier.id in groups or (not tier.trial and "segment.customers.from" in tier.values)
    )
    people = ("csms", "technical_account_managers", "executive_sponsors", "specialists")
    sums = {name: sum(getattr(each, name) for each in found) for name in people}
    return Capacity(found, **sums, meeting_hours=sum((each.meeting_hours for each in found), Decimal(0)),
                    warnings=tuple(_warnings(found)))  # fmt: skip


def _few(groups: Mapping[str, list[str]]) -> list[str]:
    return [id for ids in groups.values() for id in ids][:1000]


def _tier(policy: PolicyData, name: str) -> Tier:
    tier = policy.tier(name)
    if tier is None:
        raise ValueError(f"{name!r} is no tier of policy {policy.version}{nearest_or_all(name, policy.ids)}")
    return tier


def _tier_capacity(tier: Tier, ids: list[str], starts: Mapping[str, date] | None, today: date) -> TierCapacity:
    values, count = tier.values, len(ids)
    planned = (_whole(values.get("segment.customers.from")), _whole(values.get("segment.customers.to")))
    per_csm, per_specialist = _per_csm(values), _whole(values.get("onboarding.customers-per-specialist"))
    onboarding = None if starts is None else sum(_is_onboarding(values, starts.get(id), today) for id in ids)
    return TierCapacity(
        tier.id,
        count,
        planned,
        _fit(count, *planned),
        per_csm,
        _ceiling(count, per_csm),
        count * (values.get("csm.technical-account-manager") is True),
        count * (values.get("csm.executive-sponsor") is True),
        onboarding,
        per_specialist,
        _ceiling(onboarding or 0, per_specialist),
        count * _hours(values),
    )


def _per_csm(values: Mapping[str, Value]) -> int | None:
    """Return the accounts of one manager: of `csm.customers-per-csm`, else of a ratio such as `1:20`."""
    if (number := _whole(values.get("csm.customers-per-csm"))) is not None:
        return number
    one, colon, many = str(values.get("csm.ratio", "")).partition(":")
    return as_whole(many.strip()) or None if colon and one.strip() == "1" else None


def _is_onboarding(values: Mapping[str, Value], start: date | None, today: date) -> bool:
    longest = values.get("onboarding.duration.to")
    return start is not None and isinstance(longest, timedelta) and start <= today <= start + longest


def _hours(values: Mapping[str, Value]) -> Decimal:
    """Return the hours of touchpoints of one account in a year; those of the first month alone do not count."""
    hours, touchpoints = Decimal(0), values.get("touchpoints")
    for each in touchpoints if isinstance(touchpoints, tuple) else ():
        row = each if isinstance(each, Mapping) else {}
        length, cadence = row.get("duration"), CADENCES.get(str(row.get("frequency")), Cadence())
        if isinstance(length, timedelta) and not str(row.get("activity")).endswith(f"({MONTH_1})"):
            times = _DAYS // cadence.days if cadence.days else _MONTHS // cadence.months if cadence.months else 0
            hours += times * Decimal(int(length.total_seconds())) / 3600
    return hours


def _fit(count: int, least: int | None, most: int | None) -> PlanFit:
    if least is None and most is None:
        return PlanFit.UNPLANNED
    if most is not None and count > most:
        return PlanFit.ABOVE
    return PlanFit.BELOW if least is not None and count < least else PlanFit.WITHIN


def _warnings(tiers: Iterable[TierCapacity]) -> Iterable[str]:
    for each in tiers:
        if each.fit is PlanFit.ABOVE:
            least, most = each.planned
            yield f"{each.tier} has {each.customers:,} customers, more than the planned {least} to {most}"
        if each.onboarding is None and each.per_specialist is not None and each.customers:
            yield f"{each.tier}: no start is known, so no account counts as in onboarding"


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, Decimal) else None


def _ceiling(count: int, per: int | None) -> int:
    return -(-count // per) if per else 0
