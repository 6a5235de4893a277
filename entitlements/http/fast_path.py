"""
Fast path for one unit of one rate, the charge of most routes.

The response headers are made from the store's outcome. No `Decision` is built when no hook and no refund reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.model.answers import Status

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.http.rate_limit_headers import RateLimitHeaders
    from entitlements.http.types import Headers
    from entitlements.model.answers import Outcome
    from entitlements.model.facts import Facts

_ADMITTED = Status.ADMITTED


class FastPath:
    """
    The enforcer and the response headers for a charge of one unit of one rate.

    Args:
        enforcer: The enforcer of the middleware.
        headers: Encodes the headers of responses.
        refund_rates: Units of rates can be refunded, which takes a decision.
    """

    def __init__(self, enforcer: AsyncEnforcer | Enforcer, headers: RateLimitHeaders, *, refund_rates: bool) -> None:
        self._limit_headers = headers.of_limit
        self.enforcer: AsyncEnforcer | None = None
        """The enforcer to call; None if every charge needs a decision."""
        needs_decision = refund_rates or not headers.supports_fast_path
        if isinstance(enforcer, AsyncEnforcer) and not enforcer._has_hooks and not needs_decision:
            self.enforcer = enforcer

    def headers(self, facts: Facts, answer: Outcome) -> Headers | None:
        """Return the response headers for a unit that the store admitted; None if they take a decision."""
        status, now, lines, _, _, fallbacks, _ = answer
        return (
            self._limit_headers(facts, now, lines[0]) if status is _ADMITTED and not fallbacks and lines[0][0] else None
        )
