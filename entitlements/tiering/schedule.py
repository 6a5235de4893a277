"""
Schedule of an account: everything that is due for it, with date, audience, duration and owner.

What recurs is counted from the first day in a tier, and is first due one interval after it.
An item that people do is due on the next working day of the tier's support clock where its
date is none; one that has passed to the next tier by then falls away. Automated items, ends
and deadlines keep their date. A date is that of the support clock's zone, UTC without one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Any

from entitlements.model.account import Account
from entitlements.model.display import fields_in_json
from entitlements.model.instants import to_instant
from entitlements.model.policy import NO_LEVEL, PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.rules.resolve import resolve
from entitlements.tiering.cadences import Cadence
from entitlements.tiering.engagements import Engagement, TierSpan, engagement_of
from entitlements.tiering.recurrences import (
    AUTOMATION,
    LONGEST_CLOSED,
    DueKind,
    clock_of,
    days_in,
    owner_of,
    recurrences,
    working_day,
)
from entitlements.tiering.sla_values import Zones
from entitlements.tiering.terms import terms_of

Day = date
"""The type of a date; `DueItem` has a field of that name."""

CONTRACT_MONTHS = 12
"""Contracts are annual."""


@dataclass(frozen=True, slots=True)
class DueItem:
    """
    One thing that is due for an account.

    Args:
        account: The account's id.
        date: The day on which it is due.
        kind: Its kind.
        name: Its name, as the policy has it.
        tier: The account's tier on that day.
        owner: The role that sees to it.
        audience: The people on the customer's side; None if the policy names none.
        duration: Its length; None if the policy names none.
        format: Its format, such as `email`; None if the policy names none.
        begins: The first day of a window that ends on *date*; None for a single day.
    """

    account: str
    date: Day
    kind: DueKind
    name: str
    tier: str
    owner: str
    audience: str | None = None
    duration: timedelta | None = None
    format: str | None = None
    begins: Day | None = None

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    The due items of one account in a span of days.

    Args:
        account: The account's id.
        items: The items by date, kind and name.
        unknown: The unknown facts without which items are missing, one sentence each.
    """

    account: str
    items: tuple[DueItem, ...]
    unknown: tuple[str, ...] = ()

    to_dict = fields_in_json


def schedule(
    policy: PolicyData,
    account: Account,
    since: date,
    until: date,
    *,
    zones: Zones,
    engagement: Engagement | None = None,
) -> Schedule:
    """
    Return what is due for *account* on the days of [since, until).

    Args:
        policy: The policy in force.
        account: The account, read under the policy.
        since: The first day.
        until: The first day after the last.
        zones: Returns the time zone of a name, such as `zoneinfo.ZoneInfo`.
        engagement: The account's start, renewal and tier history; by default read from its attributes
            (`start`, `renewal`).

    Raises:
        ValueError: For an attribute that is no date, or values of a tier that cannot be read.
        UnknownAccount: For an account with an unknown tier.
    """
    engaged = engagement or engagement_of(account.attributes)
    book = _Book(policy, account, since, until, zones)
    spans = engaged.spans(account, policy, book.zone)
    items = [
        *(item for span in spans for item in book.recurring(span, is_first=span.since == engaged.start)),
        *(book.onboarding(spans[0], engaged.start) if spans and engaged.start else ()),
        *book.renewals(spans, engaged.renewal),
        *book.changes(spans),
        *book.trial_end(),
    ]
    due = {item for item in items if since <= item.date < until}
    unknown = [f"{field} is not known" for field in book.needed() if getattr(engaged, field) is None]
    return Schedule(account.id, tuple(sorted(due, key=lambda each: (each.date, each.kind, each.name))), tuple(unknown))


class _Book:
    """The items of one account around the days of [since, until)."""

    def __init__(self, policy: PolicyData, account: Account, since: date, until: date, zones: Zones) -> None:
        self._policy, self._account = policy, account
        self._since, self._until, self._zones = since, until, zones
        self._values: dict[tuple[str, date], Mapping[str, Any]] = {}
        self._clock = clock_of(self._values_of(account.tier, since), zones)
        self.zone: tzinfo = self._clock.zone if self._clock else UTC

    def needed(self) -> tuple[str, ...]:
        """Return the dates that a schedule needs: the renewal only of a tier that has a notice period."""
        values = self._values_of(self._account.tier, self._since)
        return ("start", "renewal") if terms_of(values).notice else ("start",)

    def recurring(self, span: TierSpan, *, is_first: bool) -> Iterator[DueItem]:
        """Yield what recurs in a tier; what ends after the first days only if the account started in it."""
        first, last = max(span.since, self._since), min(span.until or self._until, self._until)
        if first >= last:
            return
        values = self._values_of(span.tier, first)
        clock = clock_of(values, self._zones)
        for each in recurrences(values):
            owner = owner_of(values, each.kind, each.name)
            days = each.days if is_first or each.days is None else 0
            end = last if days is None else min(last, span.since + timedelta(days=days + 1))
            for day in each.cadence.dates(span.since, first - timedelta(days=LONGEST_CLOSED), end):
                due = working_day(clock, day) if clock and owner != AUTOMATION else day
                if first <= due < last:
                    how = (each.audience, each.duration, each.format)
                    yield DueItem(self._account.id, due, each.kind, each.name, span.tier, owner, *how)

    def onboarding(self, span: TierSpan, start: date) -> Iterator[DueItem]:
        """Yield the kick-off, and the window in which the account should be live."""
        values = self._values_of(span.tier, start)
        shortest, longest = (days_in(values.get(f"onboarding.duration.{end}")) for end in ("from", "to"))
        if values.get("onboarding.kickoff") not in (None, False, NO_LEVEL):
            length = values.get("onboarding.kickoff-duration")
            yield self._item(start, DueKind.ONBOARDING, "Kick-off", span.tier, values, duration=length)
        if longest is not None:
            begins = start + timedelta(days=shortest or 0)
            day = start + timedelta(days=longest)
            yield self._item(day, DueKind.ONBOARDING, "Onboarding complete", span.tier, values, begins=begins)

    def renewals(self, spans: tuple[TierSpan, ...], renewal: date | None) -> Iterator[DueItem]:
        """Yield renewals every twelve months, and before each the last day on which notice can be given."""
        days = () if renewal is None else (renewal, *_CONTRACT.dates(renewal, renewal, self._until + _LONGEST_NOTICE))
        for day in days:
            span = next(
                (each for each in spans if each.since <= day and (each.until is None or day < each.until)), None
            )
            if span is not None and day >= self._since:
                values = self._values_of(span.tier, max(span.since, self._since))
                yield self._item(day, DueKind.RENEWAL, "Renewal", span.tier, values)
                if notice := terms_of(values).notice:
                    yield self._item(day - notice, DueKind.NOTICE, NOTICE_NAME, span.tier, values)

    def changes(self, spans: tuple[TierSpan, ...]) -> Iterator[DueItem]:
        """Yield the day of each scheduled change, and of a downgrade the last day of its notice before it."""
        tiers = self._policy.tiers
        for before, after in pairwise(spans):
            if any(each.at.astimezone(self.zone).date() == after.since for each in self._account.changes):
                values = self._values_of(before.tier, max(before.since, self._since))
                yield self._item(after.since, DueKind.CHANGE, f"Change to {after.tier}", after.tier, values)
                notice = terms_of(values).notice
                if notice and tiers[before.tier].is_above(tiers[after.tier]):
                    name = f"Last day of notice before the change to {after.tier}"
                    yield self._item(after.since - notice, DueKind.NOTICE, name, before.tier, values)

    def trial_end(self) -> Iterator[DueItem]:
        """Yield the day on which the account's trial ends."""
        trial = self._account.trial
        if trial is not None:
            values = self._values_of(self._account.tier, self._since)
            day = trial.ends.astimezone(self.zone).date()
            yield self._item(day, DueKind.TRIAL, f"Trial of {trial.tier} ends", self._account.tier, values)

    def _item(self, day: date, kind: DueKind, name: str, tier: str, values: Mapping[str, Any], **how: Any) -> DueItem:
        return DueItem(self._account.id, day, kind, name, tier, owner_of(values, kind, name), **how)

    def _values_of(self, tier: str, day: date) -> Mapping[str, Any]:
        """Return the values of the account in a tier on a day: with what it bought and its overrides."""
        if (tier, day) not in self._values:
            at = to_instant(datetime.combine(day, time(12), UTC))
            account = replace(self._account, tier=tier, trial=None, changes=())
            self._values[tier, day] = resolution_of(resolve(self._policy, account, at)).values
        return self._values[tier, day]


NOTICE_NAME = "Last day of notice before the renewal"
_CONTRACT = Cadence(months=CONTRACT_MONTHS)
_LONGEST_NOTICE = timedelta(days=366)
