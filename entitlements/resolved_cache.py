"""
What is resolved and kept in this process, for both enforcers: plain bookkeeping, no I/O.

One snapshot per account, with one end: the first of its `valid_until` and the moment
its account must be asked for again. Readers look into a plain dict without a lock;
writers take turns, and drop the oldest for new ones. Whatever was being loaded while something was refreshed or reloaded
is answered, but not kept.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from entitlements._fork import renew_after_fork
from entitlements.accounts.unknown_tiers import Strays
from entitlements.errors import AccountError, NotLoaded, UnknownAccount
from entitlements.model.account import Account
from entitlements.model.names import check_id
from entitlements.model.policy import Policy
from entitlements.policy.accounts import bind
from entitlements.rules.resolve import resolve, resolve_unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from entitlements.model.entitlements import Entitlements

FOREVER = 2**63


def account_id(account: object) -> str:
    """
    Return the id of what a verb was given: an id or an `Account`.

    Raises:
        AccountError: For anything else, and for an id that cannot be one.
    """
    if isinstance(account, Account):
        return account.id
    try:
        return check_id(account)
    except ValueError as error:
        raise AccountError(f"{error}, or an Account" if not isinstance(account, str) else str(error)) from None


def no_accounts(id: str) -> UnknownAccount:
    """Return the error for an id where the enforcer has nowhere to look it up."""
    return UnknownAccount(
        f"account {id!r}: this enforcer was built without accounts=; pass Account objects, or accounts="
    )


def check_policy(policy: object) -> Policy:
    """Return *policy* if it is one; a path is a common slip."""
    if not isinstance(policy, Policy):
        raise TypeError(f"policy {policy!r} is not a Policy; write Policy.load(path)")
    return policy


def reloaded(policy: Policy, reload: Callable[[Policy], None]) -> str | None:
    """Put *policy* in force, which calls must survive; return what went wrong, or None."""
    try:
        reload(policy)
    except Exception as error:  # noqa: BLE001 - a source of accounts may raise anything under a new policy
        return f"{type(error).__name__}: {error}"
    return None


def new_operation() -> str:
    """Return an id for a charge that nobody named: 64 random bits."""
    return secrets.token_hex(8)


class Kept:
    """
    A snapshot, and how long it may be used; all in microseconds.

    Args:
        entitlements: The snapshot.
        account: What it was resolved from; None for an unknown account.
        since: First instant at which it holds.
        until: First instant at which it no longer does.
        loaded: When the account was loaded.
        fresh_for: How long after that the directory need not be asked again.
    """

    __slots__ = ("account", "answers", "entitlements", "fresh_for", "loaded", "ready", "since", "until")

    def __init__(
        self,
        entitlements: Entitlements,
        account: Account | None,
        *,
        since: int,
        until: int,
        loaded: int,
        fresh_for: int,
    ) -> None:
        self.entitlements = entitlements
        self.answers = entitlements.answers
        self.ready = entitlements.ready
        self.account = account
        self.since = since
        self.until = until
        self.loaded = loaded
        self.fresh_for = fresh_for


def known_account(kept: Kept) -> Account:
    """
    Return the account itself, as its policy reads it.

    Raises:
        UnknownAccount: For an unknown account, whatever the policy gives to strangers.
    """
    if kept.account is None:
        raise UnknownAccount(f"account {kept.entitlements.account!r}: there is no such account; add it first")
    return bind(kept.entitlements.policy, kept.account)


class Snapshots:
    """
    Resolved accounts by id.

    Args:
        policy: The policy in force.
        max_size: Most snapshots kept of each kind, by id and by object; the oldest make room. One
            takes about 1 KB, and 1 KB more for each limit that its account was charged on.
    """

    def __init__(self, policy: Policy, *, max_size: int = 100_000) -> None:
        self.policy = policy
        self.by_id: OrderedDict[str, Kept] = OrderedDict()
        self._by_object: OrderedDict[str, Kept] = OrderedDict()
        self._max_size = max_size
        self._strays = Strays()
        self._epoch = 0
        self._lock = threading.Lock()
        renew_after_fork(self)

    @property
    def epoch(self) -> int:
        """Return a number that moves with every refresh and reload; take it before a load."""
        return self._epoch

    def keep(self, id: str, account: Account | None, now: int, fresh_for: int, epoch: int) -> Kept:
        """
        Resolve what was loaded for *id*, and keep it unless something changed meanwhile.

        Args:
            id: The account's id.
            account: What the directory says; None if there is no such account.
            now: The application's clock.
            fresh_for: Microseconds until the directory must be asked again.
            epoch: `epoch` as it was before the load.
        """
        kept = self._same(id, account, now, fresh_for)
        if kept is None:
            kept = self._resolved(id, account, now, now + fresh_for, fresh_for, now)
        with self._lock:
            if epoch == self._epoch:
                self._put(self.by_id, id, kept)
        return kept

    def _same(self, id: str, account: Account | None, now: int, fresh_for: int) -> Kept | None:
        """Return what is kept of an account that has not changed since, as if it were loaded now; None if anything has."""
        kept = self.by_id.get(id)
        if kept is None or kept.account != account or not kept.since <= now:
            return None
        entitlements = kept.entitlements
        expires = FOREVER if entitlements.expires is None else entitlements.expires
        if entitlements.policy is not self.policy or now >= expires:
            return None
        return Kept(
            entitlements, account, since=now, until=min(now + fresh_for, expires), loaded=now, fresh_for=fresh_for
        )

    def of(self, account: Account, now: int) -> Kept:
        """Return the snapshot of an account that the caller holds, for as long as it is the same."""
        kept = self._by_object.get(account_id(account))
        same = kept is not None and (kept.account is account or kept.account == account)
        if kept is not None and same and kept.since <= now < kept.until:
            return kept
        epoch = self._epoch
        kept = self._resolved(account.id, account, now, FOREVER, FOREVER, now)
        with self._lock:
            if epoch == self._epoch:
                self._put(self._by_object, account.id, kept)
        return kept

    def again(self, kept: Kept, id: str, now: int) -> Kept:
        """Return what was loaded of *id* since, or *kept*, resolved once more where the clock has moved on."""
        newer = self.by_id.get(id)
        if newer is not None and newer.loaded > kept.loaded and newer.since <= now < newer.until:
            return newer
        if kept.since <= now < kept.until and kept.entitlements.policy is self.policy:
            return kept
        return self._resolved(id, kept.account, now, FOREVER, kept.fresh_for, kept.loaded)

    def loaded(self, id: str, now: int) -> Kept:
        """
        Return the snapshot of *id* without a load, for plain calls between awaited ones.

        The account may be as old as twice the time after which an awaited call asks
        the directory again, so that a plain call right after an awaited one never
        fails; what changes by the clock is resolved anew all the same.

        Raises:
            NotLoaded: For an account that is not here, or older than that.
        """
        kept = self.by_id.get(id)
        if kept is not None and kept.since <= now < kept.until:
            return kept
        if kept is None or not kept.loaded <= now < kept.loaded + 2 * kept.fresh_for:
            raise NotLoaded(
                f"account {account_id(id)!r} is not loaded here, and a plain call does no I/O;"
                " await enforcer.account(id) first, or await enforcer.can(...)"
            )
        return self._resolved(id, kept.account, now, now, kept.fresh_for, kept.loaded)

    def drop(self, id: str) -> None:
        """Forget what is kept of *id*."""
        with self._lock:
            self._epoch += 1
            self.by_id.pop(id, None)
            self._by_object.pop(id, None)

    def reload(self, policy: Policy) -> Policy:
        """Put another policy in force, and return the one before."""
        with self._lock:
            before, self.policy = self.policy, policy
            self._strays.clear()
            self._epoch += 1
            self.by_id = OrderedDict()
            self._by_object = OrderedDict()
        return before

    def _resolved(self, id: str, account: Account | None, now: int, until: int, fresh_for: int, loaded: int) -> Kept:
        policy = self.policy
        entitlements = resolve_unknown(policy, id) if account is None else resolve(policy, bind(policy, account), now)
        if account is not None:
            self._strays.look(policy, account.tier)
        expires = until if entitlements.expires is None else min(until, entitlements.expires)
        return Kept(entitlements, account, since=now, until=expires, loaded=loaded, fresh_for=fresh_for)

    def _put(self, kept: OrderedDict[str, Kept], id: str, snapshot: Kept) -> None:
        kept.pop(id, None)
        while len(kept) >= self._max_size:
            kept.popitem(last=False)  # of a plain dict, the first is a search among all that were dropped
        kept[id] = snapshot

    def renew(self) -> None:
        """Take a fresh lock: in a forked child the old one may be held for ever."""
        self._lock = threading.Lock()
