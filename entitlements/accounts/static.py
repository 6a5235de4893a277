"""Accounts in a mapping: a dict in a test, a settings module, a small product."""

from __future__ import annotations

from collections.abc import Mapping

from entitlements.errors import AccountError
from entitlements.model.account import Account


class StaticAccounts:
    """
    The accounts of a live mapping; changes to the mapping take effect at once.

    Args:
        accounts: The name of a tier or an `Account`, by id. Referenced, never copied.
    """

    def __init__(self, accounts: Mapping[str, str | Account]) -> None:
        self._accounts = accounts
        self._built: dict[str, Account] = {}

    def find(self, id: str, /) -> Account | None:
        """
        Return the account, or None if there is none.

        Raises:
            AccountError: For a value that is neither a tier nor an account of this id.
        """
        value = self._accounts.get(id)
        if value is None and id not in self._accounts:
            return None
        return self._of_tier(id, value) if isinstance(value, str) else check_account(value, id, "the mapping")

    def __repr__(self) -> str:
        return f"StaticAccounts(<{len(self._accounts)} accounts>)"

    def _of_tier(self, id: str, tier: str) -> Account:
        """Return the account of *id* in *tier*; the same object for the same tier."""
        built = self._built.get(id)
        if built is None or built.tier != tier:
            if len(self._built) > len(self._accounts):  # ids were removed from the mapping
                self._built.clear()
            self._built[id] = built = Account(id, tier)
        return built


def check_account(found: object, id: str, source: str) -> Account:
    """
    Return *found*, which a source gave for *id*, if it is that account.

    Raises:
        AccountError: For another type, and for an account with another id.
    """
    if not isinstance(found, Account):
        kind = type(found).__name__
        raise AccountError(
            f"account {id!r}: {source} holds {found!r} (of type {kind}); give an Account"
            " (a mapping may also hold the name of a tier)"
        )
    if found.id != id:
        raise AccountError(f"account {id!r}: {source} holds account {found.id!r} under this id; give both the same id")
    return found
