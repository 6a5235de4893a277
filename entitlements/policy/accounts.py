"""
Where an account meets a policy: what it names is looked up, what it writes is read.

Everything that is wrong is said at once. A tier that the policy does not know is left
as it is: what becomes of such an account is for `unknown_account` to say. Whether two
overrides are in force at once is for the clock to say, so it is left, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.errors import AccountError
from entitlements.model.display import in_words
from entitlements.model.instants import to_instant, to_timedelta
from entitlements.model.limits import Rate
from entitlements.model.names import MAX_RATE, nearest
from entitlements.policy.overrides import read_override

if TYPE_CHECKING:
    from entitlements.model.account import Account, Override
    from entitlements.model.policy import Policy, Tier


def bind(policy: Policy, account: Account) -> Account:
    """
    Return the account as *policy* reads it: aliases as ids, override values typed.

    What has been bound may be bound again, and stays the same.

    Raises:
        AccountError: For unknown names, values that cannot be read, and trials that the
            policy does not allow; one error names all of them.
    """
    wrong = [*_wrong_names(policy, account), *_wrong_tiers(policy, account), *_wrong_trial(policy, account)]
    overrides = tuple(_read(policy, override, wrong) for override in account.overrides)
    if wrong:
        raise AccountError(f"account {account.id!r}: {'; also: '.join(wrong)}")
    trial = account.trial
    return replace(
        account,
        tier=_id(policy, account.tier),
        trial=None if trial is None else replace(trial, tier=_id(policy, trial.tier)),
        changes=tuple(replace(change, tier=_id(policy, change.tier)) for change in account.changes),
        overrides=overrides,
    )


def _id(policy: Policy, name: str) -> str:
    return policy.ids.get(name, name)


def _read(policy: Policy, override: Override, wrong: list[str]) -> Override:
    """Return the override with its value typed; *wrong* takes why it cannot be."""
    try:
        return replace(override, value=read_override(policy, override.name, override.value))
    except ValueError as what:
        wrong.append(f"override of {override.name!r}: {what}")
        return override


def _wrong_names(policy: Policy, account: Account) -> Iterator[str]:
    """Say what the account names that the policy does not have, and which grants are too large."""
    tiers = [("trial", account.trial.tier)] if account.trial else []
    tiers += [("change", change.tier) for change in account.changes]
    for what, tier in tiers:
        if tier not in policy.ids:
            yield f"{what} names {tier!r}, which is no tier{_instead(tier, policy.ids, policy.tiers)}"
    for name in account.add_ons:
        if name not in policy.add_ons:
            yield f"{name!r} is no add-on{_instead(name, policy.add_ons, policy.add_ons)}"
    for grant in account.grants:
        if grant.limit not in policy.limits:
            yield f"grant names {grant.limit!r}, which is no limit{_instead(grant.limit, policy.limits, policy.limits)}"
        elif isinstance(policy.limits[grant.limit], Rate) and grant.amount > MAX_RATE:
            yield f"grant of {grant.amount} {grant.limit!r} is above the largest rate; write at most {MAX_RATE}"


def _instead(name: str, known: Mapping[str, object], shown: Mapping[str, object]) -> str:
    return nearest(name, known) or f"; there are {', '.join(shown) or 'none'}"


def _wrong_tiers(policy: Policy, account: Account) -> Iterator[str]:
    """Say which tiers are trial plans, which can only be tried: they end."""
    named = [("tier", account.tier), *(("change to", change.tier) for change in account.changes)]
    for what, name in named:
        tier = policy.tier(name)
        if tier and tier.trial:
            yield (
                f"{what} {name!r} is a trial plan, and this one has no end; write tier={tier.trial.then!r},"
                f" trial=Trial({tier.id!r}, starts, ends)"
            )


def _wrong_trial(policy: Policy, account: Account) -> Iterator[str]:
    """Say what keeps the tier from being tried: its rank, or the length of the trial."""
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
        yield from _wrong_length(tried, to_instant(trial.ends) - to_instant(trial.starts))


def _wrong_length(tried: Tier, length: int) -> Iterator[str]:
    terms = tried.trial
    if terms and not terms.shortest <= length <= terms.longest:
        bounds = [in_words(to_timedelta(bound)) for bound in dict.fromkeys((terms.shortest, terms.longest))]
        yield f"trial of {tried.id!r} lasts {in_words(to_timedelta(length))}; let it last {' to '.join(bounds)}"
