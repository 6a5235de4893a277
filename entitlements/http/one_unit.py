"""
One unit of one rate, which is what most routes take.

What the store answers is told as it is: no decision is made of it where nobody would see one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.model.charge import Status

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.headers import RateLimitHeaders
    from entitlements.http.types import Headers
    from entitlements.model.charge import Outcome
    from entitlements.model.decision import Decision
    from entitlements.rules.verbs import Step

_ADMITTED = Status.ADMITTED


class OneUnit:
    """
    Takes one unit of a rate for a request, where no hook and no refund wants a decision of it.

    Args:
        enforcer: Whose.
        headers: Say what is left.
        refund_rates: Whether units of rates may come back.
    """

    def __init__(self, enforcer: AsyncEnforcer | Enforcer, headers: RateLimitHeaders, *, refund_rates: bool) -> None:
        self._headers_of = headers.of_one
        self._asks: AsyncEnforcer | None = None  # then there are no steps
        if isinstance(enforcer, AsyncEnforcer) and not enforcer.listening and not refund_rates and headers.says_one:
            self._asks = enforcer

    def step(self, limit: str, account: Handle) -> Step[Decision] | None:
        """Return what takes the unit; None where it is an ordinary charge."""
        step = None if self._asks is None else account.step(limit)
        return None if step is None or step.facts is None else step

    def at_once(self, step: Step[Decision]) -> Outcome | None:
        """Return what the store answers at once; None where `beyond` must be awaited."""
        return self._asks.at_once(step.order)  # type: ignore[union-attr, return-value]

    def beyond(self, step: Step[Decision]) -> Awaitable[Outcome]:
        """Ask the store."""
        return self._asks.beyond(step.order)  # type: ignore[union-attr]

    def told(self, step: Step[Decision], answer: Outcome) -> Headers | Decision:
        """Return what the response says of a unit that the store has counted, and else the decision."""
        status, now, lines, _, _, ways, _ = answer
        if status is _ADMITTED and not ways and lines[0][0]:
            return self._headers_of(step.facts, now, lines[0])  # type: ignore[arg-type]
        return self._asks.finished(step, answer)  # type: ignore[union-attr]
