"""Accounts as the console reads them: the tables of a database, or any other source."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from entitlements.accounts import CsvAccounts, StaticAccounts, is_database_url
from entitlements.accounts.sources import is_async, under_policy
from entitlements.console.calls import call
from entitlements.errors import AccountError
from entitlements.model.account import Account

if TYPE_CHECKING:
    from entitlements.accounts.sql import AuditEntry
    from entitlements.model.policy import PolicyData

PAGE = 50
"""Accounts of one page."""


@dataclass(frozen=True, slots=True)
class Found:
    """
    A page of accounts.

    Args:
        accounts: By id; for an account that cannot be read, the error.
        after: The last id, if there are more; else None.
    """

    accounts: Mapping[str, Account | AccountError]
    after: str | None


@runtime_checkable
class AccountTables(Protocol):
    """`SqlAccounts` and `AsyncSqlAccounts`."""

    @property
    def has_own_tables(self) -> bool:
        """True on tables of this package."""
        ...

    def search(
        self, prefix: str = ..., *, tiers: Collection[str] = ..., after: str | None = ..., size: int = ...
    ) -> Any:
        """Return a page of accounts."""
        ...

    def version(self, id: str) -> Any:
        """Return the version of an account."""
        ...

    def audit(self, id: str, *, size: int | None = ..., before: int | None = ...) -> Any:
        """Return the changes of an account."""
        ...


class AccountDirectory:
    """
    A source of accounts, awaited.

    Args:
        accounts: What an enforcer takes: `{id: tier | Account}`, the path of a CSV, the URL of a database, a source
            with `find(id)`, blocking or async, or None.
        policy: Returns the policy in force, by which a CSV is read.

    Raises:
        TypeError: For anything else.
    """

    def __init__(self, accounts: object, policy: Callable[[], PolicyData]) -> None:
        self._ids: Collection[str] | None = accounts.keys() if isinstance(accounts, Mapping) else None
        given = _opened(accounts)
        self._given, self._policy = given, policy
        self._bound: tuple[PolicyData | None, Any] = (None, given)
        self._is_async = is_async(given)
        self.tables: AccountTables | None = None
        if isinstance(given, AccountTables) and given.has_own_tables:
            self.tables = given

    @property
    def _source(self) -> Any:
        """The source as it reads under the policy in force."""
        policy = self._policy()
        if policy is not self._bound[0]:
            self._bound = (policy, under_policy(self._given, policy))
        return self._bound[1]

    @property
    def is_async(self) -> bool:
        """True if the verbs of the source are awaited."""
        return self._is_async

    @property
    def unchangeable(self) -> str:
        """The reason that accounts cannot be changed here; empty if they can."""
        if self.tables is not None:
            return ""
        if self._source is None:
            return "The console was given no accounts."
        return (
            f"Accounts come from {_kind(self._source)}, which the console only reads; change them where they are kept."
        )

    @property
    def can_list(self) -> bool:
        """True if accounts can be listed; else they are found by their whole id only."""
        return self.tables is not None or self._listed() is not None

    async def find(self, id: str) -> Account | None:
        """Return the account, or None if there is none."""
        if self._source is None:
            return None
        found: Account | None = await call(self._source.find, id, is_async=self._is_async)
        return found

    async def search(self, prefix: str, tiers: Collection[str], after: str | None, size: int = PAGE) -> Found:
        """
        Return the accounts whose ids begin with *prefix*, in order.

        Args:
            prefix: Of the id; case-sensitive.
            tiers: Own tiers of the accounts, ids or aliases; empty for any.
            after: The last id of the page before; None for the first page.
            size: Most accounts.
        """
        if self.tables is not None:
            found = await call(
                self.tables.search, prefix, tiers=tiers, after=after, size=size + 1, is_async=self._is_async
            )
        elif self._is_async:
            one = await self.find(prefix) if prefix and after is None else None
            found = {} if one is None else {one.id: one}
        else:
            found = await call(self._scan, prefix, tiers, after, size + 1, is_async=False)
        page = dict(list(found.items())[:size])
        return Found(page, next(reversed(page)) if len(found) > size else None)

    async def version(self, id: str) -> int:
        """Return the version of an account in the tables."""
        assert self.tables is not None
        found: int = await call(self.tables.version, id, is_async=self._is_async)
        return found

    async def audit(self, id: str, size: int, before: int | None) -> tuple[AuditEntry, ...]:
        """Return the newest changes of an account in the tables, those before a version if one is given."""
        assert self.tables is not None
        found: tuple[AuditEntry, ...] = await call(
            self.tables.audit, id, size=size, before=before, is_async=self._is_async
        )
        return found

    def _scan(
        self, prefix: str, tiers: Collection[str], after: str | None, size: int
    ) -> dict[str, Account | AccountError]:
        found: dict[str, Account | AccountError] = {}
        ids = self._listed()
        matching = [prefix] if ids is None else sorted(id for id in ids if id.startswith(prefix))
        for id in matching:
            if id and (after is None or id > after):
                one = _read(self._source.find, id)
                if one is not None and (not tiers or (isinstance(one, Account) and one.tier in tiers)):
                    found[id] = one
                    if len(found) == size:
                        break
        return found

    def _listed(self) -> Iterable[str] | None:
        """Return the ids of the source; None if it does not list them."""
        if self._ids is not None:
            return self._ids
        if self._is_async or isinstance(self._source, AccountTables):
            return None
        if callable(getattr(self._source, "ids", None)):
            ids: Iterable[str] = self._source.ids()
            return ids
        return (account.id for account in self._source) if isinstance(self._source, Iterable) else None


def _opened(accounts: object) -> Any:
    if isinstance(accounts, str) and is_database_url(accounts):
        from entitlements.accounts.sql import SqlAccounts

        return SqlAccounts(accounts)
    if isinstance(accounts, str | os.PathLike):
        return CsvAccounts(accounts)
    if isinstance(accounts, Mapping):
        return StaticAccounts(accounts)
    if accounts is None or callable(getattr(accounts, "find", None)):
        return accounts
    raise TypeError(
        f"accounts {accounts!r} is a {type(accounts).__name__}; give {{id: tier or Account}}, the path of a CSV,"
        " the URL of a database, or an object with find(id)"
    )


def _read(find: Callable[[str], Account | None], id: str) -> Account | AccountError | None:
    try:
        return find(id)
    except AccountError as error:
        return error


def _kind(source: object) -> str:
    if isinstance(source, CsvAccounts):
        return "a CSV file"
    if isinstance(source, StaticAccounts):
        return "a mapping"
    if isinstance(source, AccountTables):
        return "a query of the application"
    return f"a {type(source).__name__}"
