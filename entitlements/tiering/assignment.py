"""
Tier assignment: the first rule that fits an account, with an explanation.

The binding criterion decides. Other criteria are signals: the value of each votes for a
tier. A vote above the assigned tier is an upgrade opportunity. A vote below it is a hint
that the account pays for more than it needs. A value in several bands votes for the
narrowest one; of equally narrow bands, for the tier nearest to the assigned one. A band
of any value votes only for accounts that are assigned to its tier.

Every account gets one tier or a gap with its reason. A rule that cannot be decided,
because a value is unknown, is a gap as well: a later rule must not take the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from entitlements.model.account import Account
from entitlements.model.conditions import Between, CriterionValue, IsKnown, OneOf
from entitlements.model.criteria import AssignmentRules, Band, Criterion, Rule
from entitlements.model.display import fields_in_json, in_words
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.policy import PolicyData
from entitlements.tiering.conditions import criteria_of, describe, describe_test, holds
from entitlements.tiering.criterion_values import Misfit, read_attributes

Subject = Account | Mapping[str, object]
"""An account, or its attributes alone."""


class VoteDirection(StrEnum):
    """The direction of a vote, relative to the assigned tier."""

    HIGHER = "higher"
    SAME = "same"
    LOWER = "lower"


class GapKind(StrEnum):
    """The reason that no tier could be assigned."""

    UNKNOWN = "unknown"  # a rule needs a value that is not known
    CONTRADICTORY = "contradictory"  # a value is invalid
    NO_RULE = "no-rule"  # no rule fits
    NO_RULES = "no-rules"  # the policy assigns no tiers


@dataclass(frozen=True, slots=True)
class Gap:
    """
    The reason that an account has no tier.

    Args:
        why: The kind of gap.
        criteria: The criteria that are unknown or invalid.
        rule: The rule that could not be decided, or None.
        text: One sentence for people.
    """

    why: GapKind
    criteria: tuple[str, ...]
    rule: str | None
    text: str

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Vote:
    """
    The tier that one signal votes for.

    Args:
        signal: The criterion.
        value: The account's value of it.
        tier: The tier of the band that contains the value.
        band: That band, in words.
        direction: The direction from the assigned tier; None without one.
    """

    signal: str
    value: CriterionValue
    tier: str
    band: str
    direction: VoteDirection | None

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Hint:
    """
    The combined votes for higher tiers, or for lower ones.

    Args:
        tier: The tier with the most votes; the nearest one if several have equally many.
        signals: The criteria that voted in this direction, for this tier or another.
    """

    tier: str
    signals: tuple[str, ...]

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Assignment:
    """
    The assigned tier of an account, with the values, votes and hints.

    Args:
        account: The account's id; None for attributes alone.
        tier: The tier's id; None if there is a gap.
        rule: The rule that fitted; None if there is a gap.
        because: The condition of that rule, in words.
        criteria: The value of every criterion of the policy; None if unknown.
        votes: One per signal with a value in a band, in the order of the policy.
        upgrade: The upgrade opportunity, if signals vote for a higher tier.
        optimisation: The optimisation hint, if signals vote for a lower tier.
        gap: The reason that there is no tier; None if there is one.
        misfits: Invalid attributes, which were ignored.
    """

    account: str | None
    tier: str | None
    rule: str | None
    because: str
    criteria: Mapping[str, CriterionValue | None]
    votes: tuple[Vote, ...]
    upgrade: Hint | None
    optimisation: Hint | None
    gap: Gap | None
    misfits: tuple[Misfit, ...]

    to_dict = fields_in_json


def assign(policy: PolicyData, who: Subject) -> Assignment:
    """
    Return the tier that an account belongs in by the policy's rules; its present tier does not matter.

    Args:
        policy: The policy with the rules.
        who: An account, or attributes alone: `{"annual-value": 30_000, "agents": 12}`.
    """
    account, attributes = (who.id, who.attributes) if isinstance(who, Account) else (None, who)
    rules = policy.assignment
    if rules is None:
        text = f"policy {policy.version} has no assignment rules; write a section `assignment`"
        no_rules = Gap(GapKind.NO_RULES, (), None, text)
        return Assignment(account, None, None, "", FrozenDict({}), (), None, None, no_rules, ())
    known, misfits = read_attributes(rules.criteria, attributes, account, currency=policy.currency)
    found = _first_fit(rules, known, misfits)
    rule, gap = (found, None) if isinstance(found, Rule) else (None, found)
    votes = tuple(_votes(policy, rules, known, rule.tier if rule else None))
    return Assignment(
        account,
        rule.tier if rule else None,
        rule.name if rule else None,
        _condition_text(rules, rule) if rule else "",
        FrozenDict({criterion: known.get(criterion) for criterion in rules.criteria}),
        votes,
        _hint(policy, votes, VoteDirection.HIGHER),
        _hint(policy, votes, VoteDirection.LOWER),
        gap,
        misfits,
    )


def _first_fit(rules: AssignmentRules, known: Mapping[str, CriterionValue], misfits: tuple[Misfit, ...]) -> Rule | Gap:
    """Return the first rule that fits, or the gap."""
    for rule in rules.rules:
        answer = holds(rule.when, known)
        if answer:
            return rule
        if answer is None:
            missing = tuple(each for each in criteria_of(rule.when) if each not in known)
            return _undecided(rule.name, missing, misfits)
    text = "no rule fits this account; add a rule without `when` at the end of the list"
    return Gap(GapKind.NO_RULE, (), None, text)


def _condition_text(rules: AssignmentRules, rule: Rule) -> str:
    text = rules.derived[id(rule)]
    if text is None:
        text = rules.derived[id(rule)] = describe(rule.when)
    return str(text)


def _undecided(rule: str, missing: tuple[str, ...], misfits: tuple[Misfit, ...]) -> Gap:
    invalid = {misfit.criterion for misfit in misfits}
    wrong = tuple(name for name in missing if name in invalid)
    if wrong:
        text = f"{', '.join(wrong)} cannot be right, so rule {rule!r} cannot be decided"
        return Gap(GapKind.CONTRADICTORY, wrong, rule, text)
    text = f"{', '.join(missing)} is not known, so rule {rule!r} cannot be decided"
    return Gap(GapKind.UNKNOWN, missing, rule, text)


def _votes(
    policy: PolicyData, rules: AssignmentRules, known: Mapping[str, CriterionValue], tier: str | None
) -> Iterator[Vote]:
    for signal in rules.signals:
        value = known.get(signal)
        key = signal, str(value), tier  # many accounts have the same value
        found = rules.derived[key]
        if found is None:
            found = rules.derived[key] = _band_of(policy, rules, signal, known, tier)
        yield from found


def _band_of(
    policy: PolicyData, rules: AssignmentRules, signal: str, known: Mapping[str, CriterionValue], tier: str | None
) -> tuple[Vote, ...]:
    """Return the vote of the value of *signal*; empty where it is in no band."""
    bands = rules.signals[signal]
    fitting = [band for band in bands if holds(band.when, known) and _is_eligible(policy, band, tier)]
    if not fitting:
        return ()
    band = min(fitting, key=lambda band: _narrowness(policy, rules.criteria[signal], band, tier))
    direction = None if tier is None else _direction(policy, band.tier, tier)
    return (Vote(signal, known[signal], band.tier, describe_test(band.when), direction),)


def _narrowness(policy: PolicyData, criterion: Criterion, band: Band, tier: str | None) -> tuple[Decimal, int]:
    away = 0 if tier is None else abs(policy.tiers[band.tier].rank - policy.tiers[tier].rank)
    return _breadth(criterion, band.when), away


def _is_eligible(policy: PolicyData, band: Band, tier: str | None) -> bool:
    return not isinstance(band.when, IsKnown) or (
        tier is not None and policy.tiers[band.tier].rank == policy.tiers[tier].rank
    )


def _breadth(criterion: Criterion, test: Between | OneOf | IsKnown) -> Decimal:
    """Return the number of values in a band; a band of any value sorts first."""
    if isinstance(test, IsKnown):
        return Decimal(-1)
    if isinstance(test, OneOf):
        return Decimal(len(test.values))
    low = criterion.least if test.low is None else test.low
    high = criterion.most if test.high is None else test.high
    return Decimal("Infinity") if low is None or high is None else high - low


def _direction(policy: PolicyData, voted: str, assigned: str) -> VoteDirection:
    for_tier, own = policy.tiers[voted], policy.tiers[assigned]
    lower = VoteDirection.LOWER if own.is_above(for_tier) else VoteDirection.SAME
    return VoteDirection.HIGHER if for_tier.is_above(own) else lower


def _hint(policy: PolicyData, votes: tuple[Vote, ...], direction: VoteDirection) -> Hint | None:
    pointing = [vote for vote in votes if vote.direction is direction and policy.tiers[vote.tier].is_sold]
    if not pointing:
        return None
    sign = 1 if direction is VoteDirection.HIGHER else -1
    counted = {vote.tier: sum(each.tier == vote.tier for each in pointing) for vote in pointing}
    tier = min(counted, key=lambda tier: (-counted[tier], sign * policy.tiers[tier].rank))
    return Hint(tier, tuple(vote.signal for vote in pointing))


def explain(assignment: Assignment) -> list[str]:
    """Return the assignment as lines of text for people."""
    subject = f"account {assignment.account!r}" if assignment.account is not None else "the account"
    misfits = [str(misfit) for misfit in assignment.misfits]
    if assignment.gap is not None:
        return [f"{subject} has no tier: {assignment.gap.text}", *misfits]
    lines = [f"{subject} belongs in {assignment.tier}: rule {assignment.rule!r}, {assignment.because}"]
    lines += [f"{vote.signal} {in_words(vote.value)} votes for {vote.tier} ({vote.band})" for vote in assignment.votes]
    if assignment.upgrade:
        lines.append(f"upgrade opportunity: {assignment.upgrade.tier}, by {', '.join(assignment.upgrade.signals)}")
    if assignment.optimisation:
        lines.append(
            f"optimisation hint: {assignment.optimisation.tier}, by {', '.join(assignment.optimisation.signals)}"
        )
    return [*lines, *misfits]
