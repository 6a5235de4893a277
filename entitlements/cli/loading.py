"""Loading of a policy, accounts, a store and instants from the values of options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from entitlements.cli.exit_codes import CommandError, ExitCode, usage_errors
from entitlements.errors import AccountError, PolicyError
from entitlements.model.instants import to_datetime, to_instant
from entitlements.model.names import nearest
from entitlements.model.problem import Severity

if TYPE_CHECKING:
    from datetime import datetime

    from entitlements.accounts import CsvAccounts
    from entitlements.cli.directory import Directory
    from entitlements.model.policy import PolicyData
    from entitlements.model.tier import Tier
    from entitlements.policy import Policy

DEFAULT_POLICY = "policies/customer-tiers"
DEFAULT_ACCOUNTS = "examples/accounts.csv"


def policy_path(given: str | None) -> str:
    """Return the path of the policy: the given one, or the default if it exists."""
    return given or _existing(DEFAULT_POLICY, "no policy is given; add --policy PATH, or set ENTITLEMENTS_POLICY")


def accounts_path(given: str | None) -> str:
    """Return the path of the accounts: the given one, or the default if it exists."""
    cure = "add --accounts CSV or URL, set ENTITLEMENTS_ACCOUNTS, or ask about a tier: --tier TIER"
    return given or _existing(DEFAULT_ACCOUNTS, f"no accounts are given; {cure}")


def _existing(path: str, message: str) -> str:
    if Path(path).exists():
        return path
    raise CommandError(message)


def open_policy(given: str | None) -> Policy:
    """Return the policy. The error of an invalid one names its first problem."""
    from entitlements.policy import Policy

    path = policy_path(given)
    try:
        return Policy.load(path)
    except PolicyError as error:
        raise CommandError(_first_problem(path, error), ExitCode.UNREADABLE) from None


def open_accounts(path: str, policy: PolicyData | None, *, id: str = "id") -> Directory:
    """
    Return the accounts that `--accounts` names, under *policy*: of a CSV file, a database or an object.

    Raises:
        AccountError: For a file that cannot be read at all.
    """
    from entitlements.accounts import is_database_url
    from entitlements.cli.directory import SqlDirectory, is_object, open_object, open_sql

    _mute("entitlements.accounts")
    if is_database_url(path):
        return SqlDirectory(open_sql(path, policy), policy)
    if is_object(path) and not Path(path).exists():
        return open_object(path, policy)
    return open_csv(path, policy, id=id)


def open_csv(path: str, policy: PolicyData | None, *, id: str = "id") -> CsvAccounts:
    """
    Return the accounts of a CSV file under *policy*.

    Raises:
        AccountError: For a file that cannot be read at all.
    """
    from entitlements.accounts import CsvAccounts
    from entitlements.accounts.csv.table import ID_CURE

    _mute("entitlements.accounts")
    try:
        return CsvAccounts(path, id=id, policy=policy)
    except AccountError as error:
        raise AccountError(str(error).replace(ID_CURE, "name the column of the ids: --id HEADING")) from None


def store_url(given: str | None) -> str:
    """Return the URL of the store, which must be given."""
    if not given:
        raise CommandError("no store is given; add --store URL, or set ENTITLEMENTS_STORE")
    return given


def check_store(given: str | None) -> str | None:
    """Return the URL of a store that several processes share; refuse `memory://`, which a command cannot see."""
    if not given:
        return None
    _mute("entitlements.stores")
    if given.startswith("memory:"):
        raise CommandError(
            "memory:// counts inside of one process, and no command sees that; name the server: redis://host:6379"
        )
    from entitlements.clock import system_clock
    from entitlements.stores import open_store

    with usage_errors():
        open_store(given, system_clock).close()  # connects to nothing yet
    return given


def _mute(logger: str) -> None:
    """Keep the warnings of a logger off stderr: commands report the same problems themselves."""
    import logging

    logging.getLogger(logger).addHandler(logging.NullHandler())


def find_tier(policy: Policy, name: str) -> Tier:
    """Return the tier that `--tier` names by its id or an alias."""
    tier = policy.tier(name)
    if tier is None:
        near = nearest(name, policy.ids)
        raise CommandError(
            f"--tier {name!r} is not in policy {policy.version}{near}; its tiers are {', '.join(policy.tiers)}"
        )
    return tier


def parse_instant(given: str | None, option: str = "--at") -> int:
    """Return the instant that an option names, in microseconds since 1970; now if it is not given."""
    from entitlements.accounts.csv.cells import read_moment
    from entitlements.clock import system_clock

    if given is None:
        return system_clock()
    with usage_errors(f"{option} "):
        return to_instant(read_moment(given.strip()))


def parse_datetime(given: str | None, option: str) -> datetime | None:
    """Return the time that an option names; None if it is not given."""
    return None if given is None else to_datetime(parse_instant(given, option))


def _first_problem(path: str, error: PolicyError) -> str:
    first, *others = [each for each in error.problems if each.severity is Severity.ERROR]
    return f"{first} (and {len(others)} more: entitlements validate {path})" if others else str(first)
