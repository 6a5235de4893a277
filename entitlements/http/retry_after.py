"""The `Retry-After` header: whole seconds, rounded up, left out of a 429 above a cap; and instants on the clock of `Date`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.clock import system_clock
from entitlements.model.decision_fields import line_of, receipt_of
from entitlements.model.instants import SECOND

if TYPE_CHECKING:
    from entitlements.model.decision import Decision
    from entitlements.model.facts import Receipt

DEFAULT_RETRY = 1
"""Seconds of `Retry-After` when the wait is unknown."""

DEFAULT_RETRY_AFTER_CAP = 3_660
"""
Seconds of wait above which a 429 has no `Retry-After`.

It is the longest wait for a sliding window of an hour: 61 buckets of a minute. A longer wait, such as
that for the next period of a quota, is no matter of retries; `resets_at` in the body has it.
"""


def seconds_to_wait(decision: Decision) -> int | None:
    """Return the wait in whole seconds, rounded up, at least 1; None if waiting does not help."""
    line = line_of(decision)
    if line is None or line.retry_at is None:
        return None
    return max(1, -(-(line.retry_at - receipt_of(decision).now) // SECOND))


def retry_after_of(status: int, wait: int | None, cap: int) -> int | None:
    """Return the seconds of the header for a *status* and the *wait* before a retry, or None for no header."""
    is_sent = status == 503 or (status == 429 and wait is not None and wait <= cap)
    return wait if is_sent else None


def clock_offset(receipt: Receipt) -> int:
    """
    Return the microseconds by which the clock of this process, and so of `Date`, is ahead of the store's.

    0 where the clocks agree to within a second, so that a period ends for clients at midnight too; in memory both are one.
    """
    if receipt.via == "memory":
        return 0
    offset = system_clock() - receipt.now
    return offset if abs(offset) >= SECOND else 0
