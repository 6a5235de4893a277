"""
A sheet under a policy: trial plans resolved, and names checked.

`tier=trial` with `trial_ends` is shorthand for the tier that follows the trial, plus
that trial.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.accounts.csv.rows import TRIAL_CURE, CsvRow, RowFault, Sheet
from entitlements.model.account import Account
from entitlements.model.names import nearest, shown
from entitlements.model.problem import Problem, Severity
from entitlements.policy.accounts import binding_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entitlements.model.policy import PolicyData
    from entitlements.model.tier import Tier


_BOUND = ("trial", "add_ons", "overrides", "grants", "changes")
"""Parts of an account that name something of the policy."""


def apply_policy(policy: PolicyData, sheet: Sheet) -> Sheet:
    """Return *sheet* under *policy*; rows that are invalid there become problems."""
    rows: dict[str, CsvRow] = {}
    problems = list(sheet.problems)
    for id, row in sheet.rows.items():
        account, faults = apply_to_account(policy, row.account)
        problems += (Problem(sheet.file, row.line, *fault) for fault in faults)
        if account is not None:
            rows[id] = row if account is row.account else CsvRow(row.line, account)
    for row in sheet.faulty:
        problems += (Problem(sheet.file, row.line, *fault) for fault in faults_of_part(policy, row.account))
    return Sheet(sheet.file, rows, tuple(sorted(problems, key=lambda problem: problem.line)))


def apply_to_account(policy: PolicyData, account: Account) -> tuple[Account | None, list[RowFault]]:
    """Return an account under *policy*, None if it is invalid there, and its faults."""
    resolved, faults = _resolve_tier(policy, account)
    if resolved is None:
        return None, faults
    wrong = _all_binding_faults(policy, resolved)
    return None if wrong else resolved, faults + wrong


def faults_of_part(policy: PolicyData, account: Account) -> list[RowFault]:
    """Return the faults under *policy* of what can be read of an invalid row; nothing is said of its trial."""
    tier = policy.tier(account.tier)
    if tier is None:
        return [_unknown_tier(policy, "tier", account.tier), *_all_binding_faults(policy, account)]
    return _all_binding_faults(policy, account if tier.trial is None else replace(account, tier=tier.trial.then))


def _resolve_tier(policy: PolicyData, account: Account) -> tuple[Account | None, list[RowFault]]:
    tier = policy.tier(account.tier)
    if tier is None:
        return account, [_unknown_tier(policy, "tier", account.tier)]
    if tier.trial is not None:
        return _resolve_trial_plan(policy, account, tier, then=tier.trial.then)
    trial = account.trial
    if trial is None:
        return account, []
    if policy.tier(trial.tier) is None:
        return None, [_unknown_tier(policy, "trial_tier", trial.tier)._replace(severity=Severity.ERROR)]
    if policy.tier(trial.tier) is not tier:
        return account, []
    cure = "name the tier on trial in trial_tier, or leave trial_ends empty"
    problem = f"{shown(account.tier)} is no trial plan, so its trial says nothing"
    return replace(account, trial=None), [RowFault("trial_ends", problem, cure, Severity.WARNING)]


def _all_binding_faults(policy: PolicyData, account: Account) -> list[RowFault]:
    return [fault for part in _BOUND if getattr(account, part) for fault in _binding_faults(policy, account, part)]


def _binding_faults(policy: PolicyData, account: Account, part: str) -> Iterator[RowFault]:
    """Yield the faults of a part of an account that cannot be bound to the policy: bad names, values or trials."""
    alone = Account(account.id, account.tier, **{part: getattr(account, part)})
    for said in binding_problems(policy, alone):
        problem, _, cure = said.rpartition("; ")
        yield RowFault("trial_tier" if part == "trial" else part, problem, cure)


def _resolve_trial_plan(
    policy: PolicyData, account: Account, plan: Tier, *, then: str
) -> tuple[Account | None, list[RowFault]]:
    """Return the account of a row whose tier is a trial plan, and its faults."""
    trial = account.trial
    if trial is None:
        problem = f"{shown(account.tier)} is a trial plan, and the trial has no end"
        return None, [RowFault("trial_ends", problem, TRIAL_CURE)]
    if policy.tier(trial.tier) is not plan:
        problem = f"{shown(account.tier)} is a trial plan, and so cannot be what a trial of {shown(trial.tier)} ends in"
        return None, [RowFault("tier", problem, f"write the tier that remains, such as {then}")]
    return replace(account, tier=then), []


def _unknown_tier(policy: PolicyData, path: str, tier: str) -> RowFault:
    """Return a warning: the policy's `unknown_account` decides what an account in an unknown tier gets."""
    cure = f"write one of {', '.join(policy.tiers)}{nearest(tier, policy.ids)}"
    return RowFault(path, f"tier {shown(tier)} is not in the policy", cure, Severity.WARNING)
