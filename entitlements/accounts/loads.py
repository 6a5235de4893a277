"""Loads of accounts from a source: in flight, and ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from entitlements.accounts.when_down import Listener
    from entitlements.model.account import Account
    from entitlements.model.events import AccountsBack, AccountsDown

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    An account as loaded, and how long it may be kept.

    Args:
        account: The account; None if there is none.
        fresh_for: Microseconds from now until it must be loaded again; 0 or more.
    """

    account: Account | None
    fresh_for: int


@dataclass(frozen=True, slots=True, eq=False)
class InFlightLoad(Generic[F]):
    """
    A load that has begun and not ended.

    Args:
        id: The account that is being loaded.
        loop: The event loop whose callers may wait for it; None for threads.
        began: The clock when it began, in microseconds.
        future: The future that its callers wait for.
    """

    id: str
    loop: Hashable
    began: int
    future: F


class LoadResult(NamedTuple):
    """
    The outcome of a load: the answer for its callers, and what must be logged and reported.

    Args:
        answer: The account, or the error to raise.
        message: The log message; empty for none.
        recovered: The message is about a recovery, not a failure.
        event: The event for *listeners*, if any.
        listeners: The receivers of the event.
    """

    answer: Loaded | Exception
    message: str = ""
    recovered: bool = False
    event: AccountsDown | AccountsBack | None = None
    listeners: tuple[Listener, ...] = ()
