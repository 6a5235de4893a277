"""Calls of blocking and async objects from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from entitlements.async_enforcer import AsyncEnforcer

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.model.entitlements import Entitlements
    from entitlements.model.policy import PolicyData
    from entitlements.model.usage import Period, Usage
    from entitlements.tiering.changes import ChangePreview


async def call(verb: Callable[..., Any], *arguments: Any, is_async: bool, **options: Any) -> Any:
    """Return the result of a verb: awaited, or of a blocking one in a thread."""
    return await verb(*arguments, **options) if is_async else await asyncio.to_thread(verb, *arguments, **options)


class AwaitedEnforcer:
    """
    The verbs of an enforcer that the console calls, awaited.

    Args:
        enforcer: An `Enforcer`, which is called in threads, or an `AsyncEnforcer`.
    """

    def __init__(self, enforcer: Enforcer | AsyncEnforcer) -> None:
        self._enforcer = enforcer
        self._is_async = isinstance(enforcer, AsyncEnforcer)

    @property
    def policy(self) -> PolicyData:
        """The policy in force."""
        return self._enforcer.policy

    @property
    def counts_here(self) -> bool:
        """True if it counts in the memory of this process."""
        return self._enforcer.via == "memory"

    async def entitlements(self, account: Account) -> Entitlements:
        """Return what is resolved for the account."""
        return await self._call("entitlements", account)  # type: ignore[no-any-return]

    async def usage(self, account: Account, scope: str | None) -> dict[str, Usage]:
        """Return the usage of every limit, in one round trip."""
        return await self._call("usage", account, scope=scope)  # type: ignore[no-any-return]

    async def history(self, account: Account, limit: str, scope: str | None) -> tuple[Period, ...]:
        """Return the periods of a quota, newest first."""
        return await self._call("history", account, limit, scope=scope)  # type: ignore[no-any-return]

    async def scopes(self, account: Account, size: int) -> tuple[str, ...]:
        """Return the first scopes that have a counter."""
        return await self._call("scopes", account, size=size)  # type: ignore[no-any-return]

    async def plan_change(self, account: Account, tier: str) -> ChangePreview:
        """Return the effects of moving the account to a tier."""
        return await self._call("plan_change", account, tier)  # type: ignore[no-any-return]

    async def invalidate(self, id: str) -> None:
        """Have every process load the account again."""
        await self._call("invalidate", id)

    async def _call(self, verb: str, *arguments: Any, **options: Any) -> Any:
        return await call(getattr(self._enforcer, verb), *arguments, is_async=self._is_async, **options)
