"""What a load of an account brought: the answer for those who wait, and news for those who watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from entitlements.accounts.stale_if_error import Listener
    from entitlements.model.account import Account
    from entitlements.model.events import AccountsBack, AccountsDown


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    What a source said of an account, and how long it may be kept.

    Args:
        account: The account; None if there is none.
        fresh_for: Microseconds from now until it must be asked for again; 0 or more.
    """

    account: Account | None
    fresh_for: int


class Landed(NamedTuple):
    """
    How a load ended.

    Args:
        answer: What those who wait get: what is known, or else the source's error.
        news: What an operator should read about it, if anything.
        good: Whether the news are good.
        event: What those who listen are told of the source, if anything.
        listeners: Those who listen.
    """

    answer: Loaded | Exception
    news: str = ""
    good: bool = False
    event: AccountsDown | AccountsBack | None = None
    listeners: tuple[Listener, ...] = ()
