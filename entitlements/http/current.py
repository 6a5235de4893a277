"""Context variables: the account of the current request, and the enforcer of an application that starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from entitlements.errors import NotLoaded

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.handles import AsyncBoundAccount, BoundAccount

    Handle = AsyncBoundAccount | BoundAccount

__all__ = ["current_account"]

ACCOUNT: ContextVar[Handle | None] = ContextVar("entitlements.account", default=None)
"""The account of the current request; None outside of one, and in one without an account."""

ENFORCER: ContextVar[AsyncEnforcer | Enforcer] = ContextVar("entitlements.enforcer")
"""The enforcer of the middleware around an application; set while the application starts."""


def current_account() -> Handle:
    """
    Return the account of the current request, with its verbs bound to it.

    Raises:
        NotLoaded: Outside of a request that an `AccountMiddleware` let through.
    """
    account = ACCOUNT.get()
    if account is None:
        raise NotLoaded("no account is being served here; call this within a request behind EntitlementsMiddleware")
    return account


@contextmanager
def serving(account: Handle | None) -> Iterator[None]:
    """
    Make *account* the current one in a block.

    A request without an account needs this too: a server may start it from the context of an earlier
    request of its connection, whose account is still set there.
    """
    token = ACCOUNT.set(account)
    try:
        yield
    finally:
        ACCOUNT.reset(token)
