"""
Rate limit headers: `RateLimit` and `RateLimit-Policy`, and the two older styles.

In draft-ietf-httpapi-ratelimit-headers-11 both are lists of structured fields (RFC 9651).
`RateLimit-Policy` holds a quoted name with `q` (the quota) and `w` (the window in seconds),
`RateLimit` the name with `r` (units that remain) and `t` (seconds for which no more than
that can be used). Headers describe the rates and quotas of an account. An allocation has
no window, and an unlimited limit no quota.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from entitlements.http.retry_after import clock_offset
from entitlements.model.decision import Decision
from entitlements.model.decision_fields import fields_of, parts_of, several_parts_of
from entitlements.model.instants import NEVER, SECOND
from entitlements.model.limits import Mode, PeriodLength, Quota, Rate
from entitlements.model.names import NAME
from entitlements.model.overage import included_of
from entitlements.model.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from entitlements.http.types import Headers
    from entitlements.model.answers import Line
    from entitlements.model.facts import Facts, Receipt
    from entitlements.rules.decisions import DecisionBuilder

MAX_INTEGER = 999_999_999_999_999
"""Largest integer of a structured field (RFC 9651, section 3.3.1)."""

MAX_ENCODED = 10_000
"""Capacity of the cache of encoded limits, 3 MB; a full cache is cleared."""


class HeaderStyle(StrEnum):
    """Style of the rate limit headers; `none` sends none."""

    DRAFT_11 = "draft-11"
    DRAFT_06 = "draft-06"  # RateLimit-Limit, -Remaining, -Reset: seconds from now
    X_RATELIMIT = "x-ratelimit"  # X-RateLimit-Limit, -Remaining, -Reset: Unix time
    NONE = "none"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"headers {value!r} is no style of headers; write one of {', '.join(cls)}")


_DRAFT_11, _NONE = HeaderStyle.DRAFT_11, HeaderStyle.NONE
_UNKNOWN: Any = object()


class RateLimitHeaders:
    """
    Encodes rate limit headers; the part that all responses of a limit share is encoded once.

    Args:
        style: Style of the headers. The older styles describe one limit: the one that refused, else the one
            with the smallest share left.
    """

    def __init__(self, style: HeaderStyle = HeaderStyle.DRAFT_11) -> None:
        self._style = style
        self._encoded: dict[Facts, _EncodedLimit | None] = {}
        self._interned: dict[_EncodedLimit, _EncodedLimit] = {}
        self._templates: dict[DecisionBuilder, _Template] = {}

    def of(self, decision: Decision) -> Headers:
        """Return the headers of a response for the *decision* of its charge, allowed or refused."""
        style = self._style
        if style is _NONE:
            return []
        allowed, _, facts, receipt, line, _ = fields_of(decision)
        parts = several_parts_of(decision)
        if parts is None and style is _DRAFT_11 and line is not None and line[1] is not None:
            return self.of_limit(facts, receipt[1], line)
        return self._of_parts((decision,) if parts is None else parts, None if allowed else decision)

    def of_all(self, decisions: Iterable[Decision]) -> Headers:
        """Return the headers of a response to a request that made several charges, all of them allowed."""
        if self._style is _DRAFT_11:
            return [header for decision in decisions for header in self.of(decision)]
        return [] if self._style is _NONE else self._of_parts([part for each in decisions for part in parts_of(each)])

    def after_refund(self, decisions: Iterable[Decision], *, rates: bool) -> Headers:
        """Return the headers after a refund of quotas and allocations, and with *rates* of rates too."""
        if self._style is _NONE:
            return []
        return self._of_parts([_after_refund(part, rates=rates) for each in decisions for part in parts_of(each)])

    def _of_parts(self, parts: Sequence[Decision], refusal: Decision | None = None) -> Headers:
        style = self._style
        if style is _DRAFT_11:
            return self._of_counted(parts) or self._of_uncounted(parts)
        states = [each for each in map(self._state_of, parts) if each is not None]
        if not states:
            return []
        refused = None if refusal is None else self._state_of(refusal)
        one = refused or min(states, key=_share_left)
        is_draft_06 = style is HeaderStyle.DRAFT_06
        prefix = b"ratelimit" if is_draft_06 else b"x-ratelimit"
        return [
            (prefix + b"-limit", b"%d" % min(MAX_INTEGER, one.encoded.limit)),
            (prefix + b"-remaining", b"%d" % one.remaining),
            (prefix + b"-reset", b"%d" % (one.seconds if is_draft_06 else -(-one.until // SECOND))),
        ]

    @property
    def supports_fast_path(self) -> bool:
        """True if `of_admitted` returns all headers that `of` would."""
        return self._style in (_DRAFT_11, _NONE)

    def of_limit(self, facts: Facts, now: int, line: Line) -> Headers:
        """
        Return the draft-11 headers of one counted limit, without a decision.

        Args:
            facts: The facts of the limit.
            now: The instant of the charge on the store's clock, in microseconds.
            line: The store's answer about the limit.
        """
        if self._style is _NONE:
            return []
        encoded = self._encoded.get(facts, _UNKNOWN)
        if encoded is _UNKNOWN:
            encoded = self._encode(facts)
        if encoded is None:
            return []
        limit, policy, prefix = encoded
        _, used, _, retry_at, resets_at, _, _ = line
        remaining, seconds = limit - used, -((now - ((resets_at if retry_at is None else retry_at) or 0)) // SECOND)
        if not 0 <= remaining <= MAX_INTEGER or seconds < 0:
            remaining, seconds = max(0, min(remaining, MAX_INTEGER)), max(0, seconds)
            if resets_at is None and isinstance(facts.limit, Quota):  # for a lifetime
                return [policy, (b"ratelimit", b"%b%d" % (prefix, remaining))]
        return [policy, (b"ratelimit", b"%b%d;t=%d" % (prefix, remaining, seconds))]

    def of_admitted(self, charge: DecisionBuilder, now: int, lines: Sequence[Line]) -> Headers | None:
        """
        Return the draft-11 headers of a charge that a store admitted, without its decision; None if they take that.

        Args:
            charge: Makes the decisions about such charges.
            now: The instant of the charge on the store's clock, in microseconds.
            lines: The store's answers about the limits.
        """
        limits, policy, state = self._templates.get(charge) or self._new_template(charge)
        numbers: list[int] = []
        for at, limit, lasts in limits:
            fits, used, _, retry_at, resets_at, _, _ = lines[at]
            if not fits:
                return None
            if limit is None:
                continue
            if used is None:
                return None
            remaining = limit - used if used < limit else 0
            numbers.append(remaining if remaining < MAX_INTEGER else MAX_INTEGER)  # noqa: FURB136 - a call takes longer
            if not lasts:
                seconds = -((now - ((resets_at if retry_at is None else retry_at) or 0)) // SECOND)
                numbers.append(seconds if seconds > 0 else 0)  # noqa: FURB136 - as above
        return [policy, (b"ratelimit", state % tuple(numbers))] if numbers else []

    def _new_template(self, charge: DecisionBuilder) -> _Template:
        limits, policies, states = [], [], []
        for facts, at in charge.counted:
            encoded = None if self._style is _NONE else self._encoded_of(facts)
            lasts = isinstance(facts.limit, Quota) and facts.limit.period is PeriodLength.LIFETIME
            limits.append((at, encoded and encoded.limit, lasts))
            if encoded is not None:
                policies.append(encoded.policy[1])
                states.append(encoded.prefix.replace(b"%", b"%%") + (b"%d" if lasts else b"%d;t=%d"))
        if len(self._templates) >= MAX_ENCODED:
            self._templates.clear()
        template = _Template(tuple(limits), (b"ratelimit-policy", b", ".join(policies)), b", ".join(states))
        self._templates[charge] = template
        return template

    def _of_counted(self, parts: Iterable[Decision]) -> Headers:
        """Return the draft-11 headers of the limits that were counted; none if there are none."""
        policies, states = [], []
        for part in parts:
            _, _, facts, receipt, line, _ = fields_of(part)
            headers = () if line is None or line[1] is None else self.of_limit(facts, receipt[1], line)
            if headers:
                policies.append(headers[0][1])
                states.append(headers[1][1])
        if not states:
            return []
        return [(b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(states))]

    def _of_uncounted(self, parts: Iterable[Decision]) -> Headers:
        """Return the headers of limits that were not counted: policies, and the state of an exhausted local share."""
        policies, states = [], []
        for part in parts:
            _, reason, facts, receipt, line, _ = fields_of(part)
            encoded = None if line is None else self._encoded_of(facts)
            if encoded is None or line is None:
                continue
            policies.append(encoded.policy[1])
            if reason is Reason.RATE_LIMITED and line.retry_at:
                states.append(_encode_state(_limit_state(encoded, 0, receipt, line.retry_at)))
        fields = ((b"ratelimit-policy", policies), (b"ratelimit", states))
        return [(name, b", ".join(items)) for name, items in fields if items]

    def _state_of(self, part: Decision) -> _LimitState | None:
        """Return the state of the limit of a part; None if it was not counted, or has no headers."""
        _, _, facts, receipt, line, _ = fields_of(part)
        if line is None or line.used is None:
            return None
        encoded = self._encoded_of(facts)
        if encoded is None:
            return None
        remaining = max(0, min(encoded.limit - line.used, MAX_INTEGER))
        until = line.resets_at if line.retry_at is None else line.retry_at
        if until is None and isinstance(facts.limit, Quota):  # for a lifetime
            until = NEVER
        return _limit_state(encoded, remaining, receipt, until)

    def _encoded_of(self, facts: Facts) -> _EncodedLimit | None:
        return self._encoded[facts] if facts in self._encoded else self._encode(facts)

    def _encode(self, facts: Facts) -> _EncodedLimit | None:
        if len(self._encoded) >= MAX_ENCODED:
            self._encoded.clear()
            self._interned.clear()
        encoded = _encode_limit(facts)
        if encoded is not None:  # shared by all accounts, so that it stays in the processor's cache
            encoded = self._interned.setdefault(encoded, encoded)
        self._encoded[facts] = encoded
        return encoded


def rate_limit_headers(decision: Decision, style: HeaderStyle = HeaderStyle.DRAFT_11) -> Headers:
    """Return the rate limit headers of one response; see `RateLimitHeaders`."""
    return RateLimitHeaders(style).of(decision)


class _EncodedLimit(NamedTuple):
    """The size of a limit, its `RateLimit-Policy` header, and the prefix of its `RateLimit` item."""

    limit: int
    policy: tuple[bytes, bytes]
    prefix: bytes


class _Template(NamedTuple):
    """
    The headers of admitted charges of the same limits, without their numbers.

    Args:
        limits: Of each limit the position of its line, its size, and True if it never resets; no size is in no header.
        policy: The `RateLimit-Policy` header.
        state: The value of `RateLimit`, with a place for each number.
    """

    limits: tuple[tuple[int, int | None, bool], ...]
    policy: tuple[bytes, bytes]
    state: bytes


class _LimitState(NamedTuple):
    """Units that remain of a limit, the seconds for which no more than that can be used, and their end in microseconds."""

    encoded: _EncodedLimit
    remaining: int
    seconds: int
    until: int


def _encode_limit(facts: Facts) -> _EncodedLimit | None:
    """Return the constant part of a limit's headers; None if it has none, such as a limit in shadow mode."""
    definition, size = facts.limit, None if facts.size is None else included_of(facts.size)
    if not isinstance(definition, Rate | Quota) or type(size) is not int or definition.mode is Mode.SHADOW:
        return None
    limit = definition.capacity(size)
    assert type(limit) is int
    if not NAME.fullmatch(definition.name):
        return None
    name = b'"%b"' % definition.name.encode("ascii")
    window = b";w=%d" % _window(definition, size) if isinstance(definition, Rate) else b""
    unit = b';qu="content-bytes"' if definition.unit == "byte" else b""
    policy = b"%b;q=%d%b%b" % (name, min(MAX_INTEGER, limit), unit, window)
    return _EncodedLimit(limit, (b"ratelimit-policy", policy), name + b";r=")


def _window(rate: Rate, size: int) -> int:
    """Return the seconds in which as many units as `q` come back: of a token bucket, in which its burst refills."""
    capacity = rate.capacity(size)
    assert type(capacity) is int
    return max(1, -(-rate.window * capacity // ((size or 1) * SECOND)))


def _after_refund(part: Decision, *, rates: bool) -> Decision:
    """Return a part with the usage after the refund of a failed request."""
    allowed, reason, facts, receipt, line, _ = fields_of(part)
    if line is None or line.used is None or (isinstance(facts.limit, Rate) and not rates):
        return part
    return Decision(allowed, reason, facts, receipt, line._replace(used=line.used - line.taken))


def _encode_state(state: _LimitState) -> bytes:
    return b"%b%d;t=%d" % (state.encoded.prefix, state.remaining, state.seconds)


def _limit_state(encoded: _EncodedLimit, remaining: int, receipt: Receipt, until: int | None) -> _LimitState:
    until = max(receipt.now, until or 0)
    return _LimitState(encoded, remaining, -((receipt.now - until) // SECOND), until + clock_offset(receipt))


def _share_left(state: _LimitState) -> tuple[float, int]:
    """Sort key of limits: the smaller share left comes first, then the longer wait."""
    return state.remaining / state.encoded.limit if state.encoded.limit else 0.0, -state.seconds
