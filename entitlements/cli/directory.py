"""Directories of accounts that `--accounts` names: a CSV, the tables of a database, or an object of your own."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors

if TYPE_CHECKING:
    from entitlements.accounts.sql import SqlAccounts
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData
    from entitlements.model.problem import Problem

OPENED = ExitStack()
"""Closed at the end of the command."""
MOST_IDS = 2_000
"""Ids of a database that are compared with a misspelt one."""


class Directory(Protocol):
    """Accounts as commands read them."""

    @property
    def problems(self) -> Sequence[Problem]:
        """The rows that are no accounts."""
        ...

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        ...

    def ids(self) -> Collection[str]:
        """Return ids to compare a misspelt one with."""
        ...

    def __iter__(self) -> Iterator[Account]: ...

    def __len__(self) -> int: ...


class SqlDirectory:
    """
    The accounts of a database, under a policy.

    Args:
        accounts: The accounts.
        policy: The policy, by which each account is checked; None without one.
    """

    def __init__(self, accounts: SqlAccounts, policy: PolicyData | None) -> None:
        self.accounts = accounts
        self._policy = policy

    @property
    def problems(self) -> Sequence[Problem]:
        """The rows that are no accounts, and the accounts that the policy cannot read."""
        from entitlements.accounts.csv.policy_view import apply_to_account
        from entitlements.model.problem import Problem

        found = list(self.accounts.problems)
        if self._policy is not None:
            for account in self.accounts:
                _, faults = apply_to_account(self._policy, account)
                found += (Problem(f"account {account.id}", 0, *fault) for fault in faults)
        return found

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        return self.accounts.find(id)

    def ids(self) -> Collection[str]:
        """Return the first ids."""
        return [account.id for account in islice(self.accounts, MOST_IDS)]

    def __iter__(self) -> Iterator[Account]:
        return iter(self.accounts)

    def __len__(self) -> int:
        return len(self.accounts.ids())


class ObjectDirectory:
    """
    An object of your own with `find(id)`, or a mapping.

    Args:
        name: `module:object`.
        source: The object.
    """

    problems: Sequence[Problem] = ()

    def __init__(self, name: str, source: Any) -> None:
        from entitlements.accounts.static import StaticAccounts

        self._name, self.source = name, source
        self._source = StaticAccounts(source) if isinstance(source, Mapping) else source

    def find(self, id: str, /) -> Account | None:
        """Return the account, or None if there is none."""
        found: Account | None = self._source.find(id)
        return found

    def ids(self) -> Collection[str]:
        """Return the ids of a mapping; none of another object."""
        return list(self.source) if isinstance(self.source, Mapping) else ()

    def __iter__(self) -> Iterator[Account]:
        if isinstance(self.source, Mapping):
            found = map(self._source.find, self.source)
            return (account for account in found if account is not None)
        if not isinstance(self.source, Iterable):
            raise CommandError(f"--accounts {self._name} cannot be listed: it has no __iter__; name one account")
        return iter(self.source)

    def __len__(self) -> int:
        return len(self.source) if hasattr(self.source, "__len__") else sum(1 for _ in self)


def is_object(path: str) -> bool:
    """Return True for `module:object`, which no path of a file looks like."""
    module, colon, name = path.partition(":")
    return bool(colon) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def open_sql(url: str, policy: PolicyData | None) -> SqlAccounts:
    """Return the accounts of a database, which are closed at the end of the command."""
    try:
        from entitlements.accounts.sql import SqlAccounts

        with usage_errors("--"):
            accounts = SqlAccounts(url, policy=policy, listen=False)
    except ModuleNotFoundError as error:
        raise CommandError(
            f"--accounts {url.partition(':')[0]}://…: {error}; install the driver of the database"
        ) from None
    OPENED.callback(accounts.close_engine)
    return accounts


def open_object(path: str, policy: PolicyData | None) -> SqlDirectory | ObjectDirectory:
    """Return the accounts that `module:object` names; modules of the working folder are found as well."""
    from entitlements.accounts.sources import is_async, under_policy

    module, _, name = path.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        source = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise CommandError(f"--accounts {path}: {error}; name a module and an object in it") from None
    if is_async(source):
        raise CommandError(f"--accounts {path} has an async find; name a blocking source, or the database's URL")
    if not isinstance(source, Mapping) and not callable(getattr(source, "find", None)):
        raise CommandError(f"--accounts {path} has no find(id); name a source of accounts, or a mapping")
    if type(source).__name__ == "SqlAccounts":
        return SqlDirectory(source, policy)
    return ObjectDirectory(path, under_policy(source, policy))


def require_tables(directory: object, path: str) -> SqlAccounts:
    """Return the accounts of a database whose rows a command may change."""
    if not isinstance(directory, SqlDirectory):
        cure = "name a database: --accounts sqlite:///accounts.db, or postgresql://user@host/db"
        raise CommandError(f"--accounts {path} is no database, and a command changes nothing else; {cure}")
    return directory.accounts


def account_missing(id: str, path: str) -> CommandError:
    """Return the error of an account that is not in a database."""
    return CommandError(f"account {id!r} is not in {path}", ExitCode.NO_ACCOUNT)
