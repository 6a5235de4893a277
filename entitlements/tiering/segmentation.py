"""
A whole base divided into segments, one for each tier, with an explanation per account.

By rules, an account stands alone: the first rule that fits decides. By share it does
not: the accounts are taken from the largest down, and each belongs in the tier in whose
share of the total it *begins*. Equal ones begin together, so they stay together, in
whatever order the base comes; an account of nothing adds nothing, and is in the last
tier. The arithmetic is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Context, Decimal, localcontext
from itertools import groupby
from types import MappingProxyType

from entitlements.model.account import Account
from entitlements.model.conditions import CriterionValue
from entitlements.model.criteria import AssignmentRules
from entitlements.model.display import in_json, in_words
from entitlements.model.names import nearest
from entitlements.model.policy import Policy
from entitlements.model.segments import Cut, RuleSegmentation, ShareSegmentation
from entitlements.tiering.assignment import Gap, GapKind, assign
from entitlements.tiering.attributes import Misfit, read_attributes

ASSIGNMENT = "assignment"
"""The segmentation that every policy with assignment rules has: those rules."""

_EXACT = Context(prec=200)  # a number of 40 digits in each of 2**53 accounts has 56; a percentage, some more


@dataclass(frozen=True, slots=True)
class SegmentedAccount:
    """
    The segment of one account.

    Args:
        account: The account's id; None where attributes came alone.
        tier: The tier's id; None where there is a gap.
        rule: What decided: the rule's name, or the segmentation's.
        because: Why, in words.
        value: What is known of it for the criterion that binds, or is shared out.
        gap: Why there is no tier; None where there is one.
        misfits: Attributes that cannot be right, and were not believed.
    """

    account: str | None
    tier: str | None
    rule: str | None
    because: str
    value: CriterionValue | None
    gap: Gap | None = None
    misfits: tuple[Misfit, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {
            "account": self.account,
            "tier": self.tier,
            "rule": self.rule,
            "because": self.because,
            "value": in_json(self.value),
            "gap": self.gap and self.gap.to_dict(),
            "misfits": [misfit.to_dict() for misfit in self.misfits],
        }


@dataclass(frozen=True, slots=True)
class Segment:
    """
    The accounts of one tier, added up.

    Args:
        tier: The tier's id; None for the accounts without one.
        accounts: How many.
        total: The sum of their values, as far as known.
        share: Its percentage of the whole base's total; None where that is nothing.
        least: The smallest value; None where none is known.
        most: The largest.
    """

    tier: str | None
    accounts: int
    total: Decimal
    share: Decimal | None
    least: Decimal | None
    most: Decimal | None

    def to_dict(self) -> dict[str, object]:
        """Return what `json.dumps` writes."""
        return {name: in_json(getattr(self, name)) for name in self.__slots__}


def segmentations(policy: Policy) -> tuple[str, ...]:
    """Return the names of the ways in which *policy* can divide a base, the default first."""
    return (*([ASSIGNMENT] if policy.assignment else []), *policy.segmentations)


def measure_of(policy: Policy, by: str | None = None) -> str:
    """
    Return the criterion that a segmentation adds up.

    Raises:
        ValueError: For a segmentation that the policy does not have.
    """
    chosen = _chosen(policy, by)
    return chosen.criterion if isinstance(chosen, ShareSegmentation) else _rules(policy).binding


def segment(
    policy: Policy, base: Iterable[Account | Mapping[str, object]], *, by: str | None = None
) -> Iterator[SegmentedAccount]:
    """
    Yield the segment of each account, in the order of the base.

    Args:
        policy: Whose segmentation.
        base: Accounts, or their attributes alone.
        by: The segmentation's name; None is the first of `segmentations(policy)`.

    Raises:
        ValueError: For a segmentation that the policy does not have.
    """
    chosen = _chosen(policy, by)
    if isinstance(chosen, ShareSegmentation):
        return _by_share(policy, chosen, base)
    if isinstance(chosen, RuleSegmentation):
        policy = replace(policy, assignment=replace(_rules(policy), rules=chosen.rules, signals={}))
    return (_by_rules(policy, who) for who in base)


def summary(policy: Policy, segmented: Iterable[SegmentedAccount]) -> tuple[Segment, ...]:
    """Return the segments added up: every tier that has accounts, higher ones first, then those without."""
    groups: dict[str | None, list[Decimal]] = {}
    counts: dict[str | None, int] = {}
    for each in segmented:
        counts[each.tier] = counts.get(each.tier, 0) + 1
        values = groups.setdefault(each.tier, [])
        if (number := _number(each.value)) is not None:
            values.append(number)
    with localcontext(_EXACT):
        whole = sum((sum(values, Decimal(0)) for values in groups.values()), Decimal(0))
        order = [tier for tier in sorted(policy.tiers, key=lambda id: -policy.tiers[id].rank) if tier in counts]
        return tuple(
            _segment(tier, counts[tier], groups[tier], whole) for tier in [*order, *([None] if None in counts else [])]
        )


def _segment(tier: str | None, accounts: int, values: list[Decimal], whole: Decimal) -> Segment:
    total = sum(values, Decimal(0))
    share = percent(total, whole)
    return Segment(tier, accounts, total, share, min(values, default=None), max(values, default=None))


def percent(part: Decimal, whole: Decimal) -> Decimal | None:
    """Return a percentage to one decimal; None of nothing."""
    with localcontext(_EXACT):
        return None if whole == 0 else (part * 100 / whole).quantize(Decimal("0.1"))


def _chosen(policy: Policy, by: str | None) -> ShareSegmentation | RuleSegmentation | None:
    """Return a segmentation by its name; None stands for the assignment rules."""
    known = segmentations(policy)
    name = by or next(iter(known), "")
    if name not in known:
        cure = nearest(name, known) or f"; there are {', '.join(known) or 'none'}"
        raise ValueError(f"policy {policy.version} has no segmentation {by!r}{cure}")
    return policy.segmentations.get(name)


def _rules(policy: Policy) -> AssignmentRules:
    assert policy.assignment is not None  # a segmentation is loaded only with criteria to divide by
    return policy.assignment


def _by_rules(policy: Policy, who: Account | Mapping[str, object]) -> SegmentedAccount:
    told = assign(policy, who)
    value = told.criteria.get(_rules(policy).binding)
    return SegmentedAccount(told.account, told.tier, told.rule, told.because, value, told.gap, told.misfits)


def _by_share(
    policy: Policy, by: ShareSegmentation, base: Iterable[Account | Mapping[str, object]]
) -> Iterator[SegmentedAccount]:
    read = [_read(policy, by, who) for who in base]
    numbers = [number for each in read if (number := _number(each.value)) is not None]
    places = _places(by.cuts, numbers)
    for each in read:
        number = _number(each.value)
        if number is None:
            yield each
        else:
            cut, begins = places[number]
            yield replace(each, tier=cut.tier, rule=by.name, because=_because(by, cut, number, begins))


def _read(policy: Policy, by: ShareSegmentation, who: Account | Mapping[str, object]) -> SegmentedAccount:
    account, attributes = (who.id, who.attributes) if isinstance(who, Account) else (None, who)
    known, misfits = read_attributes(
        {by.criterion: _rules(policy).criteria[by.criterion]}, attributes, account, currency=policy.currency
    )
    value = known.get(by.criterion)
    gap = None if value is not None else _gap(by, disbelieved=bool(misfits))
    return SegmentedAccount(account, None, None, "", value, gap, misfits)


def _gap(by: ShareSegmentation, *, disbelieved: bool) -> Gap:
    why = GapKind.CONTRADICTORY if disbelieved else GapKind.UNKNOWN
    what = "cannot be right" if disbelieved else "is not known"
    return Gap(why, (by.criterion,), None, f"{by.criterion} {what}, so its share of the total cannot be told")


def _places(cuts: tuple[Cut, ...], numbers: list[Decimal]) -> dict[Decimal, tuple[Cut, Decimal | None]]:
    """Return for each value its cut, and the percentage of the total at which accounts of that value begin."""
    places: dict[Decimal, tuple[Cut, Decimal | None]] = {}
    with localcontext(_EXACT):
        whole, above = sum(numbers, Decimal(0)), Decimal(0)
        for number, equal in groupby(sorted(numbers, reverse=True)):
            begins = None if number <= 0 else above * 100
            fits = (cut for cut in cuts[:-1] if begins is not None and cut.below is not None)
            cut = next((cut for cut in fits if begins is not None and begins < _of(cut) * whole), cuts[-1])
            places[number] = cut, None if begins is None else begins / whole
            above += number * sum(1 for _ in equal)
    return places


def _of(cut: Cut) -> Decimal:
    return Decimal(100) if cut.below is None else cut.below


def _because(by: ShareSegmentation, cut: Cut, number: Decimal, begins: Decimal | None) -> str:
    if begins is None:
        return f"{by.criterion} {in_words(number)} adds nothing to the total, so it is in the last tier"
    where = "in the rest" if cut.below is None else f"below {in_words(cut.below)} %"
    at = begins.quantize(Decimal("0.01")).normalize()
    return f"{by.criterion} {in_words(number)} begins at {at:f} % of the total, {where}"


def _number(value: CriterionValue | None) -> Decimal | None:
    return Decimal(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) else None


def thresholds(policy: Policy, segmented: Iterable[SegmentedAccount]) -> Mapping[str, Decimal]:
    """Return for each tier the least value that leads to it: a share as figures, for one base and day."""
    least: dict[str, Decimal] = {}
    for each in segmented:
        number = _number(each.value)
        if each.tier is not None and number is not None:
            least[each.tier] = min(number, least.get(each.tier, number))
    return MappingProxyType({tier: least[tier] for tier in sorted(least, key=lambda id: -policy.tiers[id].rank)})
