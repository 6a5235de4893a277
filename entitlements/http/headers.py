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
from entitlements.model.limits import Quota, Rate

if TYPE_CHECKING:
    from entitlements.http.types import Headers
    from entitlements.model.charge import Line
    from entitlements.model.decision import Decision

MOST = 999_999_999_999_999
"""The largest integer of a structured field."""


class HeaderStyle(StrEnum):
    """Which headers say it; `none` keeps silent."""

    DRAFT_11 = "draft-11"
    DRAFT_06 = "draft-06"  # RateLimit-Limit, -Remaining, -Reset: seconds from now
    X_RATELIMIT = "x-ratelimit"  # X-RateLimit-Limit, -Remaining, -Reset: Unix time
    NONE = "none"


def rate_limit_headers(decision: Decision, style: HeaderStyle = HeaderStyle.DRAFT_11) -> Headers:
    """
    Return the headers for a response to which *decision* belongs, allowed or refused.

    Args:
        decision: Of a charge.
        style: The older styles have room for one limit: the one with the smallest share left.
    """
    if style is HeaderStyle.NONE:
        return []
    told = _told(decision)
    if not told:
        return []
    if style is HeaderStyle.DRAFT_11:
        return [
            (b"ratelimit-policy", b", ".join([_policy(part) for part in told])),
            (b"ratelimit", b", ".join([_state(part) for part in told])),
        ]
    shown = told[0] if len(told) == 1 else min(told, key=_share_left)
    prefix = b"ratelimit" if style is HeaderStyle.DRAFT_06 else b"x-ratelimit"
    reset = _effective(shown) if style is HeaderStyle.DRAFT_06 else _reset_at(shown)
    return [
        (prefix + b"-limit", b"%d" % shown.limit),
        (prefix + b"-remaining", b"%d" % shown.remaining),
        (prefix + b"-reset", b"%d" % reset),
    ]


class _Told(NamedTuple):
    """A part that says how much is left of how much, until when."""

    name: bytes
    limit: int
    remaining: int
    definition: Rate | Quota
    line: Line
    now: int


def _told(decision: Decision) -> list[_Told]:
    found = []
    for name, part in decision.parts.items():
        definition, limit, remaining, line = part.facts.limit, part.limit, part.remaining, part.line
        if not part.is_enforced or not isinstance(definition, Rate | Quota) or line is None:
            continue
        if type(limit) is int and type(remaining) is int:
            sizes = min(MOST, limit), min(MOST, remaining)
            found.append(_Told(name.encode("ascii"), *sizes, definition, line, part.decided_at))
    return found


def _policy(told: _Told) -> bytes:
    window = b";w=%d" % max(1, told.definition.window // SECOND) if isinstance(told.definition, Rate) else b""
    unit = b';qu="content-bytes"' if told.definition.unit == "byte" else b""
    return b'"%b";q=%d%b%b' % (told.name, told.limit, unit, window)


def _state(told: _Told) -> bytes:
    return b'"%b";r=%d;t=%d' % (told.name, told.remaining, _effective(told))


def _effective(told: _Told) -> int:
    """Return the seconds within which no more than what remains can be used, rounded up."""
    until = told.line.retry_at if told.line.retry_at is not None else told.line.resets_at
    return max(0, -(-((until or 0) - told.now) // SECOND))


def _reset_at(told: _Told) -> int:
    return -(-told.now // SECOND) + _effective(told)


def _share_left(told: _Told) -> float:
    return told.remaining / told.limit if told.limit else 0.0
