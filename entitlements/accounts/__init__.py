"""
Sources of accounts: a mapping, a CSV file, a SQL database (`sql/`), or a source of your own.

A source of your own is an object with one method, a blocking one for `Enforcer`:

    class Customers:
        def find(self, id: str, /) -> Account | None:
            row = self.db.execute("SELECT tier, agents FROM customers WHERE id = ?", [id]).fetchone()
            return None if row is None else Account(id, row["tier"], grants=[Grant("agents", row["agents"])])

or the same with `async def find` for `AsyncEnforcer`, which runs a blocking one in threads.

- `find` returns the account with exactly that id, or None if there is none.
- It lets the exceptions of its database through. For a while, the account as it was last
  loaded is used then.
- It needs no cache: `open_accounts()` puts one in front.
- It may be called from several threads at once.
- A source that keeps copies has a method `recheck(id)`, called when one may be out of date.
- A source that reads differently under each policy has a method `with_policy(policy)`,
  which returns the source for the policy in force.

Begin with `cached.py`, the cache in front of a source; its entries are in `cache_entries.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from entitlements.accounts.cached import AsyncCachedAccounts, CachedAccounts, own_source
from entitlements.accounts.csv.source import CsvAccounts
from entitlements.accounts.loads import Loaded
from entitlements.accounts.local import AsyncLocalAccounts, LocalAccounts
from entitlements.accounts.sources import is_async, under_policy
from entitlements.accounts.static import StaticAccounts
from entitlements.accounts.threaded import ThreadedAccounts
from entitlements.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.accounts.when_down import Listener
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData
    from entitlements.ports import Accounts, AsyncAccounts

    AnyAccounts = Mapping[str, str | Account] | str | os.PathLike[str] | Accounts | AsyncAccounts | None

__all__ = [
    "AsyncCachedAccounts",
    "AsyncLocalAccounts",
    "CachedAccounts",
    "CsvAccounts",
    "Loaded",
    "LocalAccounts",
    "StaticAccounts",
    "ThreadedAccounts",
]


def open_accounts(
    accounts: AnyAccounts,
    *,
    policy: PolicyData | None = None,
    clock: Callable[[], int] = monotonic,
    listener: Listener | None = None,
) -> CachedAccounts | LocalAccounts | None:
    """
    Return the source for `Enforcer(accounts=...)`, with a cache where it needs one.

    Args:
        accounts: `{id: tier | Account}`, a path to a CSV, the URL of a database, anything with a
            blocking `find(id)`, what this function returned before, or None.
        policy: The policy in force, for sources that read differently under each.
        clock: The cache's clock, in monotonic microseconds.
        listener: Notified when a source behind a cache goes down, and when it recovers.

    Raises:
        TypeError: For an async source, and for anything else.
        AccountError: For a CSV that cannot be read.
    """
    source = under_policy(_source(accounts, policy, is_async=False), policy)
    if is_async(source):
        raise TypeError(f"accounts {accounts!r} has an async find; use AsyncEnforcer, or write a blocking one")
    if source is None or isinstance(source, LocalAccounts):
        return source
    if isinstance(source, StaticAccounts | CsvAccounts):
        return LocalAccounts(source)
    cached = source if isinstance(source, CachedAccounts) else CachedAccounts(source, clock=clock)
    if is_database_url(accounts):
        own_source(cached)
    if listener is not None:
        cached.listen(listener)
    return cached


def open_async_accounts(
    accounts: AnyAccounts,
    *,
    policy: PolicyData | None = None,
    clock: Callable[[], int] = monotonic,
    listener: Listener | None = None,
) -> AsyncCachedAccounts | AsyncLocalAccounts | None:
    """Return the source for `AsyncEnforcer(accounts=...)`; a source that may block runs in threads."""
    source = under_policy(_source(accounts, policy, is_async=True), policy)
    if source is None or isinstance(source, AsyncLocalAccounts):
        return source
    if isinstance(source, CachedAccounts | LocalAccounts):
        raise TypeError(f"accounts {accounts!r} is for threads; give AsyncEnforcer the source itself")
    if isinstance(source, StaticAccounts):
        return AsyncLocalAccounts(source)
    source = source if is_async(source) else ThreadedAccounts(source)
    cached = source if isinstance(source, AsyncCachedAccounts) else AsyncCachedAccounts(source, clock=clock)
    if is_database_url(accounts):
        own_source(cached)
    if listener is not None:
        cached.listen(listener)
    return cached


def cache_size(source: object) -> int:
    """Return most accounts that the cache in front of a source keeps; 0 without one."""
    return source.max_size if isinstance(source, CachedAccounts | AsyncCachedAccounts) else 0


def is_database_url(accounts: object) -> bool:
    """Return True for the URL of a database, which no path of a file is."""
    return isinstance(accounts, str) and "://" in accounts


def _source(accounts: object, policy: PolicyData | None, *, is_async: bool) -> Any:
    """Return the source for a mapping, a path or a database URL, or *accounts* itself if it is a source."""
    if accounts is None:
        return None
    if isinstance(accounts, str) and is_database_url(accounts):
        from entitlements.accounts.sql import AsyncSqlAccounts, SqlAccounts

        return (AsyncSqlAccounts if is_async else SqlAccounts)(accounts, policy=policy)
    if isinstance(accounts, str | os.PathLike):
        return CsvAccounts(accounts, policy=policy)
    if callable(getattr(accounts, "find", None)) and not isinstance(accounts, type | bytes | bytearray):
        return accounts
    if isinstance(accounts, Mapping):
        return StaticAccounts(accounts)
    raise TypeError(
        f"accounts {accounts!r} is a {type(accounts).__name__}; give {{id: tier or Account}}, the path of a CSV,"
        " the URL of a database, or an object with find(id)"
    )
