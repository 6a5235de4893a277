"""FastAPI's dependencies as a type checker sees them: checked, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, assert_type

from fastapi import Depends

from entitlements import Decision, Entitlements, Usage
from entitlements.handles import AsyncBoundAccount, BoundAccount
from entitlements.http import fastapi
from entitlements.http.fastapi import CurrentAccount, CurrentEntitlements


async def endpoint(account: CurrentAccount, mine: CurrentEntitlements) -> None:
    """Use what stands behind an `AsyncEnforcer`."""
    assert_type(account, AsyncBoundAccount)
    assert_type(account.id, str)
    assert_type(account.can("sso"), bool)
    assert_type(await account.consume("leads", 3), Decision)
    assert_type(await account.usage(), dict[str, Usage])
    assert_type(mine, Entitlements)
    assert_type(fastapi.snapshot(account), Entitlements)


def blocking(account: Annotated[BoundAccount, Depends(fastapi.account)]) -> Mapping[str, Decision]:
    """Use what stands behind an `Enforcer`."""
    return assert_type(account.consume("leads", 3), Decision).parts
