"""Engagement of an account: its start, its renewal and the tiers that it had, by days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, tzinfo
from itertools import pairwise

from entitlements.errors import UnknownAccount
from entitlements.model.account import Account
from entitlements.model.display import fields_in_json
from entitlements.model.policy import PolicyData
from entitlements.tiering.cadences import add_months
from entitlements.tiering.criterion_values import attribute_name
from entitlements.tiering.dates import read_date

ATTRIBUTES = {
    "start": ("start", "start-date", "customer-since", "contract-start"),
    "renewal": ("renewal", "renewal-date", "renews-on"),
}
"""The attributes that hold an account's start and renewal."""

_CONTRACT_YEARS = 10
"""Without a start, the contract years before the renewal that are counted back: what recurs has fixed days."""


@dataclass(frozen=True, slots=True)
class TierSpan:
    """
    The days on which an account had one tier.

    Args:
        tier: The tier's id or alias.
        since: The first day.
        until: The first day after the last; None while it lasts.

    Raises:
        ValueError: For a span that ends before it begins.
    """

    tier: str
    since: date
    until: date | None = None

    to_dict = fields_in_json

    def __post_init__(self) -> None:
        if self.until is not None and self.until <= self.since:
            raise ValueError(f"{self.tier} until {self.until} ends before it begins on {self.since}; exchange the two")


@dataclass(frozen=True, slots=True)
class Engagement:
    """
    The dates of an account from which its schedule follows.

    Args:
        start: The first day as a customer; None if it is not known.
        renewal: A day on which its contract renews, every twelve months; None if it is not known.
        history: The tiers that it had, in any order; empty for the account's own tier since the start.

    Raises:
        ValueError: For spans of a history that overlap.
    """

    start: date | None = None
    renewal: date | None = None
    history: tuple[TierSpan, ...] = ()

    to_dict = fields_in_json

    def __post_init__(self) -> None:
        spans = tuple(sorted(self.history, key=lambda span: span.since))
        for one, next_one in pairwise(spans):
            if one.until is None or next_one.since < one.until:
                until = "today and later" if one.until is None else one.until
                problem = f"{one.tier} from {one.since} to {until} and {next_one.tier} from {next_one.since} overlap"
                raise ValueError(f"{problem}; end the first on {next_one.since}")
        object.__setattr__(self, "history", spans)
        if self.start is None and spans:
            object.__setattr__(self, "start", spans[0].since)

    def spans(self, account: Account, policy: PolicyData, zone: tzinfo) -> tuple[TierSpan, ...]:
        """
        Return the tiers of an account by days, with its scheduled changes; empty if no day is known.

        Raises:
            UnknownAccount: For a tier that the policy does not know.
        """
        first = self.start
        if first is None and self.renewal is not None:
            first = add_months(self.renewal, -12 * _CONTRACT_YEARS)
        if first is None:
            return ()
        spans = [TierSpan(_known(policy, account, each.tier), each.since, each.until) for each in self.history]
        spans = spans or [TierSpan(_known(policy, account, account.tier), first)]
        for change in sorted(account.changes, key=lambda change: change.at):
            day, to, last = change.at.astimezone(zone).date(), _known(policy, account, change.tier), spans[-1]
            if day > last.since and to != last.tier and (last.until is None or day <= last.until):
                spans[-1:] = [TierSpan(last.tier, last.since, day), TierSpan(to, day)]
        return tuple(spans)


def engagement_of(attributes: Mapping[str, object]) -> Engagement:
    """
    Return the engagement in an account's attributes (`start`, `renewal`).

    Raises:
        ValueError: With `attribute: problem; cure`, for an attribute that is no date.
    """
    found: dict[str, date] = {}
    for name, value in attributes.items():
        for field, names in ATTRIBUTES.items():
            if attribute_name(name) in names and str(value).strip():
                try:
                    found[field] = read_date(value)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
    return Engagement(found.get("start"), found.get("renewal"))


def _known(policy: PolicyData, account: Account, name: str) -> str:
    tier = policy.tier(name)
    if tier is None:
        raise UnknownAccount(f"account {account.id!r}: tier {name!r} is not in the policy; correct it")
    return tier.id
