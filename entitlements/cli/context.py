"""A question about one account, ready to be asked: its policy, its account, an instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.cli.loading import accounts_path, instant, open_accounts, open_policy, tier_named
from entitlements.model.account import Account, Trial
from entitlements.model.instants import to_datetime
from entitlements.model.names import check_id, nearest
from entitlements.model.problem import Severity

if TYPE_CHECKING:
    from entitlements.accounts import CsvAccounts
    from entitlements.enforcer import Enforcer
    from entitlements.policy import Policy


@dataclass(frozen=True, slots=True)
class CommandContext:
    """
    Whom a command asks about.

    Args:
        account: The account, or the id of one that the policy has an answer for.
        enforcer: Answers for the instant that was asked about.
        policy: The policy in force.
    """

    account: Account | str
    enforcer: Enforcer
    policy: Policy


def ask(
    id: str,
    *,
    policy: str | None,
    accounts: str | None,
    tier: str | None,
    at: str | None,
    store: str = "memory://",
) -> CommandContext:
    """Return the question about the account *id* that the options make, opening what they name."""
    from entitlements.enforcer import Enforcer

    _check_id(id)
    now = instant(at)
    loaded = open_policy(policy)
    account = _of_tier(id, tier, loaded, now) if tier else _of_file(id, accounts, loaded)
    return CommandContext(account, Enforcer(loaded, accounts={}, clock=lambda: now, store=store), loaded)


def ask_about_customer(
    id: str, *, policy: str | None, accounts: str | None, now: int, store: str | None = None
) -> tuple[CommandContext, Account]:
    """Return the question and the account itself, as the policy reads it; a stranger is no customer."""
    from entitlements.enforcer import Enforcer
    from entitlements.policy.accounts import bind

    _check_id(id)
    loaded = open_policy(policy)
    account = _of_file(id, accounts, loaded)
    if isinstance(account, str):
        raise CommandError(f"account {id!r} is a stranger, who has no tier of its own", ExitCode.NO_ACCOUNT)
    enforcer = Enforcer(loaded, accounts={}, clock=lambda: now, store=store or "memory://")
    return CommandContext(account, enforcer, loaded), bind(loaded, account)


def _check_id(id: str) -> None:
    try:
        check_id(id, "ACCOUNT")
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None


def check_feature(policy: Policy, name: str, account: str) -> None:
    """Send who asks about a configuration value to the command for it."""
    if name in policy.keys or name in policy.nodes:
        message = f"{name!r} is a configuration value; ask: entitlements value {account} {name}"
        raise CommandError(message, ExitCode.USAGE)


def check_key(policy: Policy, name: str, account: str) -> None:
    """Send who asks for the value of a limit or a switch to the command for it."""
    if name in policy.limits:
        raise CommandError(f"{name!r} is a limit; ask: entitlements explain {account} {name}", ExitCode.USAGE)
    if name in policy.features and not policy.features[name].levels:
        raise CommandError(f"{name!r} is a feature; ask: entitlements can {account} {name}", ExitCode.USAGE)


def _of_tier(id: str, name: str, policy: Policy, now: int) -> Account:
    """Return an account of that tier; of a trial plan, one whose trial begins now."""
    tier = tier_named(policy, name)
    if tier.trial is None:
        return Account(id, tier.id)
    ends = to_datetime(now + tier.trial.default)
    return Account(id, tier.trial.then, trial=Trial(tier.id, to_datetime(now), ends))


def _of_file(id: str, given: str | None, policy: Policy) -> Account | str:
    """Return the account, or its id where a stranger gets a tier."""
    path = accounts_path(given)
    file = open_accounts(path, policy)
    account = file.find(id)
    if account is not None:
        return account
    nobody = f"account {id!r} is not in {path}{_why(id, file)}"
    if policy.tier(policy.unknown_account) is None:
        raise CommandError(nobody, ExitCode.NO_ACCOUNT)
    from rich.text import Text

    from entitlements.cli.console import CliConsole

    CliConsole(stderr=True).show(Text(f"{nobody}; it counts as an unknown account", "yellow"))
    return id


def _why(id: str, file: CsvAccounts) -> str:
    """Say what may be the matter with an account that is not there."""
    bad = [each for each in file.problems if each.severity is Severity.ERROR]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return nearest(id, file.ids()) + (f"; it may be in a row that cannot be read: {bad[0]}{more}" if bad else "")
