"""
Transition cases: what a review recommends, as a case with steps, owners and due times.

The case is opened with the review. A downgrade takes effect when its notice period ends, a
scheduled change when it is scheduled. A
time of up to three days, such as the outreach within 24 hours, runs on the support clock of
the tier that the account moves to, or of its own tier; a longer one on the calendar.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from entitlements.model.display import fields_in_json
from entitlements.model.frozen_dict import FrozenDict, TableKey
from entitlements.model.instants import MICROSECOND, to_datetime
from entitlements.model.policy import PolicyData
from entitlements.tiering.recurrences import clock_of
from entitlements.tiering.reviews import Review
from entitlements.tiering.sla_values import Zones
from entitlements.tiering.terms import terms_of
from entitlements.tiering.triggers import Action, Cause

_SHORT = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class TransitionStep:
    """
    One step of a case.

    Args:
        number: From 1.
        text: The step, as the policy writes it.
        owner: The role that does it; empty if the policy names none.
        due: The instant by which it is due (aware, UTC); None for no time.
    """

    number: int
    text: str
    owner: str
    due: datetime | None

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class TransitionCase:
    """
    The work that a recommended change of tier asks for.

    Args:
        account: The account's id.
        from_tier: Its own tier.
        to: The new tier; None if the account closes, or keeps its tier with other terms.
        action: The recommended action.
        opened: The instant of the review (aware, UTC).
        effective: The first instant at which the change can take effect.
        outreach_due: The instant by which the customer is contacted; None without such a time.
        reasons: The reasons, one sentence each.
        steps: The steps, in order.
    """

    account: str
    from_tier: str
    to: str | None
    action: Action
    opened: datetime
    effective: datetime
    outreach_due: datetime | None
    reasons: tuple[str, ...]
    steps: tuple[TransitionStep, ...]

    to_dict = fields_in_json


def case_of(policy: PolicyData, review: Review, now: int, zones: Zones) -> TransitionCase | None:
    """
    Return the case that a review opens; None if the account keeps its tier and terms.

    Args:
        policy: The policy in force.
        review: The review.
        now: The instant at which it is opened, in microseconds.
        zones: Returns the time zone of a name.
    """
    if review.action is Action.KEEP:
        return None
    tables = tuple(_key(policy, tier) for tier in (review.to, review.tier) if tier is not None)
    scheduled = next((each.evidence["at"] for each in review.reasons if each.cause is Cause.SCHEDULED), None)
    effective = scheduled if isinstance(scheduled, datetime) else to_datetime(now + review.notice // MICROSECOND)
    outreach = None if review.outreach is None else to_datetime(_after(tables, review.outreach, now, zones))
    reasons = tuple(reason.text for reason in review.reasons)
    return TransitionCase(
        review.account,
        review.tier,
        review.to,
        review.action,
        to_datetime(now),
        effective,
        outreach,
        reasons,
        tuple(_steps(policy, review, tables, now, zones)),
    )


def _steps(
    policy: PolicyData, review: Review, tables: tuple[TableKey, ...], now: int, zones: Zones
) -> Iterator[TransitionStep]:
    terms = terms_of(policy.tiers[review.tier].values)
    told = terms.upgrade if review.action is Action.UPGRADE else terms
    for at, text in enumerate(review.process):
        due = to_datetime(_after(tables, told.within[at], now, zones)) if at < len(told.within) else None
        yield TransitionStep(at + 1, text, told.owners[at] if at < len(told.owners) else "", due)


def _key(policy: PolicyData, tier: str) -> TableKey:
    values = policy.tiers[tier].values
    return TableKey(values if isinstance(values, FrozenDict) else FrozenDict(values))


@lru_cache(maxsize=4096)
def _after(tables: tuple[TableKey, ...], time: timedelta, start: int, zones: Zones) -> int:
    """Return the instant after *time*: on the first support clock of *tables* if it is short, else on the calendar."""
    length = time // MICROSECOND
    clocks = (clock for key in tables if (clock := clock_of(key.table, zones)) is not None)
    clock = next(clocks, None) if time <= _SHORT else None
    return start + length if clock is None or not length else clock.add(start, length)
