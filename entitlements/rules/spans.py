"""What is in force by the clock: half-open spans, and the edges at which answers change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.facts import Verdict
from entitlements.model.instants import to_instant

if TYPE_CHECKING:
    from datetime import datetime


def span_verdict(starts: datetime | None, ends: datetime | None, now: int, edges: list[int]) -> Verdict | None:
    """
    Say why the span [*starts*, *ends*) does not hold *now*; None if it does.

    Args:
        starts: The first instant in force; None means always.
        ends: The first instant no longer in force; None means never.
        now: Microseconds.
        edges: Takes every edge that is still ahead.
    """
    first = None if starts is None else to_instant(starts)
    last = None if ends is None else to_instant(ends)
    edges.extend(edge for edge in (first, last) if edge is not None and edge > now)
    if first is not None and now < first:
        return Verdict.NOT_STARTED
    return Verdict.EXPIRED if last is not None and last <= now else None


def format_span(starts: datetime | None, ends: datetime | None) -> str:
    """Return `from … until …`, as far as there is any."""
    first = f"from {starts:%Y-%m-%d %H:%M %Z}" if starts else ""
    last = f"until {ends:%Y-%m-%d %H:%M %Z}" if ends else ""
    return f"{first} {last}".strip()
