"""Tiers that accounts name and the policy does not have: said once, because a refusal looks like any other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from entitlements.model.names import nearest

if TYPE_CHECKING:
    from entitlements.model.policy import Policy

MOST = 100
"""Tier names that are told apart; what comes after so many is not told of."""

_log = logging.getLogger("entitlements.accounts")


class Strays:
    """Warns of each tier that the policy in force does not have, once; accounts are never named."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def look(self, policy: Policy, tier: str) -> None:
        """Warn of *tier* if *policy* does not have it."""
        if tier in policy.ids or tier in self._told or len(self._told) >= MOST:
            return
        self._told.add(tier)
        _log.warning(
            "accounts name tier %.200r, which policy %s does not have; without another they count as unknown"
            " (unknown_account: %s). Its tiers are %s%s",
            tier, policy.version, policy.unknown_account, ", ".join(policy.tiers), nearest(tier, policy.ids),
        )  # fmt: skip

    def clear(self) -> None:
        """Begin anew, under another policy."""
        self._told.clear()
