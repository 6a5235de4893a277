"""
Binding of an account to a policy: names are looked up, override values are parsed.

All problems are reported at once. Two things are not checked here. An unknown tier is kept:
the policy's `unknown_account` decides about it. Overlapping overrides are kept: they depend
on the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from entitlements.errors import AccountError
from entitlements.model.account import Account, Override
from entitlements.model.display import in_words
from entitlements.model.frozen_dict import FrozenDict
from entitlements.model.instants import to_instant, to_timedelta
from entitlements.model.limits import NOT_INCLUDED, Limit, LimitValue, NotIncluded, Rate
from entitlements.model.names import MAX_RATE, did_you_mean, nearest_or_all, shown
from entitlements.model.policy import NO_LEVEL, AddOn, Feature, PolicyData
from entitlements.model.tier import Tier, Value
from entitlements.policy.errors import InvalidValue, any_of
from entitlements.policy.overage import has_overage, read_overage
from entitlements.policy.quantities import RateSize, is_duration, parse_duration, read_limit
from entitlements.policy.sections.readable_values import value_fault
from entitlements.policy.yaml.scalars import is_number, typed_scalar
from entitlements.rules.add_ons import rule_problems


def read_override(policy: PolicyData, name: str, raw: object) -> object:
    """
    Return the value of an override of *name*, in the type of that name.

    Args:
        policy: The policy in force.
        name: A feature, a limit or a value key.
        raw: The written form, or a value that this function returned.

    Returns:
        True or `NOT_INCLUDED` for a switch, a level's name or `NOT_INCLUDED`, a limit's
        size (a rate's as `RateSize`), or a configuration value.

    Raises:
        ValueError: For an unknown name and for a value that cannot be read.
    """
    if name in policy.limits:
        return _read_limit(policy.limits[name], raw)
    if name in policy.features:
        return _read_feature(policy.features[name], raw)
    if name in policy.keys:
        value = _read_value(policy, name, raw)
        if fault := next((each for each in value_fault(name, value) if each.is_error), None):
            raise InvalidValue(fault.problem, fault.cure)
        return value
    if name in policy.nodes:
        below = next(key for key in sorted(policy.keys) if key.startswith(f"{name}."))
        raise InvalidValue("it is a group of values", f"override the keys below it, such as {below!r}")
    known = (*policy.features, *policy.limits, *policy.keys)
    cure = did_you_mean(name, known) or "name a feature, a limit or a value key"
    raise InvalidValue("the policy knows no such name", cure)


def _read_limit(limit: Limit, raw: object) -> LimitValue:
    size = read_overage(limit, raw) if has_overage(raw) else read_limit(limit, raw)
    if isinstance(limit, Rate) and isinstance(size, int) and limit.window:
        return RateSize(size, limit.window)
    return size


def _read_feature(feature: Feature, raw: object) -> bool | str | NotIncluded:
    if raw is False or raw == NOT_INCLUDED:
        return NOT_INCLUDED
    if raw is True:
        return next((level for level in feature.levels if level != NO_LEVEL), True)
    if not feature.levels:
        raise InvalidValue(f"{shown(raw)} is not for a switch", "write true or not-included")
    if not isinstance(raw, str) or raw not in feature.levels:
        cure = did_you_mean(raw, feature.levels) or f"write {any_of(feature.levels)}, or not-included"
        raise InvalidValue(f"{shown(raw)} is not one of its levels", cure)
    return str(raw)


def _read_value(policy: PolicyData, key: str, raw: object) -> Value | NotIncluded:
    """Return a configuration value; a text is parsed if the policy has a duration or number there."""
    if raw == NOT_INCLUDED:
        return NOT_INCLUDED
    if isinstance(raw, str):
        sources: list[Tier | AddOn] = [*policy.tiers.values(), *policy.add_ons.values()]
        kinds = {type(source.values[key]) for source in sources if key in source.values}
        return _parse_text(str(raw), kinds)
    if isinstance(raw, Mapping):
        raise InvalidValue(f"{shown(raw)} is not one value", "override each key below it")
    return _typed(raw)


def _parse_text(text: str, kinds: set[type]) -> Value:
    """Return *text* as one of the types *kinds*; unchanged if str is one of them."""
    if Decimal in kinds and is_number(text):
        return _typed(typed_scalar(text))
    if timedelta in kinds and (is_duration(text) or str not in kinds):
        return parse_duration(text)
    if str not in kinds and Decimal in kinds:
        raise InvalidValue(f"{shown(text)} is not a number", "write one such as 99.95")
    return text


def _typed(raw: object) -> Value:
    if raw is None or isinstance(raw, bool | timedelta):
        return raw
    if isinstance(raw, str):
        return str(raw)
    if isinstance(raw, int):
        return Decimal(raw)
    if isinstance(raw, Decimal) and raw.is_finite():
        return raw
    if isinstance(raw, tuple | list):
        return tuple(_typed(item) for item in raw)
    if isinstance(raw, Mapping):
        return FrozenDict({str(key): _typed(item) for key, item in raw.items()})
    exact = isinstance(raw, float) and math.isfinite(raw)
    cure = f"write Decimal('{raw}')" if exact else "write a bool, str, number, timedelta or list"
    raise InvalidValue(f"{shown(raw)} is not a configuration value", cure)


def bind(policy: PolicyData, account: Account) -> Account:
    """
    Return the account with aliases replaced by ids and override values parsed for *policy*.

    Idempotent: a bound account may be bound again.

    Raises:
        AccountError: For unknown names, values that cannot be read, and trials that the
            policy does not allow; one error lists all of them.
    """
    named = account.add_ons or account.overrides or account.grants or account.changes or account.trial
    tier = policy.tiers.get(account.tier)
    if not named and account.time_zone is None and tier is not None and tier.trial is None:
        return account  # nothing to look up, and the tier has its id
    problems, overrides = _bound(policy, account)
    if problems:
        raise AccountError(f"account {account.id!r}: {'; also: '.join(problems)}")
    trial = account.trial
    return replace(
        account,
        tier=_id(policy, account.tier),
        trial=None if trial is None else replace(trial, tier=_id(policy, trial.tier)),
        changes=tuple(replace(change, tier=_id(policy, change.tier)) for change in account.changes),
        overrides=overrides,
    )


def binding_problems(policy: PolicyData, account: Account) -> list[str]:
    """Return every problem for which `bind` would raise, each as `problem; cure`."""
    return _bound(policy, account)[0]


def _bound(policy: PolicyData, account: Account) -> tuple[list[str], tuple[Override, ...]]:
    """Return the problems of an account, and its overrides with their values parsed."""
    problems = [*_name_problems(policy, account), *_tier_problems(policy, account), *_trial_problems(policy, account)]
    return problems, tuple(_parsed(policy, override, problems) for override in account.overrides)


def _id(policy: PolicyData, name: str) -> str:
    return policy.ids.get(name, name)


def _parsed(policy: PolicyData, override: Override, problems: list[str]) -> Override:
    """Return the override with its value parsed; append to *problems* if that fails."""
    try:
        return replace(override, value=read_override(policy, override.name, override.value))
    except ValueError as error:
        problems.append(f"override of {override.name!r}: {error}")
        return override


def _name_problems(policy: PolicyData, account: Account) -> Iterator[str]:
    """Return unknown names of the account, and grants that are too large."""
    tiers = [("trial", account.trial.tier)] if account.trial else []
    tiers += [("change", change.tier) for change in account.changes]
    for what, tier in tiers:
        if tier not in policy.ids:
            yield f"{what} names {tier!r}, which is no tier{nearest_or_all(tier, policy.ids)}"
    for name in account.add_ons:
        if name not in policy.add_ons:
            yield f"{name!r} is no add-on{nearest_or_all(name, policy.add_ons)}"
    yield from rule_problems(policy, account.add_ons)
    for grant in account.grants:
        if grant.limit not in policy.limits:
            yield f"grant names {grant.limit!r}, which is no limit{nearest_or_all(grant.limit, policy.limits)}"
        elif isinstance(policy.limits[grant.limit], Rate) and grant.amount > MAX_RATE:
            yield f"grant of {grant.amount} {grant.limit!r} is above the largest rate; write at most {MAX_RATE}"
    if account.time_zone is not None:
        try:
            policy.zones(account.time_zone)
        except ValueError as error:
            yield f"time_zone {error}"


def _tier_problems(policy: PolicyData, account: Account) -> Iterator[str]:
    """Return trial plans among the account's tiers; a trial plan needs an end."""
    named = [("tier", account.tier), *(("change to", change.tier) for change in account.changes)]
    for what, name in named:
        tier = policy.tier(name)
        if tier and tier.trial:
            yield (
                f"{what} {name!r} is a trial plan, and this one has no end; write tier={tier.trial.then!r},"
                f" trial=Trial({tier.id!r}, starts, ends)"
            )


def _trial_problems(policy: PolicyData, account: Account) -> Iterator[str]:
    """Return a trial below the account's own tier, or outside of the lengths of the trial plan."""
    trial, own = account.trial, policy.tier(account.tier)
    tried = policy.tier(trial.tier) if trial else None
    if not trial or not tried:
        return
    if own and not tried.is_at_least(own):
        side = "below" if tried.line == own.line else "in another line than"
        line = f" of line {own.line!r}" if own.line else ""
        yield (
            f"trial of {trial.tier!r} is {side} the account's own tier {own.id!r}, and a trial takes nothing away;"
            f" let it try a tier{line} of rank {own.rank} or higher"
        )
    if tried.trial and trial.starts:
        terms, length = tried.trial, to_instant(trial.ends) - to_instant(trial.starts)
        if not terms.shortest <= length <= terms.longest:
            bounds = [in_words(to_timedelta(bound)) for bound in dict.fromkeys((terms.shortest, terms.longest))]
            yield f"trial of {tried.id!r} lasts {in_words(to_timedelta(length))}; let it last {' to '.join(bounds)}"
