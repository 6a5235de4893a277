"""
Preview of a change of tier: its effects on an account, without applying it.

It compares two resolutions: the account the instant before the change, and the same
account with the change at that instant. A trial or grant that expires by then is not an
effect of the change and not part of the preview. The change replaces future scheduled
changes; a change to the account's own tier cancels them. Overrides stay in force: those
that give less than the new tier would are named.

A change to a lower tier takes effect after the notice period of the present tier. Until
then nothing changes. Nothing stored is deleted: units above a new allocation stay, and
none can be added until enough are released.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from entitlements.errors import UnknownAccount
from entitlements.model.account import Account, Change
from entitlements.model.display import in_words
from entitlements.model.entitlements import Entitlements
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.instants import MICROSECOND, check_moment, to_datetime, to_instant
from entitlements.model.limits import NOT_INCLUDED, UNLIMITED, Allocation, Limit, LimitValue, NotIncluded, Quota
from entitlements.model.names import nearest_or_all, shown
from entitlements.model.overage import most_of, units_beyond
from entitlements.model.policy import NO_LEVEL, PolicyData
from entitlements.model.reasons import Verdict
from entitlements.model.resolution import resolution_of
from entitlements.model.tier import Tier, Value
from entitlements.model.usage import Usage
from entitlements.rules.resolve import resolve
from entitlements.rules.tiers import considered_tiers
from entitlements.rules.validity import span_verdict
from entitlements.tiering.changes import (
    CappingOverride,
    ChangePreview,
    LimitChange,
    MoveDirection,
    UsageOutcome,
    ValueChange,
)
from entitlements.tiering.differences import ChangeDirection, of_entitlements
from entitlements.tiering.terms import NODE, Terms, terms_of

NO_SERVICES = frozenset({
    NODE, "segment", "pricing", "kpis", "kpi-measures", "conversion-metrics", "health", "trial", "schedule", "onboarding", "support-cases",
})  # fmt: skip
"""Nodes of values that describe a tier, or are for new accounts, and are not services for an account that is live."""


def preview(
    policy: PolicyData,
    account: Account,
    to: str,
    *,
    now: int,
    usage: Mapping[str, Usage] | None = None,
    at: datetime | None = None,
) -> ChangePreview:
    """
    Return the effects of moving *account* to the tier *to*.

    Args:
        policy: The policy in force.
        account: The account, read under the policy.
        to: A tier's id or alias.
        now: The application's clock, in microseconds; the notice period begins then.
        usage: The account's present usage; by default nothing is used.
        at: The desired instant (aware); the change is never before the end of the notice period.

    Raises:
        ValueError: For an unknown tier, or a trial plan.
        UnknownAccount: For an account with an unknown tier.
    """
    tier, own = _target(policy, to), own_tier(policy, account, now)
    way = _direction(own, tier)
    terms = terms_of(resolution_of(without_trial(policy, account, now)).values)
    notice = terms.notice if way is MoveDirection.DOWN else timedelta()
    wanted = now if at is None else max(now, check_moment(at, "at"))
    effective = max(wanted, now + notice // MICROSECOND)
    change = None if way is MoveDirection.NOWHERE else Change(tier.id, at=to_datetime(effective))
    scheduled = replace(account, changes=tuple(_planned(account, change, now)))
    before = resolve(policy, scheduled, effective - 1) if effective > now else resolve(policy, account, now)
    after = resolve(policy, scheduled, effective)
    limits = _limits(policy, before, after, usage or {}, effective)
    lost, gained, changed = _services(before, after)
    return ChangePreview(
        account.id,
        own.id,
        tier.id,
        way,
        notice,
        to_datetime(effective),
        _process(terms, way),
        _lost_features(policy, before, after),
        _lost_features(policy, after, before),
        FrozenDict(limits),
        lost,
        gained,
        changed,
        tuple(_capping_overrides(policy, scheduled, after, effective)),
        tuple(change for change in account.changes if change not in scheduled.changes),
        scheduled,
    )


def own_tier(policy: PolicyData, account: Account, now: int) -> Tier:
    """
    Return the account's own tier at *now*: with scheduled changes, without a trial.

    Raises:
        UnknownAccount: For a tier that the policy does not know.
    """
    untried = account if account.trial is None else replace(account, trial=None)
    found = considered_tiers(policy, untried, now, [])
    if not found or found[0].verdict is not Verdict.WON:
        raise UnknownAccount(f"account {account.id!r}: tier {account.tier!r} is not in the policy; correct it")
    return found[0].tier


def _planned(account: Account, change: Change | None, now: int) -> Iterator[Change]:
    """Yield the account's changes with *change* in place of all future ones."""
    for each in account.changes:
        if to_instant(each.at) <= now and (change is None or each.at != change.at):
            yield each
    if change is not None:
        yield change


def _capping_overrides(
    policy: PolicyData, account: Account, after: Entitlements, now: int
) -> Iterator[CappingOverride]:
    """Yield the overrides in force without which the account would have more."""
    for each in account.overrides:
        if span_verdict(each.starts, each.expires, now, []) is not None:
            continue
        rest = tuple(other for other in account.overrides if other is not each)
        without = resolve(policy, replace(account, overrides=rest), now)
        for found in of_entitlements(after, without):
            if found.direction is ChangeDirection.GAINED:
                yield CappingOverride(each.name, found.before, found.after, each.reason, each.author, each.expires)


def without_trial(policy: PolicyData, account: Account, now: int) -> Entitlements:
    """Return the account's entitlements without its trial, which is not part of its contract."""
    return resolve(policy, replace(account, trial=None), now)


def find_tier(policy: PolicyData, name: str) -> Tier:
    """
    Return the tier with the id or alias *name*.

    Raises:
        ValueError: For an unknown tier.
    """
    tier = policy.tier(name) if isinstance(name, str) else None
    if tier is None:
        raise ValueError(f"{shown(name)} is no tier{nearest_or_all(name, policy.ids)}")
    return tier


def _target(policy: PolicyData, to: str) -> Tier:
    tier = find_tier(policy, to)
    if tier.trial is not None:
        raise ValueError(f"{to!r} is a trial plan, which no account moves to; start a trial of it instead")
    return tier


def _direction(own: Tier, to: Tier) -> MoveDirection:
    if own.id == to.id:
        return MoveDirection.NOWHERE
    return MoveDirection.UP if to.is_above(own) else MoveDirection.DOWN if own.is_above(to) else MoveDirection.SIDEWAYS


def _process(terms: Terms, way: MoveDirection) -> tuple[str, ...]:
    if way is MoveDirection.DOWN:
        return terms.process
    return terms.upgrade.process if way is MoveDirection.UP else ()


def _lost_features(policy: PolicyData, before: Entitlements, after: Entitlements) -> tuple[str, ...]:
    """Return the features and levels of *before* that *after* lacks, without limits."""
    return tuple(
        name
        for name, can in resolution_of(before).answers.items()
        if can
        and not resolution_of(after).answers.get(name)
        and name not in policy.limits
        and not name.endswith(f":{NO_LEVEL}")
    )


def _limits(
    policy: PolicyData, before: Entitlements, after: Entitlements, usage: Mapping[str, Usage], effective: int
) -> dict[str, LimitChange]:
    return {
        name: _limit_change(limit, had, has, usage.get(name), effective)
        for name, limit in policy.limits.items()
        for had, has in [[resolution_of(each).limits.get(name, NOT_INCLUDED) for each in (before, after)]]
        if had != has
    }


def _limit_change(
    limit: Limit, before: LimitValue, after: LimitValue, meter: Usage | None, effective: int
) -> LimitChange:
    used = meter.used if meter else None
    room = 0 if isinstance(after, NotIncluded) else most_of(after)
    over = 0 if used is None or room is UNLIMITED else max(0, used - room)
    ends = to_instant(meter.resets_at) if meter and meter.resets_at else None
    fate = _fate(limit, over=over, resets=ends is not None and ends <= effective)
    if fate is UsageOutcome.RESET:
        over = 0
    text = _sentence(limit, before, after, over, fate)
    if fate is UsageOutcome.REFUSED and meter and not meter.resets_at:  # a lifetime
        text = text.removesuffix(" until the period ends")
    if beyond := units_beyond(after, used):
        text += f"; {beyond:,} of those in use are overage there"
    return LimitChange(limit.name, before, after, used, over, fate, text)


def _fate(limit: Limit, *, over: int, resets: bool) -> UsageOutcome:
    if not over:
        return UsageOutcome.FITS
    if isinstance(limit, Allocation):
        return UsageOutcome.KEPT
    if resets:
        return UsageOutcome.RESET
    return UsageOutcome.REFUSED if isinstance(limit, Quota) else UsageOutcome.SLOWER


def _sentence(limit: Limit, before: LimitValue, after: LimitValue, over: int, fate: UsageOutcome) -> str:
    sizes = f"{limit.name}: {in_words(before)} → {in_words(after)}"
    effects = {
        UsageOutcome.FITS: "" if after else "; none from then on",
        UsageOutcome.KEPT: f"; {over:,} over: kept, and nothing can be added until that many are given back",
        UsageOutcome.REFUSED: f"; {over:,} over: nothing more until the period ends",
        UsageOutcome.RESET: "; the period ends before that, and counts anew",
        UsageOutcome.SLOWER: "; calls are held to the new size",
    }
    return sizes + effects[fate]


def _services(
    before: Entitlements, after: Entitlements
) -> tuple[Mapping[str, ValueChange], Mapping[str, ValueChange], Mapping[str, ValueChange]]:
    """Return the lost, gained and changed values, each sorted by key."""
    lost, gained, changed = {}, {}, {}
    for key, change in _differences(resolution_of(before).values, resolution_of(after).values):
        had, has = _is_provided(change.before), _is_provided(change.after)
        if had and has:
            changed[key] = change
        elif had:
            lost[key] = change
        elif has:
            gained[key] = change
    return FrozenDict(lost), FrozenDict(gained), FrozenDict(changed)


def _differences(before: Mapping[str, Value], after: Mapping[str, Value]) -> Iterator[tuple[str, ValueChange]]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key, NOT_INCLUDED), after.get(key, NOT_INCLUDED)
        if old != new and key.partition(".")[0] not in NO_SERVICES and not key.endswith(".label"):
            yield key, ValueChange(old, new)


def _is_provided(value: Value | NotIncluded) -> bool:
    return value not in (None, False, NO_LEVEL, NOT_INCLUDED)
