"""
Where an account meets a policy: what it names is looked up, what it writes is read.

Everything that is wrong is said at once. A tier that the policy does not know is left
as it is: what becomes of such an account is for `unknown_account` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from entitlements.errors import AccountError
from entitlements.model.instants import to_instant
from entitlements.model.limits import NOT_INCLUDED, Rate
from entitlements.model.names import nearest
from entitlements.model.words import in_words
from entitlements.policy.misread import Misread, shown
from entitlements.policy.quantities import RateSize, parse_duration, read_limit

if TYPE_CHECKING:
    from entitlements.model.account import Account, Change, Override, Trial
    from entitlements.model.policy import Feature, Policy


def bind(policy: Policy, account: Account) -> Account:
    """
    Return the account as *policy* reads it: aliases as ids, override values typed.

    Raises:
        AccountError: For unknown names, values that cannot be read, and trials that the
            policy does not allow.
    """
    wrong = list(_wrong_names(policy, account)) + list(_wrong_trials(policy, account))
    overrides = []
    for override in account.overrides:
        try:
            overrides.append(replace(override, value=_read(policy, override)))
        except Misread as what:
            wrong.append(f"override of {override.name!r}: {what}")
    if wrong:
        raise AccountError(f"account {account.id!r}: " + "; also: ".join(wrong))
    return replace(
        account,
        tier=_id(policy, account.tier),
        trial=account.trial and replace(account.trial, tier=_id(policy, account.trial.tier)),
        changes=tuple(replace(change, tier=_id(policy, change.tier)) for change in account.changes),
        overrides=tuple(overrides),
    )


def _id(policy: Policy, name: str) -> str:
    return policy.ids.get(name, name)


def _wrong_names(policy: Policy, account: Account) -> Iterator[str]:
    named: list[tuple[str, Trial | Change | None]] = [("trial", account.trial)]
    named += [("change", change) for change in account.changes]
    for what, each in named:
        if each and policy.tier(each.tier) is None:
            yield f"{what} names {each.tier!r}, which is no tier{nearest(each.tier, policy.ids) or _one_of(policy.tiers)}"
    for name in account.add_ons:
        if name not in policy.add_ons:
            yield f"{name!r} is no add-on{nearest(name, policy.add_ons) or _one_of(policy.add_ons)}"
    for grant in account.grants:
        if grant.limit not in policy.limits:
            yield f"grant names {grant.limit!r}, which is no limit{nearest(grant.limit, policy.limits) or _one_of(policy.limits)}"


def _one_of(names: Mapping[str, object]) -> str:
    return f"; there are {', '.join(names) or 'none'}"


def _wrong_trials(policy: Policy, account: Account) -> Iterator[str]:
    """Say what of plans to try does not fit: as an own tier, by rank, by length."""
    own = policy.tier(account.tier)
    for what, tier in [("tier", own), *(("change to", policy.tier(each.tier)) for each in account.changes)]:
        if tier and tier.trial:
            yield (
                f"{what} {tier.id!r} is a trial without an end; write tier={tier.trial.then!r} with"
                f" trial=Trial({tier.id!r}, starts, ends)"
            )
    trial = account.trial
    tried = policy.tier(trial.tier) if trial else None
    if not trial or not tried:
        return
    if own and tried.rank < own.rank:
        yield f"trial of {tried.id!r} is below the account's own tier {own.id!r}; a trial never takes away"
    if tried.trial and trial.starts:
        length = to_instant(trial.ends) - to_instant(trial.starts)
        if not tried.trial.shortest <= length <= tried.trial.longest:
            shortest, longest = (timedelta(microseconds=each) for each in (tried.trial.shortest, tried.trial.longest))
            yield (
                f"trial of {tried.id!r} lasts {in_words(timedelta(microseconds=length))}; let it last"
                f" {in_words(shortest)} to {in_words(longest)}"
            )


def _read(policy: Policy, override: Override) -> object:
    """Return what an override writes, in the type that its name has."""
    name, raw = override.name, override.value
    if name in policy.limits:
        limit = policy.limits[name]
        size = read_limit(limit, raw)
        timed = isinstance(limit, Rate) and isinstance(size, int) and limit.window
        return RateSize(size, limit.window) if timed and isinstance(size, int) and isinstance(limit, Rate) else size
    if name in policy.features:
        return _read_feature(policy.features[name], raw)
    if name in policy.keys:
        return NOT_INCLUDED if raw == NOT_INCLUDED else _read_value(policy, name, raw)
    if name in policy.nodes:
        raise Misread("it is an inner node", f"override the keys below it, such as {_below(policy, name)!r}")
    known = (*policy.features, *policy.limits, *policy.keys)
    raise Misread(f"the policy knows no such name{nearest(name, known)}", "name a feature, a limit or a value key")


def _read_feature(feature: Feature, raw: object) -> object:
    if raw is False or raw == NOT_INCLUDED:
        return NOT_INCLUDED
    if not feature.levels:
        if raw is True:
            return True
        raise Misread(f"{shown(raw)} is not for a switch", "write True or NOT_INCLUDED")
    if raw is True or raw not in feature.levels:
        levels = ", ".join(feature.levels)
        raise Misread(f"{shown(raw)} is not one of its levels", f"write one of {levels}, or NOT_INCLUDED")
    return str(raw)


def _read_value(policy: Policy, key: str, raw: object) -> object:
    """Return a configuration value, a text read as the duration or number that the tiers have there."""
    kinds = {type(tier.values[key]) for tier in policy.tiers.values() if key in tier.values}
    if isinstance(raw, str) and timedelta in kinds and str not in kinds:
        return parse_duration(raw)
    if isinstance(raw, str) and Decimal in kinds and str not in kinds:
        try:
            return Decimal(raw)
        except ArithmeticError:
            raise Misread(f"{shown(raw)} is not a number", "write one such as 99.95") from None
    if isinstance(raw, bool | str | Decimal | timedelta):
        return raw
    if isinstance(raw, int):
        return Decimal(raw)
    if isinstance(raw, tuple | list):
        return tuple(_read_value(policy, key, item) for item in raw)
    raise Misread(f"{shown(raw)} is no configuration value", "write a bool, str, number, timedelta or a list of them")


def _below(policy: Policy, node: str) -> str:
    return next(key for key in sorted(policy.keys) if key.startswith(f"{node}."))
