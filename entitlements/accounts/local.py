"""Sources that answer from this process's memory: a cache in front of them would only be in the way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from entitlements.accounts.load_result import Loaded
from entitlements.accounts.sources import is_async, recheck, under_policy
from entitlements.model.instants import MICROSECOND

if TYPE_CHECKING:
    from entitlements.model.account import Account
    from entitlements.model.policy import Policy
    from entitlements.ports import Accounts

TTL = timedelta(seconds=30)
"""How long an account is believed where nothing else is said."""


class LocalAccounts:
    """
    A source that answers at once: asked each time, believed for a while by those who ask.

    Args:
        source: A blocking source that does not make anybody wait.
        ttl: How long its answers may be kept.

    Raises:
        TypeError: For a source that is async.
    """

    def __init__(self, source: Accounts, *, ttl: timedelta = TTL) -> None:
        if is_async(source):
            raise TypeError(f"{source!r} is async; use it in an AsyncEnforcer")
        self._source = source
        self._ttl = ttl

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return self._source.find(id)

    def load(self, id: str, /) -> Loaded:
        """Return the account and how long it may be kept."""
        return Loaded(self._source.find(id), self._ttl // MICROSECOND)

    def refresh(self, id: str, /) -> None:
        """Let the source know that its copy may be out of date."""
        recheck(self._source, id)

    def with_policy(self, policy: Policy) -> LocalAccounts:
        """Return the source as it reads under *policy*."""
        source = under_policy(self._source, policy)
        return self if source is self._source else LocalAccounts(source, ttl=self._ttl)

    def __repr__(self) -> str:
        return f"LocalAccounts({self._source!r})"


class AsyncLocalAccounts:
    """Same as `LocalAccounts` but for an event loop, which waits for nothing here."""

    def __init__(self, source: Accounts, *, ttl: timedelta = TTL) -> None:
        self._local = LocalAccounts(source, ttl=ttl)

    async def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return self._local.find(id)

    async def load(self, id: str, /) -> Loaded:
        """Return the account and how long it may be kept."""
        return self._local.load(id)

    def refresh(self, id: str, /) -> None:
        """Let the source know that its copy may be out of date."""
        self._local.refresh(id)

    def __repr__(self) -> str:
        return f"Async{self._local!r}"
