"""
The tier in force: the account's own tier, a scheduled change of it, or a running trial.

A trial replaces the tier while it runs, unless a change has brought a higher tier in the
meantime. When it ends, the account's own tier remains.
"""

from __future__ import annotations

from dataclasses import replace

from entitlements.model.account import Account
from entitlements.model.instants import to_instant
from entitlements.model.policy import PolicyData
from entitlements.model.reasons import Verdict
from entitlements.model.resolution import TierSource
from entitlements.rules.validity import format_span, span_verdict


def considered_tiers(policy: PolicyData, account: Account, now: int, edges: list[int]) -> list[TierSource]:
    """
    Return every tier that was considered for the account, the one in force first.

    Args:
        policy: The policy in force.
        account: The account.
        now: Microseconds.
        edges: A list that receives every instant after *now* at which the tier changes.

    Returns:
        The winning tier and the others. No tier won if the policy knows neither the
        account's own tier nor one that replaces it.
    """
    own = _own_tiers(policy, account, now, edges)
    trial = account.trial
    tier = policy.tier(trial.tier) if trial else None
    if trial is None or tier is None:
        return own
    verdict = span_verdict(trial.starts, trial.ends, now, edges)
    winner = own[0].tier if own and own[0].verdict is Verdict.WON else None
    if verdict is None and winner and not tier.is_at_least(winner):
        verdict = Verdict.LOST
    span = format_span(trial.starts, trial.ends)
    if verdict is not None:
        return [*own, TierSource(f"trial:{tier.id}", tier, verdict, span)]
    lost = [replace(each, verdict=Verdict.LOST) if each.verdict is Verdict.WON else each for each in own]
    return [TierSource(f"tier:{tier.id}", tier, Verdict.WON, f"trial, {span}"), *lost]


def _own_tiers(policy: PolicyData, account: Account, now: int, edges: list[int]) -> list[TierSource]:
    """Return the account's own tier and its changes, the one in force first, future ones last."""
    changes = sorted((to_instant(change.at), change.tier) for change in account.changes)
    steps = [account.tier, *(tier for _, tier in changes)]
    current = sum(at <= now for at, _ in changes)
    edges.extend(at for at, _ in changes[current:])
    order = [current, *reversed(range(current)), *range(current + 1, len(steps))]
    found = []
    for index in order:
        tier = policy.tier(steps[index])
        if tier is not None:
            verdict, note = _VERDICTS[(index > current) - (index < current)]
            found.append(TierSource(f"tier:{tier.id}", tier, verdict, note))
    return found


_VERDICTS = {
    0: (Verdict.WON, ""),
    -1: (Verdict.EXPIRED, "a later change of tier has come"),
    1: (Verdict.NOT_STARTED, "a scheduled change of tier"),
}
