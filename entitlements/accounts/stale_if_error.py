"""What stands in for an account while its source is down and nothing recent is known of it, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from entitlements.errors import AccountsUnavailable
from entitlements.model.account import Account

if TYPE_CHECKING:
    from datetime import timedelta

    from entitlements.model.events import AccountsBack, AccountsDown
    from entitlements.model.policy import Policy

RAISE: Final = "raise"
"""What `when_down` may say beside a tier: `AccountsUnavailable` is raised."""

UNKNOWN: Final = "unknown_account"
"""Likewise: the policy's `unknown_account` decides. No tier can be called that."""


class Listener(Protocol):
    """Is told when the source goes down, and when it is back."""

    def notify(self, event: AccountsDown | AccountsBack, /) -> None:
        """Take notice."""
        ...


def check_when_down(when_down: object, policy: Policy | None = None) -> str:
    """
    Return *when_down* if it is one of its words or a tier: one of *policy*, where that is known.

    Raises:
        ValueError: For anything else, and for a trial plan, in which nobody can stay.
    """
    if not isinstance(when_down, str) or not when_down:
        raise ValueError(f"when_down {when_down!r} must be {RAISE!r}, {UNKNOWN!r} or the id of a tier")
    if policy is None or when_down in {RAISE, UNKNOWN}:
        return when_down
    tier = policy.tier(when_down)
    if tier is None or tier.trial is not None:
        raise ValueError(
            f"when_down {when_down!r} is {'a trial plan' if tier else 'no tier'} of policy {policy.version};"
            f" write {RAISE!r}, {UNKNOWN!r} or a tier that lasts"
        )
    return when_down


def default_account(when_down: str, id: str, error: Exception) -> Account | None:
    """
    Return what *when_down* says of an account that *error* kept from being loaded.

    Raises:
        AccountsUnavailable: If that is what it says.
    """
    if when_down == RAISE:
        why = f"{type(error).__name__}: {error}"
        raise AccountsUnavailable(
            f"account {id!r} cannot be loaded, and nothing recent is known of it: {why}"
        ) from error
    return None if when_down == UNKNOWN else Account(id, when_down)


def outlook(when_down: str, known: timedelta) -> str:
    """Say what is in store for accounts that are *known*, which is how long they are of use, and for others."""
    others = {RAISE: "for others AccountsUnavailable is raised", UNKNOWN: "others count as unknown"}
    return f"those loaded within {known} stand in, {others.get(when_down, f'others are in tier {when_down!r}')}"
