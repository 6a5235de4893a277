"""Commands that show accounts, their audit, and the tables of a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli.account.options import DatabaseOption
from entitlements.cli.context import find_account
from entitlements.cli.exit_codes import ExitCode
from entitlements.cli.loading import accounts_path, open_accounts, open_policy
from entitlements.cli.options import AccountArgument, AccountsOption, JsonOption, PolicyOption
from entitlements.presentation.accounts import in_text, plain
from entitlements.presentation.formatting import align_columns, format_time

if TYPE_CHECKING:
    from entitlements.accounts.sql import AuditEntry
    from entitlements.model.account import Account


def show(
    account: AccountArgument,
    *,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show an account as it is stored."""
    from entitlements.cli.console import CliConsole
    from entitlements.cli.directory import SqlDirectory

    path = accounts_path(accounts)
    directory = open_accounts(path, open_policy(policy))
    found = find_account(account, path, directory)
    version = directory.accounts.version(account) if isinstance(directory, SqlDirectory) else None
    CliConsole().write_answer(lambda: plain(found) | {"version": version}, _lines(found), as_json=as_json)
    return ExitCode.YES


def list_accounts(
    *,
    tier: Annotated[str | None, typer.Option("--tier", metavar="TIER", help="Only accounts of this tier.")] = None,
    policy: PolicyOption = None,
    accounts: AccountsOption = None,
    as_json: JsonOption = False,
) -> int:
    """List accounts with tier and status. Exits with 1 if some cannot be read."""
    from entitlements.cli.console import CliConsole, warn
    from entitlements.model.problem import Severity

    directory = open_accounts(accounts_path(accounts), open_policy(policy))
    found = [each for each in directory if tier in {None, each.tier}]
    rows = [("account", "tier", "status"), *((each.id, each.tier, str(each.status)) for each in found)]
    problems = [str(each) for each in directory.problems if each.severity is Severity.ERROR]
    CliConsole().write_answer(
        lambda: {"accounts": [plain(each) for each in found], "problems": problems},
        align_columns(rows),
        as_json=as_json,
    )
    if not as_json:
        warn(*problems, style="red")
    return ExitCode.NO if problems else ExitCode.YES


def audit(account: AccountArgument, *, accounts: DatabaseOption = None, as_json: JsonOption = False) -> int:
    """Show the changes of an account, newest first."""
    from entitlements.cli.console import CliConsole
    from entitlements.cli.directory import account_missing, require_tables

    path = accounts_path(accounts)
    entries = require_tables(open_accounts(path, None), path).audit(account)
    if not entries:
        raise account_missing(account, path)
    lines = (line for entry in entries for line in _audit_lines(entry))
    CliConsole().write_answer(lambda: [entry.to_dict() for entry in entries], lines, as_json=as_json)
    return ExitCode.YES


def migrate(*, accounts: DatabaseOption = None, as_json: JsonOption = False) -> int:
    """Create the tables of a database, or bring older ones to the present version."""
    from entitlements.cli.console import CliConsole
    from entitlements.cli.directory import require_tables

    path = accounts_path(accounts)
    before, after = require_tables(open_accounts(path, None), path).migrate()
    said = "created" if before is None else "nothing to do" if before == after else f"migrated from version {before}"
    CliConsole().write_answer(
        lambda: {"before": before, "after": after}, [f"tables of version {after}: {said}"], as_json=as_json
    )
    return ExitCode.YES


def _lines(account: Account) -> Iterator[str]:
    yield f"{account.id}: tier {account.tier}, {account.status}"
    for name in ("trial", "anchor", "time_zone", "add_ons", "overrides", "grants", "changes", "attributes"):
        value: Any = getattr(account, name)
        if value not in (None, (), {}):
            yield f"  {name}: {in_text(value)}"


def _audit_lines(entry: AuditEntry) -> Iterator[str]:
    event = f", event {entry.event}" if entry.event else ""
    yield f"{format_time(entry.at)}  version {entry.version}  {entry.action} by {entry.author}: {entry.reason}{event}"
    for name, pair in entry.changed.items():
        yield f"  {name}: {_shown(pair.get('before'))} -> {_shown(pair.get('after'))}"


def _shown(value: object) -> str:
    import json

    return "none" if value in (None, [], {}) else value if isinstance(value, str) else json.dumps(value)
