"""
Segmentation of a base of accounts into one segment per tier, with an explanation per account.

By rules, each account is decided alone: the first rule that fits decides. By share, the
accounts are taken from the largest down. Each belongs in the tier in whose share of the
total it *begins*. Accounts of equal value begin together, so they get the same tier in
any order of the base. An account without value adds nothing and is in the last tier. The
arithmetic is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from itertools import groupby

from entitlements.model.account import Account
from entitlements.model.conditions import CriterionValue
from entitlements.model.criteria import AssignmentRules
from entitlements.model.display import fields_in_json, in_words
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.names import nearest_or_all
from entitlements.model.policy import PolicyData
from entitlements.model.segments import Cut, RuleSegmentation, ShareSegmentation
from entitlements.tiering.assignment import Gap, GapKind, Subject, assign
from entitlements.tiering.criterion_values import Misfit, read_attributes
from entitlements.tiering.numbers import EXACT, as_number, percent

ASSIGNMENT = "assignment"
"""The name of the segmentation by the policy's assignment rules."""


@dataclass(frozen=True, slots=True)
class SegmentedAccount:
    """
    The segment of one account.

    Args:
        account: The account's id; None for attributes alone.
        tier: The tier's id; None if there is a gap.
        rule: The name of the rule, or of the segmentation, that decided.
        because: The reason, in words.
        value: Its value of the binding criterion, or of the one that is added up.
        gap: The reason that there is no tier; None if there is one.
        misfits: Invalid attributes, which were ignored.
    """

    account: str | None
    tier: str | None
    rule: str | None
    because: str
    value: CriterionValue | None
    gap: Gap | None = None
    misfits: tuple[Misfit, ...] = ()

    to_dict = fields_in_json


@dataclass(frozen=True, slots=True)
class Segment:
    """
    The totals of the accounts of one tier.

    Args:
        tier: The tier's id; None for accounts without one.
        accounts: Number of accounts.
        total: The sum of the known values.
        share: The percentage of the base's total; None if that is 0.
        least: The smallest value; None if none is known.
        most: The largest value; None if none is known.
    """

    tier: str | None
    accounts: int
    total: Decimal
    share: Decimal | None
    least: Decimal | None
    most: Decimal | None

    to_dict = fields_in_json


def segmentations(policy: PolicyData) -> tuple[str, ...]:
    """Return the names of the segmentations of *policy*, the default first."""
    return (*([ASSIGNMENT] if policy.assignment else []), *policy.segmentations)


def measure_of(policy: PolicyData, by: str | None = None) -> str:
    """
    Return the criterion that a segmentation adds up.

    Raises:
        ValueError: For an unknown segmentation.
    """
    chosen = _chosen(policy, by)
    return chosen.criterion if isinstance(chosen, ShareSegmentation) else _rules(policy).binding


def segment(policy: PolicyData, base: Iterable[Subject], *, by: str | None = None) -> Iterator[SegmentedAccount]:
    """
    Yield the segment of each account, in the order of the base.

    Args:
        policy: The policy with the segmentation.
        base: Accounts, or attributes alone.
        by: The segmentation's name; None for the first of `segmentations(policy)`.

    Raises:
        ValueError: For an unknown segmentation.
    """
    chosen = _chosen(policy, by)
    if isinstance(chosen, ShareSegmentation):
        return _by_share(policy, chosen, base)
    if isinstance(chosen, RuleSegmentation):
        policy = replace(policy, assignment=replace(_rules(policy), rules=chosen.rules, signals={}))
    return (_by_rules(policy, who) for who in base)


def summary(policy: PolicyData, segmented: Iterable[SegmentedAccount]) -> tuple[Segment, ...]:
    """Return the totals of every tier with accounts, higher tiers first, then of accounts without a tier."""
    groups: dict[str | None, list[Decimal | None]] = {}
    for each in segmented:
        groups.setdefault(each.tier, []).append(as_number(each.value))
    order = [*sorted(policy.tiers, key=lambda id: -policy.tiers[id].rank), None]
    with localcontext(EXACT):
        whole = sum((each for values in groups.values() for each in values if each is not None), Decimal(0))
        return tuple(_segment(tier, groups[tier], whole) for tier in order if tier in groups)


def _segment(tier: str | None, values: list[Decimal | None], whole: Decimal) -> Segment:
    known = [each for each in values if each is not None]
    total = sum(known, Decimal(0))
    share = percent(total, whole)
    return Segment(tier, len(values), total, share, min(known, default=None), max(known, default=None))


def _chosen(policy: PolicyData, by: str | None) -> ShareSegmentation | RuleSegmentation | None:
    """Return the segmentation *by*; None for the assignment rules."""
    known = segmentations(policy)
    name = by or next(iter(known), "")
    if name not in known:
        raise ValueError(f"policy {policy.version} has no segmentation {by!r}{nearest_or_all(name, known)}")
    return policy.segmentations.get(name)


def _rules(policy: PolicyData) -> AssignmentRules:
    assert policy.assignment is not None  # a segmentation is loaded only with criteria
    return policy.assignment


def _by_rules(policy: PolicyData, who: Subject) -> SegmentedAccount:
    found = assign(policy, who)
    value = found.criteria.get(_rules(policy).binding)
    return SegmentedAccount(found.account, found.tier, found.rule, found.because, value, found.gap, found.misfits)


def _by_share(policy: PolicyData, by: ShareSegmentation, base: Iterable[Subject]) -> Iterator[SegmentedAccount]:
    read = [_read(policy, by, who) for who in base]
    numbers = [number for each in read if (number := as_number(each.value)) is not None]
    places = _places(by.cuts, numbers)
    for each in read:
        number = as_number(each.value)
        if number is None:
            yield each
        else:
            cut, begins = places[number]
            yield replace(each, tier=cut.tier, rule=by.name, because=_because(by, cut, number, begins))


def _read(policy: PolicyData, by: ShareSegmentation, who: Subject) -> SegmentedAccount:
    account, attributes = (who.id, who.attributes) if isinstance(who, Account) else (None, who)
    known, misfits = read_attributes(
        {by.criterion: _rules(policy).criteria[by.criterion]}, attributes, account, currency=policy.currency
    )
    value = known.get(by.criterion)
    gap = None if value is not None else _gap(by, invalid=bool(misfits))
    return SegmentedAccount(account, None, None, "", value, gap, misfits)


def _gap(by: ShareSegmentation, *, invalid: bool) -> Gap:
    why = GapKind.CONTRADICTORY if invalid else GapKind.UNKNOWN
    what = "cannot be right" if invalid else "is not known"
    return Gap(why, (by.criterion,), None, f"{by.criterion} {what}, so its share of the total cannot be told")


def _places(cuts: tuple[Cut, ...], numbers: list[Decimal]) -> dict[Decimal, tuple[Cut, Decimal | None]]:
    """Return for each value its cut, and the percentage of the total at which its accounts begin."""
    places: dict[Decimal, tuple[Cut, Decimal | None]] = {}
    with localcontext(EXACT):
        whole, above = sum(numbers, Decimal(0)), Decimal(0)
        for number, equal in groupby(sorted(numbers, reverse=True)):
            begins = None if number <= 0 else above * 100
            fits = (cut for cut in cuts[:-1] if begins is not None and begins < (cut.below or 0) * whole)
            cut = next(fits, cuts[-1])
            places[number] = cut, None if begins is None else begins / whole
            above += number * sum(1 for _ in equal)
    return places


def _because(by: ShareSegmentation, cut: Cut, number: Decimal, begins: Decimal | None) -> str:
    if begins is None:
        return f"{by.criterion} {in_words(number)} adds nothing to the total, so it is in the last tier"
    where = "in the rest" if cut.below is None else f"below {in_words(cut.below)} %"
    at = begins.quantize(Decimal("0.01")).normalize()
    return f"{by.criterion} {in_words(number)} begins at {at:f} % of the total, {where}"


def thresholds(policy: PolicyData, segmented: Iterable[SegmentedAccount]) -> Mapping[str, Decimal]:
    """Return the smallest value of each tier: the thresholds of a segmentation by share for one base."""
    least: dict[str, Decimal] = {}
    for each in segmented:
        number = as_number(each.value)
        if each.tier is not None and number is not None:
            least[each.tier] = min(number, least.get(each.tier, number))
    return FrozenDict({tier: least[tier] for tier in sorted(least, key=lambda id: -policy.tiers[id].rank)})
