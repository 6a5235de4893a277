"""
Cache of resolved accounts, for both enforcers; no I/O.

One entry per account. It expires at the earlier of the next change of its entitlements
and the end of its account's time to live. Readers look into a plain dict without a lock.
Writers hold the lock, and evict the oldest entries. A load during which the account was
refreshed, or the policy reloaded, is answered but not cached.

In front of a store that keeps versions, each entry has the version of its account that was known before the load
began: its data are at least as new (`model/versions.py`). A version that is learned evicts what was loaded before.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from entitlements._fork import renew_after_fork
from entitlements.accounts.unknown_tiers import UnknownTierWarnings
from entitlements.errors import NotLoaded
from entitlements.model.account import Account
from entitlements.model.policy import PolicyData
from entitlements.model.resolution import charges_of, resolution_of
from entitlements.model.versions import LONGEST_USE, NO_VERSION
from entitlements.policy.accounts import bind
from entitlements.resolved_account import ResolvedAccount, account_id
from entitlements.rules.resolve import resolve, resolve_unknown

if TYPE_CHECKING:
    from collections.abc import Callable


FOREVER = 2**63
LEAST_SIZE = 100_000
"""Resolved accounts that are kept of a source without a cache, or with a smaller one."""


def check_policy(policy: object) -> PolicyData:
    """
    Return *policy* if it is a `Policy`.

    Raises:
        TypeError: For anything else; a path is a common mistake.
    """
    if not isinstance(policy, PolicyData):
        raise TypeError(f"policy {policy!r} is not a Policy; write Policy.load(path)")
    return policy


def try_reload(policy: PolicyData, reload: Callable[[PolicyData], None]) -> str | None:
    """Call *reload* with *policy*; return the text of the exception that it raised, or None."""
    try:
        reload(policy)
    except Exception as error:  # noqa: BLE001 - a source of accounts may raise anything under a new policy
        return f"{type(error).__name__}: {error}"
    return None


def new_operation_id() -> str:
    """Return an operation id for a charge without an idempotency key: 64 random bits, in hex."""
    return secrets.token_hex(8)


class ResolvedCache:
    """
    Resolved accounts, by id and by `Account` object.

    Args:
        policy: The policy in force.
        max_size: Most entries of each kind, by id and by object, and at least `LEAST_SIZE`; the oldest are
            evicted. An entry takes about 1 KB, and 1 KB for each combination of limits that its account was charged on; one with values of
            its own takes 1.5 KB more for each limit.
        versioned: Charges carry the versions of their accounts.
    """

    def __init__(self, policy: PolicyData, *, max_size: int = 0, versioned: bool = False) -> None:
        self.policy = policy
        self._versions: OrderedDict[str, int] | None = OrderedDict() if versioned else None
        """The latest version of each account that was learned; the one learned longest ago comes first."""
        self.by_id: OrderedDict[str, ResolvedAccount] = OrderedDict()
        self._by_object: OrderedDict[str, ResolvedAccount] = OrderedDict()
        self._max_size = max(max_size, LEAST_SIZE)
        self._unknown_tiers = UnknownTierWarnings()
        self._epoch = 0
        self.renew()
        renew_after_fork(self)

    @property
    def epoch(self) -> int:
        """Return a counter of refreshes and reloads, to be read before a load."""
        return self._epoch

    @property
    def is_versioned(self) -> bool:
        """True if charges carry the versions of their accounts."""
        return self._versions is not None

    def version(self, id: str) -> int | None:
        """Return the version that is known of an account, to be read before a load, but after `epoch`."""
        return None if self._versions is None else self._versions.get(id, NO_VERSION)

    def put(
        self, id: str, account: Account | None, now: int, fresh_for: int, epoch: int, version: int | None = None
    ) -> ResolvedAccount:
        """
        Resolve a loaded account, and cache it unless a refresh or a reload came during the load.

        Args:
            id: The account's id.
            account: The loaded account; None if there is no such account.
            now: The application's clock.
            fresh_for: Microseconds until the account must be loaded again.
            epoch: `epoch` as it was before the load.
            version: `version(id)` as it was before the load.
        """
        fresh_for = min(fresh_for, LONGEST_USE)
        kept = self._renewed(id, account, now, fresh_for, version)
        if kept is None:
            kept = self._resolved(id, account, now, now + fresh_for, fresh_for, now, version=version)
        self._add(self.by_id, id, kept, epoch)
        return kept

    def _renewed(
        self, id: str, account: Account | None, now: int, fresh_for: int, version: int | None
    ) -> ResolvedAccount | None:
        """Return the cached entry with a new time to live; None if the account, the policy or the time changes it."""
        kept = self.by_id.get(id)
        if kept is None or kept.account != account or kept.version != version or not kept.since <= now:
            return None
        entitlements = kept.entitlements
        expires = resolution_of(entitlements).expires
        expires = FOREVER if expires is None else expires
        if entitlements.policy is not self.policy or now >= expires:
            return None
        until = min(now + fresh_for, expires)
        return ResolvedAccount(
            entitlements, account, since=now, until=until, loaded_at=now, fresh_for=fresh_for, version=version
        )

    def resolve(self, account: Account, now: int) -> ResolvedAccount:
        """Return the entitlements of an `Account` that the caller holds; cached for as long as it is equal."""
        kept = self._by_object.get(account_id(account))
        same = kept is not None and (kept.account is account or kept.account == account)
        if kept is not None and same and kept.since <= now < kept.until:
            return kept
        epoch = self._epoch
        kept = self._resolved(account.id, account, now, FOREVER, FOREVER, now)
        self._add(self._by_object, account.id, kept, epoch)
        return kept

    def revalidated(self, kept: ResolvedAccount, id: str, now: int) -> ResolvedAccount:
        """Return the entry of *id* that holds now: a newer one if it was loaded since, or *kept*, resolved again."""
        newer = self.by_id.get(id)
        if newer is not None and newer.loaded_at > kept.loaded_at and newer.since <= now < newer.until:
            return newer
        if kept.since <= now < kept.until and kept.entitlements.policy is self.policy:
            return kept
        return self._resolved(id, kept.account, now, FOREVER, kept.fresh_for, kept.loaded_at, version=kept.version)

    def get_loaded(self, id: str, now: int) -> ResolvedAccount:
        """
        Return the entry of *id* without a load, for plain calls between awaited ones.

        The account may be up to twice its time to live old, so that a plain call right
        after an awaited one never fails. Its entitlements are resolved again if it has expired.

        Raises:
            NotLoaded: For an account that is not cached, or older than that.
        """
        kept = self.by_id.get(id)
        if kept is not None and kept.since <= now < kept.until:
            return kept
        if kept is None or not kept.loaded_at <= now < kept.loaded_at + 2 * kept.fresh_for:
            raise NotLoaded(
                f"account {account_id(id)!r} is not loaded here, and a plain call does no I/O;"
                " await enforcer.account(id) first, or await enforcer.can(...)"
            )
        return self._resolved(id, kept.account, now, now, kept.fresh_for, kept.loaded_at, version=kept.version)

    def drop(self, id: str) -> None:
        """Evict the entries of *id*, and do not cache loads that have begun."""
        with self._lock:
            self._epoch += 1
            self.by_id.pop(id, None)
            self._by_object.pop(id, None)

    def learn(self, id: str, version: int, known: int) -> bool:
        """
        Note the version of an account, and evict what was loaded before; the source's own copy was dropped already.

        The entry stays for plain calls (`get_loaded`), which cannot load.

        Args:
            id: The account's id.
            version: The version.
            known: The version that was known before.

        Returns:
            False if another one has been learned meanwhile; then nothing changes.
        """
        assert self._versions is not None
        with self._lock:
            if self._versions.get(id, NO_VERSION) != known:
                return False
            self._versions.pop(id, None)
            while len(self._versions) >= self._max_size:
                self._versions.popitem(last=False)
            self._versions[id] = version
            self._epoch += 1  # last: a load that reads the new epoch and then the version reads the new version
            self._expire(id)
            return True

    def expire(self, id: str) -> None:
        """Have the next call load an account again; the entry stays for plain calls, which cannot load."""
        with self._lock:
            self._epoch += 1
            self._expire(id)

    def expire_all(self) -> None:
        """Have the next call of each account load it again."""
        with self._lock:
            self._epoch += 1
            for kept in self.by_id.values():
                kept.until = kept.since  # in place, for handles that hold the entry

    def _expire(self, id: str) -> None:
        if (kept := self.by_id.get(id)) is not None:
            kept.until, kept.is_invalidated = kept.since, True

    def reload(self, policy: PolicyData) -> PolicyData:
        """Put another policy in force, evict every entry, and return the former policy."""
        with self._lock:
            before, self.policy = self.policy, policy
            self._unknown_tiers.clear()
            self._epoch += 1
            self.by_id = OrderedDict()
            self._by_object = OrderedDict()
        return before

    def renew(self) -> None:
        """Replace the lock; called in a forked child too, where the old one may be held for ever."""
        self._lock = threading.Lock()

    def _resolved(
        self,
        id: str,
        account: Account | None,
        now: int,
        until: int,
        fresh_for: int,
        loaded_at: int,
        *,
        version: int | None = None,
    ) -> ResolvedAccount:
        policy = self.policy
        entitlements = resolve_unknown(policy, id) if account is None else resolve(policy, bind(policy, account), now)
        if account is not None:
            self._unknown_tiers.check(policy, account.tier)
        charges_of(entitlements).version = version
        expires = resolution_of(entitlements).expires
        expires = until if expires is None else min(until, expires)
        return ResolvedAccount(
            entitlements, account, since=now, until=expires, loaded_at=loaded_at, fresh_for=fresh_for, version=version
        )

    def _add(self, entries: OrderedDict[str, ResolvedAccount], id: str, kept: ResolvedAccount, epoch: int) -> None:
        with self._lock:
            if epoch != self._epoch:
                return
            entries.pop(id, None)
            while len(entries) >= self._max_size:
                entries.popitem(last=False)  # in a plain dict, finding the first one skips every deleted entry
            entries[id] = kept
