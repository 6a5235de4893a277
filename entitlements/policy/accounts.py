"""
Binding of an account to a policy: names are looked up, override values are parsed.

All problems are reported at once. Two things are not checked here. An unknown tier is kept:
the policy's `unknown_account` decides about it. Overlapping overrides are kept: they depend
on the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from entitlements.errors import AccountError
from entitlements.model.account import Account, Override
from entitlements.model.display import in_words
from entitlements.model.instants import to_instant, to_timedelta
from entitlements.model.limits import Rate
from entitlements.model.names import MAX_RATE, nearest_or_all
from entitlements.model.policy import PolicyData
from entitlements.policy.overrides import read_override


def bind(policy: PolicyData, account: Account) -> Account:
    """
    Return the account with aliases replaced by ids and override values parsed for *policy*.

    Idempotent: a bound account may be bound again.

    Raises:
        AccountError: For unknown names, values that cannot be read, and trials that the
            policy does not allow; one error lists all of them.
    """
    problems = [*_name_problems(policy, account), *_tier_problems(policy, account), *_trial_problems(policy, account)]
    overrides = tuple(_parsed(policy, override, problems) for override in account.overrides)
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
    for grant in account.grants:
        if grant.limit not in policy.limits:
            yield f"grant names {grant.limit!r}, which is no limit{nearest_or_all(grant.limit, policy.limits)}"
        elif isinstance(policy.limits[grant.limit], Rate) and grant.amount > MAX_RATE:
            yield f"grant of {grant.amount} {grant.limit!r} is above the largest rate; write at most {MAX_RATE}"


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
    if own and tried.rank < own.rank:
        yield (
            f"trial of {trial.tier!r} is below the account's own tier {own.id!r}, and a trial takes nothing away;"
            f" let it try a tier of rank {own.rank} or higher"
        )
    if tried.trial and trial.starts:
        terms, length = tried.trial, to_instant(trial.ends) - to_instant(trial.starts)
        if not terms.shortest <= length <= terms.longest:
            bounds = [in_words(to_timedelta(bound)) for bound in dict.fromkeys((terms.shortest, terms.longest))]
            yield f"trial of {tried.id!r} lasts {in_words(to_timedelta(length))}; let it last {' to '.join(bounds)}"
