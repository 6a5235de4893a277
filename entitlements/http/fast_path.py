"""
One unit of one rate, which is what most routes take.

What the store answers is told as it is: no decision is made of it where nobody would see one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.model.answers import Status

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.http.headers import RateLimitHeaders
    from entitlements.http.types import Headers
    from entitlements.model.answers import Outcome
    from entitlements.model.facts import Facts

_ADMITTED = Status.ADMITTED


class OneUnit:
    """
    Who is asked for one unit of a rate, and what a response says of it, where no hook and no refund wants a decision.

    Args:
        enforcer: Whose.
        headers: Say what is left.
        refund_rates: Whether units of rates may come back.
    """

    def __init__(self, enforcer: AsyncEnforcer | Enforcer, headers: RateLimitHeaders, *, refund_rates: bool) -> None:
        self._headers_of = headers.of_one
        self.asks: AsyncEnforcer | None = None
        """Who is asked; None where every charge is an ordinary one."""
        if isinstance(enforcer, AsyncEnforcer) and not enforcer.listening and not refund_rates and headers.says_one:
            self.asks = enforcer

    def told(self, facts: Facts, answer: Outcome) -> Headers | None:
        """Return what the response says of a unit that the store has counted; None where only a decision says it."""
        status, now, lines, _, _, ways, _ = answer
        return self._headers_of(facts, now, lines[0]) if status is _ADMITTED and not ways and lines[0][0] else None
