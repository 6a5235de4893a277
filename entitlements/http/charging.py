"""One charge around one request: taken before the application runs, given back when it comes to nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from entitlements.async_enforcer import AsyncEnforcer
from entitlements.http.headers import HeaderStyle, RateLimitHeaders
from entitlements.http.refusing import POLICY_VIOLATION
from entitlements.http.routes import costs_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from entitlements.enforcer import Enforcer
    from entitlements.http.current import Handle
    from entitlements.http.problems import Problems
    from entitlements.http.routes import Cost, Route
    from entitlements.http.types import App, Headers, Message, Receive, Scope, Send
    from entitlements.model.decision import Decision

_log = logging.getLogger("entitlements.http")


class Charging:
    """
    Charges requests, and gives back what came to nothing.

    Args:
        enforcer: Whose verbs.
        refund_on: Statuses for which quotas and allocations come back.
        refund_rates: Whether units of rates come back with them.
        style: How responses say what is left.
        problems: How refusals read.

    Raises:
        ValueError: For what is no status.
    """

    def __init__(
        self,
        enforcer: AsyncEnforcer | Enforcer,
        *,
        refund_on: Collection[int],
        refund_rates: bool,
        style: HeaderStyle,
        problems: Problems,
    ) -> None:
        wrong = [each for each in refund_on if type(each) is not int or not 100 <= each <= 599]
        if wrong:
            raise ValueError(f"refund_on holds {wrong[0]!r}, which is no HTTP status")
        self._enforcer = enforcer
        self._headers = RateLimitHeaders(style)
        self._refund_on = frozenset(refund_on)
        self._refund_rates = refund_rates
        self._problems = problems

    def headers(self, decision: Decision) -> Headers:
        """Return what the response says of the limits that *decision* is about."""
        return self._headers.of(decision)

    async def consume(
        self, account: Handle, route: Route, scope: Scope, consumes: Mapping[str, Cost] | None = None
    ) -> Decision | None:
        """Take the units of one request, or of one message, all or nothing; None where that is none at all."""
        costs = costs_of(route.consumes if consumes is None else consumes, scope)
        if not costs:
            return None
        whose = None if route.scope is None else route.scope(scope)
        what, n = next(iter(costs.items())) if len(costs) == 1 else (costs, 1)  # of one rate a step is kept ready
        if isinstance(self._enforcer, AsyncEnforcer):
            return await self._enforcer.consume(account.account, what, n, scope=whose)
        return self._enforcer.consume(account.account, what, n, scope=whose)

    async def run(self, app: App, scope: Scope, receive: Receive, send: Send, decision: Decision) -> None:
        """Run the application for a request that was charged; give back what came to nothing."""
        response = _Response(send, self.headers(decision))
        try:
            await app(scope, receive, response)
        except BaseException:
            if not response.is_complete or response.status in self._refund_on:
                await asyncio.shield(self._refund(decision))  # also when the request was cancelled
            raise
        if response.status is None or response.status in self._refund_on:
            await self._refund(decision)

    def metered(self, account: Handle, route: Route, scope: Scope, receive: Receive, send: Send) -> Receive:
        """Return a `receive` that charges each message of a websocket, and closes it with 1008 when refused."""

        async def receiving() -> Message:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            kind = await self._refuses(account, route, scope)
            if kind is None:
                return message
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": kind})
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": kind}

        return receiving

    async def _refuses(self, account: Handle, route: Route, scope: Scope) -> str | None:
        """Charge one message; return why it is refused, or None."""
        try:
            decision = await self.consume(account, route, scope, route.messages)
        except Exception:  # noqa: BLE001 - a store's or a rule's error: nothing passes uncounted
            _log.exception("a message on %s could not be counted, and closes its websocket", route)
            return self._problems.unavailable().kind
        return None if decision is None or decision.allowed else self._problems.refused(decision).kind

    async def _refund(self, decision: Decision) -> None:
        """Give back, where there is anything to give; the response stands whatever becomes of it."""
        if decision.operation is None and not self._refund_rates:
            return
        try:
            if isinstance(self._enforcer, AsyncEnforcer):
                await self._enforcer.refund(decision, rates=self._refund_rates)
            else:
                self._enforcer.refund(decision, rates=self._refund_rates)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("the units of a request that came to nothing could not be given back")


class _Response:
    """
    A `send` that adds headers to the first start, and knows how far the response came.

    For a websocket, accepting it is all: what was taken for the connection stays taken.
    """

    __slots__ = ("_headers", "_send", "_trailers", "is_complete", "status")

    def __init__(self, send: Send, headers: Headers) -> None:
        self._send = send
        self._headers = headers
        self._trailers = False
        self.status: int | None = None
        self.is_complete = False

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if self.status is None and kind in {"http.response.start", "websocket.accept"}:
            self.status = message.get("status", 101)
            self._trailers = message.get("trailers", False)
            self.is_complete = kind == "websocket.accept"
            if self._headers:
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
        elif kind == "websocket.http.response.start":
            self.status = message["status"]
        try:
            await self._send(message)
        except OSError:  # the client hung up, which gives nothing back
            self.is_complete = self.status is not None
            raise
        if kind == "http.response.body" and not message.get("more_body", False):
            self.is_complete = self.is_complete or not self._trailers
        elif kind == "http.response.trailers" and not message.get("more_trailers", False):
            self.is_complete = True
