"""Adapters for sources that answer from memory, and so need no cache."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from entitlements.accounts.loads import Loaded
from entitlements.accounts.sources import is_async, refresh_source, repr_of_wrapper, with_policy
from entitlements.model.instants import MICROSECOND

if TYPE_CHECKING:
    from entitlements.model.account import Account
    from entitlements.ports import Accounts

TTL = timedelta(seconds=30)
"""Default time to live of an account."""


class LocalAccounts:
    """
    A source in memory: asked at every load, never cached here.

    Args:
        source: A blocking source that answers at once.
        ttl: How long a caller may keep its answers.

    Raises:
        TypeError: For a source that is async.
    """

    _source: Accounts

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

    def expire_all(self) -> None:
        """Do nothing: the source is asked at every load."""

    refresh = recheck = refresh_source
    with_policy = with_policy
    __repr__ = repr_of_wrapper


class AsyncLocalAccounts:
    """`LocalAccounts` with the async interface; nothing is awaited."""

    _source: LocalAccounts

    def __init__(self, source: Accounts, *, ttl: timedelta = TTL) -> None:
        self._source = LocalAccounts(source, ttl=ttl)

    async def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return self._source.find(id)

    async def load(self, id: str, /) -> Loaded:
        """Return the account and how long it may be kept."""
        return self._source.load(id)

    def expire_all(self) -> None:
        """Do nothing: the source is asked at every load."""

    refresh = recheck = refresh_source
    with_policy = with_policy

    def __repr__(self) -> str:
        return f"Async{self._source!r}"
