"""
Where accounts come from: a mapping, a CSV file, or a source of your own.

A source of your own is an object with one method; a blocking one for `Enforcer`:

    class Customers:
        def find(self, id: str, /) -> Account | None:
            row = self.db.execute("SELECT tier, agents FROM customers WHERE id = ?", [id]).fetchone()
            return None if row is None else Account(id, row["tier"], grants=[Grant("agents", row["agents"])])

or the same with `async def find` for `AsyncEnforcer`, which runs a blocking one in
threads. It returns the account with that very id, or None if there is none, and lets
exceptions of its database through: for a while what was last known stands in then. It needs no cache: `open_accounts()` puts one in
front. It may be asked from several threads at once. If it keeps copies itself, a method
`recheck(id)` tells it that one of them may be out of date; one with
`with_policy(policy)` is asked for itself under each policy in force.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from entitlements.accounts.cached import AsyncCachedAccounts, CachedAccounts
from entitlements.accounts.csv.source import CsvAccounts
from entitlements.accounts.load_result import Loaded
from entitlements.accounts.local import AsyncLocalAccounts, LocalAccounts
from entitlements.accounts.sources import is_async, under_policy
from entitlements.accounts.static import StaticAccounts
from entitlements.accounts.threaded import ThreadedAccounts
from entitlements.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.accounts.stale_if_error import Listener
    from entitlements.model.account import Account
    from entitlements.model.policy import Policy
    from entitlements.ports import Accounts, AsyncAccounts

    Given = Mapping[str, str | Account] | str | os.PathLike[str] | Accounts | AsyncAccounts | None

C = TypeVar("C", CachedAccounts, AsyncCachedAccounts)

__all__ = [
    "AsyncCachedAccounts",
    "AsyncLocalAccounts",
    "CachedAccounts",
    "CsvAccounts",
    "Loaded",
    "LocalAccounts",
    "StaticAccounts",
    "ThreadedAccounts",
    "is_async",
    "open_accounts",
    "open_async_accounts",
]


def open_accounts(
    accounts: Given,
    *,
    policy: Policy | None = None,
    clock: Callable[[], int] = monotonic,
    listener: Listener | None = None,
) -> CachedAccounts | LocalAccounts | None:
    """
    Return what `Enforcer(accounts=...)` names, ready to `load(id)` and `refresh(id)`.

    Args:
        accounts: `{id: tier | Account}`, a path to a CSV, anything with a blocking
            `find(id)`, what this function returned before, or None.
        policy: What the tiers mean; sources that read differently under it are asked so.
        clock: Of the cache, in microseconds that only ever grow.
        listener: Is told when a source behind a cache goes down, and when it is back.

    Raises:
        TypeError: For an async source, and for anything else.
        AccountError: For a CSV that cannot be read.
    """
    source = under_policy(_source(accounts, policy), policy)
    if is_async(source):
        raise TypeError(f"accounts {accounts!r} has an async find; use AsyncEnforcer, or write a blocking one")
    if source is None or isinstance(source, LocalAccounts):
        return source
    if isinstance(source, StaticAccounts | CsvAccounts):
        return LocalAccounts(source)
    return _heard(source if isinstance(source, CachedAccounts) else CachedAccounts(source, clock=clock), listener)


def open_async_accounts(
    accounts: Given,
    *,
    policy: Policy | None = None,
    clock: Callable[[], int] = monotonic,
    listener: Listener | None = None,
) -> AsyncCachedAccounts | AsyncLocalAccounts | None:
    """Same as `open_accounts()` but for `AsyncEnforcer`: a source that may block runs in threads."""
    source = under_policy(_source(accounts, policy), policy)
    if source is None or isinstance(source, AsyncLocalAccounts):
        return source
    if isinstance(source, AsyncCachedAccounts):
        return _heard(source, listener)
    if isinstance(source, CachedAccounts | LocalAccounts):
        raise TypeError(f"accounts {accounts!r} is for threads; give AsyncEnforcer the source itself")
    if isinstance(source, StaticAccounts):
        return AsyncLocalAccounts(source)
    return _heard(AsyncCachedAccounts(source if is_async(source) else ThreadedAccounts(source), clock=clock), listener)


def _heard(cached: C, listener: Listener | None) -> C:
    if listener is not None:
        cached.listen(listener)
    return cached


def _source(accounts: object, policy: Policy | None) -> Any:
    """Return the source that a mapping or a path stands for, or the source itself."""
    if accounts is None:
        return None
    if isinstance(accounts, str | os.PathLike):
        return CsvAccounts(accounts, policy=policy)
    if callable(getattr(accounts, "find", None)) and not isinstance(accounts, type | bytes | bytearray):
        return accounts
    if isinstance(accounts, Mapping):
        return StaticAccounts(accounts)
    raise TypeError(
        f"accounts {accounts!r} is a {type(accounts).__name__}; give {{id: tier or Account}}, the path of a CSV,"
        " or an object with find(id)"
    )
