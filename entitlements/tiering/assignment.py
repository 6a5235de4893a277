"""
Which tier an account belongs in: the first rule that fits, and why.

The binding criterion decides. Other criteria are signals: the value of each votes for a
tier, and a vote above the assigned tier is an upgrade opportunity, below it a hint that
the account pays for more than it needs. A value that lies in several bands votes for the
narrowest; of equally narrow ones, for the tier nearest to the assigned one. A tier that
takes any value keeps the accounts assigned to it, and is nobody else's vote.

Every account gets one tier or a named gap. A rule that cannot be decided, because what
it asks is not known, is a gap as well: a later rule must not take the account by luck.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from entitlements.model.account import Account
from entitlements.model.conditions import Between, CriterionValue, IsKnown, OneOf
from entitlements.model.criteria import AssignmentRules, Band, Criterion
from entitlements.model.display import in_json, in_words
from entitlements.model.policy import Policy
from entitlements.tiering.attributes import Misfit, read_attributes
from entitlements.tiering.conditions import criteria_of, describe, describe_test, holds


class VoteDirection(StrEnum):
    """Where a vote points, seen from the assigned tier."""

    HIGHER = "higher"
    SAME = "same"
    LOWER = "lower"


class GapKind(StrEnum):
    """Why no tier could be assigned."""

    UNKNOWN = "unknown"  # a rule asks for what nobody has said of the account
    CONTRADICTORY = "contradictory"  # what was said cannot be right
    NO_RULE = "no-rule"  # no rule fits
    NO_RULES = "no-rules"  # the policy assigns no tiers


@dataclass(frozen=True, slots=True)
class Gap:
    """
    Why an account has no tier.

    Args:
        why: Of which kind.
        criteria: The criteria that are missing, or not right.
        rule: The rule that could not be decided, or None.
        text: One sentence for people.
    """

    why: GapKind
    criteria: tuple[str, ...]
    rule: str | None
    text: str

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {"why": self.why.value, "criteria": list(self.criteria), "rule": self.rule, "text": self.text}


@dataclass(frozen=True, slots=True)
class Vote:
    """
    The tier that one signal speaks for.

    Args:
        signal: The criterion.
        value: What is known for it.
        tier: The tier whose band the value lies in.
        band: That band, in words.
        direction: Where that is from the assigned tier; None where none was assigned.
    """

    signal: str
    value: CriterionValue
    tier: str
    band: str
    direction: VoteDirection | None

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "signal": self.signal,
            "value": in_json(self.value),
            "tier": self.tier,
            "band": self.band,
            "direction": self.direction and self.direction.value,
        }


@dataclass(frozen=True, slots=True)
class Hint:
    """
    What votes beside the assigned tier add up to.

    Args:
        tier: The tier that most of them speak for; the nearest where several do equally.
        signals: The criteria that voted so, for that tier or further away.
    """

    tier: str
    signals: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {"tier": self.tier, "signals": list(self.signals)}


@dataclass(frozen=True, slots=True)
class Assignment:
    """
    The tier of an account, and everything that led to it.

    Args:
        account: The account's id; None where attributes came alone.
        tier: The tier's id; None where there is a gap.
        rule: The rule that fitted; None where there is a gap.
        because: That rule's condition, in words.
        criteria: What is known, for every criterion of the policy; None where nothing is.
        votes: One per signal that has a value in a band, in the order of the policy.
        upgrade: The opportunity, where signals vote for a higher tier.
        optimisation: The hint, where signals vote for a lower one.
        gap: Why there is no tier; None where there is one.
        misfits: Attributes that cannot be right, and were not believed.
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

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "account": self.account,
            "tier": self.tier,
            "rule": self.rule,
            "because": self.because,
            "criteria": in_json(self.criteria),
            "votes": [vote.to_dict() for vote in self.votes],
            "upgrade": self.upgrade and self.upgrade.to_dict(),
            "optimisation": self.optimisation and self.optimisation.to_dict(),
            "gap": self.gap and self.gap.to_dict(),
            "misfits": [misfit.to_dict() for misfit in self.misfits],
        }


def assign(policy: Policy, who: Account | Mapping[str, object]) -> Assignment:
    """
    Return the tier that an account belongs in, whatever tier it is in.

    Args:
        policy: Whose rules.
        who: An account, or attributes alone: `{"annual-value": 30_000, "agents": 12}`.
    """
    account, attributes = (who.id, who.attributes) if isinstance(who, Account) else (None, who)
    rules = policy.assignment
    if rules is None:
        text = f"policy {policy.version} has no assignment rules; write a section `assignment`"
        return _unassigned(account, Gap(GapKind.NO_RULES, (), None, text))
    known, misfits = read_attributes(rules.criteria, attributes, account, currency=policy.currency)
    name, tier, because, gap = _first_fit(rules, known, misfits)
    votes = tuple(_votes(policy, rules, known, tier))
    return Assignment(
        account,
        tier,
        name,
        because,
        MappingProxyType({criterion: known.get(criterion) for criterion in rules.criteria}),
        votes,
        _hint(policy, votes, VoteDirection.HIGHER),
        _hint(policy, votes, VoteDirection.LOWER),
        gap,
        misfits,
    )


def _unassigned(account: str | None, gap: Gap) -> Assignment:
    return Assignment(account, None, None, "", MappingProxyType({}), (), None, None, gap, ())


def _first_fit(
    rules: AssignmentRules, known: Mapping[str, CriterionValue], misfits: tuple[Misfit, ...]
) -> tuple[str | None, str | None, str, Gap | None]:
    """Return the rule that fits, its tier and condition; or why none does."""
    for rule in rules.rules:
        answer = holds(rule.when, known)
        if answer:
            return rule.name, rule.tier, describe(rule.when), None
        if answer is None:
            missing = tuple(each for each in criteria_of(rule.when) if each not in known)
            return None, None, "", _undecided(rule.name, missing, misfits)
    text = "no rule fits this account; add a rule without `when` at the end of the list"
    return None, None, "", Gap(GapKind.NO_RULE, (), None, text)


def _undecided(rule: str, missing: tuple[str, ...], misfits: tuple[Misfit, ...]) -> Gap:
    disbelieved = {misfit.criterion for misfit in misfits}
    wrong = tuple(name for name in missing if name in disbelieved)
    if wrong:
        text = f"{', '.join(wrong)} cannot be right, so rule {rule!r} cannot be decided"
        return Gap(GapKind.CONTRADICTORY, wrong, rule, text)
    text = f"{', '.join(missing)} is not known, so rule {rule!r} cannot be decided"
    return Gap(GapKind.UNKNOWN, missing, rule, text)


def _votes(
    policy: Policy, rules: AssignmentRules, known: Mapping[str, CriterionValue], tier: str | None
) -> Iterator[Vote]:
    for signal, bands in rules.signals.items():
        fitting = [band for band in bands if holds(band.when, known) and _speaks(policy, band, tier)]
        if fitting:
            band = min(fitting, key=lambda band: _narrowness(policy, rules.criteria[signal], band, tier))
            direction = None if tier is None else _direction(policy, band.tier, tier)
            yield Vote(signal, known[signal], band.tier, describe_test(band.when), direction)


def _narrowness(policy: Policy, criterion: Criterion, band: Band, tier: str | None) -> tuple[Decimal, int]:
    away = 0 if tier is None else abs(policy.tiers[band.tier].rank - policy.tiers[tier].rank)
    return _breadth(criterion, band.when), away


def _speaks(policy: Policy, band: Band, tier: str | None) -> bool:
    return not isinstance(band.when, IsKnown) or (
        tier is not None and policy.tiers[band.tier].rank == policy.tiers[tier].rank
    )


def _breadth(criterion: Criterion, test: Between | OneOf | IsKnown) -> Decimal:
    """Return how many values a band admits; any value at all is the assigned tier's, and goes before all."""
    if isinstance(test, IsKnown):
        return Decimal(-1)
    if isinstance(test, OneOf):
        return Decimal(len(test.values))
    low = criterion.least if test.low is None else test.low
    high = criterion.most if test.high is None else test.high
    return Decimal("Infinity") if low is None or high is None else high - low


def _direction(policy: Policy, voted: str, assigned: str) -> VoteDirection:
    difference = policy.tiers[voted].rank - policy.tiers[assigned].rank
    return VoteDirection.HIGHER if difference > 0 else VoteDirection.LOWER if difference < 0 else VoteDirection.SAME


def _hint(policy: Policy, votes: tuple[Vote, ...], direction: VoteDirection) -> Hint | None:
    pointing = [vote for vote in votes if vote.direction is direction]
    if not pointing:
        return None
    sign = 1 if direction is VoteDirection.HIGHER else -1
    counted = {vote.tier: sum(each.tier == vote.tier for each in pointing) for vote in pointing}
    tier = min(counted, key=lambda tier: (-counted[tier], sign * policy.tiers[tier].rank))
    return Hint(tier, tuple(vote.signal for vote in pointing))


def explain(assignment: Assignment) -> list[str]:
    """Return the assignment in sentences for people, one a line."""
    whose = f"account {assignment.account!r}" if assignment.account is not None else "the account"
    lines = [str(misfit) for misfit in assignment.misfits]
    if assignment.gap is not None:
        return [f"{whose} has no tier: {assignment.gap.text}", *lines]
    told = [f"{whose} belongs in {assignment.tier}: rule {assignment.rule!r}, {assignment.because}"]
    told += [f"{vote.signal} {in_words(vote.value)} votes for {vote.tier} ({vote.band})" for vote in assignment.votes]
    if assignment.upgrade:
        told.append(f"upgrade opportunity: {assignment.upgrade.tier}, by {', '.join(assignment.upgrade.signals)}")
    if assignment.optimisation:
        told.append(
            f"optimisation hint: {assignment.optimisation.tier}, by {', '.join(assignment.optimisation.signals)}"
        )
    return [*told, *lines]
