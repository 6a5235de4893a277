"""The verbs that change accounts in SQL: one definition for threads and for event loops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

from entitlements.accounts.sql import edits
from entitlements.accounts.sql.options import CHANGE_OPTIONS, Created, Dated, Signed
from entitlements.accounts.sql.writing import Event
from entitlements.errors import AccountError
from entitlements.model.account import Account, AccountStatus, Grant, Override

if TYPE_CHECKING:
    from entitlements.accounts.sql.edits import Edit
    from entitlements.accounts.sql.writing import Noted
    from entitlements.model.account import OverrideValue

A = TypeVar("A")
"""The result of a verb: the account after the change, or an awaitable of it."""
E = TypeVar("E")
"""The result of `apply`: an `EventOutcome`, or an awaitable of it."""


class AccountVerbs(ABC, Generic[A, E]):
    """
    The verbs of `SqlAccounts` and `AsyncSqlAccounts`, which awaits them.

    Every verb takes `reason` and `author`, which stand in the audit row, and these arguments:

    - `at`: an aware datetime. `set_tier`, `override`, `grant` and `set_trial` begin then; the others are made at
      once, and it may only date them back.
    - `version`: the version at which the account must be (`version(id)`); by default any.
    - `enforcer`: invalidates the account after the change; by default the one that the source was given.
    - `dry_run`: check and return the account as it would be, and store nothing.

    Every verb returns the account after the change (`close`: as it was) and raises `AccountError` for a change that
    is refused, `ChangedMeanwhile` for another version, and `AccountsUnavailable` if the database fails.
    """

    @abstractmethod
    def _change(
        self, id: str, action: str, edit: Edit, options: Mapping[str, Any], noted: Noted | None = None
    ) -> A: ...

    @abstractmethod
    def _apply(self, id: str, edit: Edit, event: Event, options: Mapping[str, Any]) -> E: ...

    def create(self, account: str | Account, tier: str | None = None, **options: Unpack[Created]) -> A:
        """
        Create an account.

        Args:
            account: An id, or the `Account` itself.
            tier: Its tier, if an id is given.
            **options: With an id also the other arguments of `Account`: `trial`, `anchor`, `add_ons`, ….
        """
        given: Mapping[str, Any] = options
        parts = {name: value for name, value in given.items() if name not in CHANGE_OPTIONS}
        if not isinstance(account, Account):
            if tier is None:
                raise AccountError(f"account {account!r} has no tier; give create(id, tier)")
            account = Account(account, tier, **parts)
        elif tier is not None or parts:
            raise AccountError(f"account {account.id!r} has its tier and parts already; give the Account alone")
        rest = {name: value for name, value in given.items() if name in CHANGE_OPTIONS}
        return self._change(account.id, "create", edits.create(account), rest)

    def set_tier(
        self, id: str, tier: str, *, at: datetime | None = None, waive_notice: bool = False, **options: Unpack[Signed]
    ) -> A:
        """
        Move an account to another tier, now or at an instant; scheduled changes are replaced.

        A downgrade before the end of its notice is refused, unless *waive_notice* is given.
        """
        return self._change(id, "set_tier", edits.set_tier(id, tier, at, waive_notice=waive_notice), options)

    def override(
        self,
        id: str,
        name: str,
        value: OverrideValue,
        *,
        at: datetime | None = None,
        expires: datetime | None = None,
        **options: Unpack[Signed],
    ) -> A:
        """Set a final value for one name, in place of its overrides; refused where the account has it without."""
        reason, author = options.get("reason", ""), options.get("author", "")
        wanted = Override(name, value, reason=reason, author=author, starts=at, expires=expires)
        return self._change(id, "override", edits.override(id, wanted), options)

    def end_override(self, id: str, name: str, **options: Unpack[Dated]) -> A:
        """Take the overrides of a name away."""
        return self._change(id, "end_override", edits.end_override(id, name), options)

    def grant(
        self,
        id: str,
        limit: str,
        amount: int,
        *,
        at: datetime | None = None,
        expires: datetime | None = None,
        **options: Unpack[Signed],
    ) -> A:
        """Add units of a limit, until they expire; refused where the limit is unlimited."""
        wanted = Grant(limit, amount, starts=at, expires=expires, reason=options.get("reason", ""))
        return self._change(id, "grant", edits.grant(id, wanted), options)

    def end_grants(self, id: str, limit: str, **options: Unpack[Dated]) -> A:
        """Take all grants of a limit away."""
        return self._change(id, "end_grants", edits.end_grants(id, limit), options)

    def add_on(self, id: str, name: str, quantity: int = 1, **options: Unpack[Dated]) -> A:
        """Set the quantity of an add-on; 0 takes it away."""
        return self._change(id, "add_on", edits.add_on(id, name, quantity), options)

    def set_trial(
        self,
        id: str,
        tier: str | None,
        ends: datetime | None = None,
        *,
        at: datetime | None = None,
        **options: Unpack[Signed],
    ) -> A:
        """
        Start a trial, in place of another; None ends it.

        Args:
            id: The account.
            tier: The tier on trial.
            ends: The first instant after it; by default the length of a trial plan, if *tier* is one.
            at: The first instant of it; now by default.
            **options: The arguments of every verb.
        """
        return self._change(id, "set_trial", edits.set_trial(id, tier, ends, at), options)

    def suspend(self, id: str, **options: Unpack[Dated]) -> A:
        """Suspend an account: it is refused everything."""
        return self._change(id, "suspend", edits.set_status(id, AccountStatus.SUSPENDED), options)

    def resume(self, id: str, **options: Unpack[Dated]) -> A:
        """End the suspension of an account."""
        return self._change(id, "resume", edits.set_status(id, AccountStatus.ACTIVE), options)

    def close(self, id: str, **options: Unpack[Dated]) -> A:
        """Close an account: it is unknown from then on; its audit rows and its counters stay (`enforcer.forget`)."""
        return self._change(id, "close", edits.close(id), options)

    def note(self, id: str, action: str, changed: Mapping[str, tuple[Any, Any]], **options: Unpack[Dated]) -> A:
        """
        Add an audit row about a change of what is kept elsewhere, such as usage; the account stays the same.

        Args:
            id: The account.
            action: The name of the change.
            changed: The parts that differ, each before and after.
            **options: The arguments of every verb.
        """
        return self._change(id, action, edits.existing(id, lambda account, _: account), options, changed)

    def apply(
        self,
        event_id: str,
        id: str,
        change: Callable[[Account | None], Account | None],
        *,
        at: datetime,
        order: int = 0,
        **options: Unpack[Signed],
    ) -> E:
        """
        Apply an outside event once, and never an older one over a newer.

        Args:
            event_id: The id that the sender gives the event, 1 to 256 characters.
            id: The account.
            change: Returns the account after the event, from the account as it stands (None: there is none, or it is
                closed); None closes it. It may be called several times, and does no I/O.
            at: The instant of the event, by the clock of its sender (aware).
            order: Decides between events of one instant: the higher is the newer. Equal ones are applied as they come.
            **options: The arguments of every verb.

        Returns:
            `APPLIED`, `REPEATED` or `OUTDATED`. The account is invalidated in each case, because a sender repeats
            an event whose answer it did not get.
        """
        return self._apply(id, lambda account, _: change(account), Event(event_id, at, order), options)
