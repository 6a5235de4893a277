"""
Triggers for a change of tier, each with its evidence.

Usage comes from the counters of enforcement; `months` defines which months count. A full
allocation is at its limit, which is told and moves no account. Rates are not considered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from entitlements.model.account import Account
from entitlements.model.conditions import CriterionValue
from entitlements.model.display import fields_in_json, in_words
from entitlements.model.entitlements import Entitlements
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.instants import to_instant
from entitlements.model.limits import Allocation, LimitValue, PeriodLength, Quota, Rate
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.model.tier import Tier
from entitlements.model.usage import Period, Usage
from entitlements.rules.periods import period_length
from entitlements.tiering.assignment import Assignment
from entitlements.tiering.counted_periods import counted_periods, is_exceeded, used_in_periods
from entitlements.tiering.numbers import as_number
from entitlements.tiering.terms import Effect, Terms, UsageThreshold


class Action(StrEnum):
    """The action that a review recommends."""

    UPGRADE = "upgrade"
    KEEP = "keep"
    OPTIMISE = "optimise"
    DOWNGRADE = "downgrade"
    CLOSE = "close"


class Cause(StrEnum):
    """The cause of a trigger."""

    EXCEEDED = "exceeded"  # a limit, in as many months as the policy requires
    APPROACHING = "approaching"  # a quota that is nearly used up
    AT_LIMIT = "at-limit"  # an allocation that is full
    UNDERUSED = "underused"  # every limit, in as many months as the policy requires
    REQUESTED = "requested"  # a feature that a higher tier has
    ABOVE = "above"  # a criterion above the policy's threshold
    SUPPORTING = "supporting"  # such a criterion that never decides alone
    REVENUE = "revenue"  # the annual value belongs in another tier
    SIGNALS = "signals"  # other criteria vote for another tier
    EVENT = "event"  # an event in the customer's business
    SCHEDULED = "scheduled"  # a scheduled change of tier


@dataclass(frozen=True, slots=True)
class Trigger:
    """
    One reason for an action.

    Args:
        cause: The cause.
        speaks_for: The action that it is a reason for.
        name: The limit, feature, criterion or event.
        text: One sentence for people.
        evidence: The figures behind it.
    """

    cause: Cause
    speaks_for: Action
    name: str
    text: str
    evidence: Mapping[str, object]

    to_dict = fields_in_json

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", FrozenDict(self.evidence))


@dataclass(frozen=True, slots=True)
class FeatureRequest:
    """
    A feature that an account asked for and was denied.

    Args:
        feature: Its name, or `feature:level`.
        times: The number of requests.
        first: The instant of the first request (aware); None if not recorded.
        last: The instant of the last request; None if not recorded.
    """

    feature: str
    times: int = 1
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True, slots=True)
class MeasuredUsage:
    """
    The usage that the store counted for one account.

    Args:
        usage: The present usage of each limit.
        history: The periods of each quota, and of each allocation with refusals, newest first.
    """

    usage: Mapping[str, Usage] = field(default_factory=dict)
    history: Mapping[str, tuple[Period, ...]] = field(default_factory=dict)


_OPPORTUNITY = "upgrade opportunity: "


def usage_triggers(terms: Terms, entitlements: Entitlements, measured: MeasuredUsage, now: int) -> Iterator[Trigger]:
    """Yield triggers for exceeded, approached and underused limits."""
    exceeded: list[Trigger] = []
    if terms.exceeded is not None and terms.upgrade.to is not None:
        exceeded += _exceeded(terms.exceeded, entitlements, measured, now)
        yield from exceeded
    if terms.approaching is not None and terms.upgrade.to is not None:
        yield from _approaching(terms.approaching, entitlements, measured, {each.name for each in exceeded})
    yield from _at_limit(entitlements, measured)
    if terms.underused is not None:
        yield from _underused(terms.underused, entitlements, measured, now)


def request_triggers(entitlements: Entitlements, tier: Tier, requests: Iterable[FeatureRequest]) -> Iterator[Trigger]:
    """Yield triggers for requested features that the account lacks and a tier above *tier* has."""
    policy, answers = entitlements.policy, entitlements.policy.answers
    for request in requests:
        having = [
            other
            for other in policy.tiers.values()
            if other.is_above(tier) and other.is_sold and answers[other.id].get(request.feature)
        ]
        if not having or resolution_of(entitlements).answers.get(request.feature):
            continue
        lowest = min(having, key=lambda other: other.rank)
        times = f"{request.times} times" if request.times > 1 else "once"
        seen = {"first": request.first, "last": request.last}
        yield Trigger(
            Cause.REQUESTED,
            Action.UPGRADE,
            request.feature,
            f"{request.feature} was asked for {times}; {lowest.id} has it",
            {"times": request.times, "tier": lowest.id} | {k: v for k, v in seen.items() if v},
        )


def criterion_triggers(terms: Terms, known: Mapping[str, CriterionValue | None]) -> Iterator[Trigger]:
    """Yield triggers for criteria above the tier's thresholds; those that only support others are opportunities."""
    for name, bound in terms.upgrade.above.items():
        value = known.get(name)
        number = as_number(value)
        if number is not None and number > bound:
            text, evidence = f"{name} {in_words(value)} is above {in_words(bound)}", {"value": value, "above": bound}
            if name in terms.upgrade.supporting:
                yield Trigger(Cause.SUPPORTING, Action.KEEP, name, f"{_OPPORTUNITY}{text}", evidence)
            else:
                yield Trigger(Cause.ABOVE, Action.UPGRADE, name, text, evidence)


def with_support(found: list[Trigger]) -> list[Trigger]:
    """Return triggers; the supporting ones speak for an upgrade if another one does."""
    if not any(trigger.speaks_for is Action.UPGRADE for trigger in found):
        return found
    return [
        replace(trigger, speaks_for=Action.UPGRADE, text=trigger.text.removeprefix(_OPPORTUNITY))
        if trigger.cause is Cause.SUPPORTING
        else trigger
        for trigger in found
    ]


def revenue_triggers(policy: PolicyData, tier: Tier, assignment: Assignment) -> Iterator[Trigger]:
    """Yield triggers of the assignment: the tier of the binding criterion, and the hints of the signals."""
    if assignment.tier is None or policy.assignment is None:
        return
    assigned = policy.tiers[assignment.tier]
    binding = policy.assignment.binding
    if assigned.is_sold and (assigned.is_above(tier) or tier.is_above(assigned)):
        action = Action.UPGRADE if assigned.is_above(tier) else Action.DOWNGRADE
        text = f"{binding} belongs in {assigned.id}: {assignment.because}"
        evidence = {binding: assignment.criteria.get(binding), "tier": assigned.id}
        yield Trigger(Cause.REVENUE, action, binding, text, evidence)
    for hint, kind in ((assignment.upgrade, "upgrade opportunity"), (assignment.optimisation, "optimisation hint")):
        if hint is not None:
            text = f"{kind}: {', '.join(hint.signals)} vote for {hint.tier}"
            evidence = {signal: assignment.criteria[signal] for signal in hint.signals} | {"tier": hint.tier}
            yield Trigger(Cause.SIGNALS, Action.KEEP, kind, text, evidence)


def scheduled_triggers(policy: PolicyData, tier: Tier, account: Account, now: int) -> Iterator[Trigger]:
    """Yield triggers for scheduled changes of tier in the future, the next one first."""
    for change in sorted(account.changes, key=lambda change: change.at):
        to = policy.tier(change.tier)
        if to is not None and to_instant(change.at) > now and (to.is_above(tier) or tier.is_above(to)):
            action = Action.UPGRADE if to.is_above(tier) else Action.DOWNGRADE
            text = f"a change to {to.id} is scheduled for {change.at:%Y-%m-%d}"
            yield Trigger(Cause.SCHEDULED, action, to.id, text, {"tier": to.id, "at": change.at})


_EFFECTS = {
    Effect.UPGRADE: (Action.UPGRADE, "speaks for an upgrade"),
    Effect.DOWNGRADE: (Action.DOWNGRADE, "speaks for a downgrade"),
    Effect.CLOSE: (Action.CLOSE, "closes the account; it does not move"),
    Effect.REASSESS: (Action.KEEP, "asks for looking again at where it belongs"),
    Effect.BENEFITS: (Action.KEEP, "asks for a grant or an override; the tier stays"),
}


def event_triggers(terms: Terms, events: Iterable[str]) -> Iterator[Trigger]:
    """Yield triggers for the events that the tier's terms know."""
    for event in events:
        effect = terms.events.get(event)
        if effect is not None:
            action, text = _EFFECTS[effect]
            yield Trigger(Cause.EVENT, action, event, f"{event} {text}", {"effect": effect.value})


def _exceeded(
    share: UsageThreshold, entitlements: Entitlements, measured: MeasuredUsage, now: int
) -> Iterator[Trigger]:
    for name, limit in entitlements.policy.limits.items():
        history = measured.history.get(name)
        if not history or isinstance(limit, Rate):
            continue
        size = resolution_of(entitlements).limits.get(name)
        length = period_length(limit)
        periods = counted_periods(share, history, length, resolution_of(entitlements).calendar, now)
        over = [
            period
            for period in periods
            if period is not None and _is_as_large(period, size) and is_exceeded(period, share.percent)
        ]
        if len(over) >= (share.months if length != PeriodLength.LIFETIME else 1):
            text = f"{name} was exceeded in {len(over)} of the last {share.of} {length}s"
            if length == PeriodLength.LIFETIME:
                text = f"{name}, which never resets, was exceeded"
            months = [period.to_dict() for period in over]
            yield Trigger(Cause.EXCEEDED, Action.UPGRADE, name, text, {"months": months})


def _is_as_large(period: Period, size: LimitValue | None) -> bool:
    """Return True if the period's limit was at least the present size; a smaller one belonged to another tier."""
    return isinstance(size, int) and isinstance(period.limit, int) and period.limit >= size


def _approaching(
    percent: Decimal, entitlements: Entitlements, measured: MeasuredUsage, exceeded: set[str]
) -> Iterator[Trigger]:
    for name, limit in entitlements.policy.limits.items():
        meter = measured.usage.get(name)
        if meter and isinstance(limit, Quota) and name not in exceeded and _reaches(meter, percent):
            text = f"{name} is nearly used up: {in_words(meter.used)} of {in_words(meter.limit)}"
            yield Trigger(Cause.APPROACHING, Action.UPGRADE, name, text, {"used": meter.used, "limit": meter.limit})


def _at_limit(entitlements: Entitlements, measured: MeasuredUsage) -> Iterator[Trigger]:
    for name, limit in entitlements.policy.limits.items():
        meter = measured.usage.get(name)
        if meter and isinstance(limit, Allocation) and _reaches(meter, Decimal(100)):
            text = f"{name} is at its limit: {in_words(meter.used)} of {in_words(meter.limit)}"
            yield Trigger(Cause.AT_LIMIT, Action.KEEP, name, text, {"used": meter.used, "limit": meter.limit})


def _underused(
    share: UsageThreshold, entitlements: Entitlements, measured: MeasuredUsage, now: int
) -> Iterator[Trigger]:
    """Yield one trigger if every limit with a size is underused; none if a usage is unknown."""
    usage: dict[str, object] = {}
    for name, limit in entitlements.policy.limits.items():
        size = resolution_of(entitlements).limits.get(name)
        if not isinstance(size, int) or size <= 0 or isinstance(limit, Rate) or limit.per:
            continue
        if isinstance(limit, Quota):
            if limit.period == PeriodLength.LIFETIME:
                continue  # no period of it ever ends
            history = measured.history.get(name, ())
            months = used_in_periods(history, limit.period, resolution_of(entitlements).calendar, now, share.of)
            low = [used for used in months if used is not None and used * 100 <= size * share.percent]
            if len(low) < share.months:
                return
            usage[name] = {"used": months, "limit": size}
        else:
            meter = measured.usage.get(name)
            if meter is None or meter.used is None or meter.used * 100 > size * share.percent:
                return
            usage[name] = {"used": meter.used, "limit": size}
    if any(isinstance(entitlements.policy.limits[name], Quota) for name in usage):
        text = f"no limit was used beyond {share.percent} % in {share.months} of the last {share.of} months"
        yield Trigger(Cause.UNDERUSED, Action.OPTIMISE, "usage", text, usage)


def _reaches(meter: Usage, percent: Decimal) -> bool:
    size = meter.limit
    return isinstance(size, int) and size > 0 and meter.used is not None and meter.used * 100 >= size * percent
