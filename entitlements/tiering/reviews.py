"""
The quarterly review: whether an account stays in its tier, with the reasons for it.

It weighs, in this order: a business that closed is closed; a change that has been
decided stands; who announces a smaller commitment moves down; who outgrows the tier
moves up; who pays for a lower tier moves down; who leaves most of the tier unused talks
about a better fit. Reasons that lost are
told as well, and so is everything that could not be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType

from entitlements.model.account import Account
from entitlements.model.conditions import CriterionValue
from entitlements.model.display import in_json
from entitlements.model.entitlements import Entitlements
from entitlements.model.limits import Quota
from entitlements.model.names import nearest, shown
from entitlements.model.policy import Policy, Tier
from entitlements.rules.resolve import resolve
from entitlements.tiering.assignment import Assignment, assign
from entitlements.tiering.preview import own_tier, without_trial
from entitlements.tiering.terms import Terms, terms_of
from entitlements.tiering.triggers import (
    Action,
    Cause,
    FeatureRequest,
    MeasuredUsage,
    Trigger,
    criterion_triggers,
    event_triggers,
    request_triggers,
    revenue_triggers,
    scheduled_triggers,
    usage_triggers,
)


@dataclass(frozen=True, slots=True)
class Review:
    """
    What becomes of one account.

    Args:
        account: The account's id.
        tier: Its own tier.
        action: What is recommended.
        to: The tier that this leads to; None where it stays, or closes.
        reasons: What speaks for the action.
        others: What else was found: it speaks for something else, or for nothing but a look.
        unknown: What nobody knows, one sentence each.
        process: The steps that the policy has for the action, in order.
        notice: How long before it a downgrade has to be announced.
        outreach: By when somebody gets in touch about an upgrade; None where nothing is said.
        assignment: The tier that the account's attributes speak for, whole.
    """

    account: str
    tier: str
    action: Action
    to: str | None
    reasons: tuple[Trigger, ...]
    others: tuple[Trigger, ...]
    unknown: tuple[str, ...]
    process: tuple[str, ...]
    notice: timedelta
    outreach: timedelta | None
    assignment: Assignment

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "account": self.account,
            "tier": self.tier,
            "action": self.action.value,
            "to": self.to,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "others": [other.to_dict() for other in self.others],
            "unknown": list(self.unknown),
            "process": list(self.process),
            "notice": in_json(self.notice),
            "outreach": in_json(self.outreach),
            "assignment": self.assignment.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Distribution:
    """How one criterion is spread over the accounts of a tier that say something about it."""

    count: int
    least: CriterionValue
    middle: CriterionValue
    most: CriterionValue

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {name: in_json(getattr(self, name)) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class BaseReview:
    """
    The review of many accounts.

    Args:
        reviews: One per account, in their order.
        actions: How many accounts of each tier come to each action, higher tiers first.
        compared: For each tier, how each criterion of numbers is spread over its accounts.
    """

    reviews: tuple[Review, ...]
    actions: Mapping[str, Mapping[Action, int]] = field(default_factory=dict)
    compared: Mapping[str, Mapping[str, Distribution]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "reviews": [review.to_dict() for review in self.reviews],
            "actions": in_json(self.actions),
            "compared": {
                tier: {name: spread.to_dict() for name, spread in spreads.items()}
                for tier, spreads in self.compared.items()
            },
        }


def review(
    policy: Policy,
    account: Account,
    *,
    now: int,
    measured: MeasuredUsage | None = None,
    requests: Iterable[FeatureRequest] = (),
    events: Iterable[str] = (),
) -> Review:
    """
    Return what becomes of *account*, with reasons and evidence.

    Args:
        policy: The policy in force.
        account: The account, as the policy reads it.
        now: The application's clock, in microseconds.
        measured: What the store counted; None: nobody looked.
        requests: Features that it asked for and was denied.
        events: What happened to its business, in the policy's words.

    Raises:
        ValueError: For an event that no tier of the policy knows, or terms that cannot be.
        UnknownAccount: For an account whose own tier the policy does not know.
    """
    told = tuple(dict.fromkeys(events))
    _check_events(policy, told)
    own = own_tier(policy, account, now)
    entitlements = resolve(policy, account, now)
    contract = without_trial(policy, account, now)
    terms = terms_of(contract.values)
    assignment = assign(policy, account)
    found = [
        *event_triggers(terms, told),
        *scheduled_triggers(policy, own, account, now),
        *usage_triggers(terms, entitlements, measured or MeasuredUsage(), now),
        *request_triggers(contract, own, requests),
        *criterion_triggers(terms, assignment.criteria),
        *revenue_triggers(policy, own, assignment),
    ]
    action, to = _choose_action(policy, own, terms, assignment, found)
    return Review(
        account.id,
        own.id,
        action,
        to,
        tuple(trigger for trigger in found if trigger.speaks_for is action),
        tuple(trigger for trigger in found if trigger.speaks_for is not action),
        tuple(_unknown(terms, entitlements, assignment, measured, told)),
        _process(terms, action),
        terms.notice if action is Action.DOWNGRADE else timedelta(),
        terms.upgrade.outreach if action is Action.UPGRADE and terms.upgrade else None,
        assignment,
    )


def quota_names(policy: Policy) -> list[str]:
    """Return the limits that have a history."""
    return [name for name, limit in policy.limits.items() if isinstance(limit, Quota)]


def combine_reviews(policy: Policy, reviews: Iterable[Review]) -> BaseReview:
    """Return many reviews as one, counted and compared by tier."""
    every = tuple(reviews)
    tiers = sorted({each.tier for each in every}, key=lambda tier: -policy.tiers[tier].rank)
    groups = {tier: [each for each in every if each.tier == tier] for tier in tiers}
    return BaseReview(
        every,
        MappingProxyType({tier: dict(Counter(each.action for each in group)) for tier, group in groups.items()}),
        MappingProxyType({tier: dict(_spreads(group)) for tier, group in groups.items()}),
    )


def _check_events(policy: Policy, events: tuple[str, ...]) -> None:
    known = dict.fromkeys(event for tier in policy.tiers.values() for event in terms_of(tier.values).events)
    for event in events:
        if event not in known:
            close = nearest(event, known) or f"; there are {', '.join(known) or 'none'}"
            raise ValueError(f"{shown(event)} is no event that the policy knows{close}")


def _choose_action(
    policy: Policy, own: Tier, terms: Terms, assignment: Assignment, found: list[Trigger]
) -> tuple[Action, str | None]:
    """Return the action that weighs most, and the tier that it leads to."""
    closing = any(trigger.speaks_for is Action.CLOSE for trigger in found)
    scheduled = next((trigger for trigger in found if trigger.cause is Cause.SCHEDULED), None)
    if scheduled is not None and not closing:
        return scheduled.speaks_for, scheduled.name
    for action, causes in _WEIGHTS:
        speaking = [trigger for trigger in found if trigger.speaks_for is action and trigger.cause in causes]
        to = _target(policy, own, terms, assignment, action)
        if speaking and (to is not None or action in _STAYING):
            return action, to
    return Action.KEEP, None


_EVERY = frozenset(Cause)
_WEIGHTS: tuple[tuple[Action, frozenset[Cause]], ...] = (
    (Action.CLOSE, _EVERY),
    (Action.DOWNGRADE, frozenset({Cause.EVENT})),
    (Action.UPGRADE, _EVERY),
    (Action.DOWNGRADE, _EVERY),
    (Action.OPTIMISE, _EVERY),
)
_STAYING = frozenset({Action.CLOSE, Action.OPTIMISE})


def _target(policy: Policy, own: Tier, terms: Terms, assignment: Assignment, action: Action) -> str | None:
    """Return the tier that an action leads to: the one that is paid for, else the next on the policy's way."""
    if action in _STAYING:
        return None
    assigned = policy.tiers[assignment.tier] if assignment.tier else own
    if action is Action.UPGRADE:
        way = terms.upgrade.to if terms.upgrade else None
        return assigned.id if assigned.rank > own.rank else way
    return assigned.id if assigned.rank < own.rank else terms.down_to


def _process(terms: Terms, action: Action) -> tuple[str, ...]:
    if action is Action.UPGRADE and terms.upgrade:
        return terms.upgrade.process
    return terms.process if action in {Action.DOWNGRADE, Action.CLOSE} else ()


def _unknown(
    terms: Terms,
    entitlements: Entitlements,
    assignment: Assignment,
    measured: MeasuredUsage | None,
    events: tuple[str, ...],
) -> Iterator[str]:
    if assignment.gap is not None:
        yield assignment.gap.text
    yield from (str(misfit) for misfit in assignment.misfits)
    if measured is None:
        yield "usage was not looked at"
    else:
        yield from (
            f"{name} has no history" for name in quota_names(entitlements.policy) if not measured.history.get(name)
        )
    for event in events:
        if event not in terms.events:
            yield f"{event} means nothing for {entitlements.tier}, which knows {', '.join(terms.events) or 'none'}"


def _spreads(group: list[Review]) -> Iterator[tuple[str, Distribution]]:
    for name in group[0].assignment.criteria:
        values = [each.assignment.criteria.get(name) for each in group]
        numbers = sorted(value for value in values if isinstance(value, Decimal | int) and not isinstance(value, bool))
        if numbers:
            yield name, Distribution(len(numbers), numbers[0], numbers[(len(numbers) - 1) // 2], numbers[-1])
