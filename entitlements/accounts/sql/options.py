"""The named arguments that all verbs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

if TYPE_CHECKING:
    from typing import Required

    from entitlements.model.account import Change, Grant, Override, Trial
    from entitlements.model.calendars import Anchor
    from entitlements.model.policy import PolicyData


class Invalidator(Protocol):
    """An `Enforcer` for `SqlAccounts`, an `AsyncEnforcer` for `AsyncSqlAccounts`."""

    @property
    def policy(self) -> PolicyData:
        """The policy in force, by which a change is checked."""
        ...

    def invalidate(self, account: str, /) -> Any:
        """Have every process load the account again."""
        ...


class Signed(TypedDict, total=False):
    """
    Arguments of every verb.

    Args:
        reason: Stands in the audit row.
        author: Stands in the audit row.
        version: The version at which the account must be; any by default.
        enforcer: Invalidates the account afterwards; by default the one that the source was given.
        dry_run: Check and return the account as it would be, and store nothing.
    """

    reason: Required[str]
    author: Required[str]
    version: int | None
    enforcer: Invalidator | None
    dry_run: bool


class Dated(Signed, total=False):
    """
    Arguments of a verb that takes effect at once.

    Args:
        at: Dates the change back; an aware datetime.
    """

    at: datetime | None


class Created(Dated, total=False):
    """Arguments of `create`: with an id and a tier, the other parts of an `Account`."""

    trial: Trial | None
    anchor: Anchor | None
    time_zone: str | None
    add_ons: Mapping[str, int]
    overrides: Sequence[Override]
    grants: Sequence[Grant]
    changes: Sequence[Change]
    attributes: Mapping[str, object]
    status: str


CHANGE_OPTIONS = frozenset(Dated.__annotations__)
