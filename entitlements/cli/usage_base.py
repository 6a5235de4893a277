"""The accounts of a base that are near a limit: `entitlements usage --all --near 80`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from entitlements.presentation.formatting import align_columns, format_amount
from entitlements.presentation.usage_meters import UsageMeter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.model.limits import Limit
    from entitlements.model.usage import Usage
    from entitlements.policy import Policy

PAGE = 500
"""Accounts whose usage is read together."""


@dataclass(frozen=True, slots=True)
class NearLimit:
    """
    A limit of an account that is used for a share at least.

    Args:
        account: The account.
        limit: The limit.
        usage: Its usage.
        share: The used share, 1.0 if nothing is left.
    """

    account: Account
    limit: Limit
    usage: Usage
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Return a dict for `json.dumps`."""
        return {
            "account": self.account.id, "tier": self.account.tier, "limit": self.limit.name, "share": self.share,
            "usage": self.usage.to_dict(),
        }  # fmt: skip


def near_limits(enforcer: Enforcer, policy: Policy, accounts: Iterable[Account], near: int) -> Iterator[NearLimit]:
    """Yield the limits of accounts that are used for *near* percent or more, in few round trips."""
    each = iter(accounts)
    while page := list(islice(each, PAGE)):
        for account, usages in zip(page, enforcer.usage_of(page).values(), strict=True):
            for name, usage in usages.items():
                limit = policy.limits[name]
                share = UsageMeter(limit, usage).share
                if share is not None and share > 0 and share * 100 >= near:
                    yield NearLimit(account, limit, usage, share)


def near_lines(found: list[NearLimit]) -> Iterator[str]:
    """Yield a table, the fullest first."""
    rows = [
        (each.account.id, each.account.tier, each.limit.name, f"{each.share:.0%}", _used(each))
        for each in sorted(found, key=lambda each: -each.share)
    ]
    yield from (
        align_columns([("account", "tier", "limit", "used", ""), *rows]) if rows else ["no account is near a limit"]
    )


def _used(each: NearLimit) -> str:
    used, size = each.usage.used, each.usage.limit
    assert used is not None
    assert isinstance(size, int)
    return f"{format_amount(each.limit, used)} of {format_amount(each.limit, size)}"
