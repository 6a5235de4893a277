"""Audit entries of changes, and outcomes of outside events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from entitlements.model.display import fields_in_json


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """
    One change of an account.

    Args:
        account: The account's id.
        version: The account's version after the change: 1 after the first.
        at: The instant of the change (aware, UTC).
        action: The verb: `create`, `set_tier`, `override`, …, or `apply` for an outside event.
        reason: The reason.
        author: The person or program that made it.
        event: The id of the outside event; None for a verb.
        changed: Each part of the account that differs, as `{"before": …, "after": …}` in JSON.
    """

    account: str
    version: int
    at: datetime
    action: str
    reason: str
    author: str
    event: str | None
    changed: Mapping[str, Mapping[str, object]]

    to_dict = fields_in_json


class EventOutcome(StrEnum):
    """The result of `apply` for an outside event."""

    APPLIED = "applied"
    REPEATED = "repeated"
    """The event was taken before; nothing changed now."""
    OUTDATED = "outdated"
    """A newer event of the account was applied before; nothing changed."""
