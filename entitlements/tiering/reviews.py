"""
Quarterly reviews: the recommended action for an account, with its reasons.

The order of precedence: an account of a closed business is closed; a scheduled change
stands; an event that speaks for a downgrade moves it down; outgrowing the tier moves it
up; a binding value of a lower tier moves it down; a mostly unused tier is
optimised. The review also has the reasons that lost, and everything that is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from entitlements.model.account import Account
from entitlements.model.conditions import CriterionValue
from entitlements.model.display import fields_in_json
from entitlements.model.entitlements import Entitlements
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.immutable import ANSWER, immutable
from entitlements.model.limits import Quota
from entitlements.model.names import nearest_or_all, shown
from entitlements.model.policy import PolicyData
from entitlements.model.tier import Tier
from entitlements.tiering import triggers
from entitlements.tiering.assignment import Assignment, assign
from entitlements.tiering.contracts import Contract, Contracts
from entitlements.tiering.numbers import as_number, percent
from entitlements.tiering.terms import Terms, terms_of
from entitlements.tiering.triggers import Action, Cause, FeatureRequest, MeasuredUsage, Trigger


@immutable(ANSWER)
@dataclass(frozen=True, slots=True)
class Review:
    """
    The review of one account.

    Args:
        account: The account's id.
        tier: Its own tier.
        action: The recommended action.
        to: The new tier; None if the account stays or closes.
        reasons: The triggers for the action.
        others: The other triggers, for another action or for information.
        unknown: The unknown facts, one sentence each.
        process: The steps of the policy for the action, in order.
        notice: The notice period of a downgrade.
        outreach: The time limit for contacting the customer about an upgrade; None without one.
        assignment: The tier assignment by the account's attributes.
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

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of a criterion over the accounts of a tier with a known value; *middle* is the median."""

    count: int
    least: CriterionValue
    middle: CriterionValue
    most: CriterionValue

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class FlagShare:
    """The accounts of a tier with a known flag: their number, those with a yes, and these in percent."""

    count: int
    yes: int
    percent: Decimal

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class BaseReview:
    """
    The review of many accounts.

    Args:
        reviews: One per account, in order.
        actions: Number of accounts by tier and action, higher tiers first.
        compared: For each tier, the distribution of each numeric criterion over its accounts, and the share of
            those that have each flag.
    """

    reviews: tuple[Review, ...]
    actions: Mapping[str, Mapping[Action, int]] = field(default_factory=dict)
    compared: Mapping[str, Mapping[str, Distribution | FlagShare]] = field(default_factory=dict)

    to_dict = fields_in_json


def review(
    policy: PolicyData,
    account: Account,
    *,
    now: int,
    measured: MeasuredUsage | None = None,
    requests: Iterable[FeatureRequest] = (),
    events: Iterable[str] = (),
    contract: Contract | None = None,
) -> Review:
    """
    Return the review of *account*, with reasons and evidence.

    Args:
        policy: The policy in force.
        account: The account, read under the policy.
        now: The application's clock, in microseconds.
        measured: The usage that the store counted; None if it was not read.
        requests: Features that the account asked for and was denied.
        events: Events in the customer's business, by their names in the policy.
        contract: The account's contract at *now*, if it is known.

    Raises:
        ValueError: For an event that no tier of the policy knows, or invalid terms.
        UnknownAccount: For an account with an unknown tier.
    """
    names = (events,) if isinstance(events, str) else tuple(dict.fromkeys(events))
    _check_events(policy, names)
    if contract is None:
        contract = Contracts(policy, now).of(account)
    own, entitlements, terms = contract.own, contract.entitlements, contract.terms
    assignment = assign(policy, account)
    triggered = [
        *triggers.event_triggers(terms, names),
        *triggers.scheduled_triggers(policy, own, account, now),
        *triggers.usage_triggers(terms, entitlements, measured or MeasuredUsage(), now),
        *triggers.request_triggers(contract.lasting, own, requests),
        *triggers.criterion_triggers(terms, assignment.criteria),
        *triggers.revenue_triggers(policy, own, assignment),
    ]
    found = triggers.with_support(triggered)
    action, to = _choose_action(policy, own, terms, assignment, found)
    return Review(
        account.id,
        own.id,
        action,
        to,
        tuple(trigger for trigger in found if trigger.speaks_for is action),
        tuple(trigger for trigger in found if trigger.speaks_for is not action),
        tuple(_unknown(terms, entitlements, assignment, measured, names)),
        _process(terms, action),
        terms.notice if action is Action.DOWNGRADE else timedelta(),
        terms.upgrade.outreach if action is Action.UPGRADE else None,
        assignment,
    )


def combine_reviews(policy: PolicyData, reviews: Iterable[Review]) -> BaseReview:
    """Return the reviews of a base, counted and compared by tier."""
    every = tuple(reviews)
    tiers = sorted({each.tier for each in every}, key=lambda tier: -policy.tiers[tier].rank)
    groups = {tier: [each for each in every if each.tier == tier] for tier in tiers}
    return BaseReview(
        every,
        FrozenDict({tier: dict(Counter(each.action for each in group)) for tier, group in groups.items()}),
        FrozenDict({tier: dict(_distributions(group)) for tier, group in groups.items()}),
    )


def _check_events(policy: PolicyData, events: tuple[str, ...]) -> None:
    if not events:
        return
    known = dict.fromkeys(event for tier in policy.tiers.values() for event in terms_of(tier.values).events)
    for event in events:
        if event not in known:
            raise ValueError(f"{shown(event)} is no event that the policy knows{nearest_or_all(event, known)}")


def _choose_action(
    policy: PolicyData, own: Tier, terms: Terms, assignment: Assignment, found: list[Trigger]
) -> tuple[Action, str | None]:
    """Return the action with the highest precedence, and its tier."""
    closing = any(trigger.speaks_for is Action.CLOSE for trigger in found)
    scheduled = next((trigger for trigger in found if trigger.cause is Cause.SCHEDULED), None)
    if scheduled is not None and not closing:
        return scheduled.speaks_for, scheduled.name
    for action, causes in _PRECEDENCE:
        if any(trigger.speaks_for is action and trigger.cause in causes for trigger in found):
            to = _target(policy, own, terms, assignment, action)
            if to is not None or action in _STAYING:
                return action, to
    return Action.KEEP, None


_EVERY = frozenset(Cause)
_PRECEDENCE: tuple[tuple[Action, frozenset[Cause]], ...] = (
    (Action.CLOSE, _EVERY),
    (Action.DOWNGRADE, frozenset({Cause.EVENT})),
    (Action.UPGRADE, _EVERY),
    (Action.DOWNGRADE, _EVERY),
    (Action.OPTIMISE, _EVERY),
)
_STAYING = frozenset({Action.CLOSE, Action.OPTIMISE})


def _target(policy: PolicyData, own: Tier, terms: Terms, assignment: Assignment, action: Action) -> str | None:
    """Return the tier of an action: the assigned tier, else the next one by the policy's terms."""
    if action in _STAYING:
        return None
    assigned = policy.tiers[assignment.tier] if assignment.tier else own
    if assigned.is_sold and (assigned.is_above(own) if action is Action.UPGRADE else own.is_above(assigned)):
        return assigned.id
    to = terms.upgrade.to if action is Action.UPGRADE else terms.down_to
    return to if to is None or policy.tiers[to].is_sold else None


def _process(terms: Terms, action: Action) -> tuple[str, ...]:
    if action is Action.UPGRADE:
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
        for name, limit in entitlements.policy.limits.items():
            if isinstance(limit, Quota) and not limit.per and not measured.history.get(name):
                yield f"{name} has no history"
    for event in events:
        if event not in terms.events:
            yield f"{event} means nothing for {entitlements.tier}, which knows {', '.join(terms.events) or 'none'}"


def _distributions(group: list[Review]) -> Iterator[tuple[str, Distribution | FlagShare]]:
    for name in group[0].assignment.criteria:
        values = [each.assignment.criteria.get(name) for each in group]
        numbers = sorted(number for value in values if (number := as_number(value)) is not None)
        flags = [value for value in values if isinstance(value, bool)]
        if numbers:
            yield name, Distribution(len(numbers), numbers[0], numbers[(len(numbers) - 1) // 2], numbers[-1])
        elif flags and (share := percent(sum(flags), len(flags))) is not None:
            yield name, FlagShare(len(flags), sum(flags), share)
