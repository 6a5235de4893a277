"""The copies of accounts that a process keeps, and what a message or an outdated charge does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from entitlements.model.events import AccountInvalidated
from entitlements.model.versions import NO_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.events import Event
    from entitlements.resolved_cache import ResolvedCache


class Copies(Protocol):
    """A source of accounts that may keep copies of them."""

    def refresh(self, id: str, /) -> None:
        """Drop the copy of an account."""

    def expire_all(self) -> None:
        """Load every account again at its next use."""


class AccountCopies:
    """
    The copies of accounts that this process keeps: those of the source, and the resolved ones.

    Args:
        cache: The resolved accounts.
        accounts: The source; None if there is none.
        reload: Loads an account that is in use again, for plain calls, which cannot load.
        tell: Takes events.
    """

    def __init__(
        self,
        cache: ResolvedCache,
        accounts: Copies | None,
        reload: Callable[[str], object] = lambda _: None,
        *,
        tell: Callable[[Event], object] = lambda _: None,
    ) -> None:
        self._cache, self._reload, self._tell = cache, reload, tell
        self.accounts = accounts
        """The source under the policy in force."""

    def learn(self, id: str, version: int, carried: int | None = None) -> bool:
        """
        Note the version of an account; what was loaded before is loaded again.

        Args:
            id: The account's id.
            version: The version that the store has told.
            carried: The version of the order that was outdated by it, if it was told for one. An earlier version than
                the known one is noted only then, and if that was the known one: the store has lost it in a failover.

        Returns:
            True if it was not known.
        """
        while True:
            known = self._cache.version(id) or NO_VERSION
            if version == known or (version < known and known != carried):
                return False
            self._refresh(id)  # first: what carries the version must have been loaded after this
            if self._cache.learn(id, version, known):
                self._tell(AccountInvalidated(id))
                return True

    def on_invalidated(self, id: str, version: int | None) -> None:
        """Have an account loaded again, for a message; a version that is known already changes nothing."""
        if version is None:
            self._refresh(id)
            self._cache.expire(id)
            self._tell(AccountInvalidated(id))
        elif not self.learn(id, version):
            return
        if id in self._cache.by_id:
            self._reload(id)

    def on_gap(self) -> None:
        """Have every account loaded again: messages may have been lost."""
        if self.accounts is not None:
            self.accounts.expire_all()
        self._cache.expire_all()
        self._tell(AccountInvalidated(None))

    def _refresh(self, id: str) -> None:
        if self.accounts is not None:
            self.accounts.refresh(id)
