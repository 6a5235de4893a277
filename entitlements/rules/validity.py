"""Validity: half-open time spans, and the instants at which they begin or end to apply."""

from __future__ import annotations

from datetime import datetime

from entitlements.model.instants import to_instant
from entitlements.model.reasons import Verdict


def span_verdict(starts: datetime | None, ends: datetime | None, now: int, edges: list[int]) -> Verdict | None:
    """
    Return the verdict if *now* is outside the span [*starts*, *ends*); None if it is inside.

    Args:
        starts: The first instant in force; None for no start.
        ends: The first instant no longer in force; None for no end.
        now: Microseconds.
        edges: A list that receives every edge after *now*.
    """
    first = None if starts is None else to_instant(starts)
    last = None if ends is None else to_instant(ends)
    edges.extend(edge for edge in (first, last) if edge is not None and edge > now)
    if first is not None and now < first:
        return Verdict.NOT_STARTED
    return Verdict.EXPIRED if last is not None and last <= now else None


def format_span(starts: datetime | None, ends: datetime | None) -> str:
    """Return `from … until …`, without an open end."""
    first = f"from {starts:%Y-%m-%d %H:%M %Z}" if starts else ""
    last = f"until {ends:%Y-%m-%d %H:%M %Z}" if ends else ""
    return f"{first} {last}".strip()
