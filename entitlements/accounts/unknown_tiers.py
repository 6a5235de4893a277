"""Unknown-tier warning: logs each tier that accounts name and the policy does not have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from entitlements.model.names import nearest

if TYPE_CHECKING:
    from entitlements.model.policy import PolicyData

MAX_WARNINGS = 100
"""Tiers that are warned of under one policy; further ones are not logged."""

_log = logging.getLogger("entitlements.accounts")


class UnknownTierWarnings:
    """Warns once of each tier that the policy in force does not have; accounts are never named."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def check(self, policy: PolicyData, tier: str) -> None:
        """Warn of *tier* if *policy* does not have it."""
        if tier in policy.ids or tier in self._warned or len(self._warned) >= MAX_WARNINGS:
            return
        self._warned.add(tier)
        _log.warning(
            "tier %.200r is not defined in policy %s; accounts in it without another tier count as unknown"
            " (unknown_account: %s). Its tiers are %s%s",
            tier, policy.version, policy.unknown_account, ", ".join(policy.tiers), nearest(tier, policy.ids),
            extra={"tier": tier[:200], "policy_version": policy.version},
        )  # fmt: skip

    def clear(self) -> None:
        """Forget the warnings, because another policy is in force."""
        self._warned.clear()
