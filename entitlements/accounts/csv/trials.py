"""
What rows mean under a policy: which tiers are trial plans, and which names there are.

`tier=trial` with `trial_ends` is shorthand for the tier that remains after the trial,
plus that trial.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.accounts.csv.rows import TRIAL_CURE, Fault, Row, Sheet
from entitlements.errors import AccountError
from entitlements.model.names import nearest
from entitlements.model.problem import Problem, Severity
from entitlements.policy.accounts import bind
from entitlements.policy.errors import shown

if TYPE_CHECKING:
    from entitlements.model.account import Account
    from entitlements.model.policy import Policy, Tier


def under(policy: Policy, sheet: Sheet) -> Sheet:
    """Return what *sheet* means under *policy*; rows that mean nothing there become problems."""
    rows: dict[str, Row] = {}
    problems = list(sheet.problems)
    for id, row in sheet.rows.items():
        account, faults = _settled(policy, row.account)
        misfit = None if account is None else _misfit(policy, account)
        if misfit is not None:
            account, faults = None, [*faults, misfit]
        problems += (Problem(sheet.file, row.line, *fault) for fault in faults)
        if account is not None:
            rows[id] = row if account is row.account else Row(row.line, account)
    return Sheet(sheet.file, rows, tuple(sorted(problems, key=lambda problem: problem.line)))


def _settled(policy: Policy, account: Account) -> tuple[Account | None, list[Fault]]:
    tier = policy.tier(account.tier)
    if tier is None:
        return account, [_unknown(policy, "tier", account.tier)]
    if tier.trial is not None:
        return _tried(policy, account, tier, then=tier.trial.then)
    trial = account.trial
    if trial is None:
        return account, []
    if policy.tier(trial.tier) is None:
        return None, [_unknown(policy, "trial_tier", trial.tier)._replace(severity=Severity.ERROR)]
    if policy.tier(trial.tier) is not tier:
        return account, []
    cure = "name the tier on trial in trial_tier, or leave trial_ends empty"
    problem = f"{shown(account.tier)} is no trial plan, so its trial says nothing"
    return replace(account, trial=None), [Fault("trial_ends", problem, cure, Severity.WARNING)]


def _misfit(policy: Policy, account: Account) -> Fault | None:
    """Return what of a row the policy cannot read: names that it does not know, values, trials."""
    try:
        bind(policy, account)
    except AccountError as error:
        said = str(error).removeprefix(f"account {account.id!r}: ")
        problem, _, cure = said.rpartition("; ")
        return Fault("", problem, cure)
    return None


def _tried(policy: Policy, account: Account, plan: Tier, *, then: str) -> tuple[Account | None, list[Fault]]:
    """Return the account of a row whose tier is a trial plan."""
    trial = account.trial
    if trial is None:
        problem = f"{shown(account.tier)} is a trial plan, and the trial has no end"
        return None, [Fault("trial_ends", problem, TRIAL_CURE)]
    if policy.tier(trial.tier) is not plan:
        problem = f"{shown(account.tier)} is a trial plan, and so cannot be what a trial of {shown(trial.tier)} ends in"
        return None, [Fault("tier", problem, f"write the tier that remains, such as {then}")]
    return replace(account, tier=then), []


def _unknown(policy: Policy, path: str, tier: str) -> Fault:
    """Return a warning: what a stranger's tier is worth, `unknown_account` of the policy decides."""
    cure = f"write one of {', '.join(policy.tiers)}{nearest(tier, policy.ids)}"
    return Fault(path, f"tier {shown(tier)} is not in the policy", cure, Severity.WARNING)
