"""
What a response says of limits: `RateLimit` and `RateLimit-Policy`.

By draft-ietf-httpapi-ratelimit-headers-11 both are lists of structured fields (RFC 9651):
a quoted name with `q` (the quota) and `w` (the window in seconds), or with `r` (what
remains) and `t` (for how many seconds no more than that can be used). Rates and quotas
of the account are told; allocations have no time, and what is unlimited has no quota.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from entitlements.model.instants import SECOND
from entitlements.model.limits import Mode, Quota, Rate

if TYPE_CHECKING:
    from entitlements.http.types import Headers
    from entitlements.model.decision import Decision

MOST = 999_999_999_999_999
"""The largest integer of a structured field."""

MOST_WRITTEN = 1_000
"""Policies that are kept written: a limit of many sizes starts over."""


class HeaderStyle(StrEnum):
    """Which headers say it; `none` keeps silent."""

    DRAFT_11 = "draft-11"
    DRAFT_06 = "draft-06"  # RateLimit-Limit, -Remaining, -Reset: seconds from now
    X_RATELIMIT = "x-ratelimit"  # X-RateLimit-Limit, -Remaining, -Reset: Unix time
    NONE = "none"


class RateLimitHeaders:
    """
    Writes the headers of responses; what is the same for a limit's every response is written once.

    Args:
        style: The older styles have room for one limit: the one with the smallest share left.
    """

    def __init__(self, style: HeaderStyle = HeaderStyle.DRAFT_11) -> None:
        self._style = style
        self._written: dict[tuple[object, ...], tuple[bytes, bytes]] = {}

    def of(self, decision: Decision) -> Headers:
        """Return the headers for a response to which *decision*, of a charge, belongs, allowed or refused."""
        if self._style is HeaderStyle.NONE:
            return []
        told = [each for each in map(_told, decision.each) if each is not None]
        if not told:
            return []
        if self._style is HeaderStyle.DRAFT_11:
            written = [self._in_draft_11(each) for each in told]
            policies, states = written[0] if len(written) == 1 else map(b", ".join, zip(*written, strict=True))
            return [(b"ratelimit-policy", policies), (b"ratelimit", states)]
        shown = min(told, key=_share_left)
        prefix = b"ratelimit" if self._style is HeaderStyle.DRAFT_06 else b"x-ratelimit"
        reset = shown.lasts if self._style is HeaderStyle.DRAFT_06 else -(-shown.now // SECOND) + shown.lasts
        return [
            (prefix + b"-limit", b"%d" % shown.limit),
            (prefix + b"-remaining", b"%d" % shown.remaining),
            (prefix + b"-reset", b"%d" % reset),
        ]

    def _in_draft_11(self, told: _Told) -> tuple[bytes, bytes]:
        """Return a limit's policy and its state."""
        definition = told.definition
        key = (definition.name, told.limit, getattr(definition, "window", 0), definition.unit)
        written = self._written.get(key)
        if written is None:
            if len(self._written) >= MOST_WRITTEN:
                self._written.clear()
            written = self._written[key] = _written(told)
        policy, name = written
        return policy, b"%b%d;t=%d" % (name, told.remaining, told.lasts)


def rate_limit_headers(decision: Decision, style: HeaderStyle = HeaderStyle.DRAFT_11) -> Headers:
    """Return the headers of one response; see `RateLimitHeaders`."""
    return RateLimitHeaders(style).of(decision)


class _Told(NamedTuple):
    """How much is left of one limit, of how much, and for how many seconds no more than that."""

    definition: Rate | Quota
    limit: int
    remaining: int
    lasts: int
    now: int


def _told(part: Decision) -> _Told | None:
    """Return what a part of a decision says of its limit; None where nothing can be said."""
    facts, line = part.facts, part.line
    definition, size = facts.limit, facts.size
    if line is None or line.used is None or not isinstance(definition, Rate | Quota) or type(size) is not int:
        return None
    if definition.mode is Mode.SHADOW:
        return None
    limit = definition.capacity(size)
    assert type(limit) is int
    until = line.resets_at if line.retry_at is None else line.retry_at
    now = part.decided_at
    lasts = max(0, -(-((until or 0) - now) // SECOND))
    return _Told(definition, min(MOST, limit), min(MOST, max(0, limit - line.used)), lasts, now)


def _written(told: _Told) -> tuple[bytes, bytes]:
    """Return a limit's policy, and how its every state begins."""
    name = b'"%b"' % told.definition.name.encode("ascii")
    window = b";w=%d" % max(1, told.definition.window // SECOND) if isinstance(told.definition, Rate) else b""
    unit = b';qu="content-bytes"' if told.definition.unit == "byte" else b""
    return b"%b;q=%d%b%b" % (name, told.limit, unit, window), name + b";r="


def _share_left(told: _Told) -> float:
    return told.remaining / told.limit if told.limit else 0.0
