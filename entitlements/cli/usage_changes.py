"""`entitlements usage set`, `reset` and `release`: corrections of what is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entitlements.cli.account.options import CHANGE_OPTIONS
from entitlements.cli.account.signature import with_options
from entitlements.cli.context import CommandContext, open_context
from entitlements.cli.directory import SqlDirectory
from entitlements.cli.exit_codes import ExitCode, usage_errors
from entitlements.cli.loading import accounts_path, open_accounts, parse_datetime, store_url
from entitlements.cli.options import AccountsOption

if TYPE_CHECKING:
    from entitlements.model.usage import Usage


Correction = tuple[str, str, str | None, Callable[..., object]]
"""Name, limit and scope of a correction, and the call that makes it, of an enforcer and an account."""
ScopeOption = Annotated[
    str | None, typer.Option("--scope", help="The scope (an ip, a user …) of a limit that is kept for one.")
]
LimitArgument = Annotated[str, typer.Argument(metavar="LIMIT", help="A limit.", show_default=False)]


def _correct(
    account: str,
    correction: Correction,
    *,
    policy: str | None,
    accounts: str | None,
    store: str | None,
    reason: str,
    author: str,
    at: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Correct a meter, write it into the audit of an account in a database, and show the meter before and after."""
    from entitlements.cli.console import CliConsole

    action, limit, scope, correct = correction
    moment = parse_datetime(at, "--at")
    context = open_context(account, policy=policy, accounts=accounts, store=store_url(store))
    with context.enforcer as enforcer, usage_errors():
        before = _usage(context, limit, scope)
        if not dry_run:
            correct(enforcer, context.account)
        after = before if dry_run else _usage(context, limit, scope)
    said: dict[str, Any] = {
        "account": account, "limit": limit, "scope": scope, "action": action, "reason": reason, "author": author, "dry_run": dry_run,
        "before": before.to_dict(), "after": after.to_dict(), "audited": False,
    }  # fmt: skip
    path = accounts_path(accounts)
    directory = open_accounts(path, context.policy)
    if isinstance(directory, SqlDirectory) and not dry_run:
        name = limit if scope is None else f"{limit} of {scope}"
        parts = {name: (before.used, after.used)}
        directory.accounts.note(account, action, parts, reason=reason, author=author, at=moment)
        said["audited"] = True
    would = "would be corrected" if dry_run else "used"
    of = "" if scope is None else f" of {scope}"
    line = f"{account}: {limit}{of} {would}: {_used(before)}" + ("" if dry_run else f" -> {_used(after)}")
    CliConsole().write_answer(lambda: said, [line], as_json=as_json)
    return ExitCode.YES


_correction = with_options(CHANGE_OPTIONS | {"accounts": (AccountsOption, None)}, _correct)


@_correction
def set_usage(
    limit: LimitArgument,
    total: Annotated[int, typer.Argument(metavar="TOTAL", help="Units in use from now on.", show_default=False)],
    *,
    scope: ScopeOption = None,
) -> Correction:
    """Set the usage of a quota's running period, or of an allocation."""
    return "set_usage", limit, scope, lambda enforcer, found: enforcer.set_usage(found, limit, total, scope=scope)


@_correction
def reset(
    limit: LimitArgument,
    *,
    scope: ScopeOption = None,
) -> Correction:
    """Empty the meter of a rate: all its units are available at once."""
    return "reset", limit, scope, lambda enforcer, found: enforcer.reset(found, limit, scope=scope)


@_correction
def release(
    limit: LimitArgument,
    amount: Annotated[int, typer.Argument(metavar="[AMOUNT]", help="Units to release.")] = 1,
    *,
    scope: ScopeOption = None,
) -> Correction:
    """Release units of an allocation that no holder has by name."""
    return "release", limit, scope, lambda enforcer, found: enforcer.release(found, limit, amount, scope=scope)


def _usage(context: CommandContext, limit: str, scope: str | None) -> Usage:
    """Return the meter of a limit; a name that is no limit raises `UnknownFeature`."""
    found = context.enforcer.usage(context.account, scope=scope)
    if limit not in found:
        context.enforcer.peek(context.account, limit, scope=scope)
    return found[limit]


def _used(usage: Usage) -> str:
    return "not counted" if usage.used is None else f"{usage.used:,}"
