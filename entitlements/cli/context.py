"""The context of a command about one account: its policy, its account, an instant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.cli.loading import accounts_path, find_tier, open_accounts, open_policy, parse_instant
from entitlements.model.instants import to_datetime
from entitlements.model.names import check_id, nearest
from entitlements.model.problem import Severity

if TYPE_CHECKING:
    from entitlements.cli.directory import Directory
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account
    from entitlements.policy import Policy


@dataclass(frozen=True, slots=True)
class CommandContext:
    """
    The policy, the account and the enforcer of a command.

    Args:
        account: The account, or the id of an unknown one that the policy gives a tier.
        enforcer: Decides for the instant of the command.
        policy: The policy.
        now: The instant, in microseconds since 1970.
    """

    account: Account | str
    enforcer: Enforcer
    policy: Policy
    now: int

    def customer(self) -> Account:
        """Return the account as the policy reads it; an unknown account is refused."""
        from entitlements.policy.accounts import bind

        if isinstance(self.account, str):
            message = f"account {self.account!r} is a stranger, who has no tier of its own"
            raise CommandError(message, ExitCode.NO_ACCOUNT)
        return bind(self.policy, self.account)


def open_context(
    id: str,
    *,
    policy: str | None,
    accounts: str | None,
    tier: str | None = None,
    at: str | None = None,
    store: str | None = None,
    key: str = "id",
) -> CommandContext:
    """
    Return the context for the account *id*, from the values of the options.

    Args:
        id: Of the account.
        policy: The path of the policy.
        accounts: The path of the accounts.
        tier: Replaces the account by any account of this tier.
        at: The instant; None for now.
        store: The URL of the store; None where no usage is needed.
        key: The heading of the accounts' ids.
    """
    from entitlements.enforcer import Enforcer

    with usage_errors():
        check_id(id, "ACCOUNT")
    now = parse_instant(at)
    loaded = open_policy(policy)
    account = _account_of_tier(id, tier, loaded, now) if tier else _account_of_file(id, accounts, loaded, key)
    enforcer = Enforcer(loaded, accounts={}, clock=lambda: now, store=store or "memory://")
    return CommandContext(account, enforcer, loaded, now)


def check_feature(policy: Policy, name: str, account: str) -> None:
    """Refuse a configuration value, and name the command that shows it."""
    if name in policy.keys or name in policy.nodes:
        raise CommandError(f"{name!r} is a configuration value; ask: entitlements value {account} {name}")


def check_key(policy: Policy, name: str, account: str) -> None:
    """Refuse a limit or a feature that is a switch, and name the command that shows it."""
    if name in policy.limits:
        raise CommandError(f"{name!r} is a limit; ask: entitlements explain {account} {name}")
    if name in policy.features and not policy.features[name].levels:
        raise CommandError(f"{name!r} is a feature; ask: entitlements can {account} {name}")


def _account_of_tier(id: str, name: str, policy: Policy, now: int) -> Account:
    """Return an account of a tier; if it is a trial plan, the trial begins now."""
    from entitlements.model.account import Account, Trial

    tier = find_tier(policy, name)
    if tier.trial is None:
        return Account(id, tier.id)
    ends = to_datetime(now + tier.trial.default)
    return Account(id, tier.trial.then, trial=Trial(tier.id, to_datetime(now), ends))


def _account_of_file(id: str, given: str | None, policy: Policy, key: str) -> Account | str:
    """Return the account; its id, with a warning, if it is unknown and the policy gives unknown accounts a tier."""
    path = accounts_path(given)
    file = open_accounts(path, policy, id=key)
    try:
        return find_account(id, path, file)
    except CommandError as error:
        if policy.tier(policy.unknown_account) is None:
            raise
        from entitlements.cli.console import warn

        warn(f"{error}; it counts as an unknown account")
        return id


def find_account(id: str, path: str, file: Directory) -> Account:
    """Return the account *id* of a file; an error names the nearest spelling, and the first row that cannot be read."""
    account = file.find(id)
    if account is not None:
        return account
    errors = [each for each in file.problems if each.severity is Severity.ERROR]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    row = f"; it may be in a row that cannot be read: {errors[0]}{more}" if errors else ""
    raise CommandError(f"account {id!r} is not in {path}{nearest(id, file.ids())}{row}", ExitCode.NO_ACCOUNT)
