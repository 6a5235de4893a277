"""
What trials and free accounts come to: the conversion metrics of a base, from its journeys.

A rate without anybody to divide by is None, never 0: nothing was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from entitlements.errors import AccountError
from entitlements.model.display import in_json
from entitlements.model.policy import Policy


@dataclass(frozen=True, slots=True)
class Journey:
    """
    What one account did, from its first day on.

    Args:
        account: The account's id.
        plan: The tier that it began in, id or alias.
        started: When (aware).
        activated: When it first did what the product is for; None: not yet.
        converted: When it moved to a higher tier; None: not yet.
        last_seen: When it was last active; None: never since.
        features: What it used.
        left_at: The step at which it gave up; None: it did not.

    Raises:
        AccountError: For something that happened before it started.
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
    The seven figures that a free tier is judged by.

    Args:
        trial_sign_ups: Accounts that began in a trial plan.
        trial_to_paid: Percent of those that converted; None without any.
        free_to_paid: Percent of those that began in another plan and converted; None without any.
        activation: Percent that activated; None without any account.
        feature_usage: Percent of accounts that used each feature, the most used first.
        engagement: The middle time from start to the last activity; None where nobody was seen again.
        drop_offs: How many gave up at each step, the most frequent first.
    """

    trial_sign_ups: int
    trial_to_paid: Decimal | None
    free_to_paid: Decimal | None
    activation: Decimal | None
    feature_usage: Mapping[str, Decimal]
    engagement: timedelta | None
    drop_offs: Mapping[str, int]

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {name: in_json(getattr(self, name)) for name in self.__slots__}


def conversion_metrics(policy: Policy, journeys: Iterable[Journey]) -> ConversionMetrics:
    """
    Return the metrics of *journeys*, whichever plans they began in.

    Raises:
        AccountError: For a plan that the policy does not know.
    """
    all_of_them = list(journeys)
    tried = [each for each in all_of_them if _is_trial(policy, each)]
    free = [each for each in all_of_them if not _is_trial(policy, each)]
    used = Counter(feature for each in all_of_them for feature in dict.fromkeys(each.features))
    stayed = [each.last_seen - each.started for each in all_of_them if each.last_seen is not None]
    return ConversionMetrics(
        len(tried),
        _percent(sum(each.converted is not None for each in tried), len(tried)),
        _percent(sum(each.converted is not None for each in free), len(free)),
        _percent(sum(each.activated is not None for each in all_of_them), len(all_of_them)),
        MappingProxyType({name: _share(count, len(all_of_them)) for name, count in used.most_common()}),
        sorted(stayed)[(len(stayed) - 1) // 2] if stayed else None,
        MappingProxyType(dict(Counter(each.left_at for each in all_of_them if each.left_at).most_common())),
    )


def _is_trial(policy: Policy, journey: Journey) -> bool:
    tier = policy.tier(journey.plan)
    if tier is None:
        raise AccountError(f"account {journey.account!r}: plan {journey.plan!r} is no tier; correct it")
    return tier.trial is not None


def _percent(part: int, whole: int) -> Decimal | None:
    return _share(part, whole) if whole else None


def _share(part: int, whole: int) -> Decimal:
    return (Decimal(100 * part) / whole).quantize(Decimal("0.1"))
