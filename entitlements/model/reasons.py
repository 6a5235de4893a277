"""Reasons of decisions, and verdicts on the sources that were considered."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The reason of a decision, a closed set: five allow, nine refuse."""

    INCLUDED = "included"
    WITHIN_LIMIT = "within-limit"
    OVERAGE = "overage"
    UNLIMITED = "unlimited"
    OUTAGE_ALLOWED = "outage-allowed"
    NOT_INCLUDED = "not-included"
    LEVEL_TOO_LOW = "level-too-low"
    RATE_LIMITED = "rate-limited"
    QUOTA_EXCEEDED = "quota-exceeded"
    ALLOCATION_FULL = "allocation-full"
    NEVER_FITS = "never-fits"
    SUSPENDED = "suspended"
    UNKNOWN_ACCOUNT = "unknown-account"
    STORE_UNAVAILABLE = "store-unavailable"


class Verdict(StrEnum):
    """
    The verdict on a source that was considered.

    `WON` decided. `BASE` is the tier's value, which the winner raised. `RAISED` raised it as well.
    """

    WON = "won"
    BASE = "base"
    RAISED = "raised"
    LOST = "lost"
    EXPIRED = "expired"
    NOT_STARTED = "not-started"
    NOT_OFFERED = "not-offered"
