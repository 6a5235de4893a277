"""
One unit of one rate, which is what most routes take.

What the store answers is told as it is: no decision is made of it where nobody would see one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.model.charge import Outcome, Status
from entitlements.model.decision import Decision

if TYPE_CHECKING:
    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.headers import RateLimitHeaders
    from entitlements.http.types import Headers
    from entitlements.model.charge import Answer
    from entitlements.model.facts import Facts

_ADMITTED = Status.ADMITTED


class OneUnit:
    """
    Takes one unit of a rate for a request.

    Args:
        enforcer: Whose.
        headers: Say what is left.
        refund_rates: Whether units of rates may come back, so that their decision is wanted.
    """

    def __init__(self, enforcer: AsyncEnforcer | Enforcer, headers: RateLimitHeaders, *, refund_rates: bool) -> None:
        asks = enforcer if isinstance(enforcer, AsyncEnforcer) else None
        self._asks = asks
        self._headers_of = headers.of_one
        self._is_unseen = asks is not None and not asks.listening and not refund_rates and headers.says_one
        self._never_waits = self._is_unseen and asks is not None and not asks.waits

    def at_once(self, limit: str, account: Handle) -> Headers | None:
        """
        Take a unit where nothing must be waited for, and return what the response says.

        None where it must be asked for in `taken`: also where it is refused, as that writes nothing.
        """
        if not self._never_waits:
            return None
        step = account.step(limit)
        if step is None or step.facts is None:
            return None
        try:
            return self._told(step.facts, self._asks.at_once(step.order))  # type: ignore[union-attr]
        except Exception:  # noqa: BLE001 - it will be raised again where it is answered
            return None

    async def taken(self, limit: str, account: Handle) -> Headers | Decision:
        """
        Take a unit, and return what the response says, or the decision where that says more.

        Raises:
            Exception: A store's.
        """
        asks, step = self._asks, account.step(limit)
        if asks is None or step is None or step.facts is None:
            made = account.consume(limit)
            return made if isinstance(made, Decision) else await made
        answer = asks.at_once(step.order)
        if answer is None:
            answer = await asks.beyond(step.order)
        told = self._told(step.facts, answer) if self._is_unseen else None
        return asks.finished(step, answer) if told is None else told

    def _told(self, facts: Facts, answer: Answer) -> Headers | None:
        """Return what a response says of a unit that the store has counted; None where a decision must be made of it."""
        if type(answer) is not Outcome:
            return None
        status, now, lines, _, _, ways, _ = answer
        if status is not _ADMITTED or ways or not lines[0][0]:
            return None
        return self._headers_of(facts, now, lines[0])
