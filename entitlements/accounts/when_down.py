"""Fallback for accounts while their source is down: the `when_down` setting, and the events' listener."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from entitlements.errors import AccountsUnavailable
from entitlements.model.account import Account

if TYPE_CHECKING:
    from datetime import timedelta

    from entitlements.model.events import AccountsBack, AccountsDown
    from entitlements.model.policy import PolicyData

RAISE: Final = "raise"
"""A value of `when_down`: `AccountsUnavailable` is raised."""

UNKNOWN: Final = "unknown_account"
"""A value of `when_down`: the policy's `unknown_account` decides. No tier can have this name."""


class Listener(Protocol):
    """A receiver of the events of a source."""

    def notify(self, event: AccountsDown | AccountsBack, /) -> None:
        """Take an event: the source went down, or recovered."""
        ...


def check_when_down(when_down: object, policy: PolicyData | None = None) -> str:
    """
    Return *when_down* if it is one of its words or a tier: one of *policy*, where that is known.

    Raises:
        ValueError: For anything else, and for a trial plan, because a trial ends.
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
    Return the account that *when_down* gives for *id*, which *error* kept from being loaded.

    Raises:
        AccountsUnavailable: Where *when_down* is `raise`.
    """
    if when_down == RAISE:
        why = f"{type(error).__name__}: {error}"
        raise AccountsUnavailable(
            f"account {id!r} cannot be loaded, and nothing recent is known of it: {why}"
        ) from error
    return None if when_down == UNKNOWN else Account(id, when_down)


def describe_fallback(when_down: str, usable: timedelta) -> str:
    """Return, for the log, what follows for accounts that were loaded within *usable*, and for others."""
    others = {RAISE: "for others AccountsUnavailable is raised", UNKNOWN: "others count as unknown"}
    return f"those loaded within {usable} stand in, {others.get(when_down, f'others are in tier {when_down!r}')}"
