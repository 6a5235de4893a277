"""Accounts in a mapping of the caller's: a dict in a test, a settings module, a small product."""

from __future__ import annotations

from collections.abc import Mapping

from entitlements.errors import AccountError
from entitlements.model.account import Account


class StaticAccounts:
    """
    The accounts of a live mapping: what the caller changes in it is found from then on.

    Args:
        accounts: By id, the name of a tier or a whole `Account`. Kept, never copied.
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
        return self._of_tier(id, value) if isinstance(value, str) else checked(value, id, "the mapping")

    def __repr__(self) -> str:
        return f"StaticAccounts(<{len(self._accounts)} accounts>)"

    def _of_tier(self, id: str, tier: str) -> Account:
        """Build each account once, so that the same state is the same object."""
        built = self._built.get(id)
        if built is None or built.tier != tier:
            if len(self._built) > len(self._accounts):  # the mapping has lost some
                self._built.clear()
            self._built[id] = built = Account(id, tier)
        return built


def checked(found: object, id: str, source: str) -> Account:
    """
    Return what a source holds under *id*, if it is that account.

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
