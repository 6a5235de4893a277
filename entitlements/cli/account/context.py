"""The database of a command that changes an account, and the report of the change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from entitlements.cli.directory import OPENED, require_tables
from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import accounts_path, open_accounts, open_policy, parse_datetime
from entitlements.errors import AccountError
from entitlements.presentation.accounts import in_text, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.accounts.sql import SqlAccounts
    from entitlements.model.account import Account


def change(
    id: str,
    verb: Callable[[SqlAccounts, Mapping[str, Any]], Account],
    *,
    accounts: str | None,
    policy: str | None,
    store: str | None,
    reason: str,
    author: str,
    at: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """
    Carry out a change of an account, and show it.

    Args:
        id: The account.
        verb: Calls the verb of the accounts with the options that all verbs take.
        accounts: The option.
        policy: The option.
        store: The option; every process that counts there decides by the new account.
        reason: The option.
        author: The option.
        at: The option.
        dry_run: The option.
        as_json: The option.
    """
    from entitlements.accounts.sql.edits import differences
    from entitlements.accounts.sql.rows import RowError
    from entitlements.cli.console import CliConsole

    source = database(accounts, policy)
    options: dict[str, Any] = {"reason": reason, "author": author, "dry_run": dry_run}
    if (moment := parse_datetime(at, "--at")) is not None:
        options["at"] = moment
    if store:
        options["enforcer"] = _enforcer(policy, store)
    before = source.find(id)
    try:
        after: Account | None = verb(source, options)
    except RowError:
        raise
    except AccountError as error:
        is_missing = before is None and "there is no such account" in str(error)
        raise CommandError(str(error), ExitCode.NO_ACCOUNT if is_missing else ExitCode.USAGE) from None
    if after == before:  # it was closed
        after = None if dry_run else source.find(id)
    changed = differences(before, after)
    said = {"account": plain(after), "version": source.version(id), "dry_run": dry_run}
    said["changed"] = {name: {"before": plain(was), "after": plain(now)} for name, (was, now) in changed.items()}
    CliConsole().write_answer(lambda: said, _lines(id, changed, after, dry_run=dry_run), as_json=as_json)
    return ExitCode.YES


def database(accounts: str | None, policy: str | None) -> SqlAccounts:
    """Return the accounts of a database, whose changes the policy checks."""
    path = accounts_path(accounts)
    return require_tables(open_accounts(path, open_policy(policy)), path)


def _enforcer(policy: str | None, store: str) -> Any:
    from entitlements.enforcer import Enforcer

    return OPENED.enter_context(Enforcer(open_policy(policy), accounts={}, store=store))


def _lines(id: str, changed: Mapping[str, tuple[Any, Any]], after: Account | None, *, dry_run: bool) -> Iterator[str]:
    would = "would be " if dry_run else ""
    if after is None:
        yield f"{id}: {would}closed"
        return
    yield f"{id}: {'would change' if dry_run else 'changed'}"
    for name, (was, now) in changed.items():
        yield f"  {name}: {in_text(was)} -> {in_text(now)}"
