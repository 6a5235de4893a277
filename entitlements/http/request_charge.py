"""Request charges: charges a request before the application runs, and refunds it if the request fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.http.costs import BadRequest, check_scope_error, costs_of, scope_of
from entitlements.http.fast_path import FastPath
from entitlements.http.problems import check_switch
from entitlements.http.rate_limit_headers import HeaderStyle, RateLimitHeaders
from entitlements.http.response import Response
from entitlements.http.types import awaited
from entitlements.http.unknown_accounts import inner_refusal, lowest_tier_denial
from entitlements.http.websocket_messages import MeteredMessages
from entitlements.model.decision_fields import receipt_of
from entitlements.model.limits import Rate
from entitlements.model.reasons import Reason
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Any

    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.problems import Problems, Refusal
    from entitlements.http.routes import Cost, Route
    from entitlements.http.types import Headers, Receive, Scope, Send
    from entitlements.model.decision import Decision
    from entitlements.model.facts import Receipt

_log = logging.getLogger("entitlements.http")


class RequestCharger:
    """
    Charges requests, refunds failed ones, and renders refusals.

    Args:
        app: The application, whose own refusals unknown accounts get.
        enforcer: The enforcer of the middleware.
        refund_on: Statuses that refund quotas and allocations.
        refund_rates: Refund units of rates too.
        style: Style of the rate limit headers.
        problems: Renders refusals.

    Raises:
        TypeError: If *refund_rates* is not a bool.
        TypeError: If *refund_on* is no collection.
        ValueError: If *refund_on* holds anything but HTTP statuses.
    """

    def __init__(
        self,
        app: object,
        enforcer: AsyncEnforcer | Enforcer,
        *,
        refund_on: Collection[int],
        refund_rates: bool,
        style: HeaderStyle,
        problems: Problems,
    ) -> None:
        if isinstance(refund_on, str) or not isinstance(refund_on, Collection):
            raise TypeError(
                f"refund_on {refund_on!r} must be a collection of HTTP statuses; write refund_on={{500, 502}}"
            )
        wrong = [each for each in refund_on if type(each) is not int or not 100 <= each <= 599]
        if wrong:
            raise ValueError(f"refund_on holds {wrong[0]!r}, which is no HTTP status")
        self._app = app
        self._enforcer = enforcer
        self._waits = isinstance(enforcer, AsyncEnforcer) and enforcer._may_wait
        check_switch("refund_rates", refund_rates)
        self._refund_on = frozenset(refund_on)
        self._refund_rates = refund_rates
        self._problems = problems
        self._refunds: set[asyncio.Future[None]] = set()
        self._headers = RateLimitHeaders(style)
        self.headers = self._headers.of
        """Returns the rate limit headers for a decision."""
        self.fast_path = FastPath(enforcer, self._headers, refund_rates=refund_rates)
        """The fast path for one unit of one rate."""

    def is_refundable(self, receipt: Receipt) -> bool:
        """Return True if a failed request refunds the charge; one of rates alone stays spent by default."""
        return receipt.operation is not None or self._refund_rates

    def response(self, receive: Receive, send: Send, decision: Decision) -> Response:
        """Return the response of a request whose charge is refundable."""
        return Response(receive, send, lambda status: self._response_headers(decision, status))

    def _response_headers(self, decision: Decision, status: int) -> Headers:
        """Return the headers of a response; a status in `refund_on` shows the usage after the refund."""
        if status in self._refund_on:
            return self._headers.after_refund(decision, rates=self._refund_rates)
        return self.headers(decision)

    async def charge(self, account: Handle, route: Route, scope: Scope) -> Decision | None:
        """
        Charge one request; if it is cancelled while the charge is pending, the charge is refunded.

        Returns:
            The decision; None if the request costs nothing.

        Raises:
            Exception: As `consume`.
        """
        if not self._waits or not self._has_refundable_limit(route):  # a task costs more than the rest of this call
            return await self.consume(account, route, scope)
        charge = asyncio.ensure_future(self.consume(account, route, scope))
        try:
            return await asyncio.shield(charge)
        except asyncio.CancelledError:
            self._start(self._refund_cancelled(charge))
            raise

    def _has_refundable_limit(self, route: Route) -> bool:
        """Return True if a rule consumes a limit whose units a failed request refunds."""
        limits = self._enforcer.policy.limits
        return self._refund_rates or not all(isinstance(limits.get(name), Rate) for name in route.consumes)

    async def _refund_cancelled(self, charge: asyncio.Future[Decision | None]) -> None:
        with suppress(Exception):  # a failed charge has no decision to refund
            decision = await charge
            if decision is not None and decision.allowed and self.is_refundable(receipt_of(decision)):
                await self._refund(decision)

    async def consume(
        self, account: Handle, route: Route, scope: Scope, consumes: Mapping[str, Cost] | None = None
    ) -> Decision | None:
        """
        Charge one request, or one message, all or nothing.

        Returns:
            The decision; None if it costs nothing.

        Raises:
            BadRequest: If a cost or a scope that was read from the request is missing or invalid.
            Exception: From a callable of the rule, or the store.
        """
        costs = costs_of(route.consumes if consumes is None else consumes, scope, route, account.id)
        if not costs:
            return None
        meter_scope = scope_of(route, scope, route)
        what, n = next(iter(costs.items())) if len(costs) == 1 else (costs, 1)  # a charge of one rate has a ready step
        try:
            if isinstance(self._enforcer, AsyncEnforcer):
                return await self._enforcer.consume(account.account, what, n, scope=meter_scope)
            return self._enforcer.consume(account.account, what, n, scope=meter_scope)
        except ValueError as error:
            check_scope_error(error, route, meter_scope)
            raise

    def refusal(self, why: Decision | Reason, route: Route, scope: Scope) -> Refusal:
        """
        Return the answer to a refused request.

        Args:
            why: The decision that refused; or the reason for which an account is refused everything.
            route: The rule that the request matched.
            scope: The scope of the request.

        Raises:
            BadRequest: As `consume`.
            Exception: From a callable of the rule, or of an inner application.
        """
        reason, decision = (why, None) if isinstance(why, Reason) else (why.reason, why)
        if reason is not Reason.UNKNOWN_ACCOUNT:
            return self._problems.standing(reason) if decision is None else self._problems.refused(decision)
        if decision is not None:
            rendered = self._lowest_tier_denial(route, scope)
            if rendered is not None:
                return self._problems.refused(decision, rendered)
        inner = inner_refusal(self._app, scope, self._enforcer.policy)
        return replace(inner or self._problems.standing(reason), decision=decision)

    def _lowest_tier_denial(self, route: Route, scope: Scope) -> Decision | None:
        """Return the decision by which a rule refuses the lowest tier; costs are computed only if features allow it."""
        denial = lowest_tier_denial(self._enforcer.policy, route.requires, {})
        if denial is not None:
            return denial
        costs = costs_of(route.consumes, scope, route)
        meter_scope = scope_of(route, scope, route)
        try:
            return lowest_tier_denial(self._enforcer.policy, (), costs, meter_scope)
        except ValueError as error:
            check_scope_error(error, route, meter_scope)
            raise

    def error_refusal(self, error: Exception, what: object, account: Handle) -> Refusal:
        """Return the answer to *what* could not be decided: 400 for a bad request, else 503, which is logged."""
        if isinstance(error, BadRequest):
            return self._problems.bad_request()
        _log.error("charge failed for %s; request refused with 503\n%s", what, redacted_traceback(error, account.id))
        return self._problems.unavailable()

    async def refund_if_failed(
        self, response: Response, decision: Decision, raised: BaseException | None = None
    ) -> None:
        """Refund a refundable charge if its request failed, also when the request was cancelled."""
        if self.should_refund(response, raised):
            await asyncio.shield(self._start(self._refund(decision)))

    def should_refund(self, response: Response, raised: BaseException | None = None) -> bool:
        """
        Return True if a request failed.

        A client that disconnects during a response has received a part of it. An error or a
        cancellation that follows from that does not count as a failure.
        """
        if response.status is None or response.status in self._refund_on:
            return True
        if raised is None or response.is_complete:
            return False
        return not (response.is_disconnected or isinstance(raised, asyncio.CancelledError))

    def metered_messages(
        self, account: Handle, route: Route, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Receive, Send]:
        """Return a `receive` and a `send` that charge each message of a websocket, and close it when one is refused."""

        async def charge() -> str | None:
            try:
                decision = await self.consume(account, route, scope, route.messages)
            except Exception as error:  # noqa: BLE001 - a store or a rule failed: no message passes uncounted
                return self.error_refusal(error, f"a message on {route}", account).kind
            return None if decision is None or decision.allowed else self._problems.refused(decision).kind

        messages = MeteredMessages(receive, send, charge)
        return messages.receive, messages.send

    def _start(self, refund: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        """Start a refund as a task; it is referenced until it is done, as a loop keeps weak references only."""
        task = asyncio.ensure_future(refund)
        self._refunds.add(task)
        task.add_done_callback(self._refunds.discard)
        return task

    async def _refund(self, decision: Decision) -> None:
        """Refund a charge; an error is logged, and the response stays as it is."""
        try:
            await awaited(self._enforcer.refund(decision, rates=self._refund_rates))
        except Exception as error:  # noqa: BLE001 - any error of the store
            _log.error("refund of a failed request failed\n%s", redacted_traceback(error, decision.account))
