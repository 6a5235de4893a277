"""
What a response says of limits: `RateLimit` and `RateLimit-Policy`.

By draft-ietf-httpapi-ratelimit-headers-11 both are lists of structured fields (RFC 9651):
a quoted name with `q` (the quota) and `w` (the window in seconds), or with `r` (what
remains) and `t` (for how many seconds no more than that can be used). Rates and quotas
of the account are told; allocations have no time, and what is unlimited has no quota.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from entitlements.model.decision import Decision
from entitlements.model.facts import Reason
from entitlements.model.instants import SECOND
from entitlements.model.limits import Mode, Quota, Rate
from entitlements.model.names import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from entitlements.http.types import Headers
    from entitlements.model.answers import Line
    from entitlements.model.facts import Facts

MOST = 999_999_999_999_999
"""The largest integer of a structured field."""

MOST_WRITTEN = 10_000
"""Limits of accounts whose policy is kept written, 3 MB; then it starts over."""


class HeaderStyle(StrEnum):
    """Which headers say it; `none` keeps silent."""

    DRAFT_11 = "draft-11"
    DRAFT_06 = "draft-06"  # RateLimit-Limit, -Remaining, -Reset: seconds from now
    X_RATELIMIT = "x-ratelimit"  # X-RateLimit-Limit, -Remaining, -Reset: Unix time
    NONE = "none"


_DRAFT_11, _NONE = HeaderStyle.DRAFT_11, HeaderStyle.NONE
_UNKNOWN: Any = object()


class RateLimitHeaders:
    """
    Writes the headers of responses; what is the same for a limit's every response is written once.

    Args:
        style: The older styles have room for one limit: the one with the smallest share left.
    """

    def __init__(self, style: HeaderStyle = HeaderStyle.DRAFT_11) -> None:
        self._style = style
        self._written: dict[Facts, _Written | None] = {}
        self._alike: dict[_Written, _Written] = {}

    def of(self, decision: Decision) -> Headers:
        """Return the headers for a response to which *decision*, of a charge, belongs, allowed or refused."""
        style = self._style
        if style is _NONE:
            return []
        _, _, facts, receipt, line, parts = decision.fields
        if parts is None and style is _DRAFT_11 and line is not None and line[1] is not None:
            return self.of_limit(facts, receipt[1], line)
        return self._of_parts((decision,) if parts is None else parts)

    def after_refund(self, decision: Decision, *, rates: bool) -> Headers:
        """Return what `of` says once the units of quotas and allocations, and of rates too if so, have come back."""
        if self._style is _NONE:
            return []
        return self._of_parts(
            [part if _stays(part, rates=rates) else _given_back(part) for part in decision.part_decisions]
        )

    def _of_parts(self, parts: Sequence[Decision]) -> Headers:
        style = self._style
        told = [each for each in map(self._told, parts) if each is not None]
        if not told:
            return self._uncounted(parts) if style is _DRAFT_11 else []
        if style is _DRAFT_11:
            policies = b", ".join([each.written.policy[1] for each in told])
            return [(b"ratelimit-policy", policies), (b"ratelimit", b", ".join(map(_state, told)))]
        shown = min(told, key=_share_left)
        prefix = b"ratelimit" if style is HeaderStyle.DRAFT_06 else b"x-ratelimit"
        reset = shown.lasts if style is HeaderStyle.DRAFT_06 else -(-shown.now // SECOND) + shown.lasts
        return [
            (prefix + b"-limit", b"%d" % min(MOST, shown.written.limit)),
            (prefix + b"-remaining", b"%d" % shown.remaining),
            (prefix + b"-reset", b"%d" % reset),
        ]

    @property
    def supports_fast_path(self) -> bool:
        """Whether `of_limit` says all that `of` would."""
        return self._style in (_DRAFT_11, _NONE)

    def of_limit(self, facts: Facts, now: int, line: Line) -> Headers:
        """
        Return what draft-11 says of one limit that was counted, without any decision or table.

        Args:
            facts: Of the limit.
            now: The clock that decided, in microseconds.
            line: What a store says of the limit.
        """
        if self._style is _NONE:
            return []
        written = self._written.get(facts, _UNKNOWN)
        if written is _UNKNOWN:
            written = self._write(facts)
        if written is None:
            return []
        limit, policy, name = written
        _, used, _, retry_at, resets_at, _, _ = line
        left, lasts = limit - used, -((now - ((resets_at if retry_at is None else retry_at) or 0)) // SECOND)
        if not 0 <= left <= MOST or lasts < 0:
            left, lasts = max(0, min(left, MOST)), max(0, lasts)
        return [policy, (b"ratelimit", b"%b%d;t=%d" % (name, left, lasts))]

    def _uncounted(self, parts: Iterable[Decision]) -> Headers:
        """Return what is known of limits that were not counted: their policy, and that a share is used up."""
        known = [(part, self._known(part.facts)) for part in parts if part.line is not None]
        policies = [written.policy[1] for _, written in known if written is not None]
        states = [
            _state(_Told(written, 0, max(0, -((part.decided_at - part.line.retry_at) // SECOND)), part.decided_at))
            for part, written in known
            if written is not None and part.reason is Reason.RATE_LIMITED and part.line and part.line.retry_at
        ]
        said = [(b"ratelimit-policy", b", ".join(policies))] if policies else []
        return said + ([(b"ratelimit", b", ".join(states))] if states else [])

    def _told(self, part: Decision) -> _Told | None:
        """Return what a part of a decision says of its limit; None where nothing can be said."""
        _, _, facts, receipt, line, _ = part.fields
        if line is None or line.used is None:
            return None
        written = self._known(facts)
        if written is None:
            return None
        now, until = receipt.now, line.resets_at if line.retry_at is None else line.retry_at
        lasts = -((now - (until or 0)) // SECOND)
        return _Told(written, max(0, min(written.limit - line.used, MOST)), max(0, lasts), now)

    def _known(self, facts: Facts) -> _Written | None:
        return self._written[facts] if facts in self._written else self._write(facts)

    def _write(self, facts: Facts) -> _Written | None:
        if len(self._written) >= MOST_WRITTEN:
            self._written.clear()
            self._alike.clear()
        written = _written(facts)
        if written is not None:  # one for all accounts: what all use stays in the processor's cache
            written = self._alike.setdefault(written, written)
        self._written[facts] = written
        return written


def rate_limit_headers(decision: Decision, style: HeaderStyle = HeaderStyle.DRAFT_11) -> Headers:
    """Return the headers of one response; see `RateLimitHeaders`."""
    return RateLimitHeaders(style).of(decision)


class _Written(NamedTuple):
    """What every response says alike of a limit: its size, its policy, and how its state begins."""

    limit: int
    policy: tuple[bytes, bytes]
    name: bytes


class _Told(NamedTuple):
    """How much is left of one limit, and for how many seconds no more than that."""

    written: _Written
    remaining: int
    lasts: int
    now: int


def _written(facts: Facts) -> _Written | None:
    """Write what is always the same of a limit; None for one of which nothing is told, by a name that no policy has."""
    definition, size = facts.limit, facts.size
    if not isinstance(definition, Rate | Quota) or type(size) is not int or definition.mode is Mode.SHADOW:
        return None
    limit = definition.capacity(size)
    assert type(limit) is int
    if not NAME.fullmatch(definition.name):
        return None
    name = b'"%b"' % definition.name.encode("ascii")
    window = b";w=%d" % max(1, definition.window // SECOND) if isinstance(definition, Rate) else b""
    unit = b';qu="content-bytes"' if definition.unit == "byte" else b""
    policy = b"%b;q=%d%b%b" % (name, min(MOST, limit), unit, window)
    return _Written(limit, (b"ratelimit-policy", policy), name + b";r=")


def _stays(part: Decision, *, rates: bool) -> bool:
    """Say whether what a part took stays taken when its request comes to nothing."""
    line = part.line
    return line is None or line.used is None or not line.taken or (isinstance(part.facts.limit, Rate) and not rates)


def _given_back(part: Decision) -> Decision:
    line = part.line
    assert line is not None
    assert line.used is not None
    return Decision(part.allowed, part.reason, part.facts, part.receipt, line._replace(used=line.used - line.taken))


def _state(told: _Told) -> bytes:
    written, remaining, lasts, _ = told
    return b"%b%d;t=%d" % (written.name, remaining, lasts)


def _share_left(told: _Told) -> float:
    return told.remaining / told.written.limit if told.written.limit else 0.0
