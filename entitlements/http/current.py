"""Whose request is being served: for code that has no request at hand."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from entitlements.errors import NotLoaded

if TYPE_CHECKING:
    from contextvars import Token

    from entitlements.bound import AsyncBoundAccount, BoundAccount

    Handle = AsyncBoundAccount | BoundAccount

_account: ContextVar[Handle] = ContextVar("entitlements.account")


def current_account() -> Handle:
    """
    Return the account of the request that is being served here: its verbs, bound to it.

    Raises:
        NotLoaded: Outside of a request that an `AccountMiddleware` let through.
    """
    try:
        return _account.get()
    except LookupError:
        raise NotLoaded(
            "no account is being served here; call this within a request behind EntitlementsMiddleware"
        ) from None


def serve(account: Handle) -> Token[Handle]:
    """Make *account* the current one, until `leave`."""
    return _account.set(account)


def leave(token: Token[Handle]) -> None:
    """Put back what was current before."""
    _account.reset(token)
