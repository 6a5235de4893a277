"""
The contracts of accounts at one instant: the own tier, the entitlements, and the terms of leaving the tier.

Accounts without add-ons, overrides, grants, changes and trials share one resolution for each tier and calendar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from entitlements.model.account import Account
from entitlements.model.entitlements import Entitlements
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import resolution_of
from entitlements.model.tier import Tier
from entitlements.rules.resolve import resolve
from entitlements.tiering.preview import own_tier, without_trial
from entitlements.tiering.terms import Terms, terms_of


@dataclass(frozen=True, slots=True)
class Contract:
    """
    The contract of one account.

    Args:
        own: The account's own tier, without a trial.
        entitlements: The entitlements in force.
        lasting: The entitlements without a trial.
        terms: The transition terms.
    """

    own: Tier
    entitlements: Entitlements
    lasting: Entitlements
    terms: Terms


class Contracts:
    """
    The contracts of the accounts of one policy.

    Args:
        policy: The policy in force.
        now: The instant, in microseconds.
    """

    def __init__(self, policy: PolicyData, now: int) -> None:
        self._policy = policy
        self._now = now
        self._shared: dict[Any, Contract] = {}

    def of(self, account: Account) -> Contract:
        """
        Return the contract of an account that was read under the policy.

        Raises:
            UnknownAccount: For an account with an unknown tier.
            AccountError: For an account that cannot be resolved.
            ValueError: For invalid terms.
        """
        if account.trial or account.add_ons or account.overrides or account.grants or account.changes:
            return self._resolve(account)
        key = account.tier, account.status, account.anchor, account.time_zone
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = self._resolve(account)
        own = Entitlements(account.id, self._policy, resolution_of(shared.entitlements))
        return Contract(shared.own, own, own, shared.terms)

    def _resolve(self, account: Account) -> Contract:
        policy, now = self._policy, self._now
        own, entitlements = own_tier(policy, account, now), resolve(policy, account, now)
        lasting = entitlements if account.trial is None else without_trial(policy, account, now)
        return Contract(own, entitlements, lasting, terms_of(resolution_of(lasting).values))
