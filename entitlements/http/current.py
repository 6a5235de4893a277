"""Context variables: the account of the current request, and the enforcer of an application that starts."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from entitlements.errors import NotLoaded

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.handles import AsyncBoundAccount, BoundAccount

    Handle = AsyncBoundAccount | BoundAccount

__all__ = ["current_account"]

ACCOUNT: ContextVar[Handle] = ContextVar("entitlements.account")
"""The account of the current request."""

ENFORCER: ContextVar[AsyncEnforcer | Enforcer] = ContextVar("entitlements.enforcer")
"""The enforcer of the middleware around an application; set while the application starts."""


def current_account() -> Handle:
    """
    Return the account of the current request, with its verbs bound to it.

    Raises:
        NotLoaded: Outside of a request that an `AccountMiddleware` let through.
    """
    try:
        return ACCOUNT.get()
    except LookupError:
        raise NotLoaded(
            "no account is being served here; call this within a request behind EntitlementsMiddleware"
        ) from None
