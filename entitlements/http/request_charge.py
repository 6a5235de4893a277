"""Request charges on an event loop: charges a request before the application runs, and refunds it if it fails."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.http.admission import log_refund_error
from entitlements.http.fast_path import FastPath
from entitlements.http.questions import run_async
from entitlements.http.response import Response
from entitlements.http.types import awaited
from entitlements.http.websocket_messages import MeteredMessages
from entitlements.model.decision_fields import receipt_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from entitlements.enforcer import Enforcer
    from entitlements.http.admission import Admission, RequestVerdict
    from entitlements.http.current import Handle
    from entitlements.http.questions import ChargeCall
    from entitlements.http.routes import Route
    from entitlements.http.types import Headers, Receive, Scope, Send
    from entitlements.model.decision import Decision


class ChargedResponse(Response):
    """
    The response of a request whose charge is refunded if the request fails.

    Args:
        receive: The `receive` of the server.
        send: The `send` of the server.
        admission: Says which statuses are those of failed requests.
        headers: The rate limit headers of a request that does not fail.
        decide: Returns the decision of the charge, which a refund takes.
    """

    __slots__ = ("_admission", "_headers", "decide", "has_failed")

    def __init__(
        self, receive: Receive, send: Send, admission: Admission, headers: Headers, decide: Callable[[], Decision]
    ) -> None:
        super().__init__(receive, send)
        self._admission, self._headers, self.decide = admission, headers, decide
        self.has_failed = True
        """True by its status, and until it has started."""

    def added_headers(self, status: int) -> Headers:
        """Return the rate limit headers, after the refund if the request has failed."""
        self.has_failed = self._admission.refunds(status)
        return self._admission.response_headers([self.decide()], status) if self.has_failed else self._headers


class RequestCharger:
    """
    Charges requests, and refunds failed ones, also when they are cancelled.

    Args:
        enforcer: The enforcer of the middleware.
        admission: Decides the requests.
    """

    def __init__(self, enforcer: AsyncEnforcer | Enforcer, admission: Admission) -> None:
        self._enforcer = enforcer
        self._waits = isinstance(enforcer, AsyncEnforcer) and enforcer._may_wait
        self._admission = admission
        self._refunds: set[asyncio.Future[None]] = set()
        self.fast_path: FastPath[AsyncEnforcer] = FastPath(
            enforcer if isinstance(enforcer, AsyncEnforcer) else None,
            admission.encoder, refund_rates=admission.refund_rates, reads_keys=admission.reads_keys,
        )  # fmt: skip
        """The fast path of routes that charge the same for every request."""

    def decide(self, account: Handle, route: Route, scope: Scope) -> Awaitable[RequestVerdict]:
        """Decide one request; if it is cancelled while the charge is pending, the charge is refunded."""
        admission = self._admission
        # A task costs more than the rest of this call.
        protects = self._waits and admission.has_refundable_limit(route)
        return run_async(admission.decide(account, route, scope), self._protected if protects else self.consume)

    async def consume(self, call: ChargeCall) -> Decision:
        """Make a charge."""
        account, what, n, scope, key = call
        if isinstance(self._enforcer, AsyncEnforcer):
            return await self._enforcer.consume(account, what, n, key=key, scope=scope)
        return self._enforcer.consume(account, what, n, key=key, scope=scope)

    async def _protected(self, call: ChargeCall) -> Decision:
        charge = asyncio.ensure_future(self.consume(call))
        try:
            return await asyncio.shield(charge)
        except asyncio.CancelledError:
            self._start(self._refund_cancelled(charge))
            raise

    def abandon(self, decision: Decision) -> None:
        """Refund a charge whose request was cancelled while it was pending."""
        if decision.allowed and self._admission.is_refundable(receipt_of(decision)):
            self._start(self._refund(decision))

    async def _refund_cancelled(self, charge: asyncio.Future[Decision]) -> None:
        with suppress(Exception):  # a failed charge has no decision to refund
            self.abandon(await charge)

    def response(self, receive: Receive, send: Send, decision: Decision) -> ChargedResponse:
        """Return the response of a request whose charge is refundable."""
        headers = self._admission.encoder.of_all([decision])
        return ChargedResponse(receive, send, self._admission, headers, lambda: decision)

    async def refund(self, decision: Decision) -> None:
        """Refund a charge, also when the caller is cancelled."""
        await asyncio.shield(self._start(self._refund(decision)))

    def metered_messages(
        self, account: Handle, route: Route, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Receive, Send]:
        """Return a `receive` and a `send` that charge each message of a websocket, and close it when one is refused."""
        admission = self._admission

        async def charge() -> str | None:
            try:
                decision = await run_async(admission.charge(account, route, scope, route.messages), self.consume)
            except Exception as error:  # noqa: BLE001 - a store or a rule failed: no message passes uncounted
                return admission.error_refusal(error, f"a message on {route}", account).kind
            return None if decision is None or decision.allowed else admission.problems.refused(decision).kind

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
            await awaited(self._enforcer.refund(decision, rates=self._admission.refund_rates))
        except Exception as error:  # noqa: BLE001 - any error of the store
            log_refund_error(error, decision.account)
