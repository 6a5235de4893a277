"""
Conversion metrics of trials and free accounts, computed from the journeys of a base.

A rate over no accounts is None, never 0: nothing was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from entitlements.errors import AccountError
from entitlements.model.display import fields_in_json
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.policy import PolicyData
from entitlements.tiering.numbers import percent


@dataclass(frozen=True, slots=True)
class Journey:
    """
    The history of one account since its first day.

    Args:
        account: The account's id.
        plan: The tier that it began in, id or alias.
        started: The instant of its start (aware).
        activated: The instant of its first productive use; None if not yet.
        converted: The instant of its move to a higher tier; None if not yet.
        last_seen: The instant of its last activity; None if never since the start.
        features: The features that it used.
        left_at: The step at which it dropped off; None if it did not.

    Raises:
        AccountError: For an instant before the start.
    """

    account: str
    plan: str
    started: datetime
    activated: datetime | None = None
    converted: datetime | None = None
    last_seen: datetime | None = None
    features: tuple[str, ...] = ()
    left_at: str | None = None

    def __post_init__(self) -> None:
        for name in ("activated", "converted", "last_seen"):
            moment = getattr(self, name)
            if moment is not None and moment < self.started:
                raise AccountError(f"account {self.account!r}: {name} {moment} lies before started {self.started}")


@dataclass(frozen=True, slots=True)
class ConversionMetrics:
    """
    The seven metrics of a free tier.

    Args:
        trial_sign_ups: Accounts that began in a trial plan.
        trial_to_paid: Percentage of those that converted; None without any.
        free_to_paid: Percentage of converted accounts among those of other plans; None without any.
        activation: Percentage of accounts that activated; None without accounts.
        feature_usage: Percentage of accounts that used each feature, the most used first.
        engagement: The median time from start to last activity; None without any activity.
        drop_offs: Number of accounts that dropped off at each step, the most frequent first.
    """

    trial_sign_ups: int
    trial_to_paid: Decimal | None
    free_to_paid: Decimal | None
    activation: Decimal | None
    feature_usage: Mapping[str, Decimal]
    engagement: timedelta | None
    drop_offs: Mapping[str, int]

    to_dict = fields_in_json


def conversion_metrics(policy: PolicyData, journeys: Iterable[Journey]) -> ConversionMetrics:
    """
    Return the metrics of *journeys* in any plan.

    Raises:
        AccountError: For a plan that the policy does not know.
    """
    every = list(journeys)
    tried = [each for each in every if _is_trial(policy, each)]
    free = [each for each in every if not _is_trial(policy, each)]
    used = Counter(feature for each in every for feature in dict.fromkeys(each.features))
    stayed = sorted(each.last_seen - each.started for each in every if each.last_seen is not None)
    shares = {name: percent(count, len(every)) or Decimal(0) for name, count in used.most_common()}
    return ConversionMetrics(
        len(tried),
        percent(sum(each.converted is not None for each in tried), len(tried)),
        percent(sum(each.converted is not None for each in free), len(free)),
        percent(sum(each.activated is not None for each in every), len(every)),
        FrozenDict(shares),
        stayed[(len(stayed) - 1) // 2] if stayed else None,
        FrozenDict(dict(Counter(each.left_at for each in every if each.left_at).most_common())),
    )


def _is_trial(policy: PolicyData, journey: Journey) -> bool:
    tier = policy.tier(journey.plan)
    if tier is None:
        raise AccountError(f"account {journey.account!r}: plan {journey.plan!r} is no tier; correct it")
    return tier.trial is not None
