"""From the words of the command line to a policy, a file of accounts, an instant."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from entitlements.cli.exit_codes import CommandError, ExitCode
from entitlements.errors import PolicyError
from entitlements.model.names import nearest
from entitlements.model.problem import Severity

if TYPE_CHECKING:
    from entitlements.accounts import CsvAccounts
    from entitlements.model.policy import Tier
    from entitlements.policy import Policy

DEFAULT_POLICY = "policies/customer-tiers"
DEFAULT_ACCOUNTS = "examples/accounts.csv"


def policy_path(given: str | None) -> str:
    """Return where the policy is: as given, or where it usually is."""
    if given:
        return given
    if Path(DEFAULT_POLICY).exists():
        return DEFAULT_POLICY
    raise CommandError("no policy is given; add --policy PATH, or set ENTITLEMENTS_POLICY", ExitCode.USAGE)


def open_policy(given: str | None) -> Policy:
    """Return the policy; of one that cannot be used, the first problem is told."""
    from entitlements.policy import Policy

    path = policy_path(given)
    try:
        return Policy.load(path)
    except PolicyError as error:
        raise CommandError(_first_problem(path, error), ExitCode.UNREADABLE) from None


def accounts_path(given: str | None) -> str:
    """Return where the accounts are: as given, or where they usually are."""
    if given:
        return given
    if Path(DEFAULT_ACCOUNTS).exists():
        return DEFAULT_ACCOUNTS
    cure = "add --accounts CSV, set ENTITLEMENTS_ACCOUNTS, or ask about a tier: --tier TIER"
    raise CommandError(f"no accounts are given; {cure}", ExitCode.USAGE)


def open_accounts(path: str, policy: Policy, *, id: str = "id") -> CsvAccounts:
    """
    Return the accounts of a CSV file under *policy*.

    Raises:
        AccountError: For a file that cannot be read at all.
    """
    from entitlements.accounts import CsvAccounts

    logging.getLogger("entitlements.accounts").addHandler(logging.NullHandler())  # commands say what is wrong
    return CsvAccounts(path, id=id, policy=policy)


def store_url(given: str | None) -> str:
    """Return the URL of the store, which must be given."""
    if not given:
        raise CommandError("no store is given; add --store URL, or set ENTITLEMENTS_STORE", ExitCode.USAGE)
    return given


def check_store(given: str | None) -> str | None:
    """Return the URL of a store that several processes share; a command sees nothing of one in memory."""
    if not given:
        return None
    logging.getLogger("entitlements.stores").addHandler(logging.NullHandler())  # commands say what is wrong
    if given.startswith("memory:"):
        message = "memory:// counts inside of one process, and no command sees that; name the server: redis://host:6379"
        raise CommandError(message, ExitCode.USAGE)
    from entitlements.clock import system_clock
    from entitlements.stores import open_store

    try:
        open_store(given, system_clock).close()  # connects to nothing yet
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    return given


def tier_named(policy: Policy, name: str) -> Tier:
    """Return the tier of that id or alias."""
    tier = policy.tier(name)
    if tier is None:
        near = nearest(name, policy.ids)
        message = f"--tier {name!r} is not in policy {policy.version}{near}; its tiers are {', '.join(policy.tiers)}"
        raise CommandError(message, ExitCode.USAGE)
    return tier


def instant(given: str | None, option: str = "--at") -> int:
    """Return the instant that an option names, in microseconds: now, if it does not say."""
    from entitlements.accounts.csv.cells import read_moment
    from entitlements.clock import system_clock
    from entitlements.model.instants import to_instant

    if given is None:
        return system_clock()
    try:
        return to_instant(read_moment(given.strip()))
    except ValueError as error:
        raise CommandError(f"{option} {error}", ExitCode.USAGE) from None


def _first_problem(path: str, error: PolicyError) -> str:
    first, *others = [each for each in error.problems if each.severity is Severity.ERROR]
    return f"{first} (and {len(others)} more: entitlements validate {path})" if others else str(first)
